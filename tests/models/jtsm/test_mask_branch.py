"""The mask branch of JTSM: whose masks are learned, and where they lie in a view."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.jtsm.masks import (
    MASK_PX,
    choose_mask_targets,
    complete_masks,
    compute_mask_losses,
    fill_enclosed,
    find_follower_targets,
    move_mask,
    paste_mask,
    sample_masks,
)
from models.jtsm.refinement import PseudoBoxes, assign_proposals
from models.jtsm.samples import Placement
from pseudogt.evidence.grabcut import BoxMask

BACKGROUND = 2
"""Of two thing classes."""


def test_mask_targets_come_from_the_nearest_boxes():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 7], [30, 30, 40, 40]])
    pseudo = PseudoBoxes(torch.tensor([1]), boxes[:1], torch.ones(1), torch.tensor([0]))
    labels = assign_proposals(boxes, pseudo, BACKGROUND).labels
    target = choose_mask_targets(boxes, labels, pseudo, things=2, top_k=2, limit=None)
    assert target.rows.tolist() == [0, 1, 2]
    assert target.evidence_rows.tolist() == [0, 1]
    assert target.near.tolist() == [0, 1, 1]
    fewer = choose_mask_targets(boxes, labels, pseudo, things=2, top_k=2, limit=1)
    assert fewer.rows.tolist() == [0]
    nothing = choose_mask_targets(boxes, labels * 0 + BACKGROUND, pseudo, things=2, top_k=2, limit=None)
    assert not len(nothing.rows) and not len(nothing.evidence_rows)


@pytest.mark.parametrize("flipped", [False, True])
def test_masks_are_sampled_where_the_view_shows_them(flipped):
    image = np.zeros((40, 60), bool)
    image[10:30, 20:40] = True
    mask = BoxMask((15, 5), image[5:35, 15:45])
    placement = Placement((10, 0, 60, 40), (80, 100), flipped)
    box = placement.to_view(np.array([[20, 10, 60, 30]]))
    (sampled,) = sample_masks([BoxMask((0, 0), ~image), mask], [1], box, placement)
    expected = np.zeros((MASK_PX, MASK_PX), bool)
    expected[:, : MASK_PX // 2] = True
    np.testing.assert_array_equal(sampled, expected[:, ::-1] if flipped else expected)
    whole = move_mask(mask, placement)
    seen = np.repeat(np.repeat(image[:, 10:], 2, 0), 2, 1)
    np.testing.assert_array_equal(whole, seen[:, ::-1] if flipped else seen)


def test_masks_as_polygons_have_no_holes_and_are_never_empty():
    ring = np.pad(np.pad(np.zeros((2, 2), bool), 1, constant_values=True), 1)
    leaking = ring.copy()
    leaking[1, 1] = False  # diagonal steps lead out
    filled = fill_enclosed(np.stack([ring, leaking]))
    assert filled[0].sum() == 16
    np.testing.assert_array_equal(filled[1], leaking)
    masks = [BoxMask((3, 4), ring), BoxMask((0, 0), np.zeros((9, 9), bool))]
    full, box = complete_masks(masks, np.array([[3, 4, 9, 10], [2, 1.2, 7, 4]]))
    assert full.origin_xy == (3, 4) and full.mask.sum() == 16
    assert box.origin_xy == (2, 1) and box.mask.shape == (3, 5) and box.mask.all()


def test_second_mask_head_learns_pixels_of_the_first():
    """A cell of a large box is a pixel at least; of a small one it may lie between the centres of all pixels."""
    logits = torch.full((3, MASK_PX, MASK_PX), -9.0)
    logits[:2, 10:16, 3] = 9
    boxes = torch.tensor([[0.0, 0, 56, 56], [0, 0, 7, 7], [0, 0, 56, 56]])
    large, lost, nothing = find_follower_targets(logits, boxes)
    np.testing.assert_array_equal(large, logits[0] > 0)
    assert lost.all() and nothing.all()


def test_second_mask_head_learns_from_the_first():
    first, second = torch.full((1, 2, MASK_PX, MASK_PX), 3.0), torch.zeros(1, 2, MASK_PX, MASK_PX)
    first[0, 1, :, :14] = -3
    evidence = torch.zeros(1, MASK_PX, MASK_PX, dtype=torch.bool)
    boxes = torch.tensor([[0.0, 0, 56, 56]])
    own, follower = compute_mask_losses(first, second, torch.tensor([1]), evidence, boxes)
    assert own.item() == pytest.approx(np.log1p(np.exp([3, -3])).mean(), rel=1e-5)
    assert follower.item() == pytest.approx(np.log(2), rel=1e-5)
    second.requires_grad_()
    _, follower = compute_mask_losses(first, second, torch.tensor([1]), evidence, boxes)
    follower.backward()
    assert (second.grad[0, 1, :, :14] > 0).all() and (second.grad[0, 1, :, 14:] < 0).all()
    assert not second.grad[0, 0].any()


def test_pasted_masks_fill_their_box_and_no_more():
    full = np.ones((MASK_PX, MASK_PX), np.float32)
    pasted = paste_mask(full, np.array([3.0, 2, 9, 11], np.float32), (20, 30))
    expected = np.zeros((20, 30), bool)
    expected[2:11, 3:9] = True
    np.testing.assert_array_equal(pasted, expected)
    assert not paste_mask(full, np.array([3.0, 2, 3, 11], np.float32), (20, 30)).any()
    outside = paste_mask(full, np.array([-5.0, -5, 5, 5], np.float32), (20, 30))
    assert outside[:5, :5].all() and outside.sum() == 25
