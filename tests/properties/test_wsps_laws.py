"""Laws of the weak panoptic authors' functions, one by one and in their order."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pseudogt.boxes import box_areas, clip_boxes, fill_class_masks
from pseudogt.pseudo_labels.cleaning import (
    apply_box_prior,
    check_crop_tags,
    fill_low_coverage,
    find_crop_values,
    merge_box_masks,
    threshold_scores,
)
from pseudogt.pseudo_labels.instances import assign_instances
from pseudogt.weak_labels.crops import paper_crop_grid
from pseudogt.wsps.boxes import InstanceBoxes, find_instance_boxes
from pseudogt.wsps.clean_labels import is_done
from pseudogt.wsps.label_generation import ImageInputs, cut_instances, generate_labels
from pseudogt.wsps.mat_files import read_boxes, write_boxes
from pseudogt.wsps.options import Options, make_defaults
from pseudogt.wsps.palette import CLASS_NAMES, make_palette, read_label, write_label

HEIGHT, WIDTH = 6, 9
IGNORE = 255
STUFF, THINGS = list(range(11)), list(range(11, 19))
USED = [0, 8, 11, 13]
VALUES = [*USED, IGNORE]
IDS = {"stuff_ids": STUFF, "thing_ids": THINGS}

labels = hnp.arrays(np.uint8, (HEIGHT, WIDTH), elements=st.sampled_from(VALUES))
any_labels = hnp.arrays(np.uint8, (HEIGHT, WIDTH))
box_masks = hnp.arrays(np.uint8, (HEIGHT, WIDTH), elements=st.sampled_from([0, 11, 13, IGNORE]))
scores = hnp.arrays(np.float32, (HEIGHT, WIDTH), elements=st.sampled_from(np.float32([0, 0.5, 0.99, 1, np.nan])))
instance_ids = hnp.arrays(
    np.uint16, (HEIGHT, WIDTH), elements=st.sampled_from([0, 8, 13, 11001, 13001, 13002, 1000, IGNORE])
)
crop_tags = hnp.arrays(bool, (4, 256))
CROPS = paper_crop_grid(HEIGHT, WIDTH, 4, 5)


@st.composite
def boxes(draw, max_size=5, low=0, margin=0, classes=(0, 11, 13)):
    corners, train_ids, crowd = [], [], []
    for _ in range(draw(st.integers(0, max_size))):
        x0, y0 = draw(st.integers(low, WIDTH - 1)), draw(st.integers(low, HEIGHT - 1))
        corners.append([x0, y0, draw(st.integers(x0 + 1, WIDTH + margin)), draw(st.integers(y0 + 1, HEIGHT + margin))])
        train_ids.append(draw(st.sampled_from(classes)))
        crowd.append(draw(st.booleans()))
    corners, train_ids = np.array(corners, np.int32).reshape(-1, 4), np.array(train_ids, np.int32)
    return InstanceBoxes(corners, train_ids, np.array(crowd, bool), train_ids < 11)


sticking_out = boxes(low=-4, margin=4)


def mirror(corners):
    return np.column_stack([WIDTH - corners[:, 2], corners[:, 1], WIDTH - corners[:, 0], corners[:, 3]])


def fill(label, found, **options):
    return fill_low_coverage(label, found.boxes_xyxy, found.classes, found.iscrowd, **options)


def cut(label, found, **options):
    return assign_instances(label, found.boxes_xyxy, found.classes, found.iscrowd, **options)


def find_boxes(ids, **options):
    return find_instance_boxes(ids, **IDS, num_classes=19, **options)


# Score threshold


@given(any_labels, scores, st.floats(0, 1))
def test_threshold_ignores_or_keeps(label, score, threshold):
    result = threshold_scores(label, score, threshold)
    assert ((result == label) | (result == IGNORE)).all()
    assert (result[np.isnan(score)] == label[np.isnan(score)]).all()


# Crop tags


@given(any_labels, crop_tags)
def test_tags_ignore_or_keep_and_twice_is_once(label, tags):
    result = check_crop_tags(label, CROPS, tags)
    assert ((result == label) | (result == IGNORE)).all()
    np.testing.assert_array_equal(check_crop_tags(result, CROPS, tags), result)


@given(labels, crop_tags, crop_tags)
def test_fewer_tags_ignore_a_superset(label, a, b):
    few, many = (check_crop_tags(label, CROPS, tags) == IGNORE for tags in (a & b, a))
    assert (few | ~many).all()


@given(any_labels)
def test_label_passes_its_own_tags(label):
    np.testing.assert_array_equal(check_crop_tags(label, CROPS, find_crop_values(label, CROPS)), label)


@given(labels, labels, st.permutations(range(4)))
def test_order_and_mirroring_of_crops_change_nothing(label, gt, order):
    expected = check_crop_tags(label, CROPS, find_crop_values(gt, CROPS))
    shuffled = CROPS[list(order)]
    np.testing.assert_array_equal(check_crop_tags(label, shuffled, find_crop_values(gt, shuffled)), expected)
    mirrored = mirror(CROPS)
    result = check_crop_tags(label[:, ::-1], mirrored, find_crop_values(gt[:, ::-1], mirrored))
    np.testing.assert_array_equal(result[:, ::-1], expected)


# Merge


@given(any_labels, any_labels, st.sampled_from([254, 255]))
def test_merge_has_declared_values(masks, label, ignore):
    result = merge_box_masks(masks, label, **IDS, ignore_label=ignore)
    assert np.isin(result, [*STUFF, *THINGS, ignore, 255]).all()
    assert not (np.isin(result, THINGS) & (masks != result)).any()  # things come from the masks alone


@given(any_labels, labels)
def test_merge_twice_is_once(masks, label):
    once = merge_box_masks(masks, label, **IDS)
    np.testing.assert_array_equal(merge_box_masks(masks, once, **IDS), once)


def test_merge_twice_is_not_once_for_a_label_that_is_no_class():
    """It becomes 255, which the second merge takes for the ignore label."""
    masks, label = np.full((1, 1), 11, np.uint8), np.full((1, 1), 77, np.uint8)
    once = merge_box_masks(masks, label, **IDS)
    assert [once.item(), merge_box_masks(masks, once, **IDS).item()] == [255, 11]


@given(box_masks, labels)
def test_merge_is_pixelwise(masks, label):
    expected = merge_box_masks(masks, label, **IDS)
    np.testing.assert_array_equal(merge_box_masks(masks[::-1, ::-1], label[::-1, ::-1], **IDS)[::-1, ::-1], expected)


# Box prior


@given(labels, sticking_out)
def test_more_boxes_ignore_a_subset(label, found):
    def ignore(count):
        corners = clip_boxes(found.boxes_xyxy[:count], label.shape)
        masks = fill_class_masks(corners, found.classes[:count], label.shape)
        return apply_box_prior(label, masks, thing_ids=THINGS) == IGNORE

    ignored = [ignore(count) for count in range(len(found.classes) + 1)]
    for fewer, more in pairwise(ignored):
        assert (fewer | ~more).all()


@given(sticking_out)
def test_class_masks_are_unions_and_mirror(found):
    shape = (HEIGHT, WIDTH)
    masks = fill_class_masks(found.boxes_xyxy, found.classes, shape)
    assert set(masks) == set(found.classes.tolist())
    for train_id, mask in masks.items():
        single = [fill_class_masks(box, [train_id], shape) for box in found.boxes_xyxy[found.classes == train_id]]
        np.testing.assert_array_equal(np.any([each[train_id] for each in single], 0), mask)
        mirrored = fill_class_masks(mirror(found.boxes_xyxy), found.classes, shape)[train_id]
        np.testing.assert_array_equal(mirrored[:, ::-1], mask)


# Low coverage


@given(labels, sticking_out, st.booleans(), st.booleans())
def test_fill_changes_only_boxes_and_only_to_their_classes(label, found, keep_things, whole_box):
    found = found._replace(boxes_xyxy=clip_boxes(found.boxes_xyxy, label.shape))
    result = fill(label, found, keep_things=keep_things, whole_box=whole_box)
    changed = result != label
    fillable = ~found.iscrowd & ~found.isstuff
    if whole_box:
        inside = fill_class_masks(found.boxes_xyxy[fillable], found.classes[fillable], label.shape)
        assert all(
            inside[int(value)][y, x] for (y, x), value in zip(np.argwhere(changed), result[changed], strict=True)
        )
    assert np.isin(result[changed], found.classes[fillable]).all()
    if keep_things:
        assert (np.isin(label[changed], STUFF) | (label[changed] == IGNORE)).all()


@given(labels, boxes(), st.floats(0, 1), st.floats(0, 1), st.booleans())
def test_higher_threshold_fills_a_superset(label, found, a, b, whole_box):
    low, high = (fill(label, found, threshold=t, whole_box=whole_box) != label for t in sorted((a, b)))
    assert (high | ~low).all()


@given(labels, boxes(), st.booleans())
def test_fill_twice_is_once_if_things_are_kept(label, found, whole_box):
    once = fill(label, found, whole_box=whole_box)
    np.testing.assert_array_equal(fill(once, found, whole_box=whole_box), once)


def test_fill_twice_is_not_once_if_things_may_be_altered():
    """A box whose pixels a smaller one took is filled again, over the smaller one's."""
    label = np.full((1, 4), 11, np.uint8)
    found = InstanceBoxes(
        np.array([[0, 0, 4, 1], [0, 0, 3, 1]]), np.array([11, 13]), np.zeros(2, bool), np.zeros(2, bool)
    )
    once = fill(label, found, keep_things=False, whole_box=True)
    twice = fill(once, found, keep_things=False, whole_box=True)
    assert once.tolist() == [[13, 13, 13, 11]]
    assert twice.tolist() == [[11, 11, 11, 11]]


@given(labels, boxes())
def test_fill_of_whole_boxes_mirrors(label, found):
    mirrored = fill(label[:, ::-1], found._replace(boxes_xyxy=mirror(found.boxes_xyxy)), whole_box=True)
    np.testing.assert_array_equal(mirrored[:, ::-1], fill(label, found, whole_box=True))


@given(labels, boxes(max_size=1))
def test_fill_of_the_paper_does_not_mirror_but_leaves_out_the_first_row_and_column(label, found):
    smaller = found._replace(boxes_xyxy=found.boxes_xyxy + np.array([1, 1, 0, 0], np.int32))
    np.testing.assert_array_equal(fill(label, found), fill(label, smaller, whole_box=True))


# Boxes from ids


@given(instance_ids, st.booleans(), st.booleans())
def test_boxes_are_tight_and_mirror(ids, stuff, groups):
    found = find_boxes(ids, include_stuff=stuff, include_groups=groups)
    for box, train_id, crowd, isstuff in zip(*found, strict=True):
        x0, y0, x1, y1 = box
        if isstuff:
            assert box.tolist() == [0, 0, WIDTH, HEIGHT]
            continue
        window = ids[y0:y1, x0:x1]
        members = (window == train_id) if crowd else (window // 1000 == train_id)
        assert all(edge.any() for edge in (members[0], members[-1], members[:, 0], members[:, -1]))
    expected = {(int(v) + 500) // 1000 if v > 1000 else int(v) for v in np.unique(ids) if v not in (IGNORE, 1000)}
    kept = {c for c in expected if (stuff or c not in STUFF)}
    assert set(found.classes.tolist()) <= kept
    mirrored = find_boxes(ids[:, ::-1], include_stuff=stuff, include_groups=groups)
    np.testing.assert_array_equal(mirror(mirrored.boxes_xyxy), found.boxes_xyxy)
    np.testing.assert_array_equal(mirrored.classes, found.classes)


@given(boxes(classes=(11, 13)))
def test_ids_round_trip_where_boxes_of_a_class_do_not_meet(found):
    """Paint filled boxes as instances, find boxes in them, cut the classes by these boxes: the same instances."""
    ids = np.zeros((HEIGHT, WIDTH), np.uint16)
    taken = np.zeros((HEIGHT, WIDTH), bool)
    for number, (box, train_id) in enumerate(zip(found.boxes_xyxy, found.classes, strict=True), start=1):
        x0, y0, x1, y1 = box
        if not taken[y0:y1, x0:x1].any():
            ids[y0:y1, x0:x1] = train_id * 1000 + number
            taken[y0:y1, x0:x1] = True
    step = cut((ids // 1000).astype(np.uint8), find_boxes(ids, include_stuff=False))
    values = np.append(0, np.unique(ids[ids > 0]))
    np.testing.assert_array_equal(values[step.instances], ids)


# Instances


@given(labels, boxes())
def test_instances_have_declared_values_and_mirror(label, found):
    step = cut(label, found, ignore_id=IGNORE)
    assert np.isin(step.instances, [0, IGNORE, *range(1, len(step.box_indices) + 1)]).all()
    mirrored = cut(label[:, ::-1], found._replace(boxes_xyxy=mirror(found.boxes_xyxy)), ignore_id=IGNORE)
    np.testing.assert_array_equal(mirrored.instances[:, ::-1], step.instances)
    assert set(step.missing.tolist()) == set(range(1, len(step.box_indices) + 1)) - set(step.instances.flat)


@given(labels, boxes(), st.integers(1, 5))
def test_saturated_ids_are_the_ids_up_to_the_limit(label, found, limit):
    free, saturated = cut(label, found).instances, cut(label, found, max_id=limit).instances
    np.testing.assert_array_equal(saturated, np.minimum(free, limit))


# All steps in their order


def make_options(**overrides):
    return Options.model_validate(
        {**make_defaults("train"), "canvas_size": (HEIGHT, WIDTH), "schk_crop_size": (4, 5), **overrides}
    )


inputs = st.builds(ImageInputs, labels, scores, labels, box_masks, boxes(low=-2, margin=2))
switches = st.fixed_dictionaries({name: st.booleans() for name in Options.model_fields if name.startswith("run_")})


@settings(deadline=None)
@given(inputs, switches)
def test_clean_label_stays_in_the_value_set_and_changes_no_input(image, enabled):
    before = [np.copy(array) for array in image[:4]]
    stages = generate_labels(image, make_options(**enabled))
    assert len(stages) == 1 + sum(enabled.values()) - enabled["run_ins_box_process"]
    assert all(np.isin(label, VALUES).all() and label.dtype == np.uint8 for label in stages.values())
    instances = cut_instances(stages["final_pred"], image.boxes, make_options())
    assert instances.ins_pred.dtype == np.uint8
    assert len(instances.classes) >= len(instances.missing)
    for array, copy in zip(image[:4], before, strict=True):
        np.testing.assert_array_equal(array, copy)


@settings(deadline=None)
@given(inputs)
def test_without_steps_the_label_is_the_prediction(image):
    off = {name: False for name in Options.model_fields if name.startswith("run_")}
    assert list(generate_labels(image, make_options(**off))) == ["final_pred"]
    np.testing.assert_array_equal(generate_labels(image, make_options(**off))["final_pred"], image.pred)


# Files


@settings(deadline=None, max_examples=50)
@given(sticking_out)
def test_files_of_boxes_round_trip_and_equal_boxes_give_equal_bytes(found):
    outside_zero = found.boxes_xyxy.any(1)  # an all-zero box stands for a group without pixels
    found = InstanceBoxes(*(column[outside_zero] for column in found))
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, name) for name in ("a.mat", "b.mat")]
        for path in paths:
            write_boxes(path, found, CLASS_NAMES)
        read = read_boxes(paths[0], CLASS_NAMES)
        assert paths[0].read_bytes() == paths[1].read_bytes()
    for column, expected in zip(read, found, strict=True):
        np.testing.assert_array_equal(column, expected)
        assert column.dtype == expected.dtype
    assert (box_areas(read.boxes_xyxy) > 0).all()


@settings(deadline=None, max_examples=50)
@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_label_files_round_trip(label):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "label.png")
        write_label(path, label, make_palette())
        np.testing.assert_array_equal(read_label(path), label)


@given(st.fixed_dictionaries({name: st.booleans() for name in ("save_sem", "save_ins", "sem_exists", "ins_exists")}))
def test_more_files_never_undo_being_done(state):
    assert not is_done(force_overwrite=True, **state)
    if is_done(force_overwrite=False, **state):
        assert is_done(force_overwrite=False, **{**state, "sem_exists": True, "ins_exists": True})
