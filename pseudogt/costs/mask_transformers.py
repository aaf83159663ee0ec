"""Products and memory of the mask transformers of the segmenter, from their settings."""

from __future__ import annotations

from typing import TypeGuard

from pseudogt.config.segmenter import QUERY_NETWORKS, SegmenterSettings
from pseudogt.config.training import TrainingSettings
from pseudogt.costs.backbones import find_network_size

MASK_MB_PER_CHANNEL, MASK_MB_PER_LAYER_CHANNEL, MASK_MB_PER_MASK = 4.0, 5.0, 5.0
"""Memory that a mask transformer keeps, in MB per million pixels: for each of its channels, for each of these again in
each layer between features, and for each mask that is predicted: four bytes of a quarter of the pixels, five times."""


def has_queries(settings: TrainingSettings) -> TypeGuard[SegmenterSettings]:
    """Whether the network is a mask transformer of the segmenter."""
    return isinstance(settings, SegmenterSettings) and settings.network in QUERY_NETWORKS


def count_mask_gigaproducts(settings: SegmenterSettings) -> float:
    """Billions of products of a mask transformer per million pixels, without its backbone."""
    if settings.network == "eomt":
        # Before each of the last blocks and after them, patches of 16 are doubled twice, four products of both widths
        # for each, and masks are made at stride 4. The queries themselves are few beside the patches.
        width = guess_transformer_width(settings.backbone)
        each = 4 * width**2 * (1 / 16**2 + 1 / 8**2) + settings.queries * width / 4**2
        return (settings.query_layers + 1) * each / 1e3
    width, tokens = settings.query_channels, 1 / 8**2 + 1 / 16**2 + 1 / 32**2
    # Convolutions at stride 4, then at stride 2, of half and a quarter of the width.
    pixels = 10 * width**2 / 4**2 + 9 * width**2 / 8 / 4**2 + 9 * width**2 / 8 / 2**2
    # A layer between features: projections, 8 heads x 12 places with their weights, and two layers four times as wide.
    between = settings.encoder_layers * tokens * (10 * width**2 + 8 * 12 * 3 * width)
    # Keys and values of one stride in three, and a mask at stride 2 from half of the channels.
    queries = settings.query_layers * tokens / 3 * (2 * width**2 + 2 * settings.queries * width)
    masks = (settings.query_layers + 1) * settings.queries * width / 2 / 2**2
    return (pixels + between + queries + masks) / 1e3


def guess_transformer_width(backbone: str) -> float:
    """Width of a vision transformer from its weights: those of twelve blocks, each twelve times the squared width."""
    return (find_network_size(backbone).million_weights * 1e6 / 144) ** 0.5


def estimate_mask_mb(settings: SegmenterSettings) -> float:
    """Memory that a mask transformer keeps for the backward pass, in MB per million pixels, without its backbone."""
    if settings.network == "eomt":
        # Features at strides 8 and 4, four copies of each, in every prediction.
        width = guess_transformer_width(settings.backbone)
        each = 4 * 4 * width * (1 / 8**2 + 1 / 4**2) + MASK_MB_PER_MASK / 4 * settings.queries
        return (settings.query_layers + 1) * each
    layers = MASK_MB_PER_CHANNEL + MASK_MB_PER_LAYER_CHANNEL * settings.encoder_layers
    masks = MASK_MB_PER_MASK * settings.queries * (settings.query_layers + 1)
    return layers * settings.query_channels + masks
