"""Image backbones: features at strides 4, 8, 16 and 32 for the classifier and the segmenter.

A backbone is a module with ``channels``, its widths at the four strides, and a line in
:mod:`models.backbones.names`. If there are weights with names for it, ``named_weights`` holds them;
``unused_weights`` lists the beginnings of keys that weight files have and the backbone has not.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from pseudogt.config.registry import Registry

BACKBONES = Registry("models.backbones.names", "backbone")
BACKBONE_NAMES = BACKBONES.names

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
    backbone: nn.Module = BACKBONES.load(name)()
    if weights is not None:
        _load_weights(backbone, name, weights)
    return backbone


def normalise_images(images: Tensor) -> Tensor:
    """Images ``(B, 3, H, W) uint8`` (or float in 0..255) as float32 with ImageNet's mean and deviation removed."""
    mean = torch.tensor(IMAGE_MEAN, device=images.device).view(1, 3, 1, 1) * 255
    std = torch.tensor(IMAGE_STD, device=images.device).view(1, 3, 1, 1) * 255
    return (images.float() - mean) / std


def _load_weights(backbone: nn.Module, name: str, weights: str) -> None:
    unused: tuple[str, ...] = getattr(backbone, "unused_weights", ())
    state = {k: v for k, v in _read_weights(backbone, name, weights).items() if not k.startswith(unused)}
    try:
        backbone.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"weights {weights!r} do not fit backbone {name!r}: {error}") from error


def _read_weights(backbone: nn.Module, name: str, weights: str) -> dict[str, Tensor]:
    if Path(weights).is_file():
        state = torch.load(weights, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
            raise ValueError(f"{weights}: not a state dict; save one with torch.save(network.state_dict(), path)")
        return state
    known = getattr(backbone, "named_weights", {})
    if weights not in known:
        names = ", ".join(known) or "none exist"
        raise ValueError(f"weights {weights!r}: no such file, nor named weights of {name!r} ({names})")
    return known[weights].get_state_dict(progress=False, check_hash=True)
