"""What a run will take, said before it starts."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from pseudogt.config.mining import MiningSettings
from pseudogt.config.run import RunConfig
from pseudogt.config.training import TrainingSettings

SECONDS_PER_MEGAPIXEL = {
    "small": 0.55,
    "resnet18": 1.3,
    "resnet50": 3.5,
    "resnet101": 6.0,
    "resnet_ws18": 9.0,
    "resnet_ws50": 25.0,
    "resnet_ws101": 43.0,
}
"""Seconds of a training step per million pixels of its batch on two cores without a GPU: ``small`` as measured on
CamVid, the others by their operations."""

ASSUMED_BACKBONE = "resnet50"
"""What a backbone that is not in this table is taken to cost."""

SECONDS_PER_PROPOSAL = 5e-4
"""Seconds of a mining step per proposal of its batch on two cores."""

GPU_SPEEDUP = 60
"""How much faster a GPU of this decade is than two cores, roughly."""

SECONDS_PER_IMAGE = 0.5
"""Seconds per training image for everything else, all rounds together, on two cores."""

BYTES_PER_PIXEL = {"labels": 0.1, "first_scores": 0.6}
"""Bytes on disk per image pixel, as measured on CamVid: label PNGs, and what the labels of round 0 are made from."""

BYTES_PER_SCORED_PIXEL = 4.0
"""Of a round's score file, per pixel of the network's input: float16 of about eight tagged classes at stride 2."""

ASSUMED_ASPECT = 1.5
"""Longer over shorter side of an image."""

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
    minutes = estimate_seconds(config, train) / 60
    needed = estimate_bytes(config, train, val, pixels) / 1e9
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    where = f"{config.gpus} GPU" if config.gpus else f"{config.threads} cores"
    warning = "  There may not be enough space." if needed > 0.9 * free else ""
    return (
        f"{config.name}: {train} training and {val} validation images, {config.rounds.max} rounds at most. A whole run "
        f"takes about {max(minutes, 1):.0f} minutes on {where} and {max(needed, 0.01):.2g} GB "
        f"({free:.0f} GB are free).{warning}"
    )


def estimate_seconds(config: RunConfig, train_images: int) -> float:
    """Seconds of a whole run: classifier, all rounds, and a reference as long as they are together."""
    rounds = 2 * config.rounds.max if config.rounds.init == "previous" else config.rounds.max + 1
    training = _seconds_before_rounds(config) + rounds * estimate_training_seconds(config.segmenter)
    return training / (GPU_SPEEDUP * config.gpus if config.gpus else 1) + SECONDS_PER_IMAGE * train_images


def _seconds_before_rounds(config: RunConfig) -> float:
    """Seconds until labels of round 0 are there: classifier, mining, or both."""
    if config.method == "wsps":
        return estimate_training_seconds(config.classifier)
    classifier = estimate_training_seconds(config.classifier) if config.mining.init == "classifier" else 0.0
    return classifier + estimate_training_seconds(config.mining)


def estimate_training_seconds(settings: TrainingSettings) -> float:
    """Seconds of a training on two cores without a GPU."""
    seconds_per_megapixel = SECONDS_PER_MEGAPIXEL.get(settings.backbone, SECONDS_PER_MEGAPIXEL[ASSUMED_BACKBONE])
    seconds = settings.steps * measure_batch_megapixels(settings) * seconds_per_megapixel
    if isinstance(settings, MiningSettings):
        seconds += settings.steps * settings.batch_size * settings.max_proposals * SECONDS_PER_PROPOSAL
    return seconds


def measure_batch_megapixels(settings: TrainingSettings) -> float:
    """Million pixels of the images of a training step."""
    if isinstance(settings, MiningSettings):
        side = sum(settings.short_sides_px) / len(settings.short_sides_px)
        return settings.batch_size * ASSUMED_ASPECT * side**2 / 1e6
    pixels = settings.crop_height_px * settings.crop_width_px  # type: ignore[attr-defined]
    return settings.batch_size * pixels / 1e6


def estimate_bytes(config: RunConfig, train_images: int, val_images: int, pixels: int) -> float:
    """Bytes of a whole run's results; without `keep_scores`, those of one round's scores at a time."""
    rounds = config.rounds.max
    labels = (2 * rounds + 4) * train_images + (rounds + 2) * val_images
    scores = BYTES_PER_SCORED_PIXEL * config.segmenter.scale**2 * (rounds if config.keep_scores else 1)
    return pixels * (labels * BYTES_PER_PIXEL["labels"] + train_images * (BYTES_PER_PIXEL["first_scores"] + scores))
