from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from pseudogt.config.run import RunConfig
from pseudogt.costs.estimate import ASSUMED_PIXELS
from pseudogt.costs.requirements import (
    COSTS,
    WORKER_MB,
    count_loader_workers,
    find_costs,
    measure_pixels,
    request_memory_mb,
    request_minutes,
    request_training_memory_mb,
    request_training_minutes,
    request_training_threads,
)
from pseudogt.datasets import list_images

REPOSITORY = Path(__file__).resolve().parents[2]
MEASURED_MB = {
    "box_masks": [(8192, 156), (32768, 216), (172800, 252), (2097152, 733)],
    "cams": [(8192, 775), (32768, 1086), (172800, 1154)],
    "labels": [(8192, 100), (172800, 216), (2097152, 157)],
    "predictions": [(8192, 904), (32768, 1258), (172800, 2348)],
    "proposals": [(2097152, 1314)],
    "evaluation": [(172800, 125)],
    "ground_truth": [(2097152, 171)],
}
"""Pixels of an image and the peak of `max_rss` in benchmark files of such runs."""


def make_config(**changes):
    default = yaml.safe_load((REPOSITORY / "config.yaml").read_text())
    return RunConfig.model_validate(default | changes)


def read_config(name):
    """A configuration that comes with the workflow, merged as Snakemake does."""
    default, own = (yaml.safe_load((REPOSITORY / path).read_text()) for path in ("config.yaml", f"configs/{name}.yaml"))
    both = {k: default[k] | v for k, v in own.items() if isinstance(v, dict) and isinstance(default.get(k), dict)}
    return RunConfig.model_validate(default | own | both | {"data_root": "somewhere"})


@pytest.mark.parametrize("stage", MEASURED_MB)
def test_memory_covers_what_was_measured(stage):
    for pixels, measured in MEASURED_MB[stage]:
        assert 1.2 * measured <= request_memory_mb(COSTS[stage], pixels, 1)


@pytest.mark.parametrize("stage", [*COSTS, "mined"])
def test_requests_grow_with_the_attempt_the_image_and_the_shard(stage):
    costs = find_costs(stage, make_config())
    assert request_memory_mb(costs, 10**6, 2) >= 2 * request_memory_mb(costs, 10**6, 1) - 250
    assert request_minutes(costs, 10**6, 64, 2) >= 2 * request_minutes(costs, 10**6, 64, 1) - 5
    assert request_memory_mb(costs, 10**7, 1) > request_memory_mb(costs, 10**5, 1)
    # 294 MB for the weak labels of 20,000 images in one file.
    assert request_memory_mb(costs, 10**5, 1, images=20_000) >= request_memory_mb(costs, 10**5, 1) + 250
    assert request_minutes(costs, 10**7, 6400, 1) > request_minutes(costs, 10**5, 64, 1)


def test_a_segment_anything_model_asks_for_its_weights_and_its_time(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "sam"}')
    (tmp_path / "preprocessor_config.json").write_text("{}")
    with open(tmp_path / "model.safetensors", "wb") as file:
        file.truncate(2_500_000_000)
    sam = {"box_masks": {"segmenters": ["sam"], "sam_model": str(tmp_path)}}
    costs, on_gpu = (find_costs("box_masks", make_config(**sam, gpus=gpus)) for gpus in (0, 1))
    assert costs.mb > COSTS["box_masks"].mb + 2 * 2500
    # 2.6e12 products of the largest model, on two cores.
    assert 10 < costs.seconds_per_image < 40
    assert on_gpu.seconds_per_image < 1
    assert find_costs("box_masks", make_config()) == COSTS["box_masks"]


@pytest.mark.parametrize("section", ["segmenter", "mining"])
def test_training_asks_for_its_workers_per_process_and_for_its_steps(section):
    settings = getattr(make_config(), section)
    five = settings.model_copy(update={"loader_workers": 5})
    for gpus, copies in ((0, 1), (1, 1), (4, 4)):
        small, large, larger_images = (
            request_training_memory_mb(s, pixels, 8, gpus, 1)
            for s, pixels in ((settings, 10**4), (five, 10**4), (five, 10**7))
        )
        automatic = {0: 0, 1: 7, 4: 1}[gpus]
        assert count_loader_workers(settings, 8, gpus) == automatic
        assert large - small == pytest.approx(copies * (5 - automatic) * WORKER_MB, abs=1000)
        assert larger_images > large
    assert request_training_minutes(settings, 1, 100, 0, 2) >= 2 * request_training_minutes(settings, 1, 100, 0, 1) - 5
    assert request_training_minutes(settings, 9, 100, 0, 1) > request_training_minutes(settings, 1, 100, 0, 1)
    assert request_training_minutes(settings, 9, 100, 1, 1) < request_training_minutes(settings, 9, 100, 0, 1)


def test_evidence_takes_as_long_as_its_boxes_on_the_cores_of_the_job():
    few, many = (
        make_config(threads=threads, mining={"mask_evidence": "grabcut", "top_k": top_k})
        for threads, top_k in ((2, 3), (4, 12))
    )
    none = make_config(mining={"mask_evidence": "segments"})
    costs = [find_costs("evidence", config).seconds_per_image for config in (none, few, many)]
    assert costs[1] > costs[0]
    assert costs[2] - costs[0] == pytest.approx(2 * (costs[1] - costs[0]))


def test_training_asks_for_the_cores_of_workers_that_were_set():
    settings = make_config().segmenter
    assert [request_training_threads(settings, 16, gpus) for gpus in (0, 1, 4)] == [16, 16, 16]
    seven = settings.model_copy(update={"loader_workers": 7})
    assert [request_training_threads(seven, 2, gpus) for gpus in (0, 1, 4)] == [7 + settings.torch_threads, 8, 32]
    assert request_training_threads(seven, 64, 4) == 64
    assert request_training_threads(settings.model_copy(update={"loader_workers": 0}), 2, 4) == 2


def test_mining_on_four_gpus_asks_for_more_than_one_process_takes():
    """What the rule asked for, whatever the settings, was 12 GB and a day."""
    config = read_config("coco-jtsm")
    memory = [request_training_memory_mb(config.mining, 640 * 480, 2 * gpus, gpus, 1) for gpus in (1, 2, 4)]
    assert memory[1:] == pytest.approx([2 * memory[0], 4 * memory[0]], abs=2000)  # each is rounded up
    assert memory[2] > 12_000
    assert request_training_minutes(config.mining, 1, 118_287, 4, 1) > 1440
    without_grabcut = config.mining.model_copy(update={"mask_evidence": "segments", "evidence": "segments"})
    minutes = [request_training_minutes(without_grabcut, 1, 118_287, gpus, 1) for gpus in (4, 8)]
    assert minutes[0] == pytest.approx(2 * minutes[1], rel=0.01)


def test_time_to_prepare_images_follows_those_that_are_drawn_and_the_workers():
    settings = make_config().segmenter.model_copy(update={"steps": 1000, "batch_size": 4})

    def minutes(images, pixels, threads=2, gpus=1):
        return request_training_minutes(settings, 1, images, gpus, 1, pixels=pixels, threads=threads)

    assert minutes(4000, 2 * 10**6) > minutes(400, 2 * 10**6) + 100
    assert minutes(4000, 2 * 10**6) == minutes(10**6, 2 * 10**6)
    assert minutes(4000, 2 * 10**6, threads=9) < minutes(4000, 2 * 10**6) / 3
    assert minutes(4000, 10**4) < minutes(4000, 2 * 10**6) / 3


def test_a_mask_transformer_asks_for_more_than_the_bottom_up_network():
    segmenter = make_config().segmenter.model_copy(update={"steps": 20_000, "backbone": "timm/tf_efficientnet_lite0"})
    masks = segmenter.model_copy(update={"network": "mask_transformer"})
    large = masks.model_copy(update={"queries": 100, "query_channels": 256, "encoder_layers": 6, "query_layers": 9})
    minutes = [request_training_minutes(each, 1, 100, 0, 1) for each in (segmenter, masks, large)]
    # Measured: 2.3 times the processor time of a step.
    assert 1.5 * minutes[0] < minutes[1] < 4 * minutes[0]
    assert minutes[2] > 2 * minutes[1]
    eomt = segmenter.model_copy(update={"network": "eomt", "backbone": "timm/vit_small_patch16_224"})
    assert request_training_minutes(eomt, 1, 100, 0, 1) > minutes[1]
    for gpus in (0, 1):
        memory = [request_training_memory_mb(each, 32_768, 2, gpus, 1) for each in (segmenter, masks, large)]
        assert memory == sorted(memory)


def test_no_training_asks_for_more_than_a_week():
    """It goes on from its checkpoint, and a scheduler refuses what no partition allows."""
    assert request_training_minutes(read_config("coco-jtsm").mining, 1, 118_287, 0, 4) == 7 * 24 * 60


def test_mined_labels_of_a_shard_of_coco_take_more_than_two_hours():
    """What the rule asked for was 2 hours and 6 GB."""
    config = read_config("coco-jtsm")
    for gpus in (0, 4):
        costs = find_costs("mined", config.model_copy(update={"gpus": gpus}))
        assert request_minutes(costs, 640 * 480, config.shard_size, 1) > 120
        assert request_memory_mb(costs, 640 * 480, 1) > 6000


@pytest.mark.parametrize(
    ("name", "settings", "measured"),
    [
        ("voc2012-jtsm", {"batch_size": 1, "max_proposals": 2000}, 3179),
        ("voc2012-jtsm", {"batch_size": 1, "max_proposals": 2000, "short_sides_px": (480,)}, 3449),
        (None, {"freeze": "all"}, 1749),
    ],
)
def test_memory_of_mining_covers_what_was_measured(name, settings, measured):
    config = read_config(name) if name else make_config()
    mining = config.mining.model_copy(update=settings)
    assert 1.2 * measured <= request_training_memory_mb(mining, 187_500, 2, 0, 1)


def test_memory_of_mined_labels_covers_what_was_measured():
    config = read_config("voc2012-jtsm")
    mining = config.mining.model_copy(update={"max_proposals": 2000})
    mined = config.mined.model_copy(update={"short_sides_px": (480,)})
    costs = find_costs("mined", config.model_copy(update={"mining": mining, "mined": mined}))
    assert request_memory_mb(costs, 187_500, 1) >= 1.2 * 3216
    assert request_memory_mb(find_costs("mined", make_config()), 187_500, 1) >= 1.2 * 1330


def test_pixels_are_those_of_the_images(folder_dataset, folder_settings):
    config = make_config(dataset=folder_settings.model_dump(), data_root=str(folder_dataset))
    assert measure_pixels(config, list_images(config.dataset, folder_dataset)) == 20 * 30


def test_pixels_of_an_image_that_cannot_be_read_are_assumed(folder_dataset, folder_settings):
    """The stage index names it; parsing the workflow does not fail."""
    (folder_dataset / "images" / "a.png").write_bytes(b"no image")
    config = make_config(dataset=folder_settings.model_dump(), data_root=str(folder_dataset))
    assert measure_pixels(config, list_images(config.dataset, folder_dataset)) == ASSUMED_PIXELS


def test_pixels_of_street_scenes_are_known_before_they_are_drawn():
    config = make_config()
    images = list_images(config.dataset, "nowhere", config.streets)
    assert measure_pixels(config, images) == config.streets.height * config.streets.width


def test_every_rule_that_runs_a_stage_says_memory_and_time():
    for path in sorted((REPOSITORY / "rules").glob("*.smk")):
        for rule in re.split(r"(?m)^ *rule ", path.read_text())[1:]:
            if "-m pseudogt.stages." in rule and not rule.startswith(("check", "predict")):
                assert "mem_mb=" in rule and "runtime=" in rule, f"{path.name}: {rule.split(':')[0]}"
