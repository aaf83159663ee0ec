"""Overlapping tiles of images that are too large for a network, and the weights that blend their maps.

Where tiles overlap, their maps are averaged before anything is decoded, so that an instance on the border of two tiles
is one. The weight of a tile is 0 near its borders, where the network sees least of what is around a pixel, and rises to
1 inside the overlap. At the border of the image it is 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pseudogt.prediction.maps import SIZE_MULTIPLE

OVERLAP_SHARE = 4
"""Neighbouring tiles share at least the side of a tile over this, as a whole multiple of ``SIZE_MULTIPLE``."""

MARGIN_SHARE = 4
"""Side of the overlap over the margin in which a tile does not count."""


def find_overlap(tile: int) -> int:
    """Pixels that two neighbouring tiles of this side share at least."""
    return max(1, tile // OVERLAP_SHARE // SIZE_MULTIPLE) * SIZE_MULTIPLE


def place_tiles(extent: int, tile: int) -> list[int]:
    """First pixels of the tiles along an axis, spread evenly.

    Parameters
    ----------
    extent : int
        Side of the image, a multiple of ``SIZE_MULTIPLE``.
    tile : int
        Side of a tile, a multiple of ``SIZE_MULTIPLE`` too, at least twice as large as that unless it is ``extent``.

    Examples
    --------
    >>> place_tiles(256, 128)
    [0, 64, 128]
    """
    if tile >= extent:
        return [0]
    overlap = find_overlap(tile)
    gaps = ceil((extent - tile) / (tile - overlap))
    units = (extent - tile) // SIZE_MULTIPLE
    # Rounded down: as the longest step is a multiple, too, no overlap gets smaller.
    return [number * units // gaps * SIZE_MULTIPLE for number in range(gaps + 1)]


@lru_cache(maxsize=16)
def weigh_tiles(extent: int, tile: int, stride: int) -> tuple[NDArray[np.float32], ...]:
    """Weights along an axis of the tiles of :func:`place_tiles`, which sum to 1 at each cell of the image.

    Parameters
    ----------
    extent, tile : int
        Sides of the image and of a tile, in pixels.
    stride : int
        Pixels per cell of the maps.

    Returns
    -------
    tuple of (tile / stride,) float32
    """
    starts = place_tiles(extent, tile)
    overlap = find_overlap(tile)
    margin = overlap / MARGIN_SHARE
    middles = (np.arange(tile // stride) + 0.5) * stride
    weights = []
    for start in starts:
        # Distance of each cell to the borders of the tile that lie inside the image.
        before = middles if start else np.full_like(middles, overlap)
        behind = tile - middles if start + tile < extent else np.full_like(middles, overlap)
        weights.append(np.clip((np.minimum(before, behind) - margin) / (overlap - 2 * margin), 0, 1))
    total = np.zeros(extent // stride)
    for start, weight in zip(starts, weights, strict=True):
        total[start // stride : (start + tile) // stride] += weight
    return tuple(
        (weight / total[start // stride : (start + tile) // stride]).astype(np.float32)
        for start, weight in zip(starts, weights, strict=True)
    )


class Tile(NamedTuple):
    """Place of a tile: its number along each axis, and its first pixel."""

    row: int
    column: int
    top: int
    left: int


class Blend:
    """Maps of an image that are summed up from those of its tiles.

    Parameters
    ----------
    size : (H, W)
        Size of the image.
    tile : (h, w)
        Size of a tile.

    Attributes
    ----------
    tiles : list of Tile
        All tiles that have to be added.
    maps : list of (C, H / stride, W / stride) float32
        The sums; empty before the first tile.
    """

    def __init__(self, size: tuple[int, int], tile: tuple[int, int]) -> None:
        self.size, self.tile = size, tile
        places = product(enumerate(place_tiles(size[0], tile[0])), enumerate(place_tiles(size[1], tile[1])))
        self.tiles = [Tile(row, column, top, left) for (row, top), (column, left) in places]
        self.maps: list[NDArray[np.float32]] = []

    def cut(self, image: NDArray[np.uint8], tile: Tile) -> NDArray[np.uint8]:
        """The pixels ``(h, w, 3)`` of a tile of the image."""
        return image[tile.top : tile.top + self.tile[0], tile.left : tile.left + self.tile[1]]

    def add(self, tile: Tile, maps: Sequence[NDArray[np.float32]]) -> None:
        """Add the maps ``(C, h / stride, w / stride)`` of a tile; each may have a stride of its own."""
        strides = [self.tile[0] // output.shape[1] for output in maps]
        if not self.maps:
            shapes = [tuple(extent // stride for extent in self.size) for stride in strides]
            self.maps = [np.zeros((len(m), *shape), np.float32) for m, shape in zip(maps, shapes, strict=True)]
        for whole, output, stride in zip(self.maps, maps, strides, strict=True):
            down = weigh_tiles(self.size[0], self.tile[0], stride)[tile.row]
            across = weigh_tiles(self.size[1], self.tile[1], stride)[tile.column]
            top, left = tile.top // stride, tile.left // stride
            part = whole[:, top : top + len(down), left : left + len(across)]
            part += down[:, None] * across * output
