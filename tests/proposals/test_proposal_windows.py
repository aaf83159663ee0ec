"""Proposals of a window: what is left of each, and which are left."""

from __future__ import annotations

import numpy as np
from proposal_testing import assert_same

from pseudogt.proposals.generation import Proposals
from pseudogt.proposals.members import Members
from pseudogt.proposals.windows import cut_out_proposals

SUPERPIXELS = np.array([[0, 0, 1, 1, 4], [2, 2, 3, 3, 4]], np.int32)
MEMBERS = np.array(
    [[1, 1, 0, 0, 0], [0, 1, 0, 0, 0], [1, 1, 0, 0, 1], [0, 0, 1, 0, 0], [0, 0, 0, 1, 1], [0, 1, 0, 1, 1]], bool
)
BOXES = np.array([[0, 0, 4, 1], [2, 0, 4, 1], [0, 0, 5, 2], [0, 1, 2, 2], [2, 0, 5, 2], [2, 0, 5, 2]], np.int32)
ALL = Proposals(SUPERPIXELS, Members.from_dense(MEMBERS), np.arange(6, 0, -1) / 10, BOXES)


def test_equal_ones_are_kept_once_and_outside_ones_not():
    cut = cut_out_proposals(ALL, np.array([2, 0, 5, 2]), min_area_px=1)
    assert cut.superpixels.tolist() == [[0, 0, 2], [1, 1, 2]]
    assert cut.members.to_dense(3).astype(int).tolist() == [[1, 0, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1]]
    assert cut.scores.tolist() == [0.6, 0.4, 0.2, 0.1]
    assert cut.boxes_xyxy.tolist() == [[0, 0, 2, 1], [0, 0, 3, 2], [0, 0, 3, 2], [0, 0, 3, 2]]


def test_small_ones_are_left_out():
    cut = cut_out_proposals(ALL, np.array([2, 0, 5, 2]), min_area_px=3)
    assert cut.scores.tolist() == [0.4, 0.2, 0.1]


def test_the_whole_image_changes_nothing():
    cut = cut_out_proposals(ALL, np.array([0, 0, 5, 2]), min_area_px=0)
    assert_same(cut, ALL)


def test_a_window_without_any():
    cut = cut_out_proposals(ALL, np.array([0, 0, 1, 1]), min_area_px=9)
    assert cut.members.to_dense(1).shape == (0, 1) and cut.boxes_xyxy.shape == (0, 4)
