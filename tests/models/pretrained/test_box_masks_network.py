"""The network from a box to its mask: where its window lies, what it sees, what its loss counts."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from models.pretrained.box_masks import (
    BOX_PX,
    WINDOW_PX,
    BoxMaskModel,
    build_from_contours,
    compute_box_mask_loss,
    cut_inputs,
    cut_map,
    place_window,
    save_box_masks,
    share_pixels,
    shift_to_best_mask,
)
from models.pretrained.contours import ContourNetwork
from models.pretraining.box_masks import Sample, list_box_samples, load_box_batch

WIDTHS = (8, 8, 8, 8, 8)


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    network = build_from_contours(ContourNetwork(widths=WIDTHS), WIDTHS)
    save_box_masks(tmp_path / "model.pt", network, WIDTHS)
    return BoxMaskModel.load(tmp_path / "model.pt")


@pytest.mark.parametrize("side", [13, 52, 104, 260])
@pytest.mark.parametrize("left", [0, 37])
def test_a_map_lies_in_the_window_where_the_box_does(side, left):
    box = np.array([left, 20, left + side, 20 + side // 2], np.int32)
    filled = np.zeros((320, 340), np.float32)
    filled[box[1] : box[3], box[0] : box[2]] = 1
    window = place_window(box)
    inputs = cut_inputs(np.zeros((320, 340, 3), np.uint8), box, np.zeros((0, 4), np.int32), window)
    differs = ((cut_map(filled, window) > 0.5) != (inputs[3] > 0)) & (inputs[5] == 0)
    # One window pixel, or less than half an image pixel that was enlarged, along the outline.
    assert differs.sum() <= 2 * (2 * BOX_PX + 2 * BOX_PX // 2)
    assert differs.mean() < 0.02
    assert inputs[3].any(0).sum() == pytest.approx(BOX_PX, abs=1)


def test_what_lies_outside_the_image_and_in_other_boxes_is_marked():
    box, other = np.array([0, 0, 52, 52], np.int32), np.array([[26, 0, 52, 52]], np.int32)
    inputs = cut_inputs(np.full((60, 70, 3), 9, np.uint8), box, other, place_window(box))
    margin = (WINDOW_PX - BOX_PX) // 2
    assert (inputs[5, :margin] == 255).all() and (inputs[5, margin + 1 : -margin, margin + 1 : -margin] == 0).all()
    assert (inputs[4] > 0).sum() == pytest.approx((inputs[3] > 0).sum() / 2, rel=0.03)
    assert (inputs[:3] == 9).all()


@pytest.mark.parametrize("box", [[0, 0, 1, 1], [5, 3, 6, 30], [0, 0, 70, 60], [30, 20, 45, 29]])
def test_any_box_has_a_probability_at_each_of_its_pixels(model, box):
    image = np.random.default_rng(0).integers(0, 256, (60, 70, 3), dtype=np.uint8)
    (found,) = model.segment_boxes(image, [box], [0])
    assert found.shape == (box[3] - box[1], box[2] - box[0]) and found.dtype == np.float32
    assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_array_equal(found, model.segment_boxes(image, [box], [0])[0])


def test_a_mirrored_image_has_a_mirrored_mask(model):
    image = np.random.default_rng(1).integers(0, 256, (60, 70, 3), dtype=np.uint8)
    found, _ = model.segment_boxes(image, [[10, 8, 50, 40], [0, 0, 20, 20]], [0, 0])
    mirrored, _ = model.segment_boxes(image[:, ::-1], [[20, 8, 60, 40], [50, 0, 70, 20]], [0, 0])
    np.testing.assert_allclose(mirrored[:, ::-1], found, atol=1e-4)


def test_a_box_outside_the_image_is_refused(model):
    with pytest.raises(ValueError, match="outside the 70x60 image"):
        model.segment_boxes(np.zeros((60, 70, 3), np.uint8), [[60, 0, 71, 5]], [0])


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"no model")
    with pytest.raises(ValueError, match=r"model\.pt"):
        BoxMaskModel.load(tmp_path / "model.pt")


def test_further_channels_count_nothing_at_first():
    torch.manual_seed(0)
    contours = ContourNetwork(widths=WIDTHS).eval()
    network = build_from_contours(contours, WIDTHS).eval()
    colours, rest = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(network(torch.cat([colours, rest], 1)), contours(colours))


def test_losses_count_known_pixels_only():
    logits = torch.zeros(1, 1, 4, requires_grad=True)
    losses = compute_box_mask_loss(logits, torch.tensor([[[1.0, 0.0, 0.0, -1.0]]]))
    assert losses["pixels"].item() == pytest.approx(np.log(2))
    # Soft intersection 0.5, union 1.5 + 1 - 0.5 = 2.
    assert losses["overlap"].item() == pytest.approx(1 - (0.5 + 1) / (2 + 1))
    sum(losses.values()).backward()
    assert logits.grad[0, 0, 3] == 0 and (logits.grad[0, 0, :3] != 0).all()


def test_targets_are_unknown_outside_the_box_and_where_labels_are():
    labels = np.zeros((80, 90), np.int32)
    labels[10:50, 20:60] = 300
    labels[10:20, 20:60] = 7
    image = np.full((80, 90, 3), 50, np.uint8)
    box = np.array([20, 10, 60, 50], np.int32)
    sample = Sample(image, labels, 300, 7, box, np.zeros((0, 4), np.int32))
    batch = load_box_batch([sample] * 4, np.random.default_rng(0))
    targets, inside = batch["targets"], batch["inputs"][:, 3] > 0
    assert (targets[~inside] == -1).all()
    assert ((targets < 0) & inside).sum() == pytest.approx(inside.sum().item() / 4, rel=0.05)
    assert (targets[targets >= 0] > 0.4).all()


def test_things_have_their_share_of_the_samples():
    one = Sample(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), np.int32), 0, -1, np.zeros(4), np.zeros((0, 4)))
    assert len(list_box_samples([one], [one] * 10)) == 25
    with pytest.raises(ValueError, match="0 things"):
        list_box_samples([], [one])


def test_best_mask_is_that_of_the_highest_expected_overlap():
    """Of three pixels, with all outcomes drawn out: the shifted values say which mask is best."""
    for probability in ([0.9, 0.45, 0.1], [0.4, 0.38, 0.05], [0.99, 0.98, 0.6]):
        p = np.array([probability], np.float32)
        outcomes = list(product([0, 1], repeat=3))
        chance = [np.prod([v if o else 1 - v for o, v in zip(each, probability, strict=True)]) for each in outcomes]
        prefix = [np.arange(3) < k for k in (1, 2, 3)]
        union = [
            sum(c * (mask | np.array(o, bool)).sum() for c, o in zip(chance, outcomes, strict=True)) for mask in prefix
        ]
        both = [
            sum(c * (mask & np.array(o, bool)).sum() for c, o in zip(chance, outcomes, strict=True)) for mask in prefix
        ]
        best = prefix[int(np.argmax(np.array(both) / union))]
        shifted = shift_to_best_mask(p)
        np.testing.assert_array_equal(shifted[0] > 0.5, best)
        assert (np.diff(shifted[0]) < 0).all()


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_even_probabilities_give_the_whole_box(value):
    shifted = shift_to_best_mask(np.full((4, 5), value, np.float32))
    assert ((shifted >= 0) & (shifted <= 1)).all()
    assert (shifted > 0.5).all() == (value > 0)


@pytest.mark.parametrize(
    ("other", "other_class", "weight"),
    [
        ([0, 0, 4, 4], 0, 1),  # less than half the size
        ([0, 0, 4, 4], 1, 1),
        ([0, 0, 10, 6], 1, 0.3),  # smaller
        ([0, 0, 14, 10], 0, 0.3),  # larger, of the same class
        ([0, 0, 14, 10], 1, 0),
        ([12, 12, 16, 16], 0, 0),  # elsewhere
    ],
)
def test_a_pixel_belongs_to_one_thing(other, other_class, weight):
    boxes = np.array([[0, 0, 10, 10], other], np.int32)
    probabilities = [np.full((b[3] - b[1], b[2] - b[0]), p, np.float32) for b, p in zip(boxes, (0.6, 0.8), strict=True)]
    shared, _ = share_pixels(probabilities, boxes, np.array([0, other_class]))
    odds, other_odds = 0.6 / 0.4, 0.8 / 0.2
    assert shared[1, 1] == pytest.approx(odds / (1 + odds + weight * other_odds), rel=1e-5)
    assert shared[9, 9] == pytest.approx(0.6, rel=1e-5) or other[2] > 10


def test_no_boxes(model):
    assert model.segment_boxes(np.zeros((8, 8, 3), np.uint8), np.zeros((0, 4), np.int32), []) == []


def test_the_number_of_boxes_seen_at_once_changes_no_mask(model, monkeypatch):
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    boxes = np.array([[x, y, x + 20, y + 15] for x, y in product((0, 18, 36), (0, 20, 40))], np.int32)
    together = model.segment_boxes(image, boxes, np.arange(9))
    monkeypatch.setattr("models.pretrained.box_masks.BOXES_AT_ONCE", 1)
    for found, alone in zip(together, model.segment_boxes(image, boxes, np.arange(9)), strict=True):
        np.testing.assert_allclose(found, alone, atol=1e-4)
