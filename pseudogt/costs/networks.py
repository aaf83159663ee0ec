"""Seconds and memory of networks, from their settings: trainings, passes of the panoptic network, and SAM.

They were measured on two cores without a GPU, on steps and images of street scenes and CamVid. Figures should be right
within a factor of two or three; requests to a scheduler add a margin. :mod:`pseudogt.costs.mining` has those of JTSM.
"""

from __future__ import annotations

from pseudogt.config.classifier import ClassifierSettings
from pseudogt.config.mining import MiningSettings
from pseudogt.config.training import TrainingSettings
from pseudogt.costs.assumptions import (
    BASE_MB,
    BYTES_PER_WEIGHT,
    FORWARD_SHARE,
    FROZEN_SHARE,
    GIGAPRODUCTS_PER_SECOND,
    GPU_SPEEDUP,
    GRADIENT_FACTOR,
    PRODUCTS_PER_SECOND,
)
from pseudogt.costs.backbones import find_network_size, find_seconds_per_megapixel
from pseudogt.costs.mask_transformers import count_mask_gigaproducts, estimate_mask_mb, has_queries
from pseudogt.costs.mining import (
    GRABCUT_S,
    count_masks,
    estimate_mining_step_mb,
    estimate_mining_step_seconds,
    estimate_mining_weights_mb,
)

MASK_FACTOR = 2.5
"""Seconds of a mask transformer over those of its products alone: layers of small tensors, sampling, matching."""

PEAK_PER_ACTIVATION = 1.2
"""Peak memory of a backbone in a step, relative to what it keeps for the backward pass (docs/results/recipes.md)."""

BF16_SHARE = 0.6
"""Memory that a backbone keeps under autocast to bfloat16 over that in 32 bits, counted for ResNets; normalisation and
weights stay in 32 bits."""

DECODER_ACTIVATION_MB = {"classifier": {"fp32": 1.8, "bf16": 0.85}, "segmenter": {"fp32": 3.0, "bf16": 1.8}}
"""Memory that a decoder keeps, in MB per million pixels and channel."""

CLASS_ACTIVATION_MB = {"classifier": 1.0, "segmenter": 8.0}
"""What the losses keep, in MB per million pixels and class, in 32 bits whatever the precision: the classifier's scores
are at stride 4, the segmenter's at that of the image."""

DECODER_MILLION_WEIGHTS = 2.7
"""Millions of weights of a decoder of 128 channels, with its heads."""

GPU_BASE_MB = 1500.0
"""Memory of each GPU for CUDA's context and the work space of convolutions."""

GPU_MARGIN = 1.2
"""Gradients on their way, and what an allocator can't use of its blocks."""

PASS_MB = {"decoder_channel": 2.0, "class": 2.0}
"""Memory of a pass of the panoptic network without gradients, in MB per million pixels of its batch and decoder channel
or class: 148 with `small`, 48 channels and 19 classes, 294 with 128 channels, in 32 bits on the CPU."""

SAM_TOKENS = 4096
"""Places at which the encoder of a Segment Anything model applies its weights: patches of 16 of a square of 1024."""

SAM_WORKING_MB = 4000.0
"""What such a model needs beside its weights: attention between all patches, and a batch of boxes."""


def estimate_sam_seconds(weights_mb: float, gpus: int = 0) -> float:
    """Seconds in which a Segment Anything model looks at an image and its boxes, from the size of its weights.

    Each weight of 4 bytes takes part in a product at each patch; later kinds apply some of theirs at fewer places.
    """
    seconds = weights_mb * 1e6 / 4 * SAM_TOKENS / PRODUCTS_PER_SECOND
    return seconds / (GPU_SPEEDUP if gpus else 1)


def estimate_sam_mb(weights_mb: float) -> float:
    """Main memory of a Segment Anything model at work: twice its weights, as they are read and converted."""
    return BASE_MB + 2 * weights_mb + SAM_WORKING_MB


def estimate_training_seconds(settings: TrainingSettings, images: int, gpus: int = 0, threads: int = 2) -> float:
    """Seconds of a training on two cores, or on GPUs.

    Parameters
    ----------
    settings : TrainingSettings
    images : int
        Number of training images.
    gpus : int
        0 for the CPU.
    threads : int
        Cores of the job, on which GrabCut runs while the network waits.
    """
    seconds = settings.steps * estimate_step_seconds(settings) / (GPU_SPEEDUP * gpus if gpus else 1)
    if isinstance(settings, MiningSettings):
        seconds += count_masks(settings, images) * GRABCUT_S / threads
    return seconds


def estimate_step_seconds(settings: TrainingSettings) -> float:
    """Seconds of a training step on two cores, evidence by GrabCut apart."""
    if isinstance(settings, MiningSettings):
        return estimate_mining_step_seconds(settings)
    per_megapixel = find_seconds_per_megapixel(settings.backbone)
    if has_queries(settings):
        products = GRADIENT_FACTOR * count_mask_gigaproducts(settings)
        per_megapixel += MASK_FACTOR * products / GIGAPRODUCTS_PER_SECOND
    return measure_batch_megapixels(settings) * per_megapixel * share_frozen(settings, FORWARD_SHARE)


def estimate_step_mb(settings: TrainingSettings, classes: int = 20) -> float:
    """Main memory of a training step on the CPU, without what every process with torch takes.

    The step of mining is taken to have about 20 classes.
    """
    if isinstance(settings, MiningSettings):
        return estimate_mining_step_mb(settings)
    values = estimate_activation_mb(settings, classes, precision="fp32") * measure_batch_megapixels(settings)
    return estimate_weights_mb(settings) + values * settings.find_pass_size() / settings.batch_size


def estimate_weights_mb(settings: TrainingSettings) -> float:
    """Memory for the weights of a training."""
    if isinstance(settings, MiningSettings):
        return estimate_mining_weights_mb(settings)
    return BYTES_PER_WEIGHT * (find_network_size(settings.backbone).million_weights + DECODER_MILLION_WEIGHTS)


def share_frozen(settings: TrainingSettings, frozen_share: float) -> float:
    """Cost of a step of classifier or segmenter relative to one without frozen weights.

    ``frozen_share`` is the cost of a backbone that is all frozen.
    """
    stages: int = settings.frozen_stages  # type: ignore[attr-defined]
    return 1 - stages / 4 * (1 - frozen_share)


def measure_batch_megapixels(settings: TrainingSettings) -> float:
    """Million pixels of the crops in a training step of classifier or segmenter."""
    pixels = settings.crop_height_px * settings.crop_width_px  # type: ignore[attr-defined]
    return settings.batch_size * pixels / 1e6


def estimate_activation_mb(settings: TrainingSettings, classes: int, *, precision: str) -> float:
    """Memory that a step of classifier or segmenter keeps for its backward pass, in MB per million pixels of the batch.

    Parameters
    ----------
    settings : ClassifierSettings or SegmenterSettings
    classes : int
        Number of classes.
    precision : {"fp32", "bf16"}
    """
    kind = "classifier" if isinstance(settings, ClassifierSettings) else "segmenter"
    backbone = (
        PEAK_PER_ACTIVATION * find_network_size(settings.backbone).activation_mb * share_frozen(settings, FROZEN_SHARE)
    )
    backbone *= BF16_SHARE if precision == "bf16" else 1.0
    backbone += CLASS_ACTIVATION_MB[kind] * classes
    if has_queries(settings):
        return backbone + estimate_mask_mb(settings)
    channels: int = settings.decoder_channels  # type: ignore[attr-defined]
    return backbone + DECODER_ACTIVATION_MB[kind][precision] * channels


def estimate_pass_mb(backbone: str, decoder_channels: int, classes: int) -> float:
    """Memory of a pass of the panoptic network without gradients, in MB per million pixels of its batch."""
    values = FROZEN_SHARE * find_network_size(backbone).activation_mb
    return values + PASS_MB["decoder_channel"] * decoder_channels + PASS_MB["class"] * classes


def estimate_gpu_mb(settings: TrainingSettings, classes: int, gpus: int) -> float:
    """Memory of each of the GPUs of a training; 16 bits where the settings leave the precision open.

    Parameters
    ----------
    settings : TrainingSettings
    classes : int
        Number of classes.
    gpus : int
        At least 1.
    """
    if isinstance(settings, MiningSettings):
        images = settings.find_pass_size() / settings.find_pass_size(gpus)
        step = estimate_step_mb(settings) / images
        return GPU_BASE_MB + estimate_weights_mb(settings) + GPU_MARGIN * step
    values = estimate_activation_mb(settings, classes, precision="fp32" if settings.precision == "fp32" else "bf16")
    megapixels = measure_batch_megapixels(settings) * settings.find_pass_size(gpus) / settings.batch_size
    return GPU_BASE_MB + estimate_weights_mb(settings) + GPU_MARGIN * values * megapixels
