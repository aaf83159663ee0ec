"""The backbone for training on a CPU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.backbones.base import Backbone, collect_modules
from models.backbones.layers import ConvNorm


class SmallBackbone(Backbone):
    """A residual network of 1.9 million weights, made for training on a CPU.

    Parameters
    ----------
    channels
        Width at strides 4, 8, 16 and 32.
    depths
        Residual blocks at each stride.
    levels : int
        Features returned.
    """

    def __init__(
        self,
        *,
        channels: Sequence[int] = (32, 64, 128, 192),
        depths: Sequence[int] = (1, 2, 2, 2),
        levels: int = 4,
    ) -> None:
        super().__init__(channels, levels)
        self.stem = nn.Sequential(
            ConvNorm(3, channels[0] // 2, kernel_size=3, stride=2),
            nn.ReLU(inplace=True),
            ConvNorm(channels[0] // 2, channels[0], kernel_size=3, stride=2),
            nn.ReLU(inplace=True),
        )
        widths = (channels[0], *channels)
        self.stages = nn.ModuleList(
            nn.Sequential(
                ResidualBlock(widths[i], widths[i + 1], stride=1 if i == 0 else 2),
                *(ResidualBlock(widths[i + 1], widths[i + 1], stride=1) for _ in range(depths[i] - 1)),
            )
            for i in range(4)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features at the first ``levels`` of the strides 4, 8, 16, 32 of images ``(B, 3, H, W)``."""
        feature = self.stem(images)
        features = []
        for stage in self.stages[: self.levels]:
            feature = stage(feature)
            features.append(feature)
        return features

    def list_stages(self) -> list[list[nn.Module]]:
        """The residual blocks of each stride, the first with the stem."""
        first, *others = self.stages
        return [collect_modules(self.stem, first), *map(collect_modules, others)]


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around an identity (He et al., CVPR 2016); the last normalisation starts at zero."""

    def __init__(self, channels_in: int, channels_out: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(channels_in, channels_out, kernel_size=3, stride=stride)
        self.conv2 = ConvNorm(channels_out, channels_out, kernel_size=3)
        nn.init.zeros_(self.conv2.norm.weight)
        same = stride == 1 and channels_in == channels_out
        self.shortcut = nn.Identity() if same else ConvNorm(channels_in, channels_out, kernel_size=1, stride=stride)

    def forward(self, feature: Tensor) -> Tensor:
        """``(B, C_in, H, W)`` to ``(B, C_out, H / stride, W / stride)``."""
        residual = self.conv2(torch.relu(self.conv1(feature)))
        return torch.relu(residual + self.shortcut(feature))
