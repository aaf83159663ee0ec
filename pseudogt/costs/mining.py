"""Seconds and memory of JTSM, from its settings: the training, its evidence, and the mined network on one image.

Measured on two cores without a GPU, on VOC at the sizes of ``configs/voc2012-jtsm.yaml``
(``benchmarks/jtsm_formats.py``). The memory of a step is that of a step of each backbone per million pixels, with
what the heads keep of each proposal; :mod:`pseudogt.costs.networks` adds up what the layers of other networks keep.
"""

from __future__ import annotations

from collections.abc import Sequence

from pseudogt.config.mined import MinedSettings
from pseudogt.config.mining import DENSE_LEVELS, MiningSettings
from pseudogt.costs.assumptions import (
    BYTES_PER_WEIGHT,
    FORWARD_SHARE,
    FROZEN_SHARE,
    GPU_SPEEDUP,
    GRADIENT_FACTOR,
    PRODUCTS_PER_SECOND,
)
from pseudogt.costs.backbones import (
    CHANNELS,
    DENSE_FACTOR,
    MEDIUM_COSTS,
    find_backbone_costs,
    find_seconds_per_megapixel,
)

POOLED_CELLS = 49
"""Cells of a pooled proposal."""

SECONDS_PER_CHANNEL = 1e-6
"""Time of a training step per proposal and channel of the features: pooling over segments, and refinement heads."""

MASK_CELLS = 14 * 14
"""Cells of a box that the mask branch convolves; its masks have four times as many."""

MASK_SHARE = 0.08
"""Share of an image's proposals that learn masks without ``mask_limit``: some hundreds of 4,000."""

THINGS_PER_IMAGE, STUFF_PER_IMAGE = 3, 6
"""Tagged classes of an image, as in COCO."""

GRABCUT_S = 0.35
"""Processor seconds of a box, averaged over small and large ones (benchmarks/jtsm_evidence.py: 0.31)."""

EVIDENCE_CHANGES = 5
"""How often the boxes for which an image's evidence is requested change during a training."""

SECONDS_PER_MAP = 1e-3
"""Time of a mined image per view, score map and million pixels of the view: resizing and averaging, on the CPU."""

ASSUMED_ASPECT = 1.5
"""Longer over shorter side of an image."""

MB_PER_TRAINED_MEGAPIXEL = {"small": 1000.0}
OTHER_MB_PER_TRAINED_MEGAPIXEL = 6000.0
"""Main memory of a step of mining per million pixels of its batch, on the CPU."""

DECODER_MB_PER_MEGAPIXEL = 700.0
"""Memory of such a step outside a backbone of timm."""

MB_PER_ACTIVATION_MB = 1.4
"""Memory for what a backbone keeps for the backward pass, its gradients and its workspaces, over the former."""


def estimate_mining_step_seconds(settings: MiningSettings) -> float:
    """Seconds of a training step on two cores, evidence by GrabCut apart."""
    megapixels = settings.batch_size * measure_megapixels(settings.short_sides_px, settings.long_side_px)
    backbone = megapixels * find_seconds_per_megapixel(settings.backbone, dilated=is_dilated(settings))
    neck = settings.max_proposals * count_neck_weights(settings)
    masks = count_mask_proposals(settings) * count_mask_products(settings)
    heads = GRADIENT_FACTOR * (neck + masks) / PRODUCTS_PER_SECOND
    pooling = settings.max_proposals * count_channels(settings) * SECONDS_PER_CHANNEL
    return backbone * share_if_frozen(settings, FORWARD_SHARE) + settings.batch_size * (heads + pooling)


def estimate_mining_step_mb(settings: MiningSettings) -> float:
    """Main memory of a training step on the CPU with about 20 classes, without what every process with torch takes."""
    pixels = measure_megapixels([max(settings.short_sides_px)], settings.long_side_px)
    backbone = pixels * find_mb_per_megapixel(settings) * share_if_frozen(settings, FROZEN_SHARE)
    proposals = 1e-6 * settings.max_proposals * count_proposal_bytes(settings)
    # Two heads, each with five maps of its width and one four times as large.
    masks = 1e-6 * count_mask_proposals(settings) * 2 * (5 + 4) * settings.mask_channels * MASK_CELLS * 4
    return estimate_mining_weights_mb(settings) + settings.find_pass_size() * (backbone + proposals + masks)


def estimate_mining_weights_mb(settings: MiningSettings) -> float:
    """Memory for the weights of a training: those of the neck and of a backbone of timm."""
    costs = find_backbone_costs(settings.backbone)
    return BYTES_PER_WEIGHT * (1e-6 * count_neck_weights(settings) + (costs.million_weights if costs else 0.0))


def share_if_frozen(settings: MiningSettings, frozen_share: float) -> float:
    """Cost of the backbone in a step relative to one that is trained, if a frozen one costs ``frozen_share``."""
    return frozen_share if settings.freeze == "all" else 1.0


def is_dilated(settings: MiningSettings) -> bool:
    """Whether mining replaces the later strides of its backbone."""
    return not settings.decoder and settings.levels > DENSE_LEVELS


def find_mb_per_megapixel(settings: MiningSettings) -> float:
    """Main memory of a step of mining per million pixels of its batch, on the CPU, if no weight is frozen."""
    costs = find_backbone_costs(settings.backbone)
    if costs is None:
        return MB_PER_TRAINED_MEGAPIXEL.get(settings.backbone, OTHER_MB_PER_TRAINED_MEGAPIXEL)
    backbone = MB_PER_ACTIVATION_MB * costs.activation_mb
    return DECODER_MB_PER_MEGAPIXEL + backbone * (DENSE_FACTOR if is_dilated(settings) else 1)


def measure_megapixels(short_sides_px: Sequence[int], long_side_px: int) -> float:
    """Million pixels of an image, averaged over the sizes at which it is seen."""
    sides = [min(side, long_side_px / ASSUMED_ASPECT) for side in short_sides_px]
    return ASSUMED_ASPECT * sum(side**2 for side in sides) / len(sides) / 1e6


def count_channels(settings: MiningSettings) -> int:
    """Width of the features that proposals are pooled from."""
    costs = find_backbone_costs(settings.backbone)
    channels = costs.channels if costs else CHANNELS.get(settings.backbone, MEDIUM_COSTS.channels)
    return channels[settings.levels - 1]


def count_neck_weights(settings: MiningSettings) -> int:
    """Weights of the two layers over the pooled features, each one product of every proposal."""
    first, second = settings.neck_widths
    return count_channels(settings) * POOLED_CELLS * first + first * second


def count_proposal_bytes(settings: MiningSettings) -> int:
    """Bytes of a proposal in a step: pooled features with their gradient, and the neck's values."""
    return 4 * (2 * count_channels(settings) * POOLED_CELLS + 3 * sum(settings.neck_widths))


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
    backbone = FORWARD_SHARE * megapixels * find_seconds_per_megapixel(mining.backbone, dilated=is_dilated(mining))
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
