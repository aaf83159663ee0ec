"""Memory and time that the jobs of a stage ask a scheduler for, from the size of images and shards.

The table holds what the benchmark files of runs on images of 0.008 to 2.1 million pixels say (column `max_rss` and
`s`), rounded up; requests are a multiple of it, and double when a job is tried again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pseudogt.config.mining import MiningSettings
from pseudogt.config.run import RunConfig
from pseudogt.config.training import TrainingSettings
from pseudogt.datasets import locate
from pseudogt.workflow.estimate import ASSUMED_PIXELS, GPU_SPEEDUP, estimate_training_seconds, measure_batch_megapixels

MEMORY_MARGIN = 2.0
"""Other allocators, other versions: a job that is killed for memory costs more than memory that is not used."""

TIME_MARGIN = 4.0
"""Slower cores and a busy file system."""

START_MIN = 10.0
"""Minutes that every job gets on top: importing torch from a cold network file system takes some."""

TRAINING_MB = 1500.0
MB_PER_TRAINED_MEGAPIXEL = {"small": 1000.0}
OTHER_MB_PER_TRAINED_MEGAPIXEL = 6000.0
"""Main memory of a training step per million pixels of its batch, on the CPU."""

MB_PER_THOUSAND_IMAGES = 12.0
"""What a job on all images keeps of each, beyond its size: boxes, tags, segments, scores. The merged weak labels, the
most, took 10 on 20,000 images (benchmarks/scale.py)."""

MB_PER_PROPOSAL = 1.0
"""Main memory of a mining step per proposal of its batch: pooled features, at the largest width of the paper."""

CACHED_BYTES_PER_PIXEL = 12.0
"""Image, label and what else a training keeps of an image, at full size."""

GPU_HOST_MB = 6000.0
"""Main memory of a process that trains on a GPU: CUDA's context and pinned batches."""


@dataclass(frozen=True)
class Costs:
    """What a stage was measured to take.

    Attributes
    ----------
    mb, mb_per_megapixel : float
        Peak memory: of the program, and on top per million pixels of one image.
    seconds_per_megapixel : float
        Seconds on one core, or on two for networks, per million pixels of all images of the job.
    seconds_per_image : float
    """

    mb: float
    mb_per_megapixel: float
    seconds_per_megapixel: float
    seconds_per_image: float


COSTS = {
    "streets": Costs(150, 100, 1.5, 0.05),
    "index": Costs(150, 50, 0.1, 0.01),
    "ground_truth": Costs(150, 50, 0.2, 0.02),
    "weak_labels": Costs(150, 50, 0.2, 0.02),
    "proposals": Costs(800, 1000, 15.0, 0.5),
    "box_masks": Costs(250, 300, 1.5, 0.1),
    "cams": Costs(1200, 1500, 1.0, 0.1),
    "mined": Costs(1500, 6000, 20.0, 0.5),
    "annotations": Costs(1900, 50, 0.0, 0.02),
    "review": Costs(700, 300, 0.3, 0.05),
    "labels": Costs(200, 300, 1.0, 0.05),
    "predictions": Costs(1200, 4000, 1.0, 0.1),
    "evaluation": Costs(150, 100, 0.2, 0.02),
    "report": Costs(250, 300, 0.2, 0.01),
    "export": Costs(200, 200, 0.5, 0.05),
}


def find_costs(stage: str, config: RunConfig) -> Costs:
    """What a stage takes with the settings of a run."""
    return COSTS[stage]


def request_memory_mb(costs: Costs, pixels: int, attempt: int, images: int = 0) -> int:
    """Memory to ask for, in MB: images are worked on one by one, so that their size counts more than their number.

    Parameters
    ----------
    stage : str
        A key of ``COSTS``.
    pixels : int
        Of an image of the dataset.
    attempt : int
        Counted from 1.
    images : int
        Of a job on all images, which keeps something of each.
    """
    needed = costs.mb + costs.mb_per_megapixel * pixels / 1e6 + MB_PER_THOUSAND_IMAGES * images / 1e3
    return _round_up(MEMORY_MARGIN * needed * 2 ** (attempt - 1), 250)


def request_minutes(costs: Costs, pixels: int, images: int, attempt: int) -> int:
    """Minutes to ask for: a job on ``images`` images of ``pixels`` pixels."""
    seconds = images * (costs.seconds_per_image + costs.seconds_per_megapixel * pixels / 1e6)
    return _round_up((START_MIN + TIME_MARGIN * seconds / 60) * 2 ** (attempt - 1), 5)


def request_training_memory_mb(settings: TrainingSettings, images: int, pixels: int, gpus: int, attempt: int) -> int:
    """Memory of a training on ``images`` images of ``pixels`` pixels.

    The images it keeps, one copy per process, and on the CPU what a step needs.
    """
    needed = images * pixels * CACHED_BYTES_PER_PIXEL / 1e6
    cache = min(1000 * settings.cache_gb, needed) * max(gpus, 1)
    if gpus:
        return _round_up((GPU_HOST_MB * gpus + cache) * 2 ** (attempt - 1), 1000)
    per_megapixel = MB_PER_TRAINED_MEGAPIXEL.get(settings.backbone, OTHER_MB_PER_TRAINED_MEGAPIXEL)
    step = per_megapixel * measure_batch_megapixels(settings)
    if isinstance(settings, MiningSettings):
        step += MB_PER_PROPOSAL * settings.batch_size * settings.max_proposals
    return _round_up((MEMORY_MARGIN * (TRAINING_MB + step / settings.accumulation) + cache) * 2 ** (attempt - 1), 1000)


def request_training_minutes(settings: TrainingSettings, rounds: int, gpus: int, attempt: int) -> int:
    """Minutes of a training of ``rounds`` times the settings' steps.

    A training goes on from its checkpoint when it is tried again, so that a limit that is too low costs little.
    """
    seconds = rounds * estimate_training_seconds(settings) / (GPU_SPEEDUP * gpus if gpus else 1)
    return _round_up((2 * START_MIN + TIME_MARGIN * seconds / 60) * 2 ** (attempt - 1), 5)


def measure_pixels(config: RunConfig, ids_by_split: Mapping[str, Sequence[str]], data_root: Path | str) -> int:
    """Pixels of an image: the largest of three of the dataset, of which the headers alone are read.

    What can't be read counts as ``ASSUMED_PIXELS``; the stage that reads it says what is wrong.
    """
    if config.dataset.format == "streets":
        return config.streets.height * config.streets.width
    from PIL import Image, UnidentifiedImageError

    image_ids = ids_by_split["train"]
    sizes = []
    for position in {0, len(image_ids) // 2, len(image_ids) - 1}:
        try:
            with Image.open(locate(config.dataset, data_root, "train", image_ids[position]).image) as image:
                sizes.append(image.width * image.height)
        except (ValueError, OSError, UnidentifiedImageError):
            sizes.append(ASSUMED_PIXELS)
    return max(sizes)


def _round_up(value: float, step: int) -> int:
    return math.ceil(value / step) * step
