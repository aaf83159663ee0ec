"""Arithmetic on maps of an image: resizing, means over regions, tables."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def resize_maps(maps: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Resize maps ``(C, h, w)`` to ``size`` (H, W), bilinear, pixel centres at half integers."""
    resized = np.empty((len(maps), *size), np.float32)
    for i, one in enumerate(maps):
        resized[i] = cv2.resize(one, size[::-1], interpolation=cv2.INTER_LINEAR)
    return resized


def enlarge_rows(maps: NDArray[np.float32], size: tuple[int, int], rows: slice) -> NDArray[np.float32]:
    """Rows of what :func:`resize_maps` makes of maps ``(C, h, w)``: ``(C, n, W) float32``.

    Parameters
    ----------
    maps : (C, h, w) float32
    size : (H, W)
        Size of the resized maps.
    rows : slice
        The n rows of 0..H that are wanted; the result does not depend on how others are cut.
    """
    count, height, width = maps.shape
    # Where the middle of each row lies between two rows of the maps.
    middles = np.clip((np.arange(rows.start, rows.stop) + 0.5) * height / size[0] - 0.5, 0, height - 1)
    above = middles.astype(np.intp)
    share = (middles - above).astype(np.float32)[:, None]
    mixed = maps[:, above] * (1 - share) + maps[:, np.minimum(above + 1, height - 1)] * share
    flat = mixed.reshape(-1, width)
    wide = cv2.resize(flat, (size[1], len(flat)), interpolation=cv2.INTER_LINEAR)
    return np.asarray(wide, np.float32).reshape(count, -1, size[1])


def pool_over_regions(scores: NDArray[np.float32], regions: NDArray[np.intp]) -> NDArray[np.float32]:
    """Mean of each score over each region, written to the region's pixels.

    Parameters
    ----------
    scores : (C, H, W) float32
    regions : (H, W) integer
        Region numbers from 0.

    Returns
    -------
    (C, H, W) float32
        Constant within a region, so that borders of scores follow those of regions.
    """
    if scores.shape[1:] != regions.shape:
        raise ValueError(f"scores {scores.shape} and regions {regions.shape} differ in size")
    flat = regions.ravel()
    # Mean score of each region, (C, R), which every pixel then looks up by its region number.
    area = np.maximum(np.bincount(flat), 1)
    means = np.stack([np.bincount(flat, weights=score.ravel()) / area for score in scores])
    return means.astype(np.float32)[:, regions]


def find_colour_regions(image: NDArray[np.uint8], *, scale: float, min_area_px: int) -> NDArray[np.intp]:
    """Regions ``(H, W)`` of even colour (Felzenszwalb and Huttenlocher, IJCV 2004), numbered from 0.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    scale : float
        The larger, the larger the regions.
    min_area_px : int
        Smaller regions are merged into a neighbour.
    """
    from skimage.segmentation import felzenszwalb

    return felzenszwalb(image, scale=scale, sigma=0.6, min_size=min_area_px)


def look_up(table: NDArray[Any], label: NDArray[np.uint8]) -> NDArray[Any]:
    """Entry of ``table`` ``(256,)`` for each pixel of ``label`` ``(H, W) uint8``; several times faster than indexing.

    The table holds uint8, int32 or floating values; the result is an array of its own.
    """
    return cv2.LUT(label, table) if label.size else table[label]
