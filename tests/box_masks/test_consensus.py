"""Consensus of box segmenters: every cell of both tables."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from pseudogt.box_masks.consensus import combine_boxes, fuse_masks, measure_agreement
from pseudogt.classes import BACKGROUND, IGNORE_LABEL
from pseudogt.pseudo_labels.instances import NO_OWNER

CAR, BIKE = 7, 8


def pixel(value):
    return np.array([[value]])


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [(True, True, CAR), (False, False, BACKGROUND), (True, False, IGNORE_LABEL), (False, True, IGNORE_LABEL)],
)
def test_two_segmenters(a, b, expected):
    assert fuse_masks([pixel(a), pixel(b)], CAR).item() == expected


@pytest.mark.parametrize("votes", list(product([True, False], repeat=3)))
def test_three_segmenters(votes):
    expected = CAR if all(votes) else IGNORE_LABEL if any(votes) else BACKGROUND
    assert fuse_masks([pixel(v) for v in votes], CAR).item() == expected


@pytest.mark.parametrize(
    ("probabilities", "sure", "expected"),
    [
        ([0.6], 0.5, CAR),
        ([0.5], 0.5, BACKGROUND),
        ([0.6], 0.7, IGNORE_LABEL),
        ([0.8], 0.7, CAR),
        ([0.2], 0.7, BACKGROUND),
        ([0.8, True], 0.7, CAR),
        ([0.6, True], 0.7, IGNORE_LABEL),
        ([0.8, False], 0.7, IGNORE_LABEL),
        ([0.2, False], 0.7, BACKGROUND),
    ],
)
def test_probabilities_are_sure_or_not(probabilities, sure, expected):
    assert fuse_masks([pixel(v) for v in probabilities], CAR, sure=sure).item() == expected


def test_one_segmenter_alone_has_no_doubts():
    assert fuse_masks([pixel(True)], CAR).item() == CAR
    assert fuse_masks([pixel(False)], CAR).item() == BACKGROUND


def test_agreement_of_two_masks_is_their_iou():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 9, 11)) > 0.5
    assert measure_agreement(fuse_masks([a, b], CAR), CAR) == pytest.approx((a & b).sum() / (a | b).sum())
    assert measure_agreement(np.full((3, 3), BACKGROUND, np.uint8), CAR) == 0


def test_fuse_refuses_no_mask_and_masks_of_two_sizes():
    with pytest.raises(ValueError, match="needs a mask"):
        fuse_masks([], CAR)
    with pytest.raises(ValueError, match="differ in shape"):
        fuse_masks([pixel(True), np.ones((1, 2), bool)], CAR)


THING, NOT, UNSURE = "thing", "not", "unsure"


def combine(*boxes, overlap="nearest"):
    """All boxes cover the one pixel of the image; each is (class, verdict, group)."""
    values = {NOT: BACKGROUND, UNSURE: IGNORE_LABEL}
    verdicts = [np.full((1, 1), values.get(v, c), np.uint8) for c, v, _ in boxes]
    corners = [[0, 0, 1, 1]] * len(boxes)
    result = combine_boxes(verdicts, corners, [b[0] for b in boxes], [b[2] for b in boxes], (1, 1), overlap=overlap)
    return result.semantic.item(), result.owner.item()


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([], (BACKGROUND, NO_OWNER)),
        ([(CAR, NOT, False)], (BACKGROUND, NO_OWNER)),
        ([(CAR, NOT, False), (BIKE, NOT, False)], (BACKGROUND, NO_OWNER)),
        ([(CAR, UNSURE, False)], (IGNORE_LABEL, NO_OWNER)),
        ([(CAR, UNSURE, False), (BIKE, NOT, False)], (IGNORE_LABEL, NO_OWNER)),
        ([(CAR, THING, False)], (CAR, 0)),
        ([(CAR, NOT, False), (CAR, THING, False)], (CAR, 1)),
        ([(CAR, UNSURE, False), (BIKE, THING, False)], (BIKE, 1)),
        ([(CAR, THING, False), (CAR, THING, False)], (CAR, 0)),
        ([(CAR, THING, False), (BIKE, THING, False)], (IGNORE_LABEL, NO_OWNER)),
        ([(CAR, THING, False), (BIKE, THING, False), (CAR, THING, False)], (IGNORE_LABEL, NO_OWNER)),
        ([(CAR, THING, True)], (CAR, NO_OWNER)),
        ([(CAR, THING, True), (CAR, THING, False)], (CAR, 1)),
        ([(CAR, THING, True), (BIKE, THING, False)], (IGNORE_LABEL, NO_OWNER)),
    ],
)
def test_boxes_of_an_image(boxes, expected):
    assert combine(*boxes) == expected
    semantic, owner = combine(*boxes[::-1])
    assert semantic == expected[0]
    assert (owner == NO_OWNER) == (expected[1] == NO_OWNER)


def owners(overlap):
    """A small box inside the right half of a large one."""
    boxes = [[0, 0, 12, 4], [6, 0, 10, 4]]
    verdicts = [np.full((4, w), CAR, np.uint8) for w in (12, 4)]
    return combine_boxes(verdicts, boxes, [CAR, CAR], [False, False], (4, 12), overlap=overlap).owner


def test_overlap_nearest_centre():
    owner = owners("nearest")
    assert owner[1, 8] == 1
    assert owner[1, 6] == 0
    assert owner[1, 2] == 0


def test_overlap_smaller_box():
    assert (owners("smaller")[:, 6:10] == 1).all()
    assert (owners("smaller")[:, [5, 10]] == 0).all()


def test_overlap_none_keeps_the_class():
    assert (owners("none")[:, 6:10] == NO_OWNER).all()
    assert (owners("none")[:, [5, 10]] == 0).all()


@pytest.mark.parametrize("box", [[0, 0, 0, 1], [1, 0, 0, 1], [0, 0, 9, 1]])
def test_bad_boxes(box):
    with pytest.raises(ValueError, match="inverted, empty or outside"):
        combine_boxes([np.zeros((1, 1), np.uint8)], [box], [CAR], [False], (1, 1))


def test_verdict_must_fit_its_box():
    with pytest.raises(ValueError, match="does not fit"):
        combine_boxes([np.zeros((2, 2), np.uint8)], [[0, 0, 1, 1]], [CAR], [False], (4, 4))


@pytest.mark.parametrize(
    ("inner", "inner_class", "semantic", "owner"),
    [
        ([2, 2, 6, 6], BIKE, BIKE, 1),  # inside: in front
        ([3, 3, 7, 7], CAR, CAR, 0),  # of one class: whose centre is nearer
        ([2, 0, 9, 10], BIKE, IGNORE_LABEL, NO_OWNER),  # inside, but too large
        ([6, 2, 13, 6], BIKE, IGNORE_LABEL, NO_OWNER),  # sticks out
    ],
)
@pytest.mark.parametrize("turn", [1, -1])
def test_a_box_inside_a_box_of_another_class_is_in_front(inner, inner_class, semantic, owner, turn):
    boxes, classes = [[0, 0, 10, 10], inner], [CAR, inner_class]
    verdicts = [np.full((y1 - y0, x1 - x0), c, np.uint8) for (x0, y0, x1, y1), c in zip(boxes, classes, strict=True)]
    result = combine_boxes(verdicts[::turn], boxes[::turn], classes[::turn], [False, False], (12, 14))
    y, x = 4, 7 if inner[2] > 10 else 4
    expected = owner if owner == NO_OWNER or turn == 1 else 1 - owner
    assert (result.semantic[y, x], result.owner[y, x]) == (semantic, expected)
    assert result.semantic[0, 0] == CAR


def test_what_an_inner_box_does_not_claim_stays_with_the_outer_one():
    outer, inner = np.full((10, 10), CAR, np.uint8), np.full((4, 4), IGNORE_LABEL, np.uint8)
    inner[0] = BACKGROUND
    verdicts = [outer, inner]
    result = combine_boxes(verdicts, [[0, 0, 10, 10], [2, 2, 6, 6]], [CAR, BIKE], [False, False], (10, 10))
    assert (result.semantic == CAR).all()
    assert (outer == CAR).all()
