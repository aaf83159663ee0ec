"""Strength of the links between neighbouring pixels, from the contrast between them (GrabCut)."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pseudogt.evidence.grid_cut import DX, DY

STRENGTH = 50.0
"""Strength of the edge between two pixels of equal colour."""


@njit(cache=True, nogil=True)
def join_pixels(image: NDArray[np.uint8], scale: float) -> NDArray[np.int32]:
    """Capacities ``(H, W, 8)`` of the edges from each pixel of an image ``(H, W, 3)`` to those at ``DX`` and ``DY``.

    The contrast is measured against its mean over the image; ``scale`` is what the strength 1 becomes.
    """
    height, width = image.shape[:2]
    capacity, falloff = np.zeros((height, width, 8), np.int32), _compute_falloff(image)
    for y in range(height):
        for x in range(width):
            for d in range(8):
                if 0 <= x + DX[d] < width and 0 <= y + DY[d] < height:
                    strength = STRENGTH * math.exp(-falloff * _measure_contrast(image, y, x, d))
                    # Diagonal neighbours are farther away.
                    distance = math.sqrt(abs(DX[d]) + abs(DY[d]))
                    capacity[y, x, d] = round(scale * strength / distance)
    return capacity


@njit(cache=True, nogil=True)
def _measure_contrast(image: NDArray[np.uint8], y: int, x: int, d: int) -> int:
    """Squared difference of the colours of a pixel and its neighbour."""
    total = 0
    for channel in range(3):
        difference = np.int64(image[y, x, channel]) - np.int64(image[y + DY[d], x + DX[d], channel])
        total += int(difference**2)
    return total


@njit(cache=True, nogil=True)
def _compute_falloff(image: NDArray[np.uint8]) -> float:
    """One over twice the mean contrast of all neighbours; 0 for an even image."""
    height, width = image.shape[:2]
    total, count = 0, 0
    for y in range(height):
        for x in range(width):
            # Each pair once: the neighbours above, and the one to the left.
            for d in range(4):
                if 0 <= x + DX[d] < width and y + DY[d] >= 0:
                    total += _measure_contrast(image, y, x, d)
                    count += 1
    return count / (2.0 * total) if total else 0.0
