"""Memory and time that the jobs of a stage request, from the size of images and shards.

The table holds figures from benchmark files of runs on images of 0.008 to 2.1 million pixels (columns `max_rss` and
`s`), rounded up. :mod:`pseudogt.costs.networks` computes the needs of networks from their settings. Requests
are a multiple of both, and double when a job is retried.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from pseudogt.box_masks.sam_folder import find_sam
from pseudogt.config.run import RunConfig
from pseudogt.config.training import TrainingSettings
from pseudogt.costs.assumptions import BASE_MB
from pseudogt.costs.estimate import ASSUMED_PIXELS
from pseudogt.costs.mining import GRABCUT_S, count_boxes_ahead, estimate_mined_mb, estimate_mined_seconds
from pseudogt.costs.networks import (
    estimate_sam_mb,
    estimate_sam_seconds,
    estimate_step_mb,
    estimate_training_seconds,
    estimate_weights_mb,
)
from pseudogt.datasets import DatasetImages
from pseudogt.pseudo_labels.concept_folder import find_concept_model

MEMORY_MARGIN = 2.0
"""Other allocators, other versions: a job that is killed for memory costs more than memory that is not used."""

TIME_MARGIN = 4.0
"""Slower cores and a busy file system."""

START_MIN = 10.0
"""Minutes that every job gets on top: importing torch from a cold network file system takes some."""

LONGEST_TRAINING_MIN = 7 * 24 * 60
"""A week, which is what the partitions of clusters allow as a rule."""

MB_PER_THOUSAND_IMAGES = 12.0
"""What a job on all images keeps of each, beyond its size: boxes, tags, segments, scores. The merged weak labels, the
most, took 10 on 20,000 images (benchmarks/scale.py)."""

WORKER_MB = 600.0
"""Main memory of a process that loads batches: torch, and the pieces of batches that it has ready."""

WORKER_MB_PER_MEGAPIXEL = 150.0
"""On top, per million pixels of an image that it prepares."""

PREPARATION_S_PER_MEGAPIXEL = 0.25
"""Seconds on one core in which a training prepares a million pixels of an image: 0.22 (benchmarks/training.py)."""

GPU_HOST_MB = 6000.0
"""Main memory of a process that trains on a GPU: CUDA's context and pinned batches."""


@dataclass(frozen=True)
class Costs:
    """Measured costs of a stage.

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
    "annotations": Costs(1900, 50, 0.0, 0.02),
    "review": Costs(900, 300, 0.3, 0.05),
    "labels": Costs(200, 300, 1.0, 0.05),
    "predictions": Costs(1200, 4000, 1.0, 0.1),
    "evaluation": Costs(150, 100, 0.2, 0.02),
    # A hundred detections of each image of COCO's val, with masks, in memory twice.
    "detection_scores": Costs(1500, 100, 0.2, 0.05),
    "report": Costs(250, 300, 0.2, 0.01),
    "export": Costs(200, 200, 0.5, 0.05),
}


EVIDENCE = Costs(BASE_MB, 200, 0.1, 0.05)
"""The stage `evidence` without GrabCut: reading images and proposals."""

MINED = Costs(BASE_MB, 200, 1.0, 0.3)
"""The stage `mined` without its network and score maps: reading images and proposals, merging, writing."""

MB_PER_CLASS = 10.0
"""Memory of the stage `mined` per class and million pixels of an image: its scores, and where tags allow it."""


def find_costs(stage: str, config: RunConfig) -> Costs:
    """Costs of a stage with the settings of a run.

    Parameters
    ----------
    stage : str
        A key of ``COSTS``, or ``mined`` or ``evidence``, whose costs follow from the settings, as do those of
        ``box_masks`` and ``cams`` with a model of the user's.
    config : RunConfig
    """
    if stage == "evidence":
        seconds = count_boxes_ahead(config.mining) * GRABCUT_S / config.threads
        return replace(EVIDENCE, seconds_per_image=EVIDENCE.seconds_per_image + seconds)
    model = None
    if stage == "box_masks" and config.uses_sam:
        model = find_sam(config.box_masks.sam_model or "")
    elif stage == "cams" and config.uses_concepts:
        model = find_concept_model(config.cams.concept_model or "")
    if model is not None:
        costs = COSTS[stage]
        seconds = costs.seconds_per_image + estimate_sam_seconds(model.megabytes, config.gpus)
        return replace(costs, mb=costs.mb + estimate_sam_mb(model.megabytes), seconds_per_image=seconds)
    if stage != "mined":
        return COSTS[stage]
    mining, mined, classes = config.mining, config.mined, config.dataset.classes
    stuff = sum(not entry.isthing for entry in classes)
    return replace(
        MINED,
        mb=MINED.mb + estimate_mined_mb(mining, mined, stuff),
        mb_per_megapixel=MINED.mb_per_megapixel + MB_PER_CLASS * len(classes),
        seconds_per_image=MINED.seconds_per_image + estimate_mined_seconds(mining, mined, stuff, config.gpus),
    )


def request_memory_mb(costs: Costs, pixels: int, attempt: int, images: int = 0) -> int:
    """Memory to ask for, in MB: images are worked on one by one, so that their size counts more than their number.

    Parameters
    ----------
    costs : Costs
        Costs of the stage.
    pixels : int
        Pixels of an image of the dataset.
    attempt : int
        Counted from 1.
    images : int
        Images of a job on all images, which keeps some data of each.
    """
    needed = costs.mb + costs.mb_per_megapixel * pixels / 1e6 + MB_PER_THOUSAND_IMAGES * images / 1e3
    return _round_up(MEMORY_MARGIN * needed * 2 ** (attempt - 1), 250)


def request_minutes(costs: Costs, pixels: int, images: int, attempt: int) -> int:
    """Minutes to ask for: a job on ``images`` images of ``pixels`` pixels."""
    seconds = images * (costs.seconds_per_image + costs.seconds_per_megapixel * pixels / 1e6)
    return _round_up((START_MIN + TIME_MARGIN * seconds / 60) * 2 ** (attempt - 1), 5)


def count_loader_workers(settings: TrainingSettings, threads: int, gpus: int) -> int:
    """Processes that load batches for each process of a training, as the training counts them."""
    if settings.loader_workers != "auto":
        return settings.loader_workers
    return max(1, threads // gpus - 1) if gpus else 0


def request_training_threads(settings: TrainingSettings, threads: int, gpus: int) -> int:
    """Cores of a training: ``threads``, or what a number of workers that was set needs beside what computes."""
    if settings.loader_workers == "auto" or settings.loader_workers == 0:
        return threads
    computing = 1 if gpus else settings.torch_threads
    return max(threads, max(gpus, 1) * (settings.loader_workers + computing))


def request_training_memory_mb(settings: TrainingSettings, pixels: int, threads: int, gpus: int, attempt: int) -> int:
    """Memory of a training on images of ``pixels`` pixels.

    Every GPU has a process of its own, with its weights and its workers. On the CPU, a step is computed in main memory,
    too. Files of prepared images are mapped: the system drops what it has of them in memory when something else needs
    the room.
    """
    kept = count_loader_workers(settings, threads, gpus) * (WORKER_MB + WORKER_MB_PER_MEGAPIXEL * pixels / 1e6)
    if gpus:
        process = GPU_HOST_MB + estimate_weights_mb(settings) + kept
        return _round_up(gpus * process * 2 ** (attempt - 1), 1000)
    step = MEMORY_MARGIN * (BASE_MB + estimate_step_mb(settings))
    return _round_up((step + kept) * 2 ** (attempt - 1), 1000)


def request_training_minutes(
    settings: TrainingSettings,
    rounds: int,
    images: int,
    gpus: int,
    attempt: int,
    *,
    pixels: int = ASSUMED_PIXELS,
    threads: int = 1,
) -> int:
    """Minutes of a training of ``rounds`` times the settings' steps on ``images`` images of ``pixels`` pixels.

    A retried training resumes from its checkpoint. A limit that is too low therefore costs little, whereas one that no
    partition allows stops the run.
    """
    seconds = rounds * estimate_training_seconds(settings, images, gpus, threads)
    drawn = min(images, rounds * settings.steps * settings.batch_size)
    processes = max(gpus, 1) * max(count_loader_workers(settings, threads, gpus), 1)
    seconds += drawn * PREPARATION_S_PER_MEGAPIXEL * pixels / 1e6 / processes
    minutes = (2 * START_MIN + TIME_MARGIN * seconds / 60) * 2 ** (attempt - 1)
    return min(_round_up(minutes, 5), LONGEST_TRAINING_MIN)


def measure_pixels(config: RunConfig, images: DatasetImages) -> int:
    """Pixels of an image: the largest of three images of the dataset, of which only the headers are read.

    What can't be read counts as ``ASSUMED_PIXELS``; the stage that reads it reports the problem.
    """
    if config.dataset.format == "streets":
        return config.streets.height * config.streets.width
    from pseudogt.files.headers import read_header

    image_ids = images.ids["train"]
    sizes = []
    for position in {0, len(image_ids) // 2, len(image_ids) - 1}:
        try:
            header = read_header(images.locate(image_ids[position]).image)
            sizes.append(header.width * header.height)
        except ValueError:
            sizes.append(ASSUMED_PIXELS)
    return max(sizes)


def _round_up(value: float, step: int) -> int:
    return math.ceil(value / step) * step
