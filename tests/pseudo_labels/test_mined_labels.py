"""The label of an image from detections, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pseudogt.classes import IGNORE_LABEL, VOID, ClassTable
from pseudogt.proposals.generation import Proposals
from pseudogt.proposals.members import Members
from pseudogt.pseudo_labels.mined import (
    Detections,
    MinedPlan,
    label_by_detections,
    label_pixels_by_proposals,
    spread_class,
    summarise_scores,
)

ROAD, CAR, SKY = range(3)
CLASSES = ClassTable(("road", "car", "sky"), (7, 8, 9), (False, True, False), ((0, 0, 0),) * 3)
PLAN = MinedPlan(stuff="branch", things="detections", min_instance_score=0.5, max_overlap=0.5, min_stuff_area_px=2)
SHAPE = (4, 8)
PROPOSALS = Proposals(
    superpixels=(np.mgrid[:4, :8][0] // 2 * 2 + np.mgrid[:4, :8][1] // 4).astype(np.int32),  # quarters
    members=Members.from_lists([np.array([0]), np.array([1]), np.array([2, 3])]),
    scores=np.ones(3, np.float32),
    boxes_xyxy=np.array([[0, 0, 4, 2], [4, 0, 8, 2], [0, 2, 8, 4]], np.int32),
)


@pytest.fixture
def found():
    """A car in the first quarter; sky above, road below, says the branch. Proposals say the same."""
    semantic = np.zeros((3, *SHAPE), np.float32)
    semantic[2, :2], semantic[1, 2:] = 0.75, 0.5
    return Detections(
        boxes_xyxy=np.array([[0, 0, 4, 2]], np.float32),
        scores=np.array([0.875], np.float32),
        classes=np.array([0]),
        masks=(PROPOSALS.superpixels == 0)[None],
        semantic=semantic,
        presence=np.array([0.9, 0.8, 0.4], np.float32),  # car, road, sky
        proposal_classes=np.array([[0.7, 0.1, 0.2], [0.1, 0.3, 0.6], [0.1, 0.8, 0.1]], np.float32),
        superpixel_classes=None,
    )


def test_instances_then_stuff_of_the_branch(found):
    label = label_by_detections(found, PROPOSALS, CLASSES, PLAN)
    assert label.panoptic_id[:2].tolist() == [[8001] * 4 + [9000] * 4] * 2
    assert (label.panoptic_id[2:] == 7000).all()
    assert label.scores == {8001: 0.875, 7000: 0.5, 9000: 0.75}
    assert label.crowd_ids == set()
    assert spread_class(label.found, CAR, CLASSES).tolist() == [[0.875] * 4 + [0] * 4] * 2 + [[0] * 8] * 2
    for train_id, semantic in ((ROAD, found.semantic[1]), (SKY, found.semantic[2])):
        np.testing.assert_array_equal(spread_class(label.found, train_id, CLASSES), semantic)


def test_tags_take_classes_away(found):
    allowed = np.ones((3, *SHAPE), bool)
    allowed[CAR, :, :2] = allowed[SKY] = False
    label = label_by_detections(found, PROPOSALS, CLASSES, PLAN, allowed)
    assert label.panoptic_id[:2].tolist() == [[VOID] * 2 + [8001] * 2 + [VOID] * 4] * 2
    assert not spread_class(label.found, SKY, CLASSES).any()
    assert not spread_class(label.found, CAR, CLASSES)[:, :2].any()


def test_stuff_of_proposals_and_things_that_nothing_detects(found):
    nothing = found._replace(scores=np.zeros(1, np.float32))
    plan = MinedPlan("segments", "detections", 0.5, 0.5, 2)
    crowds = label_by_detections(nothing, PROPOSALS, CLASSES, plan, np.ones((3, *SHAPE), bool))
    assert crowds.panoptic_id[:2].tolist() == [[8000] * 4 + [9000] * 4] * 2
    assert (crowds.panoptic_id[2:] == 7000).all()
    assert crowds.crowd_ids == {8000}
    assert crowds.scores == {7000: 1.0, 9000: 1.0}


def test_without_tags_presence_decides(found):
    label = label_pixels_by_proposals(found, PROPOSALS, CLASSES, None)
    assert label[0].tolist() == [CAR] * 4 + [ROAD] * 4  # the image has no sky, most likely
    told = found._replace(superpixel_classes=np.array([[0, 1, 0]] * 4, np.float32))
    assert (label_pixels_by_proposals(told, PROPOSALS, CLASSES, None) == ROAD).all()


def test_what_no_proposal_holds_has_no_label(found):
    fewer = found._replace(proposal_classes=found.proposal_classes[:2])
    label = label_pixels_by_proposals(fewer, PROPOSALS, CLASSES, np.ones((3, *SHAPE), bool))
    assert (label[:2] != IGNORE_LABEL).all()
    assert (label[2:] == IGNORE_LABEL).all()


def test_confidence_is_the_score_of_the_label(found):
    label = np.full(SHAPE, IGNORE_LABEL, np.uint8)
    label[0], label[3] = CAR, ROAD
    _, confidence = summarise_scores(found, label, np.array([CAR, ROAD]), CLASSES)
    assert confidence[0].tolist() == [round(255 * 0.875)] * 4 + [0] * 4
    assert (confidence[3] == round(255 * 0.5)).all()
    assert not confidence[1:3].any()


def test_scores_are_shrunk_to_means_of_cells(found):
    scores, _ = summarise_scores(found, np.zeros(SHAPE, np.uint8), np.array([SKY, ROAD]), CLASSES)
    assert scores.tolist() == [[[0.375, 0.375]], [[0.25, 0.25]]]
    none, _ = summarise_scores(found, np.full(SHAPE, IGNORE_LABEL, np.uint8), np.zeros(0, int), CLASSES)
    assert none.shape == (0, 1, 2)


def test_of_two_instances_at_a_pixel_the_surer_counts(found):
    twice = found._replace(
        scores=np.array([0.25, 0.5], np.float32), classes=np.array([0, 0]), masks=np.ones((2, *SHAPE), bool)
    )
    assert (spread_class(twice, CAR, CLASSES) == 0.5).all()
