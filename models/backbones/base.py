"""Shared parts of all backbones: how images are normalised, and which weights are frozen."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

STRIDES = (4, 8, 16, 32)
"""Pixels per cell of the features of the four levels."""

IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's RGB values in [0, 1], which torchvision's weights expect."""


def normalise_images(
    images: Tensor, mean: Sequence[float] | Tensor = IMAGE_MEAN, std: Sequence[float] | Tensor = IMAGE_STD
) -> Tensor:
    """Images ``(B, 3, H, W) uint8`` (or float in 0..255) as float32, standardised by mean and deviation of [0, 1]."""
    mean = torch.as_tensor(mean, device=images.device).view(1, 3, 1, 1) * 255
    std = torch.as_tensor(std, device=images.device).view(1, 3, 1, 1) * 255
    return (images.float() - mean) / std


@dataclass(frozen=True)
class Freeze:
    """Weights of a backbone that training freezes.

    Attributes
    ----------
    frozen_stages : int
        Stages, counted from the image, whose weights and statistics stay; 4 is the whole backbone.
    freeze_norms : bool
        Whether all batch normalisation keeps its statistics and weights.
    """

    frozen_stages: int = 0
    freeze_norms: bool = False


NOTHING_FROZEN = Freeze()


class PretrainedModule(nn.Module):
    """A part of a network that usually starts from trained weights and may have a learning rate of its own."""

    def pretrained_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters that the trained weights hold."""
        return self.parameters()


class Backbone(PretrainedModule, ABC):
    """Features at strides 4, 8, 16 and 32 of normalised images.

    Parameters
    ----------
    channels : sequence of int
        Width of the features of each stride.
    levels : int
        How many of them :meth:`forward` returns, 1 to 4. What only the others need is not trained.
    """

    def __init__(self, channels: Sequence[int], levels: int = 4) -> None:
        super().__init__()
        if not 1 <= levels <= len(STRIDES):
            raise ValueError(f"a backbone with {levels} levels: it has {len(STRIDES)} of them")
        self.channels = tuple(channels)
        self.levels = levels
        self.freeze = NOTHING_FROZEN

    def normalise(self, images: Tensor) -> Tensor:
        """RGB images ``(B, 3, H, W)`` in 0..255 as the float32 input of :meth:`forward`."""
        return normalise_images(images)

    @abstractmethod
    def list_stages(self) -> list[list[nn.Module]]:
        """All modules of each of the four stages, in their order from the image."""

    def rest_unused(self) -> None:
        """Give no gradients to what no returned level needs: parallel training would wait for them."""
        for stage in self.list_stages()[self.levels :]:
            for module in stage:
                module.requires_grad_(False)

    def set_freeze(self, freeze: Freeze) -> None:
        """Choose what training leaves alone, once; frozen parts compute as in evaluation, whatever the mode."""
        self.freeze = freeze
        for module in [*self._list_frozen_modules(), *self._list_frozen_norms()]:
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Backbone:
        """Set the training mode of all but the frozen parts."""
        super().train(mode)
        frozen = self._list_frozen_modules()
        known = {id(module) for module in frozen}
        # A module that holds others, such as the whole network, may hold some that are not frozen.
        whole = [module for module in frozen if known.issuperset(map(id, module.modules()))]
        for module in [*whole, *self._list_frozen_norms()]:
            module.eval()
        return self

    def _list_frozen_modules(self) -> list[nn.Module]:
        stages = self.list_stages()[: self.freeze.frozen_stages] if self.freeze.frozen_stages else []
        return [module for stage in stages for module in stage]

    def _list_frozen_norms(self) -> list[nn.Module]:
        return [m for m in self.modules() if isinstance(m, _BatchNorm)] if self.freeze.freeze_norms else []


def collect_modules(*parts: nn.Module) -> list[nn.Module]:
    """The parts and all modules in them."""
    return [module for part in parts for module in part.modules()]
