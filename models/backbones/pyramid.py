"""The simple feature pyramid, for networks whose features all have one stride.

From Li et al., "Exploring Plain Vision Transformer Backbones for Object Detection" (ECCV 2022), section 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

WIDTH = 256
"""Width of the features of all strides, as in the paper."""


class SimplePyramid(nn.Module):
    """Features at strides 4, 8, 16 and 32 of one map at stride 16, by transposed convolutions and pooling.

    Parameters
    ----------
    channels : int
        Width of the map.
    levels : int
        Features returned, 1 to 4.
    """

    def __init__(self, channels: int, *, levels: int) -> None:
        super().__init__()
        half, quarter = max(channels // 2, 1), max(channels // 4, 1)
        rescale = (
            nn.Sequential(_double(channels, half), ChannelNorm(half), nn.GELU(), _double(half, quarter)),
            _double(channels, half),
            nn.Identity(),
            nn.MaxPool2d(2),
        )
        widths = (quarter, half, channels, channels)
        self.rescale = nn.ModuleList(rescale[:levels])
        self.mix = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, WIDTH, kernel_size=1, bias=False),
                ChannelNorm(WIDTH),
                nn.Conv2d(WIDTH, WIDTH, kernel_size=3, padding=1, bias=False),
                ChannelNorm(WIDTH),
            )
            for width in widths[:levels]
        )

    def forward(self, at16: Tensor) -> list[Tensor]:
        """``(B, WIDTH, 16 h / s, 16 w / s)`` for s = 4, 8, 16, 32 of ``(B, channels, h, w)``; h and w are even."""
        return [mix(rescale(at16)) for rescale, mix in zip(self.rescale, self.mix, strict=True)]


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each cell of a map."""

    def forward(self, feature: Tensor) -> Tensor:
        """``(B, C, h, w)`` to the same."""
        return super().forward(feature.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def resize_to_stride_16(feature: Tensor, stride: int, size: Sequence[int]) -> Tensor:
    """Resample a map at another stride so that its cells lie where those of stride 16 do.

    Parameters
    ----------
    feature : (B, C, h, w)
        Covers at least ``size``.
    stride : int
        Pixels per cell.
    size : sequence of int
        Height and width of the image, multiples of 16.
    """
    if stride != 16:
        # The factor, not the sizes, says where cells lie: the map may reach beyond the image.
        factor = stride / 16
        feature = F.interpolate(
            feature, scale_factor=factor, mode="bilinear", align_corners=False, recompute_scale_factor=False
        )
    return feature[..., : size[0] // 16, : size[1] // 16]


def pad_to_multiple(images: Tensor, multiple: int) -> Tensor:
    """Pad normalised images ``(B, C, H, W)`` below and on the right with 0, their mean, to multiples of a number."""
    down, across = (-extent % multiple for extent in images.shape[-2:])
    return F.pad(images, (0, across, 0, down)) if down or across else images


def crop_to_strides(features: list[Tensor], size: Sequence[int], strides: Sequence[int]) -> list[Tensor]:
    """Cut features at these strides to the cells ``ceil(H / s), ceil(W / s)`` of an image of ``size`` (H, W)."""
    height, width = size
    return [
        feature[..., : -(-height // stride), : -(-width // stride)]
        for feature, stride in zip(features, strides, strict=False)
    ]


def _double(channels_in: int, channels_out: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels_in, channels_out, kernel_size=2, stride=2)
