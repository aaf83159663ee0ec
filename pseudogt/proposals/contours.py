"""Oriented contour strength of an image, from differences of colour and texture.

Strength depends on direction: across a border it is high, along it low. At each pixel it is an
ellipse, the structure tensor of Di Zenzo (CVGIP 1986), so that any number of directions costs the
same as one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Map = NDArray[np.float32]

COLOUR_WEIGHTS = (1.0, 1.3, 1.3)
"""Weights of lightness and of the two colour axes."""

FINE_SIGMA_PX, HISTOGRAM_SIGMA_PX, TEXTURE_SIGMA_PX = 1.2, 5.0, 8.0
FINE_WEIGHT, HISTOGRAM_WEIGHT, TEXTURE_WEIGHT = 0.35, 0.4, 0.25
HALF_STRENGTH = 0.3
"""Chosen by the proposals of half of voc2007_seg dev: mean best overlap 0.72. What was best of 40
combinations for people's contours (ODS 0.67 on 16 images of BSDS500 train, 9 times the weight of
the fine differences) gave 0.65: texture inside things then fills the hierarchy."""

LOCAL_SHARE = 0.1
"""Share of contours by colour differences that is added to learned ones. Chosen on coco_panoptic train: mean best
overlap 0.50, without them 0.49; voc2007_seg dev gets no worse."""

MAX_SCALED_PX = 1024 * 2048
"""Enlarged images are not larger."""

HISTOGRAM_RANGES = ((0.0, 1.0, 12), (-0.4, 0.5, 24), (-0.45, 0.55, 24))
"""Lowest and highest value, and bins, of the Lab axes."""


class Contours(NamedTuple):
    """Squared contour strength by direction.

    Across a border whose normal has the angle t it is ``mean + cosine * cos(2 t) + sine * sin(2 t)``.

    Attributes
    ----------
    mean, cosine, sine : (H, W) float32
    """

    mean: Map
    cosine: Map
    sine: Map

    @property
    def strength(self) -> Map:
        """Strength ``(H, W) float32`` in the strongest direction."""
        return np.sqrt(self.mean + np.hypot(self.cosine, self.sine))


FindContours = Callable[[NDArray[np.uint8]], Contours]
"""Contours of an image ``(H, W, 3) uint8 RGB``."""


def find_gradient_contours(image: NDArray[np.uint8]) -> Contours:
    """Contours by local differences of colour and texture; nothing in it was learned.

    Fine differences of smoothed colours locate a border; coarse differences of colour histograms
    and of the energy of a texture filter bank say whether it is one between two surfaces or a
    detail of one surface (after Martin, Fowlkes, Malik, PAMI 2004).

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB

    Returns
    -------
    Contours
        Strength in [0, 1].

    Differs from the paper: differences of Gaussian-weighted soft histograms instead of two half
    discs, in closed form over all directions; filter energies instead of clustered textons.
    """
    lab = convert_to_lab(image)
    fine = _sum_tensors(lab * np.asarray(COLOUR_WEIGHTS, np.float32), FINE_SIGMA_PX)
    height, width = image.shape[:2]
    # What is smoothed anyway needs half the resolution only.
    half = _resize(lab, (max(1, height // 2), max(1, width // 2)))
    coarse = HISTOGRAM_WEIGHT * _sum_tensors(_find_memberships(half), HISTOGRAM_SIGMA_PX / 2)
    coarse += TEXTURE_WEIGHT * _sum_tensors(_find_texture_energies(half[..., 0]), TEXTURE_SIGMA_PX / 2)
    return _saturate(FINE_WEIGHT * fine + _resize(coarse, (height, width)))


def find_contour_directions(strength: Map, *, sigma_px: float = 2.0) -> Contours:
    """Give a map of strengths its directions: a ridge is crossed where its second derivative is most negative.

    Parameters
    ----------
    strength : (H, W) float32 in [0, 1]
    sigma_px : float
        Smoothing before the derivatives.
    """
    smooth = cv2.GaussianBlur(strength, (0, 0), sigma_px)
    xx, yy, xy = (cv2.Sobel(smooth, cv2.CV_32F, dx, dy, ksize=5) for dx, dy in ((2, 0), (0, 2), (1, 1)))
    # Double-angle vector of the direction in which the second derivative is most negative, from the Hessian.
    cosine, sine = (yy - xx) / 2, -xy
    spread = np.hypot(cosine, sine)
    # A ridge is curved in one direction only; a peak or plateau has no direction.
    share = np.where(spread > 1e-6, spread / (spread + np.abs(xx + yy) / 2 + 1e-6), 0) * 2
    share = np.minimum(share, 1)
    # Ellipse with the whole squared strength across the ridge, and (1 - share) of it along the ridge.
    squared = strength**2
    factor = squared * share / np.maximum(spread, 1e-6) / 2
    return Contours(squared * (1 - share / 2), factor * cosine, factor * sine)


def add_local_contours(contours: Contours, image: NDArray[np.uint8], *, share: float = LOCAL_SHARE) -> Contours:
    """Contours with a share of those by differences: a network that looks far passes over small things.

    Parameters
    ----------
    contours : Contours
    image : (H, W, 3) uint8 RGB
    share : float
        Weight of the contours by differences, in [0, 1].
    """
    local = find_gradient_contours(image)
    return Contours(*(_as_map((1 - share) * a + share * b) for a, b in zip(contours, local, strict=True)))


def find_contours_at_scales(
    image: NDArray[np.uint8], scales: Sequence[float], find_contours: Callable[[NDArray[np.uint8]], Contours]
) -> list[Contours]:
    """Contours of an image ``(H, W, 3)`` resized by each factor, resized to the image again.

    An image that would be larger than ``MAX_SCALED_PX`` is enlarged less.
    """
    height, width = image.shape[:2]
    largest = max(1.0, np.sqrt(MAX_SCALED_PX / (height * width)))
    found = []
    for scale in scales:
        factor = min(scale, largest)
        shape = (max(1, round(height * factor)), max(1, round(width * factor)))
        scaled = np.rint(_resize(image.astype(np.float32), shape)).astype(np.uint8)
        maps = _resize(np.stack(find_contours(scaled), axis=-1), (height, width))
        found.append(Contours(*np.ascontiguousarray(np.moveaxis(maps, -1, 0))))
    return found


def convert_to_lab(image: NDArray[np.uint8]) -> Map:
    """CIE Lab ``(H, W, 3) float32``, all three divided by 100."""
    return _as_map(cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) / np.float32(100))


def _resize(maps: Map, shape: tuple[int, int]) -> Map:
    """Resize ``(H, W, C)`` to ``shape``: means of what a smaller pixel covers, linear between larger ones."""
    if maps.shape[:2] == shape:
        return maps
    smaller = shape[0] < maps.shape[0]
    resized = cv2.resize(maps, shape[::-1], interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return _as_map(resized).reshape(*shape, maps.shape[2])


def _as_map(values: ArrayLike) -> Map:
    return np.asarray(values, np.float32)


def _sum_tensors(channels: Map, sigma_px: float) -> Map:
    """Structure tensor ``(H, W, 3)`` (xx, yy, xy) summed over channels ``(H, W, C)``, of Gaussian derivatives."""
    radius = int(np.ceil(3 * sigma_px))
    # Sample a Gaussian and its derivative, which filter rows and columns separately.
    x = np.arange(-radius, radius + 1, dtype=np.float32)
    smooth = np.exp(-(x**2) / (2 * sigma_px**2))
    smooth /= smooth.sum()
    derivative = x * smooth
    derivative /= np.abs(derivative).sum() / 2  # an ideal step of 1 gives 1
    tensor = np.zeros((*channels.shape[:2], 3), np.float32)
    # Add the outer product of each channel's gradient with itself.
    for channel in np.moveaxis(channels, -1, 0):
        plane = np.ascontiguousarray(channel)
        dx = cv2.sepFilter2D(plane, cv2.CV_32F, derivative, smooth, borderType=cv2.BORDER_REFLECT)
        dy = cv2.sepFilter2D(plane, cv2.CV_32F, smooth, derivative, borderType=cv2.BORDER_REFLECT)
        tensor[..., 0] += dx * dx
        tensor[..., 1] += dy * dy
        tensor[..., 2] += dx * dy
    return tensor


def _find_memberships(lab: Map) -> Map:
    """Membership ``(H, W, K)`` of each pixel in overlapping bins of each Lab axis, without the empty bins."""
    channels = []
    for axis, (low, high, bins) in enumerate(HISTOGRAM_RANGES):
        # Position on the axis in bins; the weight of a bin falls linearly to 0 two bins away from its centre.
        position = np.clip((lab[..., axis] - low) / (high - low), 0, 1) * (bins - 1)
        lowest, highest = max(0, int(position.min()) - 2), min(bins - 1, int(position.max()) + 2)
        channels += [
            np.maximum(0, 1 - np.abs(position - k) / 2) * COLOUR_WEIGHTS[axis] for k in range(lowest, highest + 1)
        ]
    return np.stack(channels, axis=-1).astype(np.float32)


def _find_texture_energies(lightness: Map) -> Map:
    """Energy ``(H, W, 5)`` of differences in four directions and of a spot filter, compressed."""
    plane = np.ascontiguousarray(lightness)
    dx, dy = (cv2.Sobel(plane, cv2.CV_32F, 1 - k, k, ksize=3, scale=1 / 4) for k in (0, 1))
    diagonal, other = (dx + dy) * np.float32(0.7071), (dx - dy) * np.float32(0.7071)
    spot = plane - cv2.GaussianBlur(plane, (0, 0), 2.0)
    energies = np.stack([dx, dy, diagonal, other, 2 * spot], axis=-1)
    return 4 * np.sqrt(np.sqrt(energies**2 + np.float32(1e-4)))


def _saturate(tensor: Map) -> Contours:
    """Strength s becomes s / (s + HALF_STRENGTH), the direction stays."""
    # Mean, and double-angle components, of the ellipse that the structure tensor describes.
    mean, cosine, sine = (tensor[..., 0] + tensor[..., 1]) / 2, (tensor[..., 0] - tensor[..., 1]) / 2, tensor[..., 2]
    strength = np.sqrt(np.maximum(mean + np.hypot(cosine, sine), 0))
    factor = 1 / (strength + np.float32(HALF_STRENGTH)) ** 2
    return Contours(*(_as_map(each * factor) for each in (mean, cosine, sine)))
