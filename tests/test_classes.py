from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pseudogt.classes import (
    BACKGROUND,
    IGNORE_LABEL,
    VOID,
    ClassTable,
    combine_semantic_and_instances,
    panoptic_to_semantic,
)
from pseudogt.files.labels import panoptic_to_rgb, rgb_to_panoptic
from pseudogt.maps import look_up

CLASSES = ClassTable(
    names=("sky", "road", "car", "person"),
    category_ids=(1, 5, 3, 40),
    isthing=(False, False, True, True),
    colors=((0, 0, 255), (128, 64, 128), (0, 0, 142), (220, 20, 60)),
)
SHAPE = (6, 7)


def test_sentinels_differ():
    assert len({IGNORE_LABEL, BACKGROUND, VOID}) == 3


def test_lookups_are_inverse():
    train_ids = np.array([0, 1, 2, 3, BACKGROUND, IGNORE_LABEL], np.uint8)
    assert (CLASSES.category_to_train[CLASSES.train_to_category[train_ids]] == train_ids).all()


def test_categories_round_trip():
    assert ClassTable.from_categories(CLASSES.to_categories()) == CLASSES


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"category_ids": (0, 5, 3, 40)}, "must lie in"),
        ({"category_ids": (1, 5, 5, 40)}, "5 is there more than once"),
        ({"names": ("sky", "sky", "car", "person")}, "sky is there more than once"),
        ({"isthing": (True,)}, "differ in length"),
    ],
)
def test_bad_class_table(change, message):
    columns = {name: getattr(CLASSES, name) for name in ("names", "category_ids", "isthing", "colors")}
    with pytest.raises(ValueError, match=message):
        ClassTable(**(columns | change))


@given(
    arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 1, 2, 3, BACKGROUND, IGNORE_LABEL])),
    arrays(np.int32, SHAPE, elements=st.integers(0, 5)),
)
def test_ids_round_trip(semantic, instances):
    panoptic_id = combine_semantic_and_instances(semantic, instances, CLASSES)
    assert (rgb_to_panoptic(panoptic_to_rgb(panoptic_id)) == panoptic_id).all()
    assert (panoptic_to_semantic(panoptic_id, CLASSES) == semantic).all()
    things = np.isin(semantic, CLASSES.thing_ids)
    assert (panoptic_id[~things] % 1000 == 0).all()
    assert ((panoptic_id[things] % 1000 > 0) == (instances[things] > 0)).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
@pytest.mark.parametrize("window", [np.s_[:, :], np.s_[1:4, 2:5], np.s_[::-1, ::2], np.s_[:0, :]])
def test_look_up_is_indexing(dtype, window):
    rng = np.random.default_rng(0)
    table, label = rng.integers(0, 256, 256).astype(dtype), rng.integers(0, 256, SHAPE).astype(np.uint8)[window]
    found = look_up(table, label)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, table[label])
    assert not np.shares_memory(found, table)


def test_instances_are_numbered_per_class():
    semantic = np.array([[2, 2, 3, 3]], np.uint8)
    instances = np.array([[7, 9, 9, 0]], np.int32)
    assert combine_semantic_and_instances(semantic, instances, CLASSES).tolist() == [[3001, 3002, 40001, 40000]]


def test_more_than_999_instances_are_an_error():
    semantic = np.full((1, 1000), 2, np.uint8)
    with pytest.raises(ValueError, match="car has 1000 instances"):
        combine_semantic_and_instances(semantic, np.arange(1, 1001, dtype=np.int32)[None], CLASSES)


def test_unknown_category_is_an_error():
    with pytest.raises(ValueError, match="category 77"):
        panoptic_to_semantic(np.array([[77_000]], np.int32), CLASSES)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"\(2, 2\) and instances \(2, 3\)"):
        combine_semantic_and_instances(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.int32), CLASSES)
