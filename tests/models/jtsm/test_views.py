"""Views at test: made on the device as those for training are, several at once as one after the other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from models.jtsm.detection import DetectionPlan, describe_seen, detect, find_instances, see_images
from models.jtsm.network import JtsmArchitecture, build_jtsm_network
from models.jtsm.samples import MiningImage, Placement, View, collate, make_view
from models.jtsm.views import collate_views, group_by_size, map_semantic, move_to_image, place_on_device, place_views
from pseudogt.proposals.members import Members

CPU = torch.device("cpu")
PLAN = DetectionPlan((40, 64), 200, True, 5, "branch", 0.0, 0.3, 10, CPU, torch.float32)


def make_sample(seed: int, shape: tuple[int, int] = (48, 61), proposals: int = 6) -> MiningImage:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    superpixels = (y // 7 * 9 + x // 7).astype(np.int32)
    dense = rng.random((proposals, superpixels.max() + 1)) < 0.3
    corners = rng.integers(0, 20, (proposals, 2))
    boxes = np.hstack([corners, corners + rng.integers(9, 28, (proposals, 2))]).astype(np.int32)
    return MiningImage(
        image=rng.integers(0, 256, (*shape, 3), np.uint8),
        superpixels=superpixels,
        members=Members.from_dense(dense),
        boxes_xyxy=boxes,
        scores=rng.random(proposals, np.float32),
        tags=np.zeros(4, bool),
        known=np.zeros(4, bool),
    )


def see(samples: list[MiningImage], side: int, *, max_proposals: int = 9, multiple: int = 8) -> dict[str, Tensor]:
    (placements,) = place_views((48, 61), [side], 999, flip=True)
    return collate_views([place_on_device(s, max_proposals, CPU) for s in samples], placements, multiple)


def make_view_of_all(sample: MiningImage, placement: Placement, limit: int) -> View:
    """A view with the first proposals, whether or not they are equal or empty in it."""
    height, width = placement.size
    moved = placement.to_view(sample.boxes_xyxy[:limit], whole_pixels=False)
    boxes = np.clip(moved, 0, np.array([width, height, width, height], np.float32))
    return make_view(sample, placement, limit)._replace(boxes_xyxy=boxes, rows=np.arange(len(boxes)))


@pytest.mark.parametrize("side", [30, 48, 75])
def test_a_batch_is_that_of_views_one_by_one(side):
    samples = [make_sample(0), make_sample(1, proposals=4)]
    batch = see(samples, side, max_proposals=5)
    (placements,) = place_views((48, 61), [side], 999, flip=True)
    repeated = [(sample, placement) for sample in samples for placement in placements]
    views = [make_view_of_all(sample, placement, 5) for sample, placement in repeated]
    expected = collate([sample for sample, _ in repeated], [0] * 4, views)
    for name, value in batch.items():
        assert value.dtype == expected[name].dtype and value.shape == expected[name].shape, name
        if name != "images":
            torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-4, msg=name)
    if side >= 48:  # smaller ones are resized by another filter
        assert (batch["images"].int() - expected["images"].int()).abs().max() <= 1


def test_without_padding_a_batch_has_the_size_of_the_view():
    assert see([make_sample(0)], 30, multiple=1)["images"].shape[2:] == (30, 38)
    padded = see([make_sample(0)], 30)
    assert padded["images"].shape[2:] == (32, 40)
    assert (padded["superpixels"][:, 30:] == -1).all() and not padded["images"][..., 38:].any()


@pytest.mark.parametrize("side", [20, 96])
def test_images_are_resized_as_pillow_does(side):
    sample = make_sample(0)
    ((placement,),) = place_views((48, 61), [side], 999, flip=False)
    height, width = placement.size
    found = collate_views([place_on_device(sample, 9, CPU)], [placement], 1)["images"][0].permute(1, 2, 0).numpy()
    theirs = np.asarray(Image.fromarray(sample.image).resize((width, height), Image.Resampling.BILINEAR))
    assert np.abs(found.astype(int) - theirs).max() <= 1


def test_boxes_go_back_to_the_image():
    boxes = np.random.default_rng(0).uniform(0, 48, (7, 3, 4))
    for placements in place_views((48, 61), [30, 75], 999, flip=True):
        for placement in placements:
            moved = move_to_image(torch.from_numpy(placement.to_view(boxes)), placement)
            np.testing.assert_allclose(moved, boxes, atol=1e-4)
            np.testing.assert_allclose(moved, placement.to_image(placement.to_view(boxes)), atol=1e-4)


def test_groups_are_of_one_size():
    sizes = [(3, 4), (4, 3), (3, 4), (3, 4), (4, 3)]
    assert group_by_size(sizes, 1) == [[0], [1], [2], [3], [4]]
    assert group_by_size(sizes, 2) == [[0, 2], [3], [1, 4]]
    assert group_by_size([], 2) == group_by_size([], 1) == []


def build(**changes):
    torch.manual_seed(0)
    options = {"backbone": "small", "levels": 1, "freeze": "all", "dropout": 0.0}
    options |= {"neck_widths": (16, 16), "things": 2, "stuff": 2, "refinements": 1, "mask_channels": 8}
    return build_jtsm_network(JtsmArchitecture(**(options | {"semantic_channels": 8} | changes))).eval()


@pytest.mark.parametrize("changes", [{}, {"refinements": 0, "mask_channels": 0}], ids=["all heads", "mining alone"])
@pytest.mark.parametrize("mean", ["logits", "probabilities"])
def test_images_seen_together_are_seen_as_alone(changes, mean):
    network, samples = build(**changes), [make_sample(0), make_sample(1, proposals=4)]
    plan = replace(PLAN, semantic_mean=mean)
    together = [describe_seen(network, seen, plan) for seen in see_images(network, samples, plan)]
    for found, sample in zip(together, samples, strict=True):
        alone = detect(network, sample, plan)
        assert len(found.scores) > 2
        np.testing.assert_array_equal(found.classes, alone.classes)
        for name in ("boxes_xyxy", "scores", "semantic", "presence", "proposal_classes"):
            np.testing.assert_allclose(getattr(found, name), getattr(alone, name), rtol=1e-3, atol=1e-4, err_msg=name)
        assert (found.masks != alone.masks).mean() < 0.01


def test_tags_choose_among_what_was_seen_once():
    network, sample = build(), make_sample(0)
    (seen,) = see_images(network, [sample], PLAN)
    everything = find_instances(network, seen, PLAN)
    assert set(everything.classes) == {0, 1}
    tagged = find_instances(network, seen, PLAN, tags=np.array([False, True, True, True]))
    assert set(tagged.classes) == {1}
    again = find_instances(network, seen, PLAN)
    for first, second in zip(everything, again, strict=True):
        np.testing.assert_array_equal(first, second)


def test_boxes_that_are_not_finite_or_empty_are_no_detections():
    network, sample = build(), make_sample(0)
    (seen,) = see_images(network, [sample], PLAN)
    boxes = seen.totals["boxes"] = seen.totals["boxes"].clone()
    boxes[:] = boxes.new_tensor([0, 0, 9, 9]) * seen.views
    boxes[0, :, 2], boxes[1, :, 1] = torch.inf, torch.nan
    boxes[2] = boxes.new_tensor([70, 0, 90, 9]) * seen.views  # outside the image, which is 61 wide
    kept = find_instances(network, seen, replace(PLAN, nms_overlap=1.0, max_detections=99))
    assert len(kept.scores) == 2 * (5 - 3)
    assert (kept.boxes_xyxy == [0, 0, 9, 9]).all()


def test_features_are_kept_for_mask_heads_alone():
    network, sample = build(), make_sample(0)
    assert len(see_images(network, [sample], PLAN)[0].features) == 2
    assert not see_images(network, [sample], replace(PLAN, masks="segments"))[0].features


@pytest.mark.parametrize("flipped", [False, True])
def test_semantic_maps_of_views_go_to_the_image(flipped):
    """A view of 7x12, padded to 8x16, of an image half as large: logits by the nearest pixel, all of the padded map."""
    logits = torch.randn(1, 3, 2, 4)
    padded = F.interpolate(logits, scale_factor=4, mode="bilinear", align_corners=False)
    placement = Placement((0, 0, 6, 4), (7, 12), flipped)
    rows = [int(int(y * 7 / 4) * 8 / 7) for y in range(4)]
    seen = [11 - 2 * x if flipped else 2 * x for x in range(6)]
    columns = [int(x * 16 / 12) for x in seen]
    torch.testing.assert_close(map_semantic(logits, placement, (4, 6), "logits"), padded[:, :, rows][..., columns])
    shares = map_semantic(logits, placement, (4, 6), "probabilities")
    torch.testing.assert_close(shares.sum(1), torch.ones(1, 4, 6))
