"""Consensus of box segmenters: every cell of both tables."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from pseudogt.consensus import NO_OWNER, combine_boxes, fuse_masks
from pseudogt.labels import BACKGROUND, IGNORE_LABEL

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


def test_fuse_refuses_one_mask_and_masks_of_two_sizes():
    with pytest.raises(ValueError, match="two masks or more"):
        fuse_masks([pixel(True)], CAR)
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
