"""Heads that several panoptic networks have: from features at stride 4 to predictions there, or at stride 2."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.backbones.layers import ConvNorm


class Head(nn.Sequential):
    """A 3x3 convolution and the 1x1 convolution that predicts."""

    def __init__(self, channels_in: int, width: int, channels_out: int) -> None:
        predict = nn.Conv2d(width, channels_out, kernel_size=1)
        nn.init.normal_(predict.weight, std=0.01)
        super().__init__(ConvNorm(channels_in, width, kernel_size=3), nn.ReLU(inplace=True), predict)


class FineHead(nn.Module):
    """A head at stride 2 that also sees the image, for poles and pedestrians as narrow as a cell of stride 4."""

    def __init__(self, channels_in: int, width: int, channels_out: int) -> None:
        super().__init__()
        self.reduce = ConvNorm(channels_in, width, kernel_size=3)
        self.detail = ConvNorm(3, width, kernel_size=3, stride=2)
        self.predict = nn.Conv2d(width, channels_out, kernel_size=3, padding=1)

    def forward(self, feature: Tensor, images: Tensor) -> Tensor:
        """``(B, channels_out, H / 2, W / 2)`` of features at stride 4 and normalised images ``(B, 3, H, W)``."""
        return self.predict(torch.relu(double_size(self.reduce(feature)) + self.detail(images)))


def double_size(feature: Tensor) -> Tensor:
    """Features ``(B, C, h, w)``, bilinearly enlarged to ``(B, C, 2 h, 2 w)``."""
    return F.interpolate(feature, scale_factor=2, mode="bilinear", align_corners=False)
