"""How wide the segments of a class are, measured around its points, scribbles and masks.

A click says what a pixel is, not how large its segment is. A classifier that learns from as many clicks on poles as on
buildings takes every doubtful pixel for either with equal odds, although there are far fewer pixels of poles.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import watershed

from pseudogt.weak_labels.records import ImageWeakLabels

LONG_SIDE_PX = 512
"""Larger images are measured at this size."""

MeasuredImage = tuple[NDArray[np.uint8], ImageWeakLabels]


def measure_mark_widths(
    image: NDArray[np.uint8], weak: ImageWeakLabels
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Half the width of the segment around each mark of an image.

    Marks are the seeds of a watershed on the strength of colour edges; the width at a pixel is its distance to the
    nearest pixel of another class or to the image's border.

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB.
    weak : ImageWeakLabels

    Returns
    -------
    (M,) uint8
        Train ids of the marks in the image; none if all have one class, which would take the whole image.
    (M,) float64
        Half widths, relative to the square root of the image's area.
    """
    pixels = [mark.find_pixels(weak.height, weak.width) for mark in weak.marks]
    inside = np.array([len(found) > 0 for found in pixels], bool)
    classes = weak.marks.classes[inside]
    if len(np.unique(classes)) < 2:
        return np.zeros(0, np.uint8), np.zeros(0)
    factor = min(1.0, LONG_SIDE_PX / max(image.shape[:2]))
    size = tuple(max(1, round(extent * factor)) for extent in image.shape[:2])
    small = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
    places = [tuple(((p + 0.5) * size / (weak.height, weak.width)).astype(int).T) for p in pixels if len(p)]
    seeds = np.zeros(size, np.int32)
    for train_id, place in zip(classes.tolist(), places, strict=True):
        seeds[place] = train_id + 1
    flooded = watershed(_find_edges(np.asarray(small, np.uint8)), seeds) - 1
    # Distance of every pixel to the next one of another class, or to the border of the image.
    areas = {k: np.pad(flooded == k, 1).astype(np.uint8) for k in np.unique(classes).tolist()}
    distance = {k: cv2.distanceTransform(area, cv2.DIST_L2, 5)[1:-1, 1:-1] for k, area in areas.items()}
    widths = [distance[k][place].mean() for k, place in zip(classes.tolist(), places, strict=True)]
    return classes, np.array(widths, np.float64) / np.sqrt(size[0] * size[1])


def measure_class_widths(images: Iterable[MeasuredImage], class_count: int) -> NDArray[np.float64]:
    """Mean of the half widths of :func:`measure_mark_widths` for each class, ``(C,)``; 0 without marks."""
    total, count = np.zeros(class_count), np.zeros(class_count)
    for image, weak in images:
        classes, widths = measure_mark_widths(image, weak)
        np.add.at(total, classes, widths)
        np.add.at(count, classes, 1)
    return np.divide(total, count, out=np.zeros(class_count), where=count > 0)


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
