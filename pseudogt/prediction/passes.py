"""Passes of images through a panoptic network: in batches of a fixed size, as a whole or in tiles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from math import isqrt
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pseudogt.files.ahead import load_in_threads
from pseudogt.prediction.maps import SIZE_MULTIPLE, Maps, RunNetwork, average_with_mirror, choose_network_size
from pseudogt.prediction.tiles import Blend

READERS = 4
"""Threads that read images and resize them, which OpenCV does beside other threads of Python."""

LEAST_TILE_PX = 2 * SIZE_MULTIPLE
"""Side of the smallest tile: of smaller ones, nothing would be left between the overlaps."""


@dataclass(frozen=True)
class Passes:
    """How images pass through the network.

    Attributes
    ----------
    scale : float
        Images are resized by it.
    batch_size : int
        Every pass has this many images or tiles of an image, the last ones filled with zeros: results differ in
        the last bit between batch sizes, and so would not depend on the image alone.
    flip : bool
        Whether to average with the mirror image.
    tile_px : int or None
        Largest side of what the network sees at once, in pixels of resized images, at least ``LEAST_TILE_PX``.
    max_pixels : float or None
        Pixels for which a pass has memory: larger batches are made smaller, and larger images cut into tiles.
    can_tile : bool
        Whether the network can be applied to tiles, see :class:`pseudogt.prediction.kinds.NetworkKind`.
    only_px : int or None
        Side of the square that the network takes if it takes nothing else, see
        :class:`pseudogt.prediction.card.ModelCard`; then every tile is this large, and smaller images are padded.
    """

    scale: float
    batch_size: int
    flip: bool
    tile_px: int | None = None
    max_pixels: float | None = None
    can_tile: bool = True
    only_px: int | None = None


class Pass(NamedTuple):
    """How images of one size pass through the network: size of a tile (h, w), and tiles or images in a pass."""

    tile: tuple[int, int]
    batch: int


def plan_pass(size: tuple[int, int], passes: Passes) -> Pass:
    """Choose tile and batch for resized and padded images of ``size`` (H, W); a tile is a whole image if that fits.

    Raises
    ------
    ValueError
        If the images would have to be cut into tiles, and the network can't be applied to these.
    """
    height, width = size
    side = passes.only_px or passes.tile_px or max(size)
    if (
        not passes.only_px
        and passes.max_pixels is not None
        and min(height, side) * min(width, side) > passes.max_pixels
    ):
        side = isqrt(int(passes.max_pixels))
    side = max(LEAST_TILE_PX, side // SIZE_MULTIPLE * SIZE_MULTIPLE)
    tile = min(height, side), min(width, side)
    if tile != size and not passes.can_tile:
        raise ValueError(
            f"images of {width}x{height} pixels would be cut into tiles of {tile[1]}x{tile[0]}, but mask transformers "
            "work on whole images only; resize these images, or set predictions.tile_px to their longer side if there "
            "is enough memory (for a model exported for one size, when it is exported)"
        )
    room = passes.batch_size if passes.max_pixels is None else int(passes.max_pixels) // (tile[0] * tile[1])
    return Pass(tile, max(1, min(passes.batch_size, room)))


def choose_padded_size(size: tuple[int, int], passes: Passes) -> tuple[int, int]:
    """Size (H, W) to which resized images of ``size`` are padded."""
    least = passes.only_px or 0
    return max(size[0], least), max(size[1], least)


def find_tiled(sizes: Iterable[tuple[int, int]], passes: Passes) -> Counter[tuple[int, int]]:
    """Number of the images of the given sizes (H, W) that are cut into tiles, by size of the tile (h, w)."""
    padded_sizes = [choose_padded_size(choose_network_size(size, passes.scale), passes) for size in sizes]
    tiles = [plan_pass(size, passes).tile for size in padded_sizes]
    return Counter(tile for size, tile in zip(padded_sizes, tiles, strict=True) if tile != size)


def predict_images(
    run: RunNetwork, sizes: Sequence[tuple[int, int]], read: Callable[[int], NDArray[np.uint8]], passes: Passes
) -> Iterator[tuple[int, Maps]]:
    """Predict images of the given sizes (H, W), equal network sizes together.

    Parameters
    ----------
    run : callable
        Applies the network to a batch.
    sizes
        Sizes of the images.
    read
        Position in ``sizes`` -> image ``(H, W, 3) uint8``. Called by several threads, up to a batch ahead.
    passes : Passes

    Yields
    ------
    position, prediction
        Ascending by network size, then by position.
    """
    if passes.flip:
        run = average_with_mirror(run)
    network_sizes = [choose_network_size(size, passes.scale) for size in sizes]
    padded = {size: choose_padded_size(size, passes) for size in network_sizes}
    plans = {size: plan_pass(padded[size], passes) for size in network_sizes}
    order = sorted(range(len(sizes)), key=lambda position: (network_sizes[position], position))

    def read_resized(position: int) -> NDArray[np.uint8]:
        size = network_sizes[position]
        image = cv2.resize(read(position), size[::-1], interpolation=cv2.INTER_AREA)
        below, beside = (whole - part for whole, part in zip(padded[size], size, strict=True))
        return np.asarray(cv2.copyMakeBorder(image, 0, below, 0, beside, cv2.BORDER_REPLICATE), np.uint8)

    # The images of the next batch are read while the network computes; fewer if some are large.
    ahead = min((plan.batch for plan in plans.values()), default=1)
    with closing(load_in_threads(read_resized, order, threads=READERS, ahead=ahead)) as resized:
        for size, group in groupby(order, key=lambda position: network_sizes[position]):
            positions, plan = list(group), plans[size]
            shares = size[0] / padded[size][0], size[1] / padded[size][1]
            if plan.tile != padded[size]:
                yield from ((position, run_tiled(run, next(resized), plan).crop(*shares)) for position in positions)
                continue
            for start in range(0, len(positions), plan.batch):
                chunk = positions[start : start + plan.batch]
                maps = run_filled(run, [next(resized) for _ in chunk], plan.batch)
                yield from zip(chunk, (found.crop(*shares) for found in maps), strict=True)


def run_filled(run: RunNetwork, images: Sequence[NDArray[np.uint8]], batch: int) -> list[Maps]:
    """Maps of each of at most ``batch`` images of one size, filled up to as many with zeros."""
    filled = np.zeros((batch, *images[0].shape), np.uint8)
    filled[: len(images)] = images
    maps = run(filled)
    return [type(maps)(*(output[row] for output in maps)) for row in range(len(images))]


def run_tiled(run: RunNetwork, image: NDArray[np.uint8], plan: Pass) -> Maps:
    """Maps of an image ``(H, W, 3)`` whose tiles pass through the network, blended where tiles overlap."""
    blend = Blend((image.shape[0], image.shape[1]), plan.tile)
    for start in range(0, len(blend.tiles), plan.batch):
        chunk = blend.tiles[start : start + plan.batch]
        found = run_filled(run, [blend.cut(image, tile) for tile in chunk], plan.batch)
        for tile, maps in zip(chunk, found, strict=True):
            blend.add(tile, maps)
    return type(found[0])(*blend.maps)
