"""Seconds and memory of networks, from their settings: trainings, and the mined network on one image.

They were measured on two cores without a GPU: steps and images of street scenes, CamVid, and VOC at the sizes of
``configs/voc2012-jtsm.yaml`` (``benchmarks/jtsm_formats.py``). Figures should be right within a factor of two or
three; requests to a scheduler add a margin.
"""

from __future__ import annotations

from collections.abc import Sequence

from pseudogt.config.classifier import ClassifierSettings
from pseudogt.config.mined import MinedSettings
from pseudogt.config.mining import DENSE_LEVELS, MiningSettings
from pseudogt.config.training import TrainingSettings
from pseudogt.costs.backbones import CHANNELS, find_backbone_costs, find_network_size
from pseudogt.costs.mask_transformers import count_mask_gigaproducts, estimate_mask_mb, has_queries

SECONDS_PER_MEGAPIXEL = {
    "small": 0.55,
    "resnet18": 1.3,
    "resnet50": 3.5,
    "resnet101": 6.0,
    "resnet_ws18": 9.0,
    "resnet_ws50": 25.0,
    "resnet_ws101": 43.0,
}
"""Seconds of a training step per million pixels of its batch: ``small`` as measured on CamVid, the others by their
operations."""

OTHER_SECONDS_PER_MEGAPIXEL = SECONDS_PER_MEGAPIXEL["resnet50"]
"""Assumed cost of a backbone that is not in this table; timm's networks have their own table."""

DECODER_SECONDS_PER_MEGAPIXEL = 0.25
"""Of a training step, what is spent outside a backbone of timm: decoder, heads, losses."""

MASK_FACTOR = 2.5
"""Seconds of a mask transformer over those of its products alone: layers of small tensors, sampling, matching."""


GIGAPRODUCTS_PER_SECOND = 115.0
"""Of two cores in convolutions; the seconds of ResNets follow from it."""

ACTIVATION_MB_PER_SECOND = 1650.0
"""Values that two cores write, read and differentiate; what networks of thin layers, few products each, wait for."""

DENSE_FACTOR = 7
"""Relative cost of a backbone whose later strides are replaced by dilation, as in ResNet-WS."""

FORWARD_SHARE = 1 / 3
"""Share of a step that is spent without gradients: the whole cost of a frozen backbone, and of inference."""

GPU_SPEEDUP = 60
"""Approximate speed of a recent GPU relative to two cores."""

PRODUCTS_PER_SECOND = 1.5e11
"""Multiplications and additions of two cores in matrix products of 32-bit numbers."""

GRADIENT_FACTOR = 3
"""Products of a training step per product of its forward pass."""


BINS = 49
"""Cells of a pooled proposal."""

SECONDS_PER_CHANNEL = 1e-6
"""Of a training step, per proposal and channel of the features: pooling over segments and the refinement heads."""

MASK_CELLS = 14 * 14
"""Cells of a box that the mask branch convolves; its masks have four times as many."""

MASK_SHARE = 0.08
"""Of the proposals of an image, those that learn masks without ``mask_limit``: some hundreds of 4,000."""

THINGS_PER_IMAGE, STUFF_PER_IMAGE = 3, 6
"""Tagged classes of an image, as in COCO."""

GRABCUT_S = 0.35
"""Processor seconds of a box, averaged over small and large ones (benchmarks/jtsm_evidence.py: 0.31)."""

EVIDENCE_CHANGES = 5
"""How often the boxes for which an image's evidence is requested change during a training."""

SECONDS_PER_MAP = 1e-3
"""Of a mined image, per view, score map and million pixels of the view: resizing and averaging, on the CPU."""

ASSUMED_ASPECT = 1.5
"""Longer over shorter side of an image."""

BASE_MB = 1500.0
"""Main memory of a process with torch."""

MB_PER_TRAINED_MEGAPIXEL = {"small": 1000.0}
OTHER_MB_PER_TRAINED_MEGAPIXEL = 6000.0
"""Main memory of a step of mining per million pixels of its batch, on the CPU."""

DECODER_MB_PER_MEGAPIXEL = 700.0
"""Of that memory, what is used outside a backbone of timm."""

MB_PER_ACTIVATION_MB = 1.4
"""Memory for what a backbone keeps for the backward pass, its gradients and its workspaces, over the former."""

FROZEN_SHARE = 0.1
"""Of that memory, what a pass without gradients takes: few layers at a time."""


PEAK_PER_ACTIVATION = 1.2
"""Peak memory of a backbone in a step, relative to what it keeps for the backward pass (docs/results/recipes.md)."""

BF16_SHARE = 0.6
"""Of the values that a backbone keeps in 32 bits, what it keeps under autocast to bfloat16, in which normalisation and
weights stay as they are; ResNets were counted."""

DECODER_ACTIVATION_MB = {"classifier": {"fp32": 1.8, "bf16": 0.85}, "segmenter": {"fp32": 3.0, "bf16": 1.8}}
"""Memory that a decoder keeps, in MB per million pixels and channel."""

CLASS_ACTIVATION_MB = {"classifier": 1.0, "segmenter": 8.0}
"""What the losses keep, in MB per million pixels and class, in 32 bits whatever the precision: the classifier's scores
are at stride 4, the segmenter's at that of the image."""

DECODER_MILLION_WEIGHTS = 2.7
"""Millions of weights of a decoder of 128 channels, with its heads."""

GPU_BASE_MB = 1500.0
"""Of each GPU, what CUDA's context and the work space of convolutions take."""

GPU_MARGIN = 1.2
"""Gradients on their way, and what an allocator can't use of its blocks."""

BYTES_PER_WEIGHT = 16
"""A weight that is trained, its gradient, its momentum, and a copy on its way to or from a file."""


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
    per_megapixel = find_seconds_per_megapixel(settings)
    if has_queries(settings):
        products = GRADIENT_FACTOR * count_mask_gigaproducts(settings)
        per_megapixel += MASK_FACTOR * products / GIGAPRODUCTS_PER_SECOND
    seconds = measure_batch_megapixels(settings) * per_megapixel
    if not isinstance(settings, MiningSettings):
        return seconds * share_frozen(settings, FORWARD_SHARE)
    neck = settings.max_proposals * count_neck_weights(settings)
    masks = count_mask_proposals(settings) * count_mask_products(settings)
    heads = GRADIENT_FACTOR * (neck + masks) / PRODUCTS_PER_SECOND
    pooling = settings.max_proposals * count_channels(settings) * SECONDS_PER_CHANNEL
    return seconds * share_frozen(settings, FORWARD_SHARE) + settings.batch_size * (heads + pooling)


def estimate_step_mb(settings: TrainingSettings, classes: int = 20) -> float:
    """Main memory of a training step on the CPU, without what every process with torch takes.

    The step of mining is taken to have about 20 classes.
    """
    parts = settings.batch_size / settings.find_pass_size()
    if not isinstance(settings, MiningSettings):
        values = estimate_activation_mb(settings, classes, precision="fp32")
        return estimate_weights_mb(settings) + values * measure_batch_megapixels(settings) / parts
    per_megapixel = find_mb_per_megapixel(settings) * share_frozen(settings, FROZEN_SHARE)
    largest = measure_megapixels([max(settings.short_sides_px)], settings.long_side_px)
    pixels = largest * per_megapixel
    proposals = 1e-6 * settings.max_proposals * count_proposal_bytes(settings)
    # Two heads, each with five maps of its width and one four times as large.
    masks = 1e-6 * count_mask_proposals(settings) * 2 * (5 + 4) * settings.mask_channels * MASK_CELLS * 4
    return estimate_weights_mb(settings) + settings.batch_size * (pixels + proposals + masks) / parts


def estimate_weights_mb(settings: TrainingSettings) -> float:
    """Memory for the weights of a training; of those of mining, the ones of its neck and of a backbone of timm."""
    if isinstance(settings, MiningSettings):
        costs = find_backbone_costs(settings.backbone)
        weights = 1e-6 * count_neck_weights(settings) + (costs.million_weights if costs else 0.0)
    else:
        weights = find_network_size(settings.backbone).million_weights + DECODER_MILLION_WEIGHTS
    return BYTES_PER_WEIGHT * weights


def find_seconds_per_megapixel(settings: TrainingSettings) -> float:
    """Seconds of a training step on two cores per million pixels of its batch, if no weight is frozen."""
    costs = find_backbone_costs(settings.backbone)
    if costs is None:
        return SECONDS_PER_MEGAPIXEL.get(settings.backbone, OTHER_SECONDS_PER_MEGAPIXEL)
    products = GRADIENT_FACTOR * costs.gigaproducts / GIGAPRODUCTS_PER_SECOND
    backbone = products + costs.activation_mb / ACTIVATION_MB_PER_SECOND
    return DECODER_SECONDS_PER_MEGAPIXEL + backbone * (DENSE_FACTOR if is_dilated(settings) else 1)


def find_mb_per_megapixel(settings: MiningSettings) -> float:
    """Main memory of a step of mining per million pixels of its batch, on the CPU, if no weight is frozen."""
    costs = find_backbone_costs(settings.backbone)
    if costs is None:
        return MB_PER_TRAINED_MEGAPIXEL.get(settings.backbone, OTHER_MB_PER_TRAINED_MEGAPIXEL)
    backbone = MB_PER_ACTIVATION_MB * costs.activation_mb
    return DECODER_MB_PER_MEGAPIXEL + backbone * (DENSE_FACTOR if is_dilated(settings) else 1)


def is_dilated(settings: TrainingSettings) -> bool:
    """Whether mining replaces the later strides of its backbone."""
    return isinstance(settings, MiningSettings) and not settings.decoder and settings.levels > DENSE_LEVELS


def share_frozen(settings: TrainingSettings, frozen_share: float) -> float:
    """Cost of a step relative to one without frozen weights, if a frozen backbone costs ``frozen_share``."""
    if isinstance(settings, MiningSettings):
        return frozen_share if settings.freeze == "all" else 1.0
    stages: int = settings.frozen_stages  # type: ignore[attr-defined]
    return 1 - stages / 4 * (1 - frozen_share)


def measure_batch_megapixels(settings: TrainingSettings) -> float:
    """Million pixels of the images of a training step."""
    if isinstance(settings, MiningSettings):
        return settings.batch_size * measure_megapixels(settings.short_sides_px, settings.long_side_px)
    pixels = settings.crop_height_px * settings.crop_width_px  # type: ignore[attr-defined]
    return settings.batch_size * pixels / 1e6


def measure_megapixels(short_sides_px: Sequence[int], long_side_px: int) -> float:
    """Million pixels of an image, averaged over the sizes at which it is seen."""
    sides = [min(side, long_side_px / ASSUMED_ASPECT) for side in short_sides_px]
    return ASSUMED_ASPECT * sum(side**2 for side in sides) / len(sides) / 1e6


def count_channels(settings: MiningSettings) -> int:
    """Width of the features that proposals are pooled from."""
    costs = find_backbone_costs(settings.backbone)
    return (costs.channels if costs else CHANNELS[settings.backbone])[settings.levels - 1]


def count_neck_weights(settings: MiningSettings) -> int:
    """Weights of the two layers over the pooled features, each one product of every proposal."""
    first, second = settings.neck_widths
    return count_channels(settings) * BINS * first + first * second


def count_proposal_bytes(settings: MiningSettings) -> int:
    """Bytes of a proposal in a step: pooled features with their gradient, and the neck's values."""
    return 4 * (2 * count_channels(settings) * BINS + 3 * sum(settings.neck_widths))


def count_mask_proposals(settings: MiningSettings) -> float:
    """Proposals of an image that learn masks."""
    if not settings.masks:
        return 0.0
    return min(settings.mask_limit or settings.max_proposals, MASK_SHARE * settings.max_proposals)


def count_mask_products(settings: MiningSettings) -> int:
    """Products of both mask heads for one proposal: four convolutions and an upsampling."""
    width = settings.mask_channels
    return 2 * MASK_CELLS * (9 * width * (count_channels(settings) + 3 * width) + 4 * width**2)


def count_evidence_boxes(settings: MiningSettings) -> int:
    """Boxes in which GrabCut finds evidence whenever an image is seen."""
    masks = THINGS_PER_IMAGE * settings.top_k if settings.masks and settings.mask_evidence == "grabcut" else 0
    stuff = STUFF_PER_IMAGE if settings.semantic and settings.evidence == "grabcut" else 0
    return masks + stuff


def count_masks(settings: MiningSettings, images: int) -> int:
    """Masks that GrabCut computes in a training on that many images; the others are found in the store."""
    views = min(settings.steps * settings.batch_size, EVIDENCE_CHANGES * images)
    return views * count_evidence_boxes(settings)


def count_boxes_ahead(settings: MiningSettings) -> int:
    """Boxes of an image that are worth segmenting before a training: as many as it will ask for."""
    return EVIDENCE_CHANGES * count_evidence_boxes(settings)


def count_views(settings: MinedSettings) -> int:
    """Number of views of an image when the mined network is applied."""
    return len(settings.short_sides_px) * (2 if settings.flip else 1)


def count_maps(settings: MiningSettings, stuff: int) -> int:
    """Score maps of an image: one of each stuff class and one of all things, if a branch learns them."""
    return stuff + 1 if settings.semantic else 0


def estimate_mined_seconds(mining: MiningSettings, mined: MinedSettings, stuff: int, gpus: int = 0) -> float:
    """Seconds of the mined network and its score maps on one image, on two cores or with one GPU.

    Parameters
    ----------
    mining : MiningSettings
        How the network was built.
    mined : MinedSettings
        How it is applied.
    stuff : int
        Number of stuff classes.
    gpus : int
    """
    megapixels = measure_megapixels(mined.short_sides_px, mined.long_side_px)
    backbone = FORWARD_SHARE * megapixels * find_seconds_per_megapixel(mining)
    neck = mining.max_proposals * count_neck_weights(mining) / PRODUCTS_PER_SECOND
    pooling = FORWARD_SHARE * mining.max_proposals * count_channels(mining) * SECONDS_PER_CHANNEL
    network = (backbone + neck + pooling) / (GPU_SPEEDUP if gpus else 1)
    return count_views(mined) * (network + SECONDS_PER_MAP * count_maps(mining, stuff) * megapixels)


def estimate_mined_mb(mining: MiningSettings, mined: MinedSettings, stuff: int) -> float:
    """Main memory of the mined network, without what every process with torch takes.

    Features of all views are kept for the mask heads; score maps are added up view by view. The views of one size of an
    image and of those in its pass are one batch.
    """
    largest = measure_megapixels([max(mined.short_sides_px)], mined.long_side_px)
    megapixels = measure_megapixels(mined.short_sides_px, mined.long_side_px)
    batch = (2 if mined.flip else 1) * mined.images_per_pass
    # Four bytes of each value; features have a 64th of the pixels.
    features = mined.images_per_pass * count_views(mined) * megapixels * 4 * count_channels(mining) / 64
    # Of a view: enlarged, as probabilities, and at the size of the image, to which the sums of the pass come.
    maps = (3 + mined.images_per_pass) * largest * 4 * count_maps(mining, stuff)
    weights = 1e-6 * BYTES_PER_WEIGHT / 2 * count_neck_weights(mining)
    proposals = batch * 1e-6 * mining.max_proposals * count_proposal_bytes(mining)
    pixels = batch * FROZEN_SHARE * largest * find_mb_per_megapixel(mining)
    return pixels + features + maps + weights + proposals


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
