"""How wide the segments of a class are, measured around its points, scribbles and masks.

A click says what a pixel is, not how large its segment is. A classifier that learns from as many clicks on poles as on
buildings takes every doubtful pixel for either with equal odds, although there are far fewer pixels of poles.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import watershed

from pseudogt.weak_labels.records import ImageWeakLabels

LONG_SIDE_PX = 512
"""Larger images are measured at this size."""

NARROW = 0.75
"""Share of the usual width below which the segments of a class are narrow."""

MeasuredImage = tuple[NDArray[np.uint8], ImageWeakLabels]

Places = tuple[NDArray[np.int64], NDArray[np.int64]]


class MeasuredMarks(NamedTuple):
    """The marks of an image that have pixels in it; none if all have one class, which would take the whole image.

    Attributes
    ----------
    size : (h, w)
        The size at which they were measured.
    numbers : (M,) int64
        Positions in the image's marks.
    classes : (M,) uint8
        Train ids.
    places : list of (P,) and (P,) int64
        Rows and columns of the pixels of each mark at this size; pixels of the image may share one.
    widths : (M,) float64
        Half the width of the segment around each mark, relative to the square root of the image's area.
    """

    size: tuple[int, int]
    numbers: NDArray[np.int64]
    classes: NDArray[np.uint8]
    places: list[Places]
    widths: NDArray[np.float64]


class ClassWidths(NamedTuple):
    """Half the width of the marked segments of each class, as in :class:`MeasuredMarks`; 0 without marks.

    Attributes
    ----------
    mean : (C,) float64
        Grows with the area that a class covers.
    median : (C,) float64
        What is usual, even if the borders of some segments were not found.
    """

    mean: NDArray[np.float64]
    median: NDArray[np.float64]


def measure_marks(image: NDArray[np.uint8], weak: ImageWeakLabels) -> MeasuredMarks:
    """Measure half the width of the segment around each mark of an image.

    Marks are the seeds of a watershed on the strength of colour edges; the width at a pixel is its distance to the
    nearest pixel of another class or to the image's border.

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB; may be smaller than that of the weak labels.
    weak : ImageWeakLabels
    """
    pixels = [mark.find_pixels(weak.height, weak.width) for mark in weak.marks]
    factor = min(1.0, LONG_SIDE_PX / max(image.shape[:2]))
    height, width = (max(1, round(extent * factor)) for extent in image.shape[:2])
    numbers = np.flatnonzero([len(found) > 0 for found in pixels])
    classes = weak.marks.classes[numbers]
    if len(np.unique(classes)) < 2:
        return MeasuredMarks((height, width), numbers[:0], classes[:0], [], np.zeros(0))
    scale = np.array([height, width]) / (weak.height, weak.width)
    places: list[Places] = []
    for number in numbers:
        rows, columns = ((pixels[number] + 0.5) * scale).astype(np.int64).T
        places.append((rows, columns))
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    seeds = np.zeros((height, width), np.int32)
    for train_id, place in zip(classes.tolist(), places, strict=True):
        seeds[place] = train_id + 1
    flooded = watershed(_find_edges(np.asarray(small, np.uint8)), seeds) - 1
    # Distance of every pixel to the next one of another class, or to the border of the image.
    areas = {k: np.pad(flooded == k, 1).astype(np.uint8) for k in np.unique(classes).tolist()}
    distance = {k: cv2.distanceTransform(area, cv2.DIST_L2, 5)[1:-1, 1:-1] for k, area in areas.items()}
    widths = [distance[k][place].mean() for k, place in zip(classes.tolist(), places, strict=True)]
    return MeasuredMarks((height, width), numbers, classes, places, np.array(widths) / np.sqrt(height * width))


def measure_class_widths(images: Iterable[MeasuredImage], class_count: int) -> ClassWidths:
    """Mean and median of the half widths of :func:`measure_marks` for each class."""
    classes, widths = np.zeros(0, np.uint8), np.zeros(0)
    for image, weak in images:
        measured = measure_marks(image, weak)
        classes = np.append(classes, measured.classes)
        widths = np.append(widths, measured.widths)
    each = [widths[classes == train_id] for train_id in range(class_count)]
    mean, median = ([float(take(found)) if len(found) else 0.0 for found in each] for take in (np.mean, np.median))
    return ClassWidths(np.array(mean), np.array(median))


def find_narrowness(mean: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """How much narrower than usual the segments of each class ``(C,)`` are, from their mean widths.

    Usual is the geometric mean over the classes. 0 from ``NARROW`` of it on and without a width, near 1 for far less.
    The mean, as the median of trees is that of their branches.
    """
    width = np.asarray(mean, np.float64)
    measured = width > 0
    if not measured.any():
        return np.zeros(len(width))
    limit = NARROW * np.exp(np.log(width[measured]).mean())
    return np.where(measured, np.clip(1 - width / limit, 0, 1), 0)


def find_log_prior(widths: Sequence[float], exponent: float) -> NDArray[np.float32]:
    """Log of the prior ``(C,)`` of each class by its width; 0 without a width, and on average over the others.

    The share of pixels of a class grows with the width of its segments: linearly for stripes, with the square for
    blobs. The exponent lies between.
    """
    width = np.asarray(widths, np.float64)
    measured = width > 0
    log_width = np.log(width, where=measured, out=np.zeros_like(width))
    centred = np.where(measured, log_width - log_width.sum() / max(1, measured.sum()), 0)
    return (exponent * centred).astype(np.float32)


def _find_edges(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Strength ``(H, W)`` of the colour edges of an image in Lab."""
    lab = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32), (0, 0), 1)
    slopes = [cv2.Sobel(lab, cv2.CV_32F, dx, dy) for dx, dy in ((1, 0), (0, 1))]
    return np.sqrt(np.sum(np.square(slopes), axis=(0, 3)))
