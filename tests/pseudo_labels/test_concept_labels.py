"""Labels from answers to the names of classes, made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from weak_label_testing import make_point, make_weak_labels

from pseudogt.classes import IGNORE_LABEL, ClassTable
from pseudogt.pseudo_labels.concepts import (
    LONGEST_SIDE,
    REACH_PX,
    ConceptAnswer,
    ConceptPlan,
    find_asked,
    label_by_concepts,
    separate_things,
    share_probabilities,
)
from pseudogt.weak_labels.marks import UNSETTLED, Marks
from pseudogt.weak_labels.records import complete_marks

CLASSES = ClassTable(("sky", "road", "car"), (1, 2, 3), (False, False, True), ((0, 0, 0),) * 3)
SKY, ROAD, CAR = 0, 1, 2
SIZE = (40, 60)
IMAGE = np.zeros((*SIZE, 3), np.uint8)
PLAN = ConceptPlan(things_in_boxes=True, region_scale=0, min_probability=0.5, min_confidence=0, point_spread=0.9)
NO_MASKS = np.zeros((0, *SIZE), bool)


def weak_labels(tags=(SKY, ROAD, CAR), boxes=(), unknown=()):
    return make_weak_labels(SIZE, CLASSES.encode_tags(tags), boxes=boxes, box_classes=CAR, unknown=unknown)


def fill(*rectangles, inside=0.9, outside=0.1):
    """A map of one value in rectangles (y0, y1, x0, x1) and another outside."""
    found = np.full(SIZE, outside, np.float32)
    for y0, y1, x0, x1 in rectangles:
        found[y0:y1, x0:x1] = inside
    return found


def answer(probability, presence=1.0, masks=NO_MASKS, scores=(), tells_instances=True):
    return ConceptAnswer(probability, presence, np.asarray(masks), np.array(scores, np.float32), tells_instances)


def test_what_is_asked_is_tagged_boxed_or_unknown():
    assert find_asked(weak_labels(tags=(SKY,))).tolist() == [SKY]
    assert find_asked(weak_labels(tags=(SKY,), boxes=[[0, 0, 9, 9]])).tolist() == [SKY, CAR]
    assert find_asked(weak_labels(tags=(SKY,), unknown=(ROAD,))).tolist() == [SKY, ROAD]


def test_classes_share_pixels_of_which_they_are_too_sure_together():
    shared = share_probabilities(np.array([[[0.9, 0.2]], [[0.6, 0.3]]], np.float32))
    np.testing.assert_allclose(shared, [[[0.6, 0.2]], [[0.4, 0.3]]], atol=1e-6)


def test_pixels_get_the_class_that_is_found_there_and_no_label_where_none_is():
    answers = {SKY: answer(fill((0, 10, 0, 60))), ROAD: answer(fill((20, 40, 0, 60), inside=0.6))}
    found = label_by_concepts(IMAGE, weak_labels(tags=(SKY, ROAD)), CLASSES, answers, PLAN)
    assert (found.label[:9] == SKY).all() and (found.label[21:] == ROAD).all()
    assert (found.label[12:18] == IGNORE_LABEL).all()
    assert found.scores.shape == (3, 10, 15) and found.scores.sum(0).max() <= 1 + 1e-6
    assert found.confidence[5, 5] == pytest.approx(255 * 0.9, abs=1) and not found.panoptic_id.any()
    sure = label_by_concepts(
        IMAGE, weak_labels(tags=(SKY, ROAD)), CLASSES, answers, ConceptPlan(True, 0, 0.5, 0.7, 0.9)
    )
    assert (sure.label[21:] == IGNORE_LABEL).all() and (sure.label[:9] == SKY).all()


def test_presence_counts_only_where_no_tag_says_that_a_class_is_there():
    answers = {ROAD: answer(fill((0, 40, 0, 60)), presence=0.3)}
    tagged = label_by_concepts(IMAGE, weak_labels(tags=(ROAD,)), CLASSES, answers, PLAN)
    unknown = label_by_concepts(IMAGE, weak_labels(tags=(), unknown=(ROAD,)), CLASSES, answers, PLAN)
    assert (tagged.label == ROAD).all() and (unknown.label == IGNORE_LABEL).all()
    np.testing.assert_allclose(unknown.scores[ROAD], 0.27, atol=1e-6)


def test_boxes_and_tags_bound_what_is_found():
    answers = {CAR: answer(fill(inside=0.9, outside=0.9)), SKY: answer(fill(outside=0.99))}
    found = label_by_concepts(IMAGE, weak_labels(tags=(CAR,), boxes=[[10, 5, 30, 20]]), CLASSES, answers, PLAN)
    inside = np.zeros(SIZE, bool)
    inside[5:20, 10:30] = True
    np.testing.assert_array_equal(found.label, np.where(inside, CAR, IGNORE_LABEL))


def test_marked_pixels_have_the_class_of_their_mark():
    marks = Marks.collect([make_point(ROAD, UNSETTLED, 4.5, 3.5, 0.0)])
    weak = complete_marks(replace(weak_labels(tags=(SKY,)), marks=marks), CLASSES)
    answers = {SKY: answer(fill(outside=0.9)), ROAD: answer(fill())}
    found = label_by_concepts(IMAGE, weak, CLASSES, answers, PLAN)
    assert found.label[3, 4] == ROAD and (np.delete(found.label, 3, axis=0) == SKY).all()


def two_cars():
    masks = np.stack([fill((5, 15, 5, 20)), fill((5, 15, 20, 40)), fill((5, 14, 6, 20)), fill((30, 38, 0, 9))]) > 0.5
    return answer(fill((5, 15, 5, 40)), masks=masks, scores=[0.8, 0.9, 0.7, 0.4])


def test_masks_cut_things_into_instances_and_the_surest_wins():
    found = label_by_concepts(IMAGE, weak_labels(tags=(CAR,)), CLASSES, {CAR: two_cars()}, PLAN)
    assert (found.panoptic_id[6:14, 6:19] == 3002).all() and (found.panoptic_id[6:14, 21:39] == 3001).all()
    assert set(np.unique(found.panoptic_id)) == {0, 3001, 3002}


def test_pixels_beyond_the_reach_of_all_masks_have_no_instance():
    label = np.full(SIZE, IGNORE_LABEL, np.uint8)
    label[5:15, 5:60] = CAR
    panoptic_id = separate_things(label, {CAR: two_cars()}, CLASSES, 0.5)
    assert (panoptic_id[6:14, 40 : 40 + REACH_PX - 1] == 3001).all()
    assert (panoptic_id[6:14, 41 + REACH_PX :] == 3000).all()


def test_without_masks_connected_parts_are_instances_if_the_model_knows_none():
    label = np.full(SIZE, IGNORE_LABEL, np.uint8)
    label[5:15, 5:20] = label[20:30, 5:20] = CAR
    parts = separate_things(label, {CAR: answer(fill(), tells_instances=False)}, CLASSES, 0.5)
    assert set(np.unique(parts)) == {0, 3001, 3002}
    assert set(np.unique(separate_things(label, {CAR: answer(fill())}, CLASSES, 0.5))) == {0, 3000}


@pytest.mark.parametrize("size", [(1, 1), (3, 2 * LONGEST_SIDE)])
def test_images_of_any_size_have_labels(size):
    weak = replace(weak_labels(tags=(CAR,)), height=size[0], width=size[1])
    everywhere = answer(np.full((4, 4), 0.9, np.float32), masks=np.ones((1, 4, 4), bool), scores=[0.8])
    plan = ConceptPlan(True, 50, 0.5, 0, 0.9)
    found = label_by_concepts(np.zeros((*size, 3), np.uint8), weak, CLASSES, {CAR: everywhere}, plan)
    assert (found.label == CAR).all() and (found.panoptic_id == 3001).all()
    nothing = label_by_concepts(np.zeros((*size, 3), np.uint8), weak, CLASSES, {}, plan)
    assert (nothing.label == IGNORE_LABEL).all() and not nothing.panoptic_id.any()
