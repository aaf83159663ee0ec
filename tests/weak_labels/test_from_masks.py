from __future__ import annotations

import numpy as np
import pytest

from pseudogt.classes import ClassTable
from pseudogt.config.weak_labels import WeakLabelsSettings
from pseudogt.weak_labels.from_masks import derive_weak_labels

SKY, ROAD, CAR = 0, 1, 2
CLASSES = ClassTable(("sky", "road", "car"), (1, 2, 3), (False, False, True), ((0, 0, 1), (0, 0, 2), (0, 0, 3)))


@pytest.fixture
def panoptic_id():
    """Sky above road, car 1 at the left, a group of two parts, a void column."""
    panoptic_id = np.full((10, 20), 1000, np.int32)
    panoptic_id[5:] = 2000
    panoptic_id[4:7, 1:4] = 3001
    panoptic_id[8, 10] = panoptic_id[9, 15] = 3000
    panoptic_id[:, 19] = 0
    return panoptic_id


def derive(panoptic_id, **settings):
    values = {"crop_height_fraction": 0.5, "crop_width_fraction": 0.5} | settings
    return derive_weak_labels("a", panoptic_id, {3000}, CLASSES, WeakLabelsSettings(**values))


def test_boxes_are_tight_and_half_open(panoptic_id):
    weak = derive(panoptic_id)
    assert weak.boxes_xyxy.tolist() == [[10, 8, 16, 10], [1, 4, 4, 7]]
    assert weak.box_iscrowd.tolist() == [True, False]
    assert weak.box_classes.tolist() == [2, 2]


def test_groups_give_tags_or_none(panoptic_id):
    panoptic_id[4:7, 1:4] = 2000  # the group is all that is left of cars
    assert derive(panoptic_id).tags.tolist() == [True, True, True]
    without = derive(panoptic_id, group_tags=False)
    assert without.tags.tolist() == [True, True, False]
    assert not without.crop_tags[:, 2].any()


def test_tags_of_image_and_crops(panoptic_id):
    weak = derive(panoptic_id)
    assert weak.tags.all()
    assert weak.crops_xyxy.tolist() == [[0, 0, 10, 5], [0, 5, 10, 10], [10, 0, 20, 5], [10, 5, 20, 10]]
    expected = [[1, 0, 1], [0, 1, 1], [1, 0, 0], [0, 1, 1]]
    assert weak.crop_tags.astype(int).tolist() == expected


def test_settings_leave_things_out(panoptic_id):
    weak = derive(panoptic_id, tags="image", group_boxes=False, thing_tags=False)
    assert len(weak.crops_xyxy) == len(weak.crop_tags) == 0
    assert weak.box_iscrowd.tolist() == [False]
    assert weak.tags.tolist() == [True, True, False]


def test_tags_alone(panoptic_id):
    weak = derive(panoptic_id, boxes=False)
    assert not len(weak.boxes_xyxy) and not len(weak.box_classes) and not len(weak.box_iscrowd)
    assert weak.tags.all()


def test_an_image_without_any_class():
    weak = derive(np.zeros((6, 6), np.int32))
    assert weak.boxes_xyxy.shape == (0, 4) and not weak.tags.any() and not weak.crop_tags.any()


def test_points_lie_inside_their_segments_and_belong_to_their_boxes(panoptic_id):
    weak = derive(panoptic_id, points="all", boxes=True)
    expected = {SKY: 1000, ROAD: 2000, CAR: 3001}
    assert sorted(weak.marks.classes.tolist()) == [SKY, ROAD, CAR]
    for mark in weak.marks:
        x, y = np.floor(mark.values[0]).astype(int)
        assert panoptic_id[y, x] == expected[mark.train_id]
    # The car is three pixels wide: only its middle is far enough from its border.
    car = next(mark for mark in weak.marks if mark.train_id == CAR)
    assert car.values.tolist() == [[2.5, 5.5]] and car.owner == 1


@pytest.mark.parametrize(("points", "classes"), [("stuff", {SKY, ROAD}), ("things", {CAR}), ("all", {SKY, ROAD, CAR})])
def test_points_of_stuff_and_of_things(panoptic_id, points, classes):
    assert set(derive(panoptic_id, points=points, boxes=False).marks.classes.tolist()) == classes


def test_points_depend_on_the_seed_and_the_image_alone(panoptic_id):
    first, again = (derive(panoptic_id, points="stuff").marks.values.tolist() for _ in range(2))
    assert first == again
    assert first != derive(panoptic_id, points="stuff", points_seed=1).marks.values.tolist()


def test_further_points_lie_in_other_parts():
    scene = make_scene()
    one, three = (list(derive(scene, points="all", points_per_segment=count).marks) for count in (1, 3))
    assert len(three) == 3 * len(one)
    positions = {tuple(mark.values[0]) for mark in three}
    assert {tuple(mark.values[0]) for mark in one} <= positions
    for mark in three:
        (x, y), own = mark.values[0].astype(int), [m.owner for m in one if m.train_id == mark.train_id]
        assert CLASSES.category_to_train[scene[y, x] // 1000] == mark.train_id and mark.owner in own
    # Three parts of unequal area: one point in each, whichever was clicked first.
    panoptic_id = np.full((40, 60), 2000, np.int32)
    panoptic_id[:, :20] = panoptic_id[:10, 30:40] = panoptic_id[30:, 50:] = 1000
    marks = [m for m in derive(panoptic_id, points="stuff", points_per_segment=3).marks if m.train_id == 0]
    assert sorted(int(m.values[0, 0]) // 10 * 10 // 20 for m in marks) == [0, 1, 2]


def test_a_segment_has_no_more_points_than_pixels():
    panoptic_id = np.full((10, 10), 2000, np.int32)
    panoptic_id[0, :2] = 1000
    counted = [mark.train_id for mark in derive(panoptic_id, points="stuff", points_per_segment=5).marks]
    assert (counted.count(0), counted.count(1)) == (2, 5)


def make_scene():
    """Sky above a road that narrows upwards and has a smaller part, a strip, in the sky; a car on the road."""
    panoptic_id = np.full((80, 120), 1000, np.int32)
    rows, columns = np.mgrid[:80, :120]
    panoptic_id[(rows > 30) & (abs(columns - 50) < rows / 2)] = 2000
    panoptic_id[50:70, 40:64] = 3001
    panoptic_id[5:60, 100:104] = 2000
    return panoptic_id


@pytest.mark.parametrize("seed", range(5))
def test_strokes_run_inside_their_segments_away_from_the_border(seed):
    panoptic_id = make_scene()
    weak = derive(panoptic_id, scribbles="all", points_seed=seed)
    assert sorted(weak.marks.classes.tolist()) == [SKY, ROAD, CAR]
    for mark in weak.marks:
        segment = {SKY: 1000, ROAD: 2000, CAR: 3001}[mark.train_id]
        rows, columns = mark.find_pixels(80, 120).T
        assert mark.kind == "scribble" and (panoptic_id[rows, columns] == segment).all()
        assert len(rows) >= {SKY: 150, ROAD: 60, CAR: 4}[mark.train_id]
        assert not (mark.train_id == ROAD and columns.max() >= 100)
    assert next(mark.owner for mark in weak.marks if mark.train_id == CAR) == 0


def test_a_stroke_is_thin_in_a_thin_segment():
    scene = np.full((60, 20), 1000, np.int32)
    scene[:, 8:11] = 2000
    road = next(mark for mark in derive(scene, scribbles="stuff").marks if mark.train_id == ROAD)
    rows, columns = road.find_pixels(60, 20).T
    assert road.kind == "scribble" and set(columns.tolist()) <= {8, 9, 10} and np.ptp(rows) >= 25


def test_strokes_depend_on_the_seed_and_go_with_points():
    scene = make_scene()
    first, again, other = (
        derive(scene, scribbles="stuff", points_seed=seed).marks.values.tolist() for seed in (0, 0, 1)
    )
    assert first == again != other
    marks = derive(scene, scribbles="stuff", points="things", boxes=False).marks
    assert [mark.kind for mark in marks] == ["point", "scribble", "scribble"]


def test_a_segment_of_a_few_pixels_gets_a_point_for_a_stroke():
    scene = np.full((20, 20), 1000, np.int32)
    scene[5, 7] = 2000
    road = next(mark for mark in derive(scene, scribbles="stuff").marks if mark.train_id == ROAD)
    assert road.kind == "point" and road.values.tolist() == [[7.5, 5.5]]


def test_categories_that_may_be_in_void_are_unknown_unless_they_are_seen(panoptic_id):
    settings = WeakLabelsSettings(tags="image")
    panoptic_id[panoptic_id == 1000] = 0
    weak = derive_weak_labels("a", panoptic_id, {3000}, CLASSES, settings, [3, 1])
    assert weak.unknown_ids == (0,) and weak.tags.tolist() == [False, True, True]
