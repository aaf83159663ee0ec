"""Whether the classifier's random windows show enough of an image to learn from its tags and boxes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pseudogt.classes import ClassTable
from pseudogt.parsing.problems import shorten_list
from pseudogt.weak_labels.records import ImageWeakLabels

REGION_INSIDE = 0.9
"""A tag holds in a window that shows this share of its region; below, what was tagged may be cut off."""

EARLY = 0.1
"""Share of the windows that must be able to show a region; zooms are drawn evenly in their logarithm."""


@dataclass(frozen=True)
class Windows:
    """How the classifier's windows are drawn.

    Attributes
    ----------
    crop_size : (h, w)
        Their size in pixels.
    zoom : (low, high)
        Range of the enlargement of the scaled image.
    scale : float
        Factor by which images are resized first.
    """

    crop_size: tuple[int, int]
    zoom: tuple[float, float]
    scale: float

    @property
    def early_zoom(self) -> float:
        """Enlargement that a tenth of the windows stay below."""
        low, high = self.zoom
        return float(low * (high / low) ** EARLY)

    def find_scales(self, extents: NDArray[np.float64]) -> NDArray[np.float64]:
        """Largest factor ``(G,)`` at which a window shows regions of ``extents (G, 2)`` (h, w) in full."""
        return np.min(np.array(self.crop_size) / (self.early_zoom * extents), axis=1)

    def measure_shown(self, extents: NDArray[np.float64]) -> NDArray[np.float64]:
        """Largest share ``(G,)`` of regions of ``extents (G, 2)`` (h, w) that a tenth of the windows may show."""
        return np.minimum(1, np.array(self.crop_size) / (self.scale * self.early_zoom * extents)).prod(axis=1)


class Unlearned(NamedTuple):
    """What is to be said of classes that fit into no window.

    Attributes
    ----------
    problems : list of str
        On classes with tags alone, whose labels would be arbitrary.
    warnings : list of str
        On classes with boxes, for which box masks remain.
    """

    problems: list[str]
    warnings: list[str]


def find_unlearned(images: Sequence[ImageWeakLabels], classes: ClassTable, windows: Windows) -> Unlearned:
    """Find classes whose tags and boxes fit into no window, so that the classifier never learns from them.

    Classes with marks are learned from these. A single class of stuff needs no tags where there are boxes: it is
    everything outside them.
    """
    tagged, boxed, learned = np.zeros((3, len(classes)), bool)
    for image in images:
        extents, tags = measure_tagged(image)
        tagged |= tags.any(0)
        boxed[image.box_classes] = True
        learned |= tags[windows.measure_shown(extents) >= REGION_INSIDE].any(0)
        learned[image.marks.classes] = True
    if len(classes.stuff_ids) == 1 and boxed.any():
        learned[classes.stuff_ids] = True
    unlearned = tagged & ~learned
    return Unlearned(*(_describe(images, classes, windows, unlearned & asked) for asked in (~boxed, boxed)))


def check_windows(images: Sequence[ImageWeakLabels], classes: ClassTable, windows: Windows) -> None:
    """Raise ``ValueError`` for the problems of :func:`find_unlearned`, and print its warnings."""
    found = find_unlearned(images, classes, windows)
    for warning in found.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if found.problems:
        raise ValueError("; ".join(found.problems))


def _describe(
    images: Sequence[ImageWeakLabels], classes: ClassTable, windows: Windows, unlearned: NDArray[np.bool_]
) -> list[str]:
    """One line about the classes ``(C,)`` and a scale at which they are learned; none without classes."""
    if not unlearned.any():
        return []
    regions = [extents[tags[:, unlearned].any(1)] for extents, tags in map(measure_tagged, images)]
    extents = np.concatenate(regions)
    scales = windows.find_scales(extents)
    # In the middle of the regions by size: half of them or more are then learned from.
    middle = np.argsort(scales, kind="stable")[(len(scales) - 1) // 2]
    (height, width), share = extents[middle].astype(int), windows.measure_shown(extents)[middle]
    names = shorten_list([repr(classes.names[train_id]) for train_id in np.flatnonzero(unlearned)])
    return [
        f"the classifier can't learn {', '.join(names)}: it learns a tag or box only in a window that shows "
        f"{REGION_INSIDE:.0%} of what is tagged, but one of {windows.crop_size[0]}x{windows.crop_size[1]} px (height x "
        f"width) shows {share:.0%} of {height}x{width} px at classifier.scale {windows.scale:g}; set classifier.scale "
        f"to {_round_down(scales[middle]):g}, or raise classifier.crop_height_px and classifier.crop_width_px"
    ]


def measure_tagged(image: ImageWeakLabels) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Height and width ``(G, 2)`` of the regions of :func:`list_regions`, and the classes ``(G, C)`` in them."""
    rectangles, tags = list_regions(image)
    return (rectangles[:, 2:] - rectangles[:, :2])[:, ::-1], tags


def list_regions(image: ImageWeakLabels) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Rectangles in which classes are known to be: the tagged crops (the image, if there are none), then the boxes.

    Returns
    -------
    rectangles : (G, 4) float64
        Half-open ``[x0, y0, x1, y1)``.
    tags : (G, C) bool
        A box tags its own class only.
    """
    whole = np.array([[0, 0, image.width, image.height]])
    areas, tags = (image.crops_xyxy, image.crop_tags) if len(image.crops_xyxy) else (whole, image.tags[None])
    rectangles = np.concatenate([areas, image.boxes_xyxy]).astype(float)
    box_tags = np.eye(len(image.tags), dtype=bool)[image.box_classes]
    return rectangles, np.concatenate([tags, box_tags])


def _round_down(value: float) -> float:
    """Two significant digits, at most the value."""
    unit = 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(np.floor(value / unit) * unit)
