from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from pseudogt.config.run import RunConfig
from pseudogt.workflow.estimate import ASSUMED_PIXELS
from pseudogt.workflow.requirements import (
    COSTS,
    measure_pixels,
    request_memory_mb,
    request_minutes,
    request_training_memory_mb,
    request_training_minutes,
)

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


@pytest.mark.parametrize("stage", MEASURED_MB)
def test_memory_covers_what_was_measured(stage):
    for pixels, measured in MEASURED_MB[stage]:
        assert 1.2 * measured <= request_memory_mb(stage, pixels, 1)


@pytest.mark.parametrize("stage", COSTS)
def test_requests_grow_with_the_attempt_the_image_and_the_shard(stage):
    assert request_memory_mb(stage, 10**6, 2) >= 2 * request_memory_mb(stage, 10**6, 1) - 250
    assert request_minutes(stage, 10**6, 64, 2) >= 2 * request_minutes(stage, 10**6, 64, 1) - 5
    assert request_memory_mb(stage, 10**7, 1) > request_memory_mb(stage, 10**5, 1)
    # 294 MB for the weak labels of 20,000 images in one file.
    assert request_memory_mb(stage, 10**5, 1, images=20_000) >= request_memory_mb(stage, 10**5, 1) + 250
    assert request_minutes(stage, 10**7, 6400, 1) > request_minutes(stage, 10**5, 64, 1)


def test_training_asks_for_its_cache_per_process_and_for_its_steps():
    settings = make_config().segmenter
    larger = settings.model_copy(update={"cache_gb": settings.cache_gb + 10})
    for gpus, copies in ((0, 1), (1, 1), (4, 4)):
        large, small = (request_training_memory_mb(s, 10**6, 10**6, gpus, 1) for s in (larger, settings))
        assert large - small == copies * 10_000
        assert request_training_memory_mb(larger, 10, 8192, gpus, 1) < small
    assert request_training_minutes(settings, 1, 0, 2) >= 2 * request_training_minutes(settings, 1, 0, 1) - 5
    assert request_training_minutes(settings, 9, 0, 1) > request_training_minutes(settings, 1, 0, 1)
    assert request_training_minutes(settings, 9, 1, 1) < request_training_minutes(settings, 9, 0, 1)


def test_pixels_are_those_of_the_images(folder_dataset, folder_settings):
    config = make_config(dataset=folder_settings.model_dump(), data_root=str(folder_dataset))
    assert measure_pixels(config, {"train": ["a", "b"]}, folder_dataset) == 20 * 30


def test_pixels_of_an_image_that_cannot_be_read_are_assumed(folder_dataset, folder_settings):
    """The stage index names it; parsing the workflow does not fail."""
    (folder_dataset / "images" / "a.png").write_bytes(b"no image")
    config = make_config(dataset=folder_settings.model_dump(), data_root=str(folder_dataset))
    assert measure_pixels(config, {"train": ["a", "b"]}, folder_dataset) == ASSUMED_PIXELS


def test_pixels_of_street_scenes_are_known_before_they_are_drawn():
    config = make_config()
    assert measure_pixels(config, {"train": []}, "nowhere") == np.prod([config.streets.height, config.streets.width])


def test_every_rule_that_runs_a_stage_says_memory_and_time():
    for path in sorted((REPOSITORY / "rules").glob("*.smk")):
        for rule in re.split(r"(?m)^ *rule ", path.read_text())[1:]:
            if "-m pseudogt.stages." in rule and not rule.startswith(("check", "predict")):
                assert "mem_mb=" in rule and "runtime=" in rule, f"{path.name}: {rule.split(':')[0]}"
