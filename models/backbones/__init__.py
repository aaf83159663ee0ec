"""Image backbones: features at strides 4, 8, 16 and 32 for the classifier and the segmenter.

A backbone is a :class:`models.backbones.base.Backbone` and a line in :mod:`models.backbones.names`. If
it has named weights, ``named_weights`` holds them. ``unused_weights`` lists prefixes of keys in weight files
that the backbone does not have. A family of backbones, whose members another library names, is a line in
:mod:`models.backbones.families`.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import shorten
from typing import Any

from torch import Tensor

from models.backbones.base import IMAGE_MEAN, IMAGE_STD, NOTHING_FROZEN, Backbone, Freeze, normalise_images
from pseudogt.config.registry import Registry

__all__ = [
    "BACKBONES",
    "BACKBONE_NAMES",
    "FAMILIES",
    "IMAGE_MEAN",
    "IMAGE_STD",
    "NOTHING_FROZEN",
    "Backbone",
    "Freeze",
    "build_backbone",
    "find_problem",
    "is_member",
    "normalise_images",
]

BACKBONES = Registry("models.backbones.names", "backbone")
BACKBONE_NAMES = BACKBONES.names

FAMILIES = Registry("models.backbones.families", "family of backbones")

LONGEST_LINE = 200
"""Characters of each kind of keys that do not fit, in a message."""


def is_member(name: str) -> bool:
    """Whether a backbone is one of a family, as ``timm/resnet50`` is."""
    return "/" in name


def build_backbone(name: str, *, weights: str | None = None, levels: int = 4, dense: bool = False) -> Backbone:
    """Build a backbone.

    Parameters
    ----------
    name : str
        One of ``BACKBONE_NAMES``, or the family and name of another, as in ``timm/resnet50``.
    weights : str, optional
        A name of weights (torchvision's ``IMAGENET1K_V1``, timm's ``a1_in1k``; downloaded into a cache on
        first use), or the path of a local file with a state dict. None starts from random weights.
    levels : int
        Features returned, 1 to 4: those of the first strides.
    dense : bool
        Whether dilation replaces the strides after the second feature. Members of families only.

    Returns
    -------
    Backbone
        Maps normalised images ``(B, 3, H, W)`` to features ``(B, channels[i], H / s, W / s)``,
        s = 4, 8, 16, 32 (4, 8, 8, 8 if dense; rounded up); ``channels`` is an attribute with all four widths.

    Raises
    ------
    ValueError
        For an unknown name, weights that are neither a known name nor a file, a file whose keys or shapes
        do not fit, or a network without the features that are wanted.
    """
    if is_member(name):
        family, _, member = name.partition("/")
        backbone: Backbone = FAMILIES.load(family).build_member(member, weights=weights, levels=levels, dense=dense)
    else:
        backbone = BACKBONES.load(name)(levels=levels)
        backbone.rest_unused()
        if weights is not None:
            _load_weights(backbone, name, weights)
    return backbone


def find_problem(name: str, *, weights: str | None, levels: int, dense: bool) -> str:
    """Say why :func:`build_backbone` would fail, without downloading anything; empty if it would not."""
    is_file = weights is not None and Path(weights).is_file()
    try:
        backbone = build_backbone(name, weights=weights if is_file else None, levels=levels, dense=dense)
        if is_member(name):
            family, _, member = name.partition("/")
            FAMILIES.load(family).check_weights(member, weights)
        elif weights is not None and not is_file:
            _find_named_weights(backbone, name, weights)
    except ValueError as error:
        return str(error)
    return ""


def _load_weights(backbone: Backbone, name: str, weights: str) -> None:
    unused: tuple[str, ...] = getattr(backbone, "unused_weights", ())
    state = {k: v for k, v in _read_weights(backbone, name, weights).items() if not k.startswith(unused)}
    try:
        backbone.load_state_dict(state)
    except RuntimeError as error:
        problems = " ".join(shorten(line, LONGEST_LINE) for line in str(error).splitlines()[1:])
        raise ValueError(f"weights {weights!r} do not fit backbone {name!r}: {problems}") from error


def _read_weights(backbone: Backbone, name: str, weights: str) -> dict[str, Tensor]:
    if Path(weights).is_file():
        # Other networks do not wait for the import of timm, whose reader of files this is.
        from models.backbones.weight_files import read_state_dict

        state = read_state_dict(weights)
        if not all(isinstance(value, Tensor) for value in state.values()):
            raise ValueError(f"{weights}: not a state dict; save one with torch.save(network.state_dict(), path)")
        return state
    known = _find_named_weights(backbone, name, weights)
    try:
        state = known.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f"weights {weights!r} of {name!r} can't be downloaded ({str(error).splitlines()[0]}); run "
            f"`snakemake backbones` once where there is a connection, or give the path of a file, such as {known.url}"
        ) from error
    return dict(state)


def _find_named_weights(backbone: Backbone, name: str, weights: str) -> Any:
    known = getattr(backbone, "named_weights", {})
    if weights not in known:
        names = ", ".join(known) or "none exist"
        raise ValueError(f"weights {weights!r}: no such file, nor named weights of {name!r} ({names})")
    return known[weights]
