"""Points like people's clicks, derived from full masks for a benchmark."""

from __future__ import annotations

import zlib
from collections.abc import Container
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from pseudogt.classes import INSTANCE_DIVISOR, VOID, ClassTable

INNER_SHARE = 0.5
"""People click inside: at least this share of the largest distance to the border away from it."""


class Click(NamedTuple):
    """A point in a segment.

    Attributes
    ----------
    segment_id : int
        Panoptic id.
    train_id : int
    x, y : float
        Middle of a pixel; the first pixel spans 0 to 1.
    """

    segment_id: int
    train_id: int
    x: float
    y: float


def draw_clicks(
    image_id: str,
    panoptic_id: NDArray[np.int32],
    crowd_ids: Container[int],
    classes: ClassTable,
    wanted: NDArray[np.bool_],
    *,
    seed: int,
) -> list[Click]:
    """One point in each segment of the wanted classes, groups and void left out.

    Each is drawn among the pixels whose distance to the border of the segment, which the border of the image is, too,
    is at least half of the largest.

    Parameters
    ----------
    image_id : str
        The points depend on it, and not on other images.
    panoptic_id : (H, W) int32
    crowd_ids
        Panoptic ids that are groups.
    classes : ClassTable
    wanted : (C,) bool
    seed : int
    """
    ids, index = np.unique(panoptic_id, return_inverse=True)
    slices = find_objects(index.reshape(panoptic_id.shape) + 1)
    clicks = []
    for segment_id, window in zip(ids.tolist(), slices, strict=True):
        train_id = int(classes.category_to_train[segment_id // INSTANCE_DIVISOR])
        if segment_id == VOID or segment_id in crowd_ids or not wanted[train_id]:
            continue
        rng = np.random.default_rng([seed, zlib.crc32(image_id.encode()), segment_id])
        row, column = _draw_inner_pixel(panoptic_id[window] == segment_id, rng)
        clicks.append(Click(segment_id, train_id, window[1].start + column + 0.5, window[0].start + row + 0.5))
    return clicks


def _draw_inner_pixel(mask: NDArray[np.bool_], rng: np.random.Generator) -> tuple[int, int]:
    """Row and column of a pixel of a mask ``(h, w)`` away from its border."""
    padded = np.pad(mask, 1).astype(np.uint8)
    # From the middle of each pixel to the border, which lies half a pixel before the next one outside.
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1] - 0.5
    inner = np.flatnonzero(mask & (distance >= INNER_SHARE * distance.max()))
    row, column = divmod(int(rng.choice(inner)), mask.shape[1])
    return row, column
