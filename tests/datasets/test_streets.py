from __future__ import annotations

import numpy as np
import pytest

from pseudogt.config.streets import StreetsSettings
from pseudogt.datasets.streets.labels import BICYCLE, BUILDING, CAR, FENCE, PERSON, ROAD, SIDEWALK, SKY, VEGETATION
from pseudogt.datasets.streets.scenes import GROUP, number_instances, render_street
from pseudogt.weak_labels.crops import crop_grid

CLASSES = (ROAD, SIDEWALK, BUILDING, FENCE, VEGETATION, SKY, PERSON, CAR, BICYCLE)
SETTINGS = StreetsSettings()


@pytest.fixture(scope="module")
def scenes():
    return [render_street(SETTINGS, (0, index)) for index in range(30)]


def test_scene_depends_on_seed_and_number_only(scenes):
    for layer, again in zip(scenes[3], render_street(SETTINGS, (0, 3)), strict=True):
        np.testing.assert_array_equal(layer, again)
    assert (scenes[3][0] != render_street(StreetsSettings(seed=1), (0, 3))[0]).any()
    assert (scenes[3][0] != render_street(SETTINGS, (1, 3))[0]).any()


def test_every_class_occurs_but_none_everywhere(scenes):
    there = np.array([[(label == c).any() for c in CLASSES] for _, label, _ in scenes])
    assert (there.mean(0) > 0.15).all()
    assert (there.mean(0) < 0.95).all()


def test_missing_things_make_tags_differ(scenes):
    things = (PERSON, CAR, BICYCLE)
    for index in range(5):
        image, label, _ = render_street(StreetsSettings(missing=1), (0, index))
        assert not np.isin(label, things).any() and image.shape == scenes[index][0].shape
    some = [render_street(StreetsSettings(missing=0.5), (0, index))[1] for index in range(30)]
    there = np.array([[(label == c).any() for c in (*things, ROAD)] for label in some])
    assert len(np.unique(there[:, :3], axis=0)) >= 6  # of 8 sets of things, each by its own chance
    with_road = there[there[:, 3]]
    assert 0.2 < with_road[:, 1].mean() < 0.8
    always = np.array([[(label == c).any() for c in (CAR, ROAD)] for _, label, _ in scenes])
    assert always[always[:, 1]].all()


def test_crops_tell_more_than_images(scenes):
    crops = crop_grid(128, 256)
    in_image = np.mean([[(label == c).any() for c in CLASSES] for _, label, _ in scenes])
    in_crop = np.mean(
        [[(label[y0:y1, x0:x1] == c).any() for c in CLASSES] for _, label, _ in scenes for x0, y0, x1, y1 in crops]
    )
    assert in_crop < 0.7 * in_image


def test_instance_ids_follow_cityscapes(scenes):
    groups = 0
    for image, label, instance in scenes:
        assert image.shape == (128, 256, 3) and image.dtype == label.dtype == np.uint8 and instance.dtype == np.uint16
        numbered = instance >= 1000
        np.testing.assert_array_equal(np.where(numbered, instance // 1000, instance), label)
        assert set(np.unique(label[numbered])) <= {PERSON, CAR, BICYCLE}
        groups += (np.isin(label, (PERSON, CAR, BICYCLE)) & ~numbered).any()
    assert groups


def test_things_are_large_enough_to_learn(scenes):
    areas = [np.unique(i[i >= 1000], return_counts=True)[1] for _, _, i in scenes]
    assert np.percentile(np.concatenate(areas), 25) > 60


def test_other_sizes_scale_the_scene():
    image, label, _ = render_street(StreetsSettings(height=64, width=96), (0, 0))
    assert image.shape == (64, 96, 3) and label.shape == (64, 96)


def test_numbering_counts_per_class_and_voids_slivers():
    label = np.full((6, 30), ROAD, np.uint8)
    instance = np.zeros(label.shape, np.uint16)
    for column, (thing, number) in enumerate([(CAR, 9), (CAR, 4), (PERSON, 5), (PERSON, GROUP)]):
        label[:4, column * 4 : column * 4 + 4] = thing
        instance[:4, column * 4 : column * 4 + 4] = number
    label[5, 0], instance[5, 0] = CAR, 6
    labels, ids = number_instances(label, instance)
    assert [ids[0, c] for c in (0, 4, 8, 12)] == [26001, 26000, 24000, 24]
    assert labels[5, 0] == ids[5, 0] == 0
    assert ids[5, 1] == ROAD
