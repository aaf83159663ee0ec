"""The mask transformer: queries that each predict a class and a mask.

Mask2Former (Cheng et al., CVPR 2022) in the implementation of Hugging Face transformers, on the backbones of this
workflow and smaller by default. Unlike the paper's, its masks are at stride 2, and their head also reads the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.backbones import Backbone, build_backbone
from models.segmenter.heads import FineHead
from models.segmenter.mask_loss import MaskLoss as Loss
from models.segmenter.mask_output import MaskOutput, add_up_scores, decode_singly
from models.segmenter.model import SegmenterNetwork, check_image_size
from pseudogt.files.model_folders import require_transformers

require_transformers("segmenter.network: mask_transformer")

from transformers import Mask2FormerConfig  # noqa: E402 - the message above goes first
from transformers.models.mask2former.modeling_mask2former import (  # noqa: E402
    Mask2FormerPixelDecoder,
    Mask2FormerPreTrainedModel,
    Mask2FormerTransformerModule,
)

__all__ = ["Loss", "NetworkShape", "build_network"]

FEEDFORWARD_FACTOR = 4
"""Width of the hidden layer of a transformer layer over that of its input; 4 and 8 in the paper."""


@dataclass(frozen=True)
class NetworkShape:
    """How large the network is.

    Attributes
    ----------
    queries : int
        Segments that can be found in an image.
    query_channels : int
        Width of queries and of the features they look at, a multiple of 32. From 64 on, images may be of 32x32.
    encoder_layers : int
        Layers of deformable attention over the features.
    query_layers : int
        Layers of masked attention of the queries.
    """

    queries: int
    query_channels: int
    encoder_layers: int
    query_layers: int


def build_network(*, backbone: str, class_count: int, weights: str | None = None, **shape: int) -> MaskTransformer:
    """Build the network; ``backbone`` and ``weights`` as in :func:`models.backbones.build_backbone`."""
    return MaskTransformer(build_backbone(backbone, weights=weights), class_count, NetworkShape(**shape))


class MaskTransformer(SegmenterNetwork):
    """Backbone, pixel decoder, and queries.

    Parameters
    ----------
    backbone : Backbone
        Returns features at strides 4, 8, 16, 32.
    class_count : int
    shape : NetworkShape
    """

    def __init__(self, backbone: Backbone, class_count: int, shape: NetworkShape) -> None:
        super().__init__()
        self.backbone = backbone
        width = shape.query_channels
        config = Mask2FormerConfig(
            num_queries=shape.queries,
            feature_size=width,
            mask_feature_size=width // 2,
            hidden_dim=width,
            encoder_feedforward_dim=FEEDFORWARD_FACTOR * width,
            dim_feedforward=FEEDFORWARD_FACTOR * width,
            encoder_layers=shape.encoder_layers,
            # transformers counts the prediction before the first layer as one.
            decoder_layers=shape.query_layers + 1,
        )
        self.decoder = MaskDecoder(config, backbone.channels, class_count)
        self.detail = FineHead(width // 2, width // 4, width // 2)

    def forward(self, images: Tensor) -> MaskOutput:
        """Predict for images ``(B, 3, H, W)``, RGB in 0..255; H and W are multiples of 32."""
        check_image_size(images)
        normalised = self.backbone.normalise(images).contiguous(memory_format=torch.channels_last)
        parts = (normalised, *self.backbone(normalised))
        return self._decode(*parts) if self.training else decode_singly(self._decode, *parts)

    def _decode(self, normalised: Tensor, *features: Tensor) -> MaskOutput:
        """Classes and masks from normalised images and the features of their four strides."""
        decoded = self.decoder.pixels(list(features), output_attentions=False, output_hidden_states=False)
        fine = self.detail(decoded.mask_features, normalised)
        found = self.decoder.queries(list(decoded.multi_scale_features), fine)
        kept = slice(None) if self.training else slice(-1, None)
        # From (Q, B, width) of each layer to (B, L, Q, C + 1).
        classes = self.decoder.classify(torch.stack(found.intermediate_hidden_states[kept]).permute(2, 0, 1, 3))
        masks = torch.stack(found.masks_queries_logits[kept], dim=1)
        return MaskOutput(add_up_scores(classes[:, -1], masks[:, -1]), classes, masks)


def find_reference_points(sizes: Sequence[tuple[int, int]], valid_ratios: Tensor, device: torch.device | str) -> Tensor:
    """Centres of the cells of all features, around which the pixel decoder looks, for images without padding.

    Replaces a method of transformers whose ``torch.linspace`` would tie an exported network to one size.

    Parameters
    ----------
    sizes : sequence of (h, w)
        Sizes of the L features.
    valid_ratios : (B, L, 2)
        Used are its shape, which is that of the result, and its type.
    device

    Returns
    -------
    (B, N, L, 2)
        For each of the N cells of all features, x and y as shares of the image; equal for all features.
    """
    axes = [[(torch.arange(extent, device=device) + 0.5) / extent for extent in size] for size in sizes]
    centres = torch.cat([torch.cartesian_prod(rows, columns).flip(1) for rows, columns in axes]).to(valid_ratios.dtype)
    return centres[None, :, None].expand(valid_ratios.shape[0], -1, valid_ratios.shape[1], -1)


class MaskDecoder(Mask2FormerPreTrainedModel):
    """The parts that transformers has, which are initialised together as its authors do.

    Parameters
    ----------
    config : Mask2FormerConfig
    channels : tuple of int
        Width of the features at strides 4, 8, 16, 32.
    class_count : int
    """

    def __init__(self, config: Mask2FormerConfig, channels: tuple[int, ...], class_count: int) -> None:
        super().__init__(config)
        self.pixels = Mask2FormerPixelDecoder(config, feature_channels=channels)
        self.pixels.encoder.get_reference_points = find_reference_points  # type: ignore[method-assign]
        self.queries = Mask2FormerTransformerModule(in_features=config.feature_size, config=config)
        self.classify = nn.Linear(config.hidden_dim, class_count + 1)
        self.post_init()
