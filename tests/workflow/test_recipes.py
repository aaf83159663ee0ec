"""The configurations for the papers' datasets: they plan whole runs, and need what their heads say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from official_trees import make_cityscapes, make_coco2014, make_coco2017, make_voc2007, make_voc2012
from recipe_step import read_recipe

from pseudogt.config.dataset import REPOSITORY
from pseudogt.costs.estimate import estimate_gpu_gb, estimate_seconds_of_trainings
from pseudogt.costs.networks import estimate_gpu_mb, estimate_step_mb
from pseudogt.costs.requirements import request_training_memory_mb

CITYSCAPES, VOC, COCO = (1024 * 2048, make_cityscapes), (500 * 375, make_voc2012), (640 * 480, make_coco2017)
RECIPES = {
    "cityscapes": (2_975, *CITYSCAPES),
    "cityscapes_mixed": (22_973, *CITYSCAPES),
    "cityscapes_train_extra": (22_973, *CITYSCAPES),
    "voc2012": (10_582, *VOC),
    "voc2012_mixed": (10_582, *VOC),
    "voc2007": (5_011, 500 * 375, make_voc2007),
    "coco2017": (118_287, *COCO),
    "coco2014": (82_783, 640 * 480, make_coco2014),
}
"""Training images, pixels of one, and what makes a miniature of the dataset."""

NEEDS = re.compile(r"^# +(\d) GPUs?\b.*: ([\d.]+) GB of (?:it|each), ([\d.]+) GB of main memory, ([\d.]+) hours$", re.M)
TOLERANCE = 0.06
"""What figures of two digits lose by rounding."""

STEP_FACTOR = 1.4
"""How far the estimate of a step may lie above or below what was measured."""


def compute_needs(name, gpus):
    """GB of each GPU, GB of main memory, and hours of all trainings."""
    images, pixels, _ = RECIPES[name]
    config = read_recipe(name)
    changes = {"gpus": gpus, "threads": gpus * config.threads}
    config = config.model_copy(update=changes)
    needed = [
        request_training_memory_mb(settings, pixels, config.threads, gpus, 1)
        for settings in config.list_trainings().values()
    ]
    main_mb = max(needed)
    return estimate_gpu_gb(config), main_mb / 1000, estimate_seconds_of_trainings(config, images) / 3600


@pytest.mark.parametrize("name", RECIPES)
def test_head_says_what_trainings_need(name):
    text = (REPOSITORY / "configs" / f"{name}.yaml").read_text()
    stated = {int(gpus): tuple(map(float, values)) for gpus, *values in NEEDS.findall(text)}
    assert set(stated) == {1, 8}
    for gpus, values in stated.items():
        assert values == pytest.approx(compute_needs(name, gpus), rel=TOLERANCE)


@pytest.mark.parametrize("name", RECIPES)
def test_trainings_fit_into_24_gb_with_room_to_spare(name):
    """The estimate is good to a third, and was never compared with a GPU."""
    config = read_recipe(name)
    assert config.gpus == 1
    assert estimate_gpu_gb(config) < 24 / 1.5


@pytest.mark.parametrize("name", RECIPES)
def test_crops_suit_the_network_and_batches_the_gpus(name):
    config = read_recipe(name)
    for settings in (config.classifier, config.segmenter):
        assert settings.crop_height_px % 32 == settings.crop_width_px % 32 == 0
        assert settings.batch_size % 8 == 0 == settings.batch_size % settings.find_pass_size(8)
        assert settings.weights is not None


@pytest.mark.parametrize(
    ("name", "base"),
    [("cityscapes_mixed", "cityscapes"), ("cityscapes_train_extra", "cityscapes"), ("voc2012_mixed", "voc2012")],
)
def test_recipes_of_a_dataset_differ_in_data_labels_and_length_only(name, base):
    """Config files can't include each other, so the same lines stand in each."""
    own, other = (read_recipe(n).model_dump() for n in (name, base))
    for config in (own, other):
        for key in ("name", "shard_size", "keep_scores", "labels", "full_labels"):
            del config[key]
        del config["dataset"]["train_split"]
        for section in ("classifier", "segmenter"):
            del config[section]["steps"]
    assert own == other


@pytest.mark.parametrize(("name", "base"), [("voc2007", "voc2012"), ("coco2014", "coco2017")])
def test_recipes_of_boxes_have_the_networks_of_the_other_year(name, base):
    """Their only stuff is background, so classes are balanced in all of them but ``coco2017``."""
    own, other = (read_recipe(n) for n in (name, base))
    sections = {"optimisation", "augmentation", "classifier", "cams", "segmenter"}
    without = {"classifier": {"steps"}, "segmenter": {"steps", "class_balance"}}
    assert own.model_dump(include=sections, exclude=without) == other.model_dump(include=sections, exclude=without)
    assert own.segmenter.class_balance == read_recipe("voc2012").segmenter.class_balance
    assert own.predictions == other.predictions


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("voc2007-jtsm", "voc2012"),
        ("voc2012-jtsm", "voc2012"),
        ("voc2012-jtsm-r50", "voc2012"),
        ("voc2012-jtsm-r101", "voc2012"),
        ("coco-jtsm", "coco2017"),
    ],
)
def test_segmenter_after_mining_is_that_of_the_recipe(name, base):
    """With batches and crops of its own, and a learning rate in proportion."""
    own, other = (read_recipe(n) for n in (name, base))
    assert own.predictions == other.predictions
    rates = [c.segmenter.learning_rate / c.segmenter.batch_size for c in (own, other)]
    assert rates[0] == pytest.approx(rates[1])
    free = {"steps", "batch_size", "images_per_pass", "crop_height_px", "crop_width_px", "learning_rate"}
    assert own.segmenter.model_dump(exclude=free) == other.segmenter.model_dump(exclude=free)


@pytest.mark.parametrize("name", RECIPES)
def test_dry_run_plans_a_whole_run(name, tmp_path):
    """On a miniature of the official tree, without a GPU and without downloading weights."""
    root = RECIPES[name][2](tmp_path / "data")
    command = [sys.executable, "-m", "snakemake", "-s", str(REPOSITORY / "Snakefile"), "--cores", "2", "--dry-run"]
    command += ["--quiet=rules", "--configfile", str(REPOSITORY / "configs" / f"{name}.yaml")]
    done = subprocess.run(
        [*command, "--config", f"data_root={root}"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", text, re.MULTILINE))
    trainings = {key: jobs.get(key) for key in ("classifier", "segmenter_round", "reference")}
    scored = read_recipe(name).dataset.has_ground_truth
    assert trainings == {"classifier": "1", "segmenter_round": "2", "reference": "1" if scored else None}
    assert ("full_labels_shard" in jobs) == name.endswith("_mixed")


@pytest.mark.slow
@pytest.mark.parametrize("section", ["classifier", "segmenter"])
@pytest.mark.parametrize("name", ["cityscapes", "voc2012", "coco2017"])
def test_real_steps_take_the_memory_that_is_estimated(name, section):
    """Two crops of full size; the other recipes have the same networks and crops."""
    program = Path(__file__).parents[1] / "recipe_step.py"
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, str(program), name, section, "2"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    measured = json.loads(done.stdout)
    config = read_recipe(name)
    settings = getattr(config, section).model_copy(update={"batch_size": 2, "images_per_pass": 0})
    estimated = estimate_step_mb(settings, len(config.dataset.classes))
    taken = measured["peak_mb"] - measured["start_mb"]
    print(f"{name} {section}: {taken:.0f} MB, estimated {estimated:.0f} MB, {measured['seconds']:.1f} s")
    assert taken / STEP_FACTOR < estimated < STEP_FACTOR * taken


def test_gpu_memory_falls_with_parts_and_gpus_and_grows_with_precision_and_classes():
    settings = read_recipe("cityscapes").segmenter
    base = estimate_gpu_mb(settings, 19, 1)
    assert estimate_gpu_mb(settings, 19, 4) == pytest.approx(base)  # 8 crops at a time in either case
    assert estimate_gpu_mb(settings, 19, 8) < base
    assert estimate_gpu_mb(settings.model_copy(update={"images_per_pass": 4}), 19, 1) < base
    assert estimate_gpu_mb(settings.model_copy(update={"precision": "fp32"}), 19, 1) > 1.4 * base
    assert estimate_gpu_mb(settings, 133, 1) > base
    assert estimate_gpu_mb(settings.model_copy(update={"backbone": "resnet101"}), 19, 1) > base
