"""The semantic branch of JTSM: the labels that it learns, its first predictions and its loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.jtsm.semantic import SemanticHead, compute_semantic_loss, label_superpixels, paint_stuff
from pseudogt.classes import IGNORE_LABEL
from pseudogt.proposals.members import Members
from pseudogt.pseudo_labels.class_order import THINGS, ClassOrder


def test_stuff_is_labelled_by_the_segments_that_hold_it():
    probabilities = np.array([[0.5, 0.3, 0.2], [0.0, 0.9, 0.1], [0.0, 0.1, 0.9]], np.float32)
    members = Members.from_dense(np.array([[1, 1, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 1, 0]], bool))
    areas = np.array([10, 10, 80, 10, 10])
    tags, of_class = np.array([True, True, False]), ClassOrder(things=1, stuff=2).labels
    labels = label_superpixels(probabilities, members, areas, tags, of_class)
    # superpixel 1: the small proposal counts more than the large one; the fourth is of the untagged class
    assert labels.tolist() == [THINGS, THINGS, 1, 1, IGNORE_LABEL]
    labels = label_superpixels(probabilities, members, np.full(5, 10), tags, of_class)
    assert labels.tolist() == [THINGS, 1, 1, 1, IGNORE_LABEL]
    assert (label_superpixels(probabilities, members, areas, tags & False, of_class) == IGNORE_LABEL).all()
    # The tag classifier is sure that the third superpixel is a thing, and knows nothing of the others.
    tag_probabilities = np.ones((5, len(tags)), np.float32)
    tag_probabilities[2] = of_class == THINGS
    labels = label_superpixels(probabilities, members, areas, tags, of_class, tag_probabilities)
    assert labels.tolist() == [THINGS, THINGS, THINGS, 1, IGNORE_LABEL]


def test_painted_stuff_keeps_every_class():
    big, small = np.ones((4, 4), bool), np.zeros((4, 4), bool)
    small[:2] = True
    assert paint_stuff([big, small], [1, 2], [0.2, 0.8], (4, 4)).tolist() == [[2] * 4] * 2 + [[1] * 4] * 2
    hidden = paint_stuff([big, small], [1, 2], [0.8, 0.2], (4, 4))
    assert set(np.unique(hidden)) == {1, 2}


@pytest.mark.parametrize("channels", [8, 48, 128])
def test_semantic_head_of_any_width_is_at_stride_4(channels):
    head = SemanticHead(channels_in=16, channels=channels, labels=3)
    assert head(torch.zeros(2, 16, 4, 6)).shape == (2, 3, 8, 12)


def test_first_predictions_of_stuff_are_small_or_those_of_he():
    torch.manual_seed(0)
    small, he = (SemanticHead(channels_in=16, channels=64, labels=50, start=start) for start in ("small", "he"))
    assert small.predict.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert he.predict.weight.std().item() == pytest.approx((2 / 50) ** 0.5, rel=0.05)
    assert not he.predict.bias.any()


def test_semantic_loss_ignores_what_is_unknown():
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    labels = torch.full((1, 8, 8), IGNORE_LABEL, dtype=torch.uint8)
    loss = compute_semantic_loss(logits, labels)
    loss.backward()
    assert loss.item() == 0 and not logits.grad.any()
