"""The bottom-up panoptic network: classes of pixels, centres of instances, offsets to the centres.

After Panoptic-DeepLab (Cheng et al., CVPR 2020), with one U-shaped decoder for all heads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.augmentation import jitter_colours
from models.backbones import Backbone, build_backbone
from models.backbones.layers import ConvNorm
from models.segmenter.heads import FineHead, Head, double_size
from models.segmenter.losses import candidate_loss, centre_loss, offset_loss, semantic_loss
from models.segmenter.model import SegmenterNetwork, check_image_size
from models.segmenter.targets import encode_targets

OFFSET_UNIT_PX = 32.0
"""Pixels of one unit of the offset head, which keeps its weights at the scale of the others."""


@dataclass(frozen=True)
class NetworkShape:
    """How large the network is.

    Attributes
    ----------
    decoder_channels : int
        Width of the decoder at stride 4; twice as wide at the others.
    """

    decoder_channels: int


def build_network(
    *, backbone: str, class_count: int, weights: str | None = None, decoder_channels: int = 64
) -> PanopticNetwork:
    """Build the network; ``backbone`` and ``weights`` as in :func:`models.backbones.build_backbone`."""
    return PanopticNetwork(
        backbone=build_backbone(backbone, weights=weights), class_count=class_count, decoder_channels=decoder_channels
    )


@dataclass(frozen=True)
class Loss:
    """The weighted losses of a batch.

    Attributes
    ----------
    class_weights : (C,)
        See :func:`models.segmenter.losses.compute_class_weights`.
    centre_weight, offset_weight, candidate_weight : float
        Next to the semantic loss.
    centre_sigma : float or None
        See :func:`models.segmenter.targets.encode_targets`.
    """

    class_weights: Tensor
    centre_weight: float
    offset_weight: float
    candidate_weight: float
    centre_sigma: float | None

    def __call__(self, network: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Losses by name of a batch of :func:`models.segmenter.batches.make_batch`."""
        output = network(jitter_colours(batch["images"], batch["colour_factors"]))
        semantic = batch["semantic"].long()
        logits = F.interpolate(output.semantic.float(), size=semantic.shape[1:], mode="bilinear", align_corners=False)
        target = encode_targets(batch["instance"], batch["centres_yx"], batch["sizes"], self.centre_sigma)
        losses = {
            "semantic": semantic_loss(logits, semantic, self.class_weights.to(logits.device)),
            "centre": self.centre_weight * centre_loss(output.centre, target.centre, target.centre_weight),
            "offset": self.offset_weight * offset_loss(output.offset, target.offset, target.offset_weight),
        }
        if self.candidate_weight:
            possible = candidate_loss(logits, semantic, batch["candidate_set"].long(), batch["candidates"])
            losses["candidates"] = self.candidate_weight * possible
        return losses


class PanopticOutput(NamedTuple):
    """Output of the network, with (h, w) at stride 4: :class:`pseudogt.prediction.maps.PanopticMaps` as tensors.

    Attributes
    ----------
    semantic : (B, C, 2 h, 2 w)
        Logits of the classes.
    centre : (B, 1, h, w)
        Heatmap of instance centres, about 0 to 1.
    offset : (B, 2, h, w)
        From the pixel to its instance's centre, (y, x) in pixels of the network's input.
    """

    semantic: Tensor
    centre: Tensor
    offset: Tensor


class PanopticNetwork(SegmenterNetwork):
    """Backbone, decoder and three heads.

    Parameters
    ----------
    backbone : Backbone
        Returns features at strides 4, 8, 16, 32.
    class_count : int
    decoder_channels : int
        Width of the decoder at stride 4; twice as wide at the others.
    """

    def __init__(self, *, backbone: Backbone, class_count: int, decoder_channels: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.decoder = Decoder(backbone.channels, decoder_channels)
        self.semantic = FineHead(decoder_channels, decoder_channels // 2, class_count)
        self.instance = Head(decoder_channels, decoder_channels // 2, 3)

    def forward(self, images: Tensor) -> PanopticOutput:
        """Predict for images ``(B, 3, H, W)``, RGB in 0..255; H and W are multiples of 32."""
        check_image_size(images)
        normalised = self.backbone.normalise(images).contiguous(memory_format=torch.channels_last)
        feature = self.decoder(self.backbone(normalised))
        instance = self.instance(feature)
        return PanopticOutput(
            semantic=self.semantic(feature, normalised),
            centre=instance[:, :1],
            offset=instance[:, 1:] * OFFSET_UNIT_PX,
        )


class Decoder(nn.Module):
    """From the coarsest feature up to stride 4, adding the finer ones on the way (Ronneberger et al., MICCAI 2015)."""

    def __init__(self, channels: tuple[int, ...], width: int) -> None:
        super().__init__()
        wide = 2 * width
        self.context = nn.Conv2d(channels[3], wide, kernel_size=1)
        self.lateral32 = ConvNorm(channels[3], wide, kernel_size=1)
        self.lateral16 = ConvNorm(channels[2], wide, kernel_size=1)
        self.lateral8 = ConvNorm(channels[1], wide, kernel_size=1)
        self.lateral4 = ConvNorm(channels[0], width, kernel_size=1)
        self.fuse16 = ConvNorm(wide, wide, kernel_size=3)
        self.fuse8 = ConvNorm(wide, width, kernel_size=3)
        self.fuse4 = ConvNorm(width, width, kernel_size=3)

    def forward(self, features: list[Tensor]) -> Tensor:
        """``(B, width, H / 4, W / 4)`` of the features at strides 4, 8, 16, 32."""
        at4, at8, at16, at32 = features
        whole_image = self.context(at32.mean((2, 3), keepdim=True))
        top = torch.relu(self.lateral32(at32) + whole_image)
        top = torch.relu(self.fuse16(torch.relu(self.lateral16(at16) + double_size(top))))
        top = torch.relu(self.fuse8(torch.relu(self.lateral8(at8) + double_size(top))))
        return torch.relu(self.fuse4(torch.relu(self.lateral4(at4) + double_size(top))))
