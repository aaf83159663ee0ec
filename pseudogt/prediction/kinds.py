"""The kinds of networks that can be applied and decoded; another network of the segmenter is another entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pseudogt.classes import ClassTable
from pseudogt.prediction.bottom_up import decode_panoptic
from pseudogt.prediction.decoding import Decoded, Decoding
from pseudogt.prediction.maps import OUTPUT_STRIDE, Maps, MaskMaps, PanopticMaps
from pseudogt.prediction.masks import decode_masks

BOTTOM_UP = "bottom_up"
"""Classes of pixels, centres of instances, and offsets to them; the kind of models that name none."""


@dataclass(frozen=True)
class NetworkKind:
    """What is done with the outputs of a network.

    Attributes
    ----------
    maps : type
        Named tuple of the outputs, the first of which, ``semantic``, holds the logits of the classes.
    strides : mapping
        Name of each output, in their order -> pixels of the network's input per cell; None if it is not a map.
    decode : callable
        From the maps of an image, its size (H, W), classes and settings to its segments.
    can_tile : bool
        Whether outputs of overlapping tiles can be averaged. Queries of one tile are not those of another.
    """

    maps: type[Maps]
    strides: Mapping[str, int | None]
    decode: Callable[[Any, tuple[int, int], ClassTable, Decoding], Decoded]
    can_tile: bool = True


PANOPTIC_STRIDES = {"semantic": OUTPUT_STRIDE // 2, "centre": OUTPUT_STRIDE, "offset": OUTPUT_STRIDE}

MASK_STRIDES = {"semantic": OUTPUT_STRIDE // 2, "classes": None, "masks": OUTPUT_STRIDE // 2}

PATCH_MASK_STRIDES = {"semantic": OUTPUT_STRIDE, "classes": None, "masks": OUTPUT_STRIDE}

KINDS = {
    BOTTOM_UP: NetworkKind(PanopticMaps, PANOPTIC_STRIDES, decode_panoptic),
    "mask_transformer": NetworkKind(MaskMaps, MASK_STRIDES, decode_masks, can_tile=False),
    "eomt": NetworkKind(MaskMaps, PATCH_MASK_STRIDES, decode_masks, can_tile=False),
}
"""Name of each kind -> what is done with its outputs."""
