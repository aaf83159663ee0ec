"""The mining head of JTSM: by hand, and where a tag classifier tells it where to start."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.jtsm.mining import MiningHead, average_over_segments, compute_mining_loss, measure_overlaps
from pseudogt.proposals.members import Members


def test_mining_head_by_hand():
    head = MiningHead(channels=2, classes=2)
    with torch.no_grad():
        head.classify.weight.copy_(torch.eye(2))
        head.detect.weight.copy_(torch.eye(2) * 2)
    feature = torch.tensor([[1.0, 0.0], [0.0, 1.0], [3.0, 1.0]])
    mined = head(feature, [2, 1])
    one, two = torch.sigmoid(torch.tensor([1.0, 2.0])).tolist()
    expected = [[one * two, (1 - one) * (1 - two)], [(1 - one) * (1 - two), one * two]]
    torch.testing.assert_close(mined.shares[:2], torch.tensor(expected))
    torch.testing.assert_close(mined.presence[0], mined.shares[:2].sum(0))
    # alone in its image a proposal is all there is of every class
    torch.testing.assert_close(mined.presence[1], feature[2].softmax(0))


def test_mining_loss_leaves_unknown_tags_out():
    presence, tags = torch.tensor([[0.9, 0.2], [0.5, 0.7]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    everything = compute_mining_loss(presence, tags, torch.ones(2, 2))
    assert everything.item() == pytest.approx(-np.log([0.9, 0.8, 0.5, 0.7]).mean(), rel=1e-5)
    known = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    assert compute_mining_loss(presence, tags, known).item() == pytest.approx(-np.log(0.9), rel=1e-5)
    assert compute_mining_loss(presence, tags, torch.zeros(2, 2)).item() == 0


def test_maps_are_averaged_over_the_pixels_of_proposals():
    rng = np.random.default_rng(0)
    superpixels = rng.integers(-1, 6, (2, 9, 11)).astype(np.int32)
    members, maps = rng.random((7, 6)) < 0.4, rng.normal(size=(2, 3, 9, 11)).astype(np.float32)
    members[4] = False
    batch_index = np.array([0, 0, 0, 1, 1, 1, 1])
    found = average_over_segments(
        torch.from_numpy(maps),
        torch.from_numpy(superpixels),
        tuple(torch.from_numpy(part) for part in Members.from_dense(members)),
        torch.from_numpy(batch_index),
    )
    for row, image in enumerate(batch_index):
        inside = np.isin(superpixels[image], np.flatnonzero(members[row]))
        expected = maps[image][:, inside].mean(1) if inside.any() else np.zeros(3)
        np.testing.assert_allclose(found[row], expected, atol=1e-5)


def test_overlaps_are_highest_for_all_of_an_object_and_no_more():
    """An object of probability 0.8 in the left half of the image; superpixels are columns."""
    superpixels = np.tile(np.arange(4, dtype=np.int32), (1, 2, 1))
    maps = np.tile(np.array([0.8, 0.8, 0, 0], np.float32), (1, 1, 2, 1))
    members = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 1]], bool)
    found = measure_overlaps(
        torch.from_numpy(maps),
        torch.from_numpy(superpixels),
        tuple(torch.from_numpy(part) for part in Members.from_dense(members)),
        torch.zeros(4, dtype=torch.long),
    )
    # Sum of p inside over pixels plus the sum of p outside, with 3.2 in all.
    expected = [1.6 / (2 + 1.6), 3.2 / 4, 3.2 / 6, 0]
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-6)


def test_a_head_that_is_told_where_classes_are_starts_there():
    head = MiningHead(channels=4, classes=3, corrects=True, overlap_power=2)
    tag_logits, overlaps = torch.randn(5, 3), torch.rand(5, 3)
    mined = head(torch.randn(5, 4), [2, 3], tag_logits, overlaps)
    weights = torch.cat([part / part.sum(0) for part in overlaps.square().split([2, 3])])
    torch.testing.assert_close(mined.shares, tag_logits.softmax(1) * weights)


def test_a_head_that_corrects_starts_at_what_it_is_told():
    head = MiningHead(channels=4, classes=3, corrects=True)
    tag_logits = torch.randn(5, 3)
    mined = head(torch.randn(5, 4), [2, 3], tag_logits)
    torch.testing.assert_close(mined.classes, tag_logits.softmax(1))
