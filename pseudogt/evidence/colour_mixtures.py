"""Mixtures of five colours for object and background: fitted to pixels, and compared with them (GrabCut).

The arithmetic follows OpenCV's ``grabCut``, whose masks it must reproduce.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

COMPONENTS = 5
SINGULAR = 1e-6
"""A determinant that is not greater belongs to a colour without spread, ..."""
NOISE = 0.01
"""... whose variances are raised by this."""

LEAST_EXPONENT = -745.0
"""Whose exponential is 0 in double precision."""

LEAST_DENSITY = 1e-300


class Mixtures(NamedTuple):
    """Normal distributions of colours, of the background (0) and of the object (1).

    Attributes
    ----------
    weights : (2, 5) float64
        Share of the pixels; 0 for a component without any.
    means : (2, 5, 3) float64
    inverses : (2, 5, 6) float64
        Upper triangles of the inverse covariances, row by row.
    determinants : (2, 5) float64
        Determinants of the covariances.
    """

    weights: NDArray[np.float64]
    means: NDArray[np.float64]
    inverses: NDArray[np.float64]
    determinants: NDArray[np.float64]

    @classmethod
    def empty(cls) -> Self:
        """Mixtures of no component."""
        shape = (2, COMPONENTS)
        return cls(np.zeros(shape), np.zeros((*shape, 3)), np.zeros((*shape, 6)), np.ones(shape))


@njit(cache=True, nogil=True)
def fit_mixtures(
    mixtures: Mixtures, pixels: NDArray[np.uint8], sides: NDArray[np.uint8], components: NDArray[np.int32]
) -> None:
    """Set the mixtures to the moments of pixels ``(N, 3)``, of which side (0 or 1) and component ``(N,)`` are given."""
    # Number of pixels, sums of the channels, and sums of their products (upper triangle).
    counts, sums = np.zeros((2, COMPONENTS), np.int64), np.zeros((2, COMPONENTS, 9), np.int64)
    for n in range(len(pixels)):
        total = sums[sides[n], components[n]]
        r, g, b = np.int64(pixels[n, 0]), np.int64(pixels[n, 1]), np.int64(pixels[n, 2])
        counts[sides[n], components[n]] += 1
        total[0] += r
        total[1] += g
        total[2] += b
        total[3] += r * r
        total[4] += r * g
        total[5] += r * b
        total[6] += g * g
        total[7] += g * b
        total[8] += b * b
    for side in range(2):
        pixels_of_side = counts[side].sum()
        for k in range(COMPONENTS):
            count = counts[side, k]
            mixtures.weights[side, k] = count / pixels_of_side if count else 0.0
            if count:
                _set_component(mixtures, side, k, sums[side, k] / count)


@njit(cache=True, nogil=True)
def _set_component(mixtures: Mixtures, side: int, k: int, moments: NDArray[np.float64]) -> None:
    """Mean and inverse covariance from the means of channels and of their products ``(9,)``."""
    r, g, b = moments[0], moments[1], moments[2]
    rr, rg, rb = moments[3] - r * r, moments[4] - r * g, moments[5] - r * b
    gg, gb, bb = moments[6] - g * g, moments[7] - g * b, moments[8] - b * b
    determinant = rr * (gg * bb - gb * gb) - rg * (rg * bb - gb * rb) + rb * (rg * gb - gg * rb)
    if determinant <= SINGULAR:
        rr, gg, bb = rr + NOISE, gg + NOISE, bb + NOISE
        determinant = rr * (gg * bb - gb * gb) - rg * (rg * bb - gb * rb) + rb * (rg * gb - gg * rb)
    mixtures.means[side, k] = moments[:3]
    mixtures.determinants[side, k] = determinant
    inverse = mixtures.inverses[side, k]
    inverse[0], inverse[1], inverse[2] = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
    inverse[3], inverse[4], inverse[5] = rr * bb - rb * rb, rg * rb - rr * gb, rr * gg - rg * rg
    inverse /= determinant


@njit(cache=True, nogil=True)
def _compute_exponent(mixtures: Mixtures, side: int, k: int, pixel: NDArray[np.uint8]) -> float:
    """Minus half the squared Mahalanobis distance of a pixel ``(3,)`` from a component."""
    mean, inverse = mixtures.means[side, k], mixtures.inverses[side, k]
    r, g, b = pixel[0] - mean[0], pixel[1] - mean[1], pixel[2] - mean[2]
    red = r * (r * inverse[0] + 2 * g * inverse[1] + 2 * b * inverse[2])
    return -0.5 * (red + g * (g * inverse[3] + 2 * b * inverse[4]) + b * b * inverse[5])


@njit(cache=True, nogil=True)
def assign_components(
    mixtures: Mixtures, pixels: NDArray[np.uint8], sides: NDArray[np.uint8], components: NDArray[np.int32]
) -> None:
    """Write the likeliest component of each pixel ``(N, 3)`` on its side; the first where all densities are 0."""
    # Logarithms of the densities' factors.
    factors = -0.5 * np.log(mixtures.determinants)
    for n in range(len(pixels)):
        side, best, highest = sides[n], 0, -np.inf
        for k in range(COMPONENTS):
            if mixtures.weights[side, k] > 0:
                exponent = _compute_exponent(mixtures, side, k, pixels[n])
                if exponent > LEAST_EXPONENT and exponent + factors[side, k] > highest:
                    best, highest = k, exponent + factors[side, k]
        components[n] = best


@njit(cache=True, nogil=True)
def compare_densities(mixtures: Mixtures, image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Logarithm of the object's density over the background's at each pixel ``(h, w)`` of an image ``(h, w, 3)``."""
    factors = mixtures.weights / np.sqrt(mixtures.determinants)
    ratios = np.empty(image.shape[:2])
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            background = _compute_log_density(mixtures, factors, 0, image[y, x])
            ratios[y, x] = _compute_log_density(mixtures, factors, 1, image[y, x]) - background
    return ratios


@njit(cache=True, nogil=True)
def _compute_log_density(
    mixtures: Mixtures, factors: NDArray[np.float64], side: int, pixel: NDArray[np.uint8]
) -> float:
    density = 0.0
    for k in range(COMPONENTS):
        if factors[side, k] > 0:
            density += factors[side, k] * math.exp(_compute_exponent(mixtures, side, k, pixel))
    return math.log(max(density, LEAST_DENSITY))
