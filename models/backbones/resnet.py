"""Torchvision's ResNets (He et al., CVPR 2016)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
import torchvision
from torch import Tensor, nn


class ResNetBackbone(nn.Module):
    """A torchvision ResNet without its classification head; the keys of its weights are torchvision's."""

    unused_weights = ("fc.",)
    """What the keys of weights begin with that belong to the classification head."""

    def __init__(self, name: str) -> None:
        super().__init__()
        body = torchvision.models.get_model(name, weights=None)
        self.name = name
        wide = body.fc.in_features
        self.channels: tuple[int, ...] = (wide // 8, wide // 4, wide // 2, wide)
        self.conv1 = body.conv1
        self.bn1 = body.bn1
        self.layer1 = body.layer1
        self.layer2 = body.layer2
        self.layer3 = body.layer3
        self.layer4 = body.layer4

    @property
    def named_weights(self) -> Mapping[str, Any]:
        """Torchvision's weights by name; each is downloaded into torch's cache on first use."""
        return torchvision.models.get_model_weights(self.name).__members__

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features at strides 4, 8, 16, 32 of images ``(B, 3, H, W)``."""
        feature = torch.relu(self.bn1(self.conv1(images)))
        feature = nn.functional.max_pool2d(feature, kernel_size=3, stride=2, padding=1)
        features = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            feature = layer(feature)
            features.append(feature)
        return features


build_resnet18 = partial(ResNetBackbone, "resnet18")
build_resnet50 = partial(ResNetBackbone, "resnet50")
build_resnet101 = partial(ResNetBackbone, "resnet101")
