"""The networks of timm as backbones.

Networks with features at strides 4, 8, 16 and 32 are used unchanged. Plain vision transformers, whose
features all have one stride, get a :class:`models.backbones.pyramid.SimplePyramid`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

import timm
import torch
from torch import Tensor, nn

from models.backbones.base import STRIDES, Backbone, normalise_images
from models.backbones.pyramid import WIDTH, SimplePyramid, crop_to_strides, pad_to_multiple, resize_to_stride_16
from models.backbones.timm_weights import check_tag, create_network, drop_weights

DENSE_STRIDES = (4, 8, 8, 8)
"""Strides of the features of a network whose later strides are replaced by dilation."""

FEATURES: dict[str, Any] = {"features_only": True, "feature_cls": "getter"}
"""Arguments that build a network which returns features ``(B, C, h, w)`` and has no layers after the last of them."""

RESIZING: tuple[dict[str, Any], ...] = ({"dynamic_img_size": True}, {"strict_img_size": False}, {})
"""Arguments by which networks take images of any size; each is tried until one is known."""

TRIAL_SIZE = (96, 160)
"""Size of an image that no network was designed for, but that is a multiple of all strides."""

SUGGESTED = "resnet50, convnext_tiny, tf_efficientnet_lite0 or swin_tiny_patch4_window7_224"


def build_member(
    name: str, *, weights: str | None = None, levels: int = 4, dense: bool = False
) -> HierarchicalBackbone | PlainBackbone:
    """Build a backbone of timm.

    Parameters
    ----------
    name : str
        Name of the network, without a tag.
    weights : str, optional
        A tag of its pretrained weights, or the path of a file; see :mod:`models.backbones.timm_weights`.
    levels : int
        Features returned, 1 to 4; what only the others need is left out.
    dense : bool
        Whether features after the second are at stride 8, too.

    Raises
    ------
    ValueError
        For a name or weights that timm does not know, weights that do not fit, and a network without the
        features that are wanted.
    """
    check_weights(name, weights)
    arguments, trial = _probe(name, {"output_stride": DENSE_STRIDES[-1]} if dense else {})
    strides = trial.feature_info.reduction()  # type: ignore[union-attr, operator]
    if len(set(strides)) == 1 and not dense:
        if "dynamic_img_size" not in arguments:
            raise ValueError(_describe_one_size(name))
        return PlainBackbone(create_network(name, weights, num_classes=0, **arguments), strides[0], levels)
    indices = _select_features(name, strides, dense)
    _try_another_size(name, trial)
    network = create_network(name, weights, **FEATURES, out_indices=tuple(indices[:levels]), **arguments)
    widths = trial.feature_info.channels()  # type: ignore[union-attr, operator]
    channels = [widths[i] for i in indices]
    return HierarchicalBackbone(network, channels, DENSE_STRIDES if dense else STRIDES, levels)


def check_weights(name: str, weights: str | None) -> None:
    """Raise a ``ValueError`` for a name that timm does not know, and for weights that are neither a tag nor a file."""
    plain, _, tag = name.partition(".")
    if tag and timm.is_model(plain):
        raise ValueError(f"timm network {name!r}: give backbone: timm/{plain} and weights: {tag}")
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f"did you mean {', '.join(near)}?" if near else f"choose one such as {SUGGESTED}"
        raise ValueError(f"timm knows no network {name!r}; {hint}")
    check_tag(name, weights)


def _probe(name: str, wanted: dict[str, Any]) -> tuple[dict[str, Any], nn.Module]:
    """Arguments that build a network for images of any size, and the network with all its features but no values."""
    for resizing in RESIZING:
        arguments = {**wanted, **resizing}
        try:
            with torch.device("meta"):
                network: nn.Module = timm.create_model(name, pretrained=False, **FEATURES, **arguments)
        except TypeError:
            # An argument that the network does not have.
            continue
        except (AssertionError, AttributeError, RuntimeError) as error:
            if not wanted:
                raise ValueError(f"timm network {name!r} has no features to extract ({error})") from error
            break
        return arguments, network
    if wanted:
        raise ValueError(
            f"timm network {name!r} can't be dilated to stride 8, which mining needs with more than two levels; choose "
            "a ResNet, RegNet, EfficientNet, MobileNet or ConvNeXt, set levels to 2, or take the features of the tag "
            "classifier's decoder (init: classifier, decoder: true)"
        )
    raise ValueError(f"timm network {name!r} has no features to extract; choose one such as {SUGGESTED}")


def _select_features(name: str, strides: list[int], dense: bool) -> list[int]:
    """Numbers of the four features at the strides that are wanted."""
    if dense:
        indices = [number for number, stride in enumerate(strides) if stride >= DENSE_STRIDES[0]]
        if tuple(strides[i] for i in indices) == DENSE_STRIDES:
            return indices
    elif set(STRIDES) <= set(strides):
        return [strides.index(stride) for stride in STRIDES]
    raise ValueError(
        f"timm network {name!r} has features at strides {', '.join(map(str, strides))}, and "
        f"{', '.join(map(str, DENSE_STRIDES if dense else STRIDES))} are needed; choose one such as {SUGGESTED}"
    )


def _try_another_size(name: str, network: nn.Module) -> None:
    """Raise a ``ValueError`` if a network can't be applied to images unlike those that it was designed for."""
    with torch.device("meta"), torch.no_grad():
        try:
            network.eval()(torch.empty(1, 3, *TRIAL_SIZE))
        except (AssertionError, RuntimeError) as error:
            raise ValueError(_describe_one_size(name)) from error


def _describe_one_size(name: str) -> str:
    return f"timm network {name!r} takes images of one size only; choose one such as {SUGGESTED}"


class _TimmBackbone(Backbone):
    """A network of timm with the mean and deviation of the images that its weights were trained on.

    They are part of the state, so that a model file brings those of the weights it was trained from.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, channels: list[int], levels: int) -> None:
        super().__init__(channels, levels)
        self.register_buffer("mean", torch.tensor(network.pretrained_cfg["mean"]))  # type: ignore[index]
        self.register_buffer("std", torch.tensor(network.pretrained_cfg["std"]))  # type: ignore[index]
        self.network = drop_weights(network)

    def normalise(self, images: Tensor) -> Tensor:
        """RGB images ``(B, 3, H, W)`` in 0..255 as the float32 input of :meth:`forward`."""
        return normalise_images(images, self.mean, self.std)

    def pretrained_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters of timm's network."""
        return self.network.parameters()


class HierarchicalBackbone(_TimmBackbone):
    """A network whose features have the strides that are wanted.

    Parameters
    ----------
    network : nn.Module
        Made by timm's ``features_only``; returns ``levels`` features.
    channels : list of int
        Widths of all four.
    strides : tuple of int
    levels : int
    """

    def __init__(self, network: nn.Module, channels: list[int], strides: tuple[int, ...], levels: int) -> None:
        super().__init__(network, channels, levels)
        self.strides = strides

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features at the first ``levels`` of the strides of images ``(B, 3, H, W)``."""
        features = self.network(pad_to_multiple(images, STRIDES[-1]))
        return crop_to_strides(features, images.shape[-2:], self.strides)

    def list_stages(self) -> list[list[nn.Module]]:
        """The modules up to the one whose output is the first feature, those from there to the second, and so on."""
        named = [(f"{name}.", module) for name, module in self.network.model.named_modules()]  # type: ignore[union-attr]
        modules = [module for _, module in named]
        last_parts = [f"{name}." for name in self.network.feature_info.module_name()]  # type: ignore[union-attr, operator]
        inside = [[i for i, (name, _) in enumerate(named) if name.startswith(part)] for part in last_parts]
        if not all(inside):
            raise ValueError("the stages of this timm network can't be told apart; set frozen_stages to 0")
        ends = [1 + numbers[-1] for numbers in inside]
        return [modules[start:end] for start, end in zip([0, *ends], ends, strict=False)]


class PlainBackbone(_TimmBackbone):
    """A vision transformer, and a pyramid over its last map.

    Parameters
    ----------
    network : nn.Module
        Takes images of any size that is a multiple of its patches.
    stride : int
        Side of a patch in pixels.
    levels : int
    """

    def __init__(self, network: nn.Module, stride: int, levels: int) -> None:
        super().__init__(network, [WIDTH] * len(STRIDES), levels)
        # Of the layers after the blocks, the normalisation alone is used.
        network.prune_intermediate_layers(1, prune_norm=False, prune_head=True)  # type: ignore[operator]
        self.stride = stride
        self.pyramid = SimplePyramid(network.num_features, levels=levels)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features at the first ``levels`` of the strides 4, 8, 16, 32 of images ``(B, 3, H, W)``."""
        even = pad_to_multiple(images, STRIDES[-1])
        (feature,) = self.network.forward_intermediates(  # type: ignore[operator]
            pad_to_multiple(even, self.stride), indices=1, norm=True, output_fmt="NCHW", intermediates_only=True
        )
        features = self.pyramid(resize_to_stride_16(feature, self.stride, even.shape[-2:]))
        return crop_to_strides(features, images.shape[-2:], STRIDES)

    def list_stages(self) -> list[list[nn.Module]]:
        """The embedding of patches and each quarter of the blocks, the last with the normalisation after it."""
        blocks = list(self.network.blocks.children())  # type: ignore[union-attr]
        quarters = [blocks[len(blocks) * i // 4 : len(blocks) * (i + 1) // 4] for i in range(4)]
        inner = [[m for block in quarter for m in block.modules()] for quarter in quarters]
        within = {id(module) for quarter in inner for module in quarter}
        last = list(self.network.norm.modules())  # type: ignore[union-attr]
        within |= {id(module) for module in last}
        first = [module for module in self.network.modules() if id(module) not in within]
        return [first + inner[0], inner[1], inner[2], inner[3] + last]
