"""The refinement heads of JTSM: their targets, their losses and their boxes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from models.jtsm.mining import Mined
from models.jtsm.network import Proposed
from models.jtsm.refinement import (
    PseudoBoxes,
    RefinementHead,
    assign_proposals,
    compute_refinement_losses,
    decode_boxes,
    encode_boxes,
    find_pseudo_boxes,
)
from models.jtsm.step import refine
from pseudogt.pseudo_labels.class_order import ClassOrder

BACKGROUND = 2
"""Of two thing classes."""

BOXES = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 8], [20, 0, 30, 10], [40, 40, 50, 60]])


def test_pseudo_boxes_are_the_best_proposals_of_tagged_things():
    scores = torch.tensor([[0.1, 0.9], [0.3, 0.0], [0.2, 0.1], [0.1, 0.2]])
    found = find_pseudo_boxes(scores, BOXES, torch.tensor([True, False]), torch.tensor([0.7, 0.4]))
    assert (found.classes.tolist(), found.rows.tolist()) == ([0], [1])
    torch.testing.assert_close(found.boxes_xyxy, BOXES[1:2])
    torch.testing.assert_close(found.weights, torch.tensor([0.7]))
    moved = torch.stack([BOXES + 1, BOXES + 2], dim=1)
    of_class = find_pseudo_boxes(scores, moved, torch.tensor([False, True]), torch.tensor([0.7, 0.4]))
    torch.testing.assert_close(of_class.boxes_xyxy, BOXES[:1] + 2)


def test_proposals_are_assigned_by_overlap():
    pseudo = PseudoBoxes(torch.tensor([1, 0]), BOXES[[0, 2]], torch.tensor([0.5, 0.25]), torch.tensor([0, 2]))
    assigned = assign_proposals(BOXES, pseudo, BACKGROUND)
    assert assigned.labels.tolist() == [1, 1, 0, BACKGROUND]
    assert assigned.weights[:3].tolist() == [0.5, 0.5, 0.25]
    none = assign_proposals(BOXES, PseudoBoxes(*(t[:0] for t in pseudo)), BACKGROUND)
    assert none.labels.tolist() == [BACKGROUND] * 4
    assert none.weights.tolist() == [0] * 4


def test_refinement_losses_by_hand():
    logits = torch.tensor([[2.0, 0, 0], [0, 0, 1], [0, 3, 0]])
    labels, weights = torch.tensor([0, BACKGROUND, 1]), torch.tensor([0.5, 1.0, 0.0])
    deltas = torch.zeros(3, 2, 4)
    boxes, targets = BOXES[:3], BOXES[:3] + torch.tensor([1.0, 0, 1, 0])
    classes, moves = compute_refinement_losses(logits, deltas, boxes, targets, labels, weights)
    entropy = F.cross_entropy(logits, labels, reduction="none")
    assert classes.item() == pytest.approx(((0.5 * entropy[0] + entropy[1]) / 2).item())  # two proposals count
    assert moves.item() == pytest.approx(0.5 * (1 / 10 * 10) / 3)  # a shift by a tenth of the width, weighted by 10


def test_no_weight_no_loss():
    logits, deltas = torch.randn(4, 3, requires_grad=True), torch.randn(4, 2, 4, requires_grad=True)
    losses = compute_refinement_losses(logits, deltas, BOXES, BOXES, torch.tensor([0, 1, 2, 0]), torch.zeros(4))
    sum(losses).backward()
    assert [loss.item() for loss in losses] == [0, 0]
    assert not logits.grad.any() and not deltas.grad.any()


def test_boxes_are_decoded_as_they_were_encoded():
    targets = torch.rand(4, 4).cumsum(1) * 20
    targets = torch.stack([targets[:, 0], targets[:, 1], targets[:, 0] + 7, targets[:, 1] + 9], dim=1)
    decoded = decode_boxes(encode_boxes(targets, BOXES)[:, None], BOXES)[:, 0]
    torch.testing.assert_close(decoded, targets)
    huge = decode_boxes(torch.full((1, 1, 4), 1e4), BOXES[:1])
    assert (huge[0, 0, 2] - huge[0, 0, 0]).item() == pytest.approx(10 * 62.5)


def test_each_refinement_head_learns_from_the_one_before():
    """The mining head points at the first proposal, the first refinement head at the third, moved by a pixel."""
    shares = torch.tensor([[0.6, 0, 0], [0, 0, 0], [0.1, 0, 0], [0, 0, 0]])
    right, wrong = torch.tensor([4.0, 0, 0]), torch.tensor([0.0, 0, 4])
    logits = [torch.stack([wrong, wrong, right, wrong]), torch.stack([wrong, wrong, wrong, right])]
    deltas = [torch.zeros(4, 2, 4) for _ in logits]
    deltas[0][2, 0, 0] = 1  # a tenth of the width of 10, weighted by 10
    mined = Mined(shares, torch.tensor([[0.7, 0.2, 0.1]]), shares)
    batch = {
        "images": torch.zeros(1, 3, 64, 64),
        "boxes": BOXES,
        "batch_index": torch.zeros(4, dtype=torch.long),
        "tags": torch.tensor([[1.0, 0, 1]]),
    }
    losses, [targets] = refine(Proposed(torch.zeros(0), mined, logits, deltas), batch, ClassOrder(things=2, stuff=1))
    weight = torch.full((4,), 0.7)
    labels = torch.tensor([0, 0, BACKGROUND, BACKGROUND])
    first = compute_refinement_losses(logits[0], deltas[0], BOXES, BOXES[:1].expand(4, 4), labels, weight)
    moved = BOXES[2:3] + torch.tensor([1.0, 0, 1, 0])
    labels = torch.tensor([BACKGROUND, BACKGROUND, 0, BACKGROUND])
    second = compute_refinement_losses(logits[1], deltas[1], BOXES, moved.expand(4, 4), labels, weight)
    assert list(losses) == ["classes_0", "boxes_0", "classes_1", "boxes_1"]
    torch.testing.assert_close(torch.stack(list(losses.values())), torch.stack([*first, *second]))
    assert losses["boxes_1"] > 0
    # What the last head says is what masks are learned from.
    assert targets.pseudo.rows.tolist() == [3]
    assert targets.assigned.labels.tolist() == [BACKGROUND] * 3 + [0]


def test_a_refinement_head_adds_what_it_is_told_to_things_and_not_to_the_background():
    head = RefinementHead(channels=4, things=2)
    feature, odds = torch.randn(3, 4), torch.randn(3, 2)
    (logits, deltas), (alone, same) = head(feature, odds), head(feature)
    torch.testing.assert_close(logits - alone, torch.cat([odds, torch.zeros(3, 1)], dim=1))
    assert torch.equal(deltas, same)
