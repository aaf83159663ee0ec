"""The layers of ResNet-WS (Shen et al., ECCV 2020): residual blocks that pool where those of a ResNet have a stride."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn


def make_ws_stage(
    block: Callable[..., nn.Module], channels_in: int, channels_out: int, count: int, *, dilation: int, pool: int | None
) -> nn.Sequential:
    """Blocks of a stage; the first one pools with stride ``pool`` before both of its paths."""
    first = block(channels_in, channels_out, dilation=dilation, pool=pool)
    rest = (block(channels_out, channels_out, dilation=dilation, pool=None) for _ in range(count - 1))
    return nn.Sequential(first, *rest)


class Stem(nn.Module):
    """Three 3x3 convolutions and a max-pooling, to stride 4."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = NormedConv(3, 64, 3, stride=2)
        self.conv2 = NormedConv(64, 64, 3)
        self.conv3 = NormedConv(64, 64, 3)

    def forward(self, images: Tensor) -> Tensor:
        """``(B, 3, H, W)`` to ``(B, 64, H / 4, W / 4)``."""
        feature = F.relu(self.conv1(images))
        feature = F.relu(self.conv2(feature))
        return F.max_pool2d(F.relu(self.conv3(feature)), 2)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    def __init__(self, channels_in: int, channels_out: int, *, dilation: int, pool: int | None) -> None:
        super().__init__()
        self.pool = pool
        self.conv1 = NormedConv(channels_in, channels_out, 3, dilation=dilation)
        self.conv2 = NormedConv(channels_out, channels_out, 3, dilation=dilation)
        if channels_in != channels_out:
            self.shortcut = NormedConv(channels_in, channels_out, 1)

    def forward(self, feature: Tensor) -> Tensor:
        """``(B, C_in, H, W)`` to ``(B, C_out, H / pool, W / pool)``."""
        feature = _pool(feature, self.pool)
        residual = self.conv2(F.relu(self.conv1(feature)))
        return F.relu(residual + _cross(self, feature))


class Bottleneck(nn.Module):
    """A 3x3 convolution between two 1x1, at a quarter of the width, around a shortcut."""

    def __init__(self, channels_in: int, channels_out: int, *, dilation: int, pool: int | None) -> None:
        super().__init__()
        self.pool = pool
        inner = channels_out // 4
        self.conv1 = NormedConv(channels_in, inner, 1)
        self.conv2 = NormedConv(inner, inner, 3, dilation=dilation)
        self.conv3 = NormedConv(inner, channels_out, 1)
        if channels_in != channels_out:
            self.shortcut = NormedConv(channels_in, channels_out, 1)

    def forward(self, feature: Tensor) -> Tensor:
        """``(B, C_in, H, W)`` to ``(B, C_out, H / pool, W / pool)``."""
        feature = _pool(feature, self.pool)
        residual = self.conv3(F.relu(self.conv2(F.relu(self.conv1(feature)))))
        return F.relu(residual + _cross(self, feature))


class NormedConv(nn.Conv2d):
    """A convolution without bias that keeps the size (up to its stride), and its normalisation."""

    def __init__(self, channels_in: int, channels_out: int, kernel_size: int, *, stride: int = 1, dilation: int = 1):
        padding = dilation * (kernel_size // 2)
        super().__init__(channels_in, channels_out, kernel_size, stride, padding, dilation, bias=False)
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")
        self.norm = nn.BatchNorm2d(channels_out)

    def forward(self, feature: Tensor) -> Tensor:
        """``(B, C_in, H, W)`` to ``(B, C_out, H / stride, W / stride)``."""
        return self.norm(super().forward(feature))


def _pool(feature: Tensor, stride: int | None) -> Tensor:
    """2x2 max-pooling; with stride 1 it keeps the size by a row and a column of zeros at the bottom and right."""
    if stride is None:
        return feature
    return F.max_pool2d(F.pad(feature, (0, 1, 0, 1)) if stride == 1 else feature, 2, stride)


def _cross(block: nn.Module, feature: Tensor) -> Tensor:
    return block.shortcut(feature) if hasattr(block, "shortcut") else feature  # type: ignore[operator]
