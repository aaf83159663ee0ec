"""An estimate of a run's time and disk space, printed before it starts."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from pseudogt.config.run import RunConfig
from pseudogt.costs.mining import GRABCUT_S, count_boxes_ahead, count_masks, estimate_mined_seconds
from pseudogt.costs.networks import estimate_gpu_mb, estimate_training_seconds

SECONDS_PER_IMAGE = 0.5
"""Seconds per training image for everything else, all rounds together, on two cores."""

BYTES_PER_PIXEL = {"labels": 0.1, "first_scores": 0.6}
"""Bytes on disk per image pixel, as measured on CamVid: label PNGs, and what the labels of round 0 are made from."""

BYTES_PER_SCORED_PIXEL = 4.0
"""Size of a round's score file per pixel of the network's input: about eight tagged classes at stride 2, in float16."""

BYTES_PER_PREPARED_PIXEL = {"classifier": 3.0, "mining": 7.1, "segmenter": 8.0}
"""Size of an image that a training has prepared, per pixel of the network's input: the image, and maps of one or two
bytes, or of four (superpixels). The files are removed with the checkpoint of the training."""

BYTES_PER_MASK = 400.0
"""Size of a mask that GrabCut found, compressed (benchmarks/jtsm_evidence.py: 357); masks are kept for later runs."""

ASSUMED_PIXELS = 500_000
"""Pixels of an image whose size is not known before the index is made."""


def describe_estimate(config: RunConfig, shards: Mapping[str, Sequence[str]], pixels: int = ASSUMED_PIXELS) -> str:
    """One paragraph: images, jobs' time on this kind of machine, disk needed and free.

    Parameters
    ----------
    config : RunConfig
    shards : mapping
        Shard -> image ids.
    pixels : int
        Pixels of an average image.
    """
    train, val = (sum(len(i) for s, i in shards.items() if s.startswith(split)) for split in ("train", "val"))
    minutes, rounds = estimate_seconds(config, train, val) / 60, config.rounds.max
    needed = estimate_bytes(config, train, val, pixels) / 1e9
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    where = f"{config.gpus} GPU" if config.gpus else f"{config.threads} core{'s' * (config.threads > 1)}"
    memory = f" Trainings take {estimate_gpu_gb(config):.0f} GB of each GPU." if config.gpus else ""
    warning = "  There may not be enough space." if needed > 0.9 * free else ""
    return (
        f"{config.name}: {train} training and {val} validation images, at most {rounds} "
        f"round{'s' * (rounds > 1)}. A whole run takes about {max(minutes, 1):.0f} minutes on {where} "
        f"and {max(needed, 0.01):.2g} GB ({free:.0f} GB are free).{memory}{warning}"
    )


def estimate_seconds(config: RunConfig, train_images: int, val_images: int = 0) -> float:
    """Seconds of a whole run: what comes before round 0, all rounds, and a reference as long as they are together."""
    seconds = estimate_seconds_of_trainings(config, train_images) + SECONDS_PER_IMAGE * train_images
    if config.method == "jtsm":
        seconds += (train_images + val_images) * estimate_mined_seconds_of_run(config)
    return seconds


def estimate_mined_seconds_of_run(config: RunConfig) -> float:
    """Seconds in which the mined network of a run is applied to an image."""
    stuff = sum(not entry.isthing for entry in config.dataset.classes)
    return estimate_mined_seconds(config.mining, config.mined, stuff, config.gpus)


def estimate_seconds_of_jobs(
    config: RunConfig, train_images: int, jobs: Mapping[str, int], val_images: int = 0
) -> dict[str, float]:
    """Seconds by which a job of each rule lengthens a run.

    Trainings and the jobs of JTSM, which use all cores, are estimated; the others share what the estimate of the run
    allows for them, since they run side by side.

    Parameters
    ----------
    config : RunConfig
    train_images : int
    jobs : mapping
        Rule -> number of jobs.
    val_images : int
    """
    sections = config.list_trainings()
    trained = {n: estimate_training_seconds(s, train_images, config.gpus, config.threads) for n, s in sections.items()}
    segmenter = trained.pop("segmenter")
    seconds = {**trained, "segmenter_round": segmenter, "reference": count_reference_trainings(config) * segmenter}
    if config.method == "jtsm":
        seconds |= estimate_seconds_of_mining_jobs(config, train_images, val_images)
    others = {rule: count for rule, count in jobs.items() if rule not in seconds}
    shared = SECONDS_PER_IMAGE * train_images / max(sum(others.values()), 1)
    return seconds | dict.fromkeys(others, max(shared, 1.0))


def estimate_seconds_of_mining_jobs(config: RunConfig, train_images: int, val_images: int) -> dict[str, float]:
    """Seconds of a job of JTSM that works on a shard, by rule; a shard has the average number of its split's images."""
    in_train, in_val = (n / max(math.ceil(n / config.shard_size), 1) for n in (train_images, val_images))
    mined = estimate_mined_seconds_of_run(config)
    grabcut = count_boxes_ahead(config.mining) * GRABCUT_S / config.threads
    return {"evidence_shard": in_train * grabcut, "mined_shard": in_train * mined, "mined_val_shard": in_val * mined}


def estimate_seconds_of_trainings(config: RunConfig, train_images: int) -> float:
    """Seconds of all trainings of a run; the segmenter's is repeated in every round and for the reference, if any."""
    *first, segmenter = (
        estimate_training_seconds(settings, train_images, config.gpus, config.threads)
        for settings in config.list_trainings().values()
    )
    return sum(first) + (config.rounds.max + count_reference_trainings(config)) * segmenter


def count_reference_trainings(config: RunConfig) -> int:
    """Trainings of a round that are as long as that of the reference; none without ground truth."""
    if not config.dataset.has_ground_truth:
        return 0
    return config.rounds.max if config.rounds.init == "previous" else 1


def estimate_gpu_gb(config: RunConfig) -> float:
    """Memory of each GPU for the largest training of a run; 0 without GPUs."""
    classes = len(config.dataset.classes)
    return (
        max(estimate_gpu_mb(s, classes, config.gpus) for s in config.list_trainings().values()) / 1e3
        if config.gpus
        else 0.0
    )


def estimate_bytes(config: RunConfig, train_images: int, val_images: int, pixels: int) -> float:
    """Bytes of a whole run's results; without `keep_scores`, those of one round's scores at a time.

    What trainings have prepared counts once, for they follow each other.
    """
    rounds = config.rounds.max
    labels = (2 * rounds + 4) * train_images + (rounds + 2) * val_images
    scores = BYTES_PER_SCORED_PIXEL * config.segmenter.scale**2 * (rounds if config.keep_scores else 1)
    kept = labels * BYTES_PER_PIXEL["labels"] + train_images * (BYTES_PER_PIXEL["first_scores"] + scores)
    masks = BYTES_PER_MASK * count_masks(config.mining, train_images) if config.method == "jtsm" else 0
    return masks + pixels * (kept + estimate_prepared_bytes_per_pixel(config, train_images))


def estimate_prepared_bytes_per_pixel(config: RunConfig, train_images: int) -> float:
    """Bytes, per pixel of an image, of what that training prepares that takes most: the images that it draws."""
    needed = []
    for name, settings in config.list_trainings().items():
        # The reference takes as many steps as all rounds together.
        rounds = config.rounds.max + 1 if name == "segmenter" else 1
        drawn = min(train_images, rounds * settings.steps * settings.batch_size)
        scale: float = getattr(settings, "scale", 1.0)  # mining keeps images as they are
        needed.append(drawn * BYTES_PER_PREPARED_PIXEL[name] * scale**2)
    return max(needed)
