"""Spread the classes of points and scribbles over the regions around them."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pseudogt.classes import IGNORE_LABEL
from pseudogt.weak_labels.labelled import LabelledPixels, paint_classes


class Spread(NamedTuple):
    """Labelled pixels of an image, and how far their classes spread.

    Attributes
    ----------
    classes : (S,) uint8
        Train ids.
    weights : (S, h, w) float32
        In [0, 1], at most one class above 0 at a pixel: 1 where it is labelled.
    """

    classes: NDArray[np.uint8]
    weights: NDArray[np.float32]


def spread_marks(
    labelled: LabelledPixels,
    image_size: tuple[int, int],
    size: tuple[int, int],
    regions: NDArray[np.intp] | None,
    weight: float,
) -> Spread:
    """Spread labelled pixels over the regions of an image.

    A region whose labelled pixels all have one class takes this class with ``weight``. In a region with several
    classes, as without regions, only the labelled pixels have a weight.

    Parameters
    ----------
    labelled : LabelledPixels
    image_size : (H, W)
        Size of the image that contains the pixels.
    size : (h, w)
        Size of the result.
    regions : (h, w) integer or None
        Region numbers from 0.
    weight : float
        In [0, 1].
    """
    rows = ((labelled.rows + 0.5) * size[0] / image_size[0]).astype(int)
    columns = ((labelled.columns + 0.5) * size[1] / image_size[1]).astype(int)
    label = paint_classes(rows, columns, labelled.classes, size)
    classes = np.unique(label[label != IGNORE_LABEL])
    weights = (label == classes[:, None, None]).astype(np.float32)
    if regions is None or not len(classes):
        return Spread(classes, weights)
    # Which classes each region holds: (S, R).
    holds = np.stack([np.bincount(regions[label == train_id], minlength=regions.max() + 1) > 0 for train_id in classes])
    alone = holds & (holds.sum(0) == 1)
    return Spread(classes, np.maximum(weights, np.float32(weight) * alone[:, regions]))


def resize_spread(spread: Spread, size: tuple[int, int]) -> Spread:
    """The same on a coarser grid ``(h, w)``: means over its cells."""
    resized = [cv2.resize(weight, size[::-1], interpolation=cv2.INTER_AREA) for weight in spread.weights]
    return Spread(spread.classes, np.array(resized, np.float32).reshape(-1, *size))


def blend(scores: NDArray[np.float32], spread: Spread, candidates: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Scores ``(C, h, w)`` moved towards what marks say, as far as these classes are candidates ``(C, h, w)``."""
    weights = spread.weights * candidates[spread.classes]
    blended = scores * (1 - weights.sum(0))
    blended[spread.classes] += weights
    return blended
