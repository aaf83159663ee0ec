"""Torchvision's ResNets (He et al., CVPR 2016)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from models.backbones.base import Backbone, collect_modules


class ResNetBackbone(Backbone):
    """A torchvision ResNet without its classification head; the keys of its weights are torchvision's."""

    unused_weights = ("fc.",)
    """Prefixes of the keys of the classification head's weights."""

    def __init__(self, name: str, *, levels: int = 4) -> None:
        body = torchvision.models.get_model(name, weights=None)
        wide = body.fc.in_features
        super().__init__((wide // 8, wide // 4, wide // 2, wide), levels)
        self.name = name
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
        """Features at the first ``levels`` of the strides 4, 8, 16, 32 of images ``(B, 3, H, W)``."""
        feature = torch.relu(self.bn1(self.conv1(images)))
        feature = nn.functional.max_pool2d(feature, kernel_size=3, stride=2, padding=1)
        features = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4)[: self.levels]:
            feature = layer(feature)
            features.append(feature)
        return features

    def list_stages(self) -> list[list[nn.Module]]:
        """The layers, the first with the stem."""
        first = collect_modules(self.conv1, self.bn1, self.layer1)
        return [first, *map(collect_modules, (self.layer2, self.layer3, self.layer4))]


build_resnet18 = partial(ResNetBackbone, "resnet18")
build_resnet50 = partial(ResNetBackbone, "resnet50")
build_resnet101 = partial(ResNetBackbone, "resnet101")
