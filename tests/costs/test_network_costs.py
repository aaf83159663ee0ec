"""What networks take follows from their settings."""

from __future__ import annotations

import pytest

from pseudogt.config.mined import MinedSettings
from pseudogt.config.mining import MiningSettings
from pseudogt.config.segmenter import SegmenterSettings
from pseudogt.costs.mining import (
    count_evidence_boxes,
    count_neck_weights,
    count_views,
    estimate_mined_mb,
    estimate_mined_seconds,
    measure_megapixels,
)
from pseudogt.costs.networks import estimate_step_mb, estimate_step_seconds, estimate_training_seconds

PAPER = {
    "backbone": "resnet_ws18",
    "init": "weights",
    "weights": "resnet18_ws_model_120_d2.pkl",
    "freeze": "all",
    "neck_widths": (4096, 4096),
    "max_proposals": 2000,
    "mask_limit": None,
    "mask_channels": 256,
    "semantic": False,
    "batch_size": 1,
}


def mining(**changes):
    return MiningSettings.model_validate({"init": "scratch", "mask_evidence": "segments"} | changes)


@pytest.mark.parametrize(
    "more",
    [
        {"max_proposals": 600},
        {"neck_widths": (4096, 4096)},
        {"short_sides_px": (480, 640)},
        {"batch_size": 8},
        {"backbone": "resnet18"},
        {"mask_limit": 24},
        {"mask_channels": 256},
    ],
    ids=lambda change: next(iter(change)),
)
def test_step_of_mining_grows_with_each_size(more):
    small, large = mining(), mining(**more)
    assert estimate_step_seconds(large) > estimate_step_seconds(small)
    assert estimate_step_mb(large) > estimate_step_mb(small)


def test_parts_of_a_batch_take_less_memory_and_the_same_time():
    for whole, parts in (
        (mining(), mining(images_per_pass=1)),
        (SegmenterSettings(), SegmenterSettings(images_per_pass=1)),
    ):
        assert estimate_step_mb(parts) < estimate_step_mb(whole)
        assert estimate_step_seconds(parts) == estimate_step_seconds(whole)


def test_frozen_backbone_takes_less():
    assert estimate_step_seconds(mining(freeze="all")) < estimate_step_seconds(mining(freeze="norm"))
    assert estimate_step_mb(mining(freeze="all")) < estimate_step_mb(mining(freeze="norm"))


@pytest.mark.parametrize(
    ("settings", "boxes"),
    [
        ({}, 0),
        ({"mask_evidence": "grabcut", "top_k": 10}, 30),
        ({"mask_evidence": "grabcut", "top_k": 10, "masks": False}, 0),
        ({"evidence": "grabcut"}, 6),
        ({"evidence": "grabcut", "semantic": False}, 0),
    ],
)
def test_boxes_that_grabcut_segments(settings, boxes):
    assert count_evidence_boxes(mining(**settings)) == boxes


def test_grabcut_is_divided_among_the_cores_of_the_job_and_done_once_per_image_that_comes_again():
    def grabcut_seconds(images, gpus, threads=2, **settings):
        with_it, without = (
            estimate_training_seconds(mining(mask_evidence=kind, **settings), images, gpus, threads)
            for kind in ("grabcut", "segments")
        )
        return with_it - without

    assert grabcut_seconds(100, 0, threads=4) == pytest.approx(grabcut_seconds(100, 0) / 2)
    assert grabcut_seconds(100, 4) == pytest.approx(grabcut_seconds(100, 1))
    assert grabcut_seconds(100, 0, steps=10**6) == pytest.approx(grabcut_seconds(100, 0, steps=10**5), rel=1e-6)
    assert grabcut_seconds(10**6, 0, steps=2000) == pytest.approx(2 * grabcut_seconds(10**6, 0, steps=1000))


@pytest.mark.parametrize(
    ("settings", "measured"),
    [
        # VOC, three steps of one image each, processor seconds of two cores without bfloat16.
        (PAPER | {"short_sides_px": (480,)}, 5.0),
        # Forty steps of four images of VOC.
        ({"freeze": "all"}, 0.48),
        # configs/streets-jtsm.yaml: 4,000 steps in 5.2 minutes.
        (
            {"freeze": "all", "levels": 1, "neck_widths": (256, 256), "mask_channels": 32, "mask_limit": 8}
            | {"max_proposals": 200, "short_sides_px": (112, 128, 144)},
            0.078,
        ),
    ],
    ids=["paper", "default", "streets"],
)
def test_steps_of_mining_are_about_those_that_were_measured(settings, measured):
    assert measured / 2.5 < estimate_step_seconds(mining(**settings)) < 2.5 * measured


def test_a_new_backbone_without_figures_is_taken_to_be_of_medium_size():
    new, known = (mining().model_copy(update={"backbone": name}) for name in ("new", "resnet50"))
    assert estimate_step_seconds(new) == estimate_step_seconds(known)
    assert estimate_step_mb(new) == estimate_step_mb(known)


def test_neck_of_the_paper_has_120_million_weights():
    """The memory that docs/results/jtsm.md computes for it, 1.9 GB, is 16 bytes for each."""
    assert count_neck_weights(mining(**PAPER)) == pytest.approx(120e6, rel=0.01)


def test_mined_labels_grow_with_views_proposals_and_score_maps():
    small = MinedSettings()
    assert count_views(small) == 2 and count_views(MinedSettings(flip=False)) == 1
    more = MinedSettings(short_sides_px=(256, 256))
    assert estimate_mined_seconds(mining(), more, 20) == 2 * estimate_mined_seconds(mining(), small, 20)
    for estimate in (estimate_mined_seconds, estimate_mined_mb):
        base = estimate(mining(), small, 20)
        assert estimate(mining(), more, 20) > base
        assert estimate(mining(max_proposals=600), small, 20) > base
        assert estimate(mining(), small, 53) > base > estimate(mining(semantic=False), small, 20)
    assert estimate_mined_seconds(mining(), small, 20, gpus=1) < estimate_mined_seconds(mining(), small, 20)
    assert estimate_mined_mb(mining(), MinedSettings(images_per_pass=4), 20) > estimate_mined_mb(mining(), small, 20)


def test_longer_side_limits_the_size():
    assert measure_megapixels((1000,), 10**6) == 1.5
    assert measure_megapixels((1000,), 750) == pytest.approx(1.5 * 0.25)
    assert measure_megapixels((100, 200), 10**6) == pytest.approx(1.5 * (0.01 + 0.04) / 2)


@pytest.mark.parametrize("settings", [mining, SegmenterSettings])
def test_backbones_of_timm_cost_what_their_size_says(settings):
    names = ("timm/resnet18", "timm/resnet50", "timm/convnext_base", "timm/vit_large_patch14_dinov2")
    steps = [settings(backbone=name) for name in names]
    for estimate in (estimate_step_seconds, estimate_step_mb):
        costs = [estimate(step) for step in steps]
        assert costs == sorted(costs) and costs[-1] > 5 * costs[0]
    unknown = settings(backbone="timm/some_network")
    assert estimate_step_seconds(steps[0]) < estimate_step_seconds(unknown) < estimate_step_seconds(steps[-1])


def test_timm_and_torchvision_agree_about_the_same_network():
    for name in ("resnet18", "resnet50"):
        ours, theirs = (SegmenterSettings(backbone=backbone) for backbone in (name, f"timm/{name}"))
        assert estimate_step_seconds(theirs) == pytest.approx(estimate_step_seconds(ours), rel=1.0)
        assert estimate_step_mb(theirs) == pytest.approx(estimate_step_mb(ours), rel=1.0)


def test_each_frozen_stage_saves_time_and_memory():
    for name in ("small", "timm/resnet50"):
        steps = [SegmenterSettings(backbone=name, frozen_stages=stages) for stages in (4, 2, 0)]
        for estimate in (estimate_step_seconds, estimate_step_mb):
            costs = [estimate(step) for step in steps]
            assert costs == sorted(set(costs))


def test_dilation_of_mining_costs_more_than_two_levels():
    two, four = (mining(backbone="timm/resnet50", levels=levels) for levels in (2, 4))
    assert estimate_step_seconds(four) > 3 * estimate_step_seconds(two)
    assert estimate_step_mb(four) > 3 * estimate_step_mb(two)
