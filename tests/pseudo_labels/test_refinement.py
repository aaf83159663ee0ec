"""Refinement: candidate gate, order of the steps, instances by box."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from weak_label_testing import make_weak_labels

from pseudogt.classes import BACKGROUND, IGNORE_LABEL, ClassTable
from pseudogt.pseudo_labels.refinement import (
    CleaningSteps,
    adopt_instances,
    choose_classes,
    clean_label,
    find_allowed_classes,
    make_panoptic,
    mix_scores,
)

SKY, ROAD, CAR = 0, 1, 2
CLASSES = ClassTable(("sky", "road", "car"), (1, 2, 3), (False, False, True), ((0, 0, 0),) * 3)
PLAIN = CleaningSteps(
    min_confidence=0.0,
    check_crop_tags=False,
    keep_unsure_things=True,
    box_prior=False,
    fill_below=0,
)


def weak_labels(boxes=(), crowd=False, tags=(True, True, True), crops=(), crop_tags=True, size=(2, 6)):
    return make_weak_labels(size, tags, boxes=boxes, box_classes=CAR, crowd=crowd, crops=crops, crop_tags=crop_tags)


def clean(label, weak, steps, box_masks=None, confidence=1.0):
    label = np.array(label, np.uint8)
    sure = np.full(label.shape, confidence, np.float32)
    return clean_label(label, sure, weak, CLASSES, box_masks, steps)


def test_mixed_scores_are_the_weighted_mean_of_the_same_class():
    scores = np.array([[[0.8, 0.0]], [[0.2, 1.0]]], np.float32)
    cams = np.array([[[1.0, 1.0]], [[0.4, 0.0]], [[0.6, 0.0]]], np.float32)
    mixed = mix_scores(scores, np.array([CAR, SKY], np.uint8), cams, np.array([ROAD, SKY, CAR], np.uint8), 0.25)
    np.testing.assert_allclose(mixed, [[[0.75, 0.0]], [[0.25, 0.75]]])
    np.testing.assert_array_equal(scores[0], [[np.float32(0.8), 0]])


@pytest.mark.parametrize(("weight", "expected"), [(0.0, 0), (1.0, 1)])
def test_weights_at_the_ends_leave_one_of_the_two(weight, expected):
    rng = np.random.default_rng(0)
    both = rng.random((2, 3, 4, 5)).astype(np.float32)
    ids = np.arange(3, dtype=np.uint8)
    np.testing.assert_array_equal(mix_scores(both[0], ids, both[1], ids, weight), both[expected])


def test_classes_without_a_cam_keep_their_share():
    scores, none = np.full((2, 1, 1), 0.5, np.float32), np.zeros((0, 1, 1), np.float32)
    mixed = mix_scores(scores, np.array([0, 1], np.uint8), none, np.zeros(0, np.uint8), 0.5)
    assert mixed.tolist() == [[[0.25]], [[0.25]]]


def test_mixed_scores_must_have_one_size():
    with pytest.raises(ValueError, match="differ in size"):
        mix_scores(
            np.zeros((1, 2, 2), np.float32),
            np.zeros(1, np.uint8),
            np.zeros((1, 2, 3), np.float32),
            np.zeros(1, np.uint8),
            0.5,
        )


def test_best_allowed_class_and_its_share():
    scores = np.array([[[0.2, 0.2, 0.0]], [[0.2, 0.6, 0.0]], [[0.6, 0.2, 1.0]]], np.float32)
    allowed = np.array([[[1, 1, 1]], [[1, 1, 1]], [[0, 1, 0]]], bool)
    label, confidence = choose_classes(scores, np.array([SKY, ROAD, CAR], np.uint8), allowed)
    assert label.tolist() == [[SKY, ROAD, IGNORE_LABEL]]
    np.testing.assert_allclose(confidence, [[0.5, 0.6, 0]], rtol=1e-6)


def test_maps_of_tagged_classes_only_and_of_none():
    allowed = np.ones((3, 1, 1), bool)
    assert choose_classes(np.full((1, 1, 1), 0.3, np.float32), np.array([CAR], np.uint8), allowed)[0].item() == CAR
    none = choose_classes(np.zeros((0, 1, 1), np.float32), np.zeros(0, np.uint8), allowed)
    assert [array.item() for array in none] == [IGNORE_LABEL, 0]


def test_sizes_must_agree():
    with pytest.raises(ValueError, match="differ in size"):
        choose_classes(np.zeros((1, 2, 2), np.float32), np.zeros(1, np.uint8), np.ones((3, 1, 1), bool))


def test_gates():
    weak = weak_labels([[0, 0, 2, 2]], tags=(True, False, True), crops=[[0, 0, 3, 2]], crop_tags=[[False, False, True]])
    by_crop = find_allowed_classes(weak, CLASSES, "crops")
    assert by_crop[:, 0, 0].tolist() == [False, False, True]
    assert by_crop[:, 0, 5].tolist() == [True, False, False]
    assert find_allowed_classes(weak, CLASSES, "tags")[:, 0, 0].tolist() == [True, False, True]
    assert find_allowed_classes(weak, CLASSES, "none").all()


def test_steps_switched_off_change_nothing():
    label = [[CAR, SKY, ROAD, CAR, IGNORE_LABEL, SKY]]
    assert clean(label, weak_labels(size=(1, 6)), PLAIN).tolist() == label


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"check_crop_tags": True}, [CAR, IGNORE_LABEL, CAR, CAR, SKY, SKY]),
        ({"merges": True}, [CAR, CAR, CAR, IGNORE_LABEL, SKY, SKY]),
        (
            {"merges": True, "keep_unsure_things": False},
            [CAR, CAR, IGNORE_LABEL, IGNORE_LABEL, SKY, SKY],
        ),
        ({"box_prior": True}, [CAR, SKY, CAR, IGNORE_LABEL, SKY, SKY]),
        ({"fill_below": 1.0}, [CAR, CAR, CAR, CAR, SKY, SKY]),
    ],
)
def test_each_step_by_itself(change, expected):
    weak = weak_labels([[0, 0, 3, 1]], crops=[[0, 0, 3, 1]], crop_tags=[[False, True, True]], size=(1, 6))
    masks = np.array([[CAR, CAR, IGNORE_LABEL, BACKGROUND, BACKGROUND, IGNORE_LABEL]], np.uint8)
    label = [[CAR, SKY, CAR, CAR, SKY, SKY]]
    masks = masks if change.pop("merges", False) else None
    assert clean(label, weak, replace(PLAIN, **change), masks).tolist() == [expected]


def test_unsure_pixels_are_ignored_before_boxes_are_filled():
    weak = weak_labels([[0, 0, 2, 1]], size=(1, 3))
    steps = replace(PLAIN, fill_below=0.5, min_confidence=0.5)
    cleaned = clean([[CAR, CAR, SKY]], weak, steps, confidence=0.4)
    assert cleaned.tolist() == [[CAR, CAR, IGNORE_LABEL]]


def panoptic(semantic, weak, instances):
    return make_panoptic(np.array(semantic, np.uint8), weak, CLASSES, instances)


def test_overlap_goes_to_the_nearest_box_or_to_none():
    weak = weak_labels([[0, 0, 4, 1], [2, 0, 6, 1]], size=(1, 6))
    nearest, _ = panoptic([[CAR] * 6], weak, "nearest")
    assert nearest.tolist() == [[3001, 3001, 3001, 3002, 3002, 3002]]
    ignored, _ = panoptic([[CAR] * 6], weak, "ignore")
    assert ignored.tolist() == [[3001, 3001, 0, 0, 3002, 3002]]


def test_groups_have_a_class_but_no_instance():
    weak = weak_labels([[0, 0, 4, 1], [3, 0, 5, 1]], crowd=[True, False], size=(1, 6))
    panoptic_id, crowd_ids = panoptic([[CAR, CAR, CAR, CAR, CAR, SKY]], weak, "nearest")
    assert panoptic_id.tolist() == [[3000, 3000, 3000, 3001, 3001, 1000]]
    assert crowd_ids == {3000}


def test_things_keep_the_instances_of_their_class():
    """Same class: its number; another class, stuff or nothing in the model's label: no instance."""
    own = np.array([[3000, 3000, 3001, 3000, 3000, 2000, 1000, 0]], np.int32)
    nothing = np.zeros(0, np.uint8)
    proposed = np.array([[3002, 3002, 3007, 3000, 2000, 3002, 1000, 3002]], np.int32)
    panoptic_id, crowd_ids = adopt_instances(own, proposed, CLASSES, nothing)
    assert panoptic_id.tolist() == [[3001, 3001, 3002, 3000, 3000, 2000, 1000, 0]]
    assert crowd_ids == {3000}
    assert adopt_instances(own[:, :3], proposed[:, :3], CLASSES, nothing)[1] == set()


def test_an_instance_counts_whichever_thing_the_model_takes_it_for():
    classes = ClassTable(("sky", "car", "cow"), (1, 2, 3), (False, True, True), ((0, 0, 0),) * 3)
    # All are cows by the tags; the model finds a car, a cow with the car's number, and sky.
    own = np.array([[3000, 3000, 3000, 3000]], np.int32)
    proposed = np.array([[2001, 2001, 3001, 1000]], np.int32)
    panoptic_id, crowd_ids = adopt_instances(own, proposed, classes, np.zeros(0, np.uint8))
    assert panoptic_id.tolist() == [[3001, 3001, 3002, 3000]] and crowd_ids == {3000}


def test_things_that_boxes_or_marks_show_keep_their_own_instances():
    own = np.array([[3000, 3001, 3004, 1000]], np.int32)
    proposed = np.array([[3001, 3002, 3003, 3003]], np.int32)
    panoptic_id, crowd_ids = adopt_instances(own, proposed, CLASSES, np.array([CAR], np.uint8))
    assert panoptic_id.tolist() == own.tolist() and crowd_ids == {3000}
