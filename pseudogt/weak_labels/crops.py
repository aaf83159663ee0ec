"""The fixed crops whose class tags supervise stuff: an overlapping grid of 5x3 tiles in the paper.

Two forms: :func:`crop_grid` is what the workflow uses (relative size, covers every pixel, any
number of tiles); :func:`paper_crop_grid` is the authors' rule with its quirks, for parity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pseudogt.config.weak_labels import CROP_HEIGHT_FRACTION, CROP_WIDTH_FRACTION


def crop_grid(
    height: int,
    width: int,
    height_fraction: float = CROP_HEIGHT_FRACTION,
    width_fraction: float = CROP_WIDTH_FRACTION,
) -> NDArray[np.int32]:
    """Crops of the workflow: size relative to the image, first and last tile flush with the border.

    Parameters
    ----------
    height, width : int
        Size of the image in pixels, at least 1.
    height_fraction, width_fraction : float
        Size of a crop over the size of the image, in (0, 1]; 1 gives a single tile on that axis.

    Returns
    -------
    (N, 4) int32
        Half-open ``[x0, y0, x1, y1)``, column by column (x outer, y inner, as in the paper).
        Every pixel lies in at least one crop; all crops have one size.

    Raises
    ------
    ValueError
        For an empty image or a fraction outside (0, 1].

    Notes
    -----
    Differs from the paper: tiles are spread evenly, so that the last one ends at the border, where
    the paper rounds the overlap up and may leave the last columns in no tile. At 1024x2048 both
    give the same 15 crops.
    """
    x_starts, crop_width = _spread_tiles(width, width_fraction)
    y_starts, crop_height = _spread_tiles(height, height_fraction)
    return _combine_starts(x_starts, y_starts, crop_height, crop_width)


def paper_crop_grid(height: int, width: int, crop_height: int, crop_width: int) -> NDArray[np.int32]:
    """Crops exactly as the authors place them (``check_image_level_tags`` of Li et al., ECCV 2018).

    Parameters
    ----------
    height, width : int
        Size of the canvas in pixels.
    crop_height, crop_width : int
        Size of a crop in pixels, 400 and 500 in the paper.

    Returns
    -------
    (N, 4) int32
        Half-open ``[x0, y0, x1, y1)``, x outer and y inner. Where the overlap was rounded up the
        last columns and rows lie in no crop.

    Raises
    ------
    ValueError
        If an axis has a single tile: the authors' rule divides zero by zero there.
    """
    x_starts = _place_paper_tiles(width, crop_width)
    y_starts = _place_paper_tiles(height, crop_height)
    return _combine_starts(x_starts, y_starts, crop_height, crop_width)


def _spread_tiles(length: int, fraction: float) -> tuple[list[int], int]:
    if length < 1 or not 0 < fraction <= 1:
        raise ValueError(f"crops need a length of at least 1 and a fraction in (0, 1], got {length} and {fraction}")
    size = math.ceil(length * fraction - 1e-9)  # so that 0.1 * 30 is 3
    # As few tiles as cover the axis, but no two with the same start.
    count = min(math.ceil(1 / fraction - 1e-9), length - size + 1)
    if count == 1:
        return [0], length
    return [i * (length - size) // (count - 1) for i in range(count)], size


def _place_paper_tiles(length: int, size: int) -> list[int]:
    if size < 1 or size >= length:
        raise ValueError(
            f"the paper's rule needs two tiles or more on each axis; a crop of {size} px spans {length} px"
        )
    count = math.ceil(length / size)
    overlap = math.ceil((count * size - length) / (count - 1))
    return [i * (size - overlap) for i in range(count)]


def _combine_starts(
    x_starts: Sequence[int], y_starts: Sequence[int], crop_height: int, crop_width: int
) -> NDArray[np.int32]:
    corners = [(x, y, x + crop_width, y + crop_height) for x in x_starts for y in y_starts]
    return np.array(corners, np.int32)
