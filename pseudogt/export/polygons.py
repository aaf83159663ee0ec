"""One closed polygon per mask, and back: what formats without masks can hold."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

MIN_POINTS = 3
AMBIGUOUS_POINTS = 4
"""Four points are an oriented box to some readers of YOLO's files; a polygon of four gets its first point twice."""


def trace_polygon(mask: NDArray[np.bool_], tolerance_px: float = 0.0) -> NDArray[np.int32]:
    """One polygon around all parts of a mask.

    The outlines of parts and holes run through the centres of their outermost pixels. They are joined
    by bridges, there and back between the nearest points, so that one polygon holds them all. Filled
    by the even-odd rule with its border drawn, as in OpenCV, it gives the mask again, except for
    pixels under bridges between separate parts.

    Parameters
    ----------
    mask : (h, w) bool
        Not empty.
    tolerance_px : float
        How far the polygon may run beside the outline (Douglas-Peucker).

    Returns
    -------
    (P, 2) int32
        Pixels (x, y); at least 3 points, never 4.
    """
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    outlines = [_simplify(c, tolerance_px).reshape(-1, 2) for c in contours]
    outlines.sort(key=lambda points: abs(cv2.contourArea(points)), reverse=True)
    polygon = outlines[0]
    for outline in outlines[1:]:
        polygon = _bridge(polygon, outline)
    while len(polygon) < MIN_POINTS or len(polygon) == AMBIGUOUS_POINTS:
        polygon = np.concatenate([polygon, polygon[:1]])
    return polygon.astype(np.int32)


def trace_outline(
    mask: NDArray[np.bool_], tolerance_px: float = 0.0, origin_xy: tuple[int, int] = (0, 0)
) -> NDArray[np.float64]:
    """One polygon around all parts of a mask, in coordinates in which a pixel is an area and not a point.

    The outline runs between the centres of the outermost pixels and their outer borders, so that exactly the pixels
    of the mask have their centres in it, whether or not a reader counts what lies on the border.

    Parameters
    ----------
    mask : (h, w) bool
        Not empty.
    tolerance_px : float
        See :func:`trace_polygon`.
    origin_xy : (x, y)
        Upper left corner of the mask in the image.

    Returns
    -------
    (P, 2) float64
        x and y; the mask spans from ``origin_xy`` to w and h beyond it.
    """
    # Split each pixel into four, whose centres lie a quarter of a pixel from its own.
    quarters = mask.repeat(2, axis=0).repeat(2, axis=1)
    return trace_polygon(quarters, 2 * tolerance_px) / 2 + 0.25 + origin_xy


def _simplify(contour: NDArray[Any], tolerance_px: float) -> NDArray[Any]:
    return cv2.approxPolyDP(contour, tolerance_px, closed=True) if tolerance_px else contour


def _bridge(polygon: NDArray[np.int32], outline: NDArray[np.int32]) -> NDArray[np.int32]:
    """Polygon that leaves for the outline at the nearest pair of points, goes around it and comes back."""
    # Nearest pair of points: number `start` of the outline and number `leave` of the polygon.
    distances, nearest = cKDTree(polygon).query(outline)
    start = int(distances.argmin())
    leave = int(nearest[start])
    # Once around the outline, from its nearest point back to it.
    around = np.concatenate([np.roll(outline, -start, 0), outline[start : start + 1]])
    return np.concatenate([polygon[: leave + 1], around, polygon[leave:]])


def fill_polygon(polygon: NDArray[np.int32], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Mask ``(H, W)`` of a polygon of pixels (x, y): even-odd, with its border."""
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.asarray(polygon, np.int32).reshape(-1, 1, 2)], 1)
    return mask.astype(bool)
