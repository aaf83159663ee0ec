"""Random flips, zooms, crops and colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """How strongly to augment.

    Attributes
    ----------
    crop_size : (h, w)
        Size of the crops in pixels; what sticks out of the image is filled.
    zoom : (low, high)
        Range of the enlargement, drawn evenly in its logarithm.
    flip : float
        Probability of a mirror image.
    colour : float
        Brightness, contrast and saturation change by up to this share.
    """

    crop_size: tuple[int, int]
    zoom: tuple[float, float]
    flip: float
    colour: float


def draw_affine(
    size: tuple[int, int], augmentation: Augmentation, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Draw an affine map ``(2, 3)`` from (x, y) of the image of ``size`` (h, w) to (x, y) of the crop."""
    low, high = augmentation.zoom
    zoom = np.exp(generator.uniform(np.log(low), np.log(high)))
    flipped = generator.random() < augmentation.flip
    # Place the crop at random in the enlarged image, or the image in a crop that is larger.
    shifts = [
        -generator.uniform(min(0, zoom * extent - crop), max(0, zoom * extent - crop))
        for extent, crop in zip(size, augmentation.crop_size, strict=True)
    ]
    # Pixel centres lie at integers, so x + 1/2 is what is enlarged.
    half = (zoom - 1) / 2
    affine = np.array([[zoom, 0, half + shifts[1]], [0, zoom, half + shifts[0]]])
    if flipped:
        # Mirror the crop: x becomes its width - 1 - x.
        affine[0] = -affine[0]
        affine[0, 2] += augmentation.crop_size[1] - 1
    return affine


def warp_image(image: NDArray[np.uint8], affine: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Warp an image ``(H, W, 3)`` to ``size`` (h, w), bilinear, mid-grey outside."""
    return cv2.warpAffine(image, affine, size[::-1], flags=cv2.INTER_LINEAR, borderValue=(124, 116, 104))  # type: ignore[return-value]


def warp_map(values: NDArray[Any], affine: NDArray[np.float64], size: tuple[int, int], fill: int) -> NDArray[np.int16]:
    """Warp a label map ``(H, W)`` of uint8 or int16 to ``size`` (h, w), nearest pixel, ``fill`` outside."""
    # OpenCV rounds half-way positions of bytes and of wider types differently; all maps must take the same pixels.
    wide = np.asarray(values, np.int16)
    return cv2.warpAffine(wide, affine, size[::-1], flags=cv2.INTER_NEAREST, borderValue=fill)  # type: ignore[return-value]


def warp_points(points_yx: NDArray[np.float32], affine: NDArray[np.float64]) -> NDArray[np.float32]:
    """Move points ``(N, 2)`` in (y, x) along with the image."""
    points_xy = points_yx[:, ::-1] @ affine[:, :2].T + affine[:, 2]
    return points_xy[:, ::-1].astype(np.float32)


def jitter_colours(images: Tensor, factors: Tensor) -> Tensor:
    """Change brightness, contrast and saturation.

    Parameters
    ----------
    images : (B, 3, H, W)
        In 0..255.
    factors : (B, 3)
        Factors of brightness, contrast and saturation; 1 changes nothing.

    Returns
    -------
    (B, 3, H, W) float32
        In 0..255.
    """
    # A factor for each image: (B, 1, 1, 1) each.
    brightness, contrast, saturation = factors[:, :, None, None, None].unbind(1)
    bright = images.float() * brightness
    # Contrast is about the image's mean, saturation about each pixel's grey.
    mean = bright.mean((1, 2, 3), keepdim=True)
    contrasted = (bright - mean) * contrast + mean
    grey = contrasted.mean(1, keepdim=True)
    return ((contrasted - grey) * saturation + grey).clamp(0, 255)


def draw_colour_factors(count: int, augmentation: Augmentation, generator: np.random.Generator) -> Tensor:
    """Draw factors ``(count, 3)`` for :func:`jitter_colours`."""
    low, high = 1 - augmentation.colour, 1 + augmentation.colour
    return torch.from_numpy(generator.uniform(low, high, (count, 3)).astype(np.float32))
