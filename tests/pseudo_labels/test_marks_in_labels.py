"""Marks in labels: they spread over regions, hold in cleaning, and make instances."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from weak_label_testing import make_point, make_weak_labels

from pseudogt.classes import BACKGROUND, IGNORE_LABEL, ClassTable
from pseudogt.pseudo_labels.refinement import CleaningSteps, clean_label, make_panoptic
from pseudogt.pseudo_labels.spreading import blend, resize_spread, spread_marks
from pseudogt.weak_labels.labelled import LabelledPixels, find_labelled_pixels
from pseudogt.weak_labels.marks import UNSETTLED, Marks
from pseudogt.weak_labels.records import ImageWeakLabels, complete_marks

SKY, ROAD, CAR = 0, 1, 2
CLASSES = ClassTable(("sky", "road", "car"), (1, 2, 3), (False, False, True), ((0, 0, 0),) * 3)
STEPS = CleaningSteps(min_confidence=0.5, check_crop_tags=True, keep_unsure_things=True, box_prior=True, fill_below=0.2)


def make_weak(points, boxes=(), size=(1, 12)) -> ImageWeakLabels:
    marks = [make_point(train_id, UNSETTLED, x + 0.5, y + 0.5, 0) for train_id, x, y in points]
    return complete_marks(make_weak_labels(size, np.ones(3), boxes=boxes, box_classes=CAR, marks=marks), CLASSES)


def label_pixels(*pixels) -> LabelledPixels:
    rows, columns, classes = np.array(pixels).T
    return LabelledPixels(rows, columns, classes.astype(np.uint8), np.full(len(pixels), -1, np.int32))


def test_a_region_takes_the_only_class_that_is_marked_in_it():
    regions = np.array([[0, 0, 0, 1, 1, 1, 2, 2]])
    labelled = label_pixels((0, 1, ROAD), (0, 3, SKY), (0, 5, ROAD))
    spread = spread_marks(labelled, (1, 8), (1, 8), regions, 0.5)
    assert spread.classes.tolist() == [SKY, ROAD]
    assert spread.weights[:, 0].tolist() == [[0, 0, 0, 1, 0, 0, 0, 0], [0.5, 1, 0.5, 0, 0, 1, 0, 0]]
    scores = np.full((3, 1, 8), 0.25, np.float32)
    blended = blend(scores, spread, np.ones((3, 1, 8), bool))
    assert blended[:, 0, 0].tolist() == [0.125, 0.625, 0.125]
    assert blended[:, 0, 3].tolist() == [1, 0, 0] and blended[:, 0, 4].tolist() == [0.25] * 3


def test_marks_alone_speak_where_there_are_no_regions_or_they_have_no_weight():
    labelled, regions = label_pixels((0, 1, ROAD)), np.zeros((1, 4), int)
    for spread in (spread_marks(labelled, (1, 4), (1, 4), *how) for how in ((None, 0.9), (regions, 0.0))):
        assert spread.weights.tolist() == [[[0, 1, 0, 0]]]
    coarse = resize_spread(spread, (1, 2))
    assert coarse.weights.tolist() == [[[0.5, 0]]]


def test_what_is_no_candidate_gets_no_score_from_a_mark():
    spread = spread_marks(label_pixels((0, 1, ROAD)), (1, 4), (1, 4), np.zeros((1, 4), int), 0.9)
    candidates = np.ones((3, 1, 4), bool)
    candidates[ROAD, 0, 2] = False
    scores = np.full((3, 1, 4), 0.25, np.float32)
    assert blend(scores, spread, candidates)[:, 0, 2].tolist() == [0.25] * 3


def test_marks_hold_against_every_step_of_cleaning():
    """Road where scores are unsure, where a box mask says car, and where the label says sky."""
    weak = make_weak([(ROAD, 0, 0), (ROAD, 4, 0), (ROAD, 9, 0), (CAR, 6, 0)], [[3, 0, 8, 1]])
    label = np.array([[SKY] * 3 + [CAR] * 5 + [SKY] * 4], np.uint8)
    masks = np.array([[BACKGROUND] * 3 + [CAR, CAR, CAR, BACKGROUND, CAR] + [BACKGROUND] * 4], np.uint8)
    confidence = np.full(label.shape, 0.9, np.float32)
    confidence[0, 0] = 0
    cleaned = clean_label(label, confidence, weak, CLASSES, masks, STEPS)
    assert cleaned.tolist() == [[ROAD, SKY, SKY, CAR, ROAD, CAR, CAR, CAR, SKY, ROAD, SKY, SKY]]


def test_things_outside_their_boxes_stay_if_a_mark_shows_that_boxes_are_incomplete():
    label = np.array([[CAR, CAR, SKY, CAR, CAR, CAR]], np.uint8)
    sure, masks = np.ones(label.shape, np.float32), np.array([[CAR] + [BACKGROUND] * 5], np.uint8)
    without = make_weak([(CAR, 0, 0)], [[0, 0, 2, 1]], size=(1, 6))
    assert clean_label(label, sure, without, CLASSES, masks, STEPS).tolist() == [
        [CAR, IGNORE_LABEL, SKY] + [IGNORE_LABEL] * 3
    ]
    with_more = make_weak([(CAR, 4, 0)], [[0, 0, 2, 1]], size=(1, 6))
    assert clean_label(label, sure, with_more, CLASSES, masks, STEPS).tolist() == [
        [CAR, IGNORE_LABEL, SKY, CAR, CAR, CAR]
    ]


def test_objects_without_box_grow_in_their_region():
    """Two cars touch; a third has a box; a fourth region nobody marked."""
    semantic = np.array([[CAR] * 6 + [SKY] + [CAR] * 2 + [SKY] + [CAR] * 2], np.uint8)
    weak = make_weak([(CAR, 1, 0), (CAR, 4, 0)], [[7, 0, 9, 1]])
    panoptic_id, crowd_ids = make_panoptic(semantic, weak, CLASSES, "nearest")
    assert panoptic_id[0].tolist() == [3002] * 3 + [3003] * 3 + [1000] + [3001] * 2 + [1000] + [3000] * 2
    assert crowd_ids == {3000}


def test_the_way_between_two_points_stays_inside_the_class():
    """A wall of sky: the pixel behind it is nearer to the left point, but the way to it is longer."""
    semantic = np.full((5, 5), CAR, np.uint8)
    semantic[:4, 2] = SKY
    weak = make_weak([(CAR, 1, 0), (CAR, 4, 4)], size=(5, 5))
    panoptic_id, _ = make_panoptic(semantic, weak, CLASSES, "nearest")
    assert panoptic_id[0, 3] == panoptic_id[4, 3] == 3002 and panoptic_id[0, 0] == panoptic_id[3, 1] == 3001


def test_a_mark_decides_between_boxes_that_overlap():
    weak = make_weak([(CAR, 5, 0)], [[0, 0, 6, 1], [4, 0, 12, 1]], size=(1, 12))
    assert weak.marks.owners.tolist() == [-1]
    boxes = np.array([[0, 0, 6, 1], [5, 0, 12, 1]])
    named = make_weak([], boxes)
    named = complete_marks(replace(named, marks=Marks.collect([make_point(CAR, 1, 5.5, 0.5, 0)])), CLASSES)
    semantic = np.full((1, 12), CAR, np.uint8)
    before = make_panoptic(semantic, make_weak([], boxes), CLASSES, "nearest")[0]
    after = make_panoptic(semantic, named, CLASSES, "nearest")[0]
    assert before[0, 5] == 3001 and after[0, 5] == 3002
    assert (before != after).sum() == 1


def test_no_marks_no_labelled_pixels():
    found = find_labelled_pixels(make_weak([]))
    assert not found and found.rows.shape == (0,)
