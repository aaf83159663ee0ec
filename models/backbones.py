"""Image backbones: features at strides 4, 8, 16 and 32 for the classifier and the segmenter."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

BACKBONE_NAMES = ("small", "resnet18", "resnet50", "resnet101")

IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's RGB values in [0, 1], which torchvision's weights expect."""


def build_backbone(name: str, *, weights: str | None = None) -> nn.Module:
    """Build a backbone.

    Parameters
    ----------
    name : str
        One of ``BACKBONE_NAMES``.
    weights : str, optional
        A torchvision weight name (``IMAGENET1K_V1``, downloaded into torch's cache on first use), or
        the path of a local file with a state dict. None starts from random weights.

    Returns
    -------
    nn.Module
        Maps normalised images ``(B, 3, H, W)`` to four features ``(B, channels[i], H / s, W / s)``,
        s = 4, 8, 16, 32 (rounded up); ``channels`` is an attribute.

    Raises
    ------
    ValueError
        For an unknown name, a weight name torchvision does not know and no file has, or a file whose
        keys or shapes do not fit.
    """
    if name not in BACKBONE_NAMES:
        raise ValueError(f"unknown backbone {name!r}; choose one of {', '.join(BACKBONE_NAMES)}")
    backbone: nn.Module = SmallBackbone() if name == "small" else ResNetBackbone(name)
    if weights is not None:
        _load_weights(backbone, name, weights)
    return backbone


def normalise_images(images: Tensor) -> Tensor:
    """Images ``(B, 3, H, W) uint8`` (or float in 0..255) as float32 with ImageNet's mean and deviation removed."""
    mean = torch.tensor(IMAGE_MEAN, device=images.device).view(1, 3, 1, 1) * 255
    std = torch.tensor(IMAGE_STD, device=images.device).view(1, 3, 1, 1) * 255
    return (images.float() - mean) / std


class SmallBackbone(nn.Module):
    """A residual network of 1.9 million weights, made for training on a CPU.

    Parameters
    ----------
    channels
        Width at strides 4, 8, 16 and 32.
    depths
        Residual blocks at each stride.
    """

    def __init__(self, *, channels: Sequence[int] = (32, 64, 128, 192), depths: Sequence[int] = (1, 2, 2, 2)) -> None:
        super().__init__()
        self.channels = tuple(channels)
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
        """Features at strides 4, 8, 16, 32 of images ``(B, 3, H, W)``."""
        feature = self.stem(images)
        features = []
        for stage in self.stages:
            feature = stage(feature)
            features.append(feature)
        return features


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


class ResNetBackbone(nn.Module):
    """A torchvision ResNet without its classification head; the keys of its weights are torchvision's."""

    def __init__(self, name: str) -> None:
        super().__init__()
        body = torchvision.models.get_model(name, weights=None)
        wide = body.fc.in_features
        self.channels: tuple[int, ...] = (wide // 8, wide // 4, wide // 2, wide)
        self.conv1 = body.conv1
        self.bn1 = body.bn1
        self.layer1 = body.layer1
        self.layer2 = body.layer2
        self.layer3 = body.layer3
        self.layer4 = body.layer4

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features at strides 4, 8, 16, 32 of images ``(B, 3, H, W)``."""
        feature = torch.relu(self.bn1(self.conv1(images)))
        feature = nn.functional.max_pool2d(feature, kernel_size=3, stride=2, padding=1)
        features = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            feature = layer(feature)
            features.append(feature)
        return features


class ConvNorm(nn.Sequential):
    """A convolution without bias that keeps the size (up to its stride), then batch normalisation."""

    def __init__(self, channels_in: int, channels_out: int, *, kernel_size: int, stride: int = 1, groups: int = 1):
        super().__init__()
        padding = (kernel_size - 1) // 2
        self.conv = nn.Conv2d(channels_in, channels_out, kernel_size, stride, padding, groups=groups, bias=False)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        self.norm = nn.BatchNorm2d(channels_out)


def fuse_norms(network: nn.Module) -> nn.Module:
    """A copy of a network for inference, in which each :class:`ConvNorm` is one convolution."""
    fused = copy.deepcopy(network).eval()
    for module in fused.modules():
        if isinstance(module, ConvNorm):
            module.conv = fuse_conv_bn_eval(module.conv, module.norm)
            module.norm = nn.Identity()  # type: ignore[assignment]
    return fused


def _load_weights(backbone: nn.Module, name: str, weights: str) -> None:
    state = {k: v for k, v in _read_weights(name, weights).items() if not k.startswith("fc.")}
    try:
        backbone.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"weights {weights!r} do not fit backbone {name!r}: {error}") from error


def _read_weights(name: str, weights: str) -> dict[str, Tensor]:
    if Path(weights).is_file():
        state = torch.load(weights, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
            raise ValueError(f"{weights}: not a state dict; save one with torch.save(network.state_dict(), path)")
        return state
    known = {} if name == "small" else torchvision.models.get_model_weights(name).__members__
    if weights not in known:
        names = ", ".join(known) or "none exist"
        raise ValueError(f"weights {weights!r}: no such file, nor torchvision weights of {name!r} ({names})")
    return known[weights].get_state_dict(progress=False, check_hash=True)
