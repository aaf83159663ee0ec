"""MoIPool on the CPU: proposals in parallel, channels innermost."""

from __future__ import annotations

import numba
import numpy as np
import torch
from numba import njit, prange
from numpy.typing import NDArray
from torch import Tensor

CELLS_AT_ONCE = 8
"""Cells that one pass over the channels compares, as written out in ``_raise_maxima``."""


def pool_on_cpu(
    features: Tensor,
    cell_boxes: Tensor,
    batch_index: Tensor,
    indices: Tensor,
    starts: Tensor,
    superpixels: Tensor,
    output_size: int,
) -> tuple[Tensor, Tensor]:
    """Values and positions ``(R, P, P, C)`` of features ``(B, h, w, C)``; half precision is computed in single.

    As many threads as torch uses; the result does not depend on them.
    """
    images, height, width, channels = features.shape
    wide = features if features.dtype in (torch.float32, torch.float64) else features.float()
    shape = (len(cell_boxes), output_size, output_size, channels)
    # numpy asks for huge pages, torch doesn't: to touch that much new memory takes a tenth of the time.
    values = np.empty(shape, wide.numpy().dtype)
    argmax = np.empty(shape, np.int32)
    # Read torch's count first: numba's first call starts its threads, and that sets torch's count to all cores.
    threads_of_torch, threads = torch.get_num_threads(), numba.get_num_threads()
    numba.set_num_threads(min(threads_of_torch, threads))
    try:
        cell_starts, cells = _list_cells(superpixels.int().numpy(), height, width, max(int(superpixels.max()) + 1, 0))
        _pool(
            wide.numpy().reshape(images, height * width, channels),
            width,
            cell_boxes.numpy(),
            batch_index.numpy(),
            indices.int().numpy(),
            starts.long().numpy(),
            cell_starts,
            cells,
            values,
            argmax,
        )
    finally:
        numba.set_num_threads(threads)
        torch.set_num_threads(threads_of_torch)
    return torch.from_numpy(values).to(features.dtype), torch.from_numpy(argmax)


@njit(cache=True)
def _list_cells(
    superpixels: NDArray[np.int32], height: int, width: int, count: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Cells of superpixel s of image b: ``cells[starts[k] : starts[k + 1]]``, k = b * count + s."""
    images, pixel_height, pixel_width = superpixels.shape
    starts = np.zeros(images * count + 1, np.int64)
    cells = np.empty(0, np.int32)
    filled = np.zeros(0, np.int64)
    # The first pass counts the cells of each superpixel, the second one writes them.
    for is_counted in (False, True):
        # The cell last listed for each superpixel: a cell is listed once, however many pixels it shares.
        latest = np.full(images * count, -1, np.int64)
        for b in range(images):
            for i in range(height):
                # Pixels of the cell's block; one that the border of two blocks cuts belongs to both.
                top, bottom = i * pixel_height // height, ((i + 1) * pixel_height + height - 1) // height
                for j in range(width):
                    left = j * pixel_height // height
                    right = min(((j + 1) * pixel_height + height - 1) // height, pixel_width)
                    cell = i * width + j
                    for y in range(top, bottom):
                        for x in range(left, right):
                            key = b * count + superpixels[b, y, x]
                            if superpixels[b, y, x] < 0 or latest[key] == cell:
                                continue
                            latest[key] = cell
                            if is_counted:
                                cells[filled[key]] = cell
                                filled[key] += 1
                            else:
                                starts[key + 1] += 1
        if not is_counted:
            starts = np.cumsum(starts)
            filled = starts.copy()
            cells = np.empty(starts[-1], np.int32)
    return starts, cells


@njit(cache=True, parallel=True)
def _pool(
    features: NDArray[np.floating],
    width: int,
    cell_boxes: NDArray[np.int64],
    batch_index: NDArray[np.int64],
    indices: NDArray[np.int32],
    starts: NDArray[np.int64],
    cell_starts: NDArray[np.int64],
    cells: NDArray[np.int32],
    values: NDArray[np.floating],
    argmax: NDArray[np.int32],
) -> None:
    """Fill values and positions ``(R, P, P, C)``, in place."""
    images, cell_count = features.shape[:2]
    height = cell_count // width
    superpixel_count = (len(cell_starts) - 1) // images
    size = values.shape[1]
    for r in prange(len(cell_boxes)):
        b = batch_index[r]
        # Cells with a pixel of the proposal, in its box or not.
        mask = np.zeros(cell_count, np.bool_)
        for k in range(starts[r], starts[r + 1]):
            if indices[k] < superpixel_count:
                key = b * superpixel_count + indices[k]
                for position in range(cell_starts[key], cell_starts[key + 1]):
                    mask[cells[position]] = True
        x0, y0, x1, y1 = cell_boxes[r]
        box_width, box_height = max(x1 - x0 + 1, 1), max(y1 - y0 + 1, 1)
        chosen = np.empty(cell_count + CELLS_AT_ONCE, np.int32)
        # Bins as in RoIPool: starts are rounded down and ends up, so that bins may overlap.
        for p in range(size):
            top = max(y0 + p * box_height // size, 0)
            bottom = min(y0 + ((p + 1) * box_height + size - 1) // size, y1 + 1, height)
            for q in range(size):
                left = max(x0 + q * box_width // size, 0)
                right = min(x0 + ((q + 1) * box_width + size - 1) // size, x1 + 1, width)
                count = 0
                # List the cells of the bin without a branch: each is written, and the count moves on if it belongs.
                for y in range(top, bottom):
                    for cell in range(y * width + left, y * width + right):
                        chosen[count] = cell
                        count += mask[cell]
                if count:
                    # Repeating the last cell changes nothing: it is never greater than itself.
                    chosen[count : count + CELLS_AT_ONCE - 1] = chosen[count - 1]
                    _find_maxima(features[b], chosen, count, values[r, p, q], argmax[r, p, q])
                else:
                    values[r, p, q] = 0
                    argmax[r, p, q] = -1


@njit(cache=True)
def _find_maxima(
    features: NDArray[np.floating],
    chosen: NDArray[np.int32],
    count: int,
    value: NDArray[np.floating],
    position: NDArray[np.int32],
) -> None:
    """First of the largest among the chosen cells, for each channel."""
    channels = len(value)
    for c in range(channels):
        value[c] = features[chosen[0], c]
        position[c] = chosen[0]
    for k in range(0, count, CELLS_AT_ONCE):
        _raise_maxima(features, chosen[k : k + CELLS_AT_ONCE], value, position)


@njit(cache=True)
def _raise_maxima(
    features: NDArray[np.floating],
    chosen: NDArray[np.int32],
    value: NDArray[np.floating],
    position: NDArray[np.int32],
) -> None:
    """Compare with eight more cells in one pass over the channels: maxima are loaded and stored once for all."""
    i0, i1, i2, i3, i4, i5, i6, i7 = (
        chosen[0], chosen[1], chosen[2], chosen[3], chosen[4], chosen[5], chosen[6], chosen[7],
    )  # fmt: skip
    f0, f1, f2, f3 = features[i0], features[i1], features[i2], features[i3]
    f4, f5, f6, f7 = features[i4], features[i5], features[i6], features[i7]
    for c in range(len(value)):
        best, cell = value[c], position[c]
        best, cell = _keep_greater(best, cell, f0[c], i0)
        best, cell = _keep_greater(best, cell, f1[c], i1)
        best, cell = _keep_greater(best, cell, f2[c], i2)
        best, cell = _keep_greater(best, cell, f3[c], i3)
        best, cell = _keep_greater(best, cell, f4[c], i4)
        best, cell = _keep_greater(best, cell, f5[c], i5)
        best, cell = _keep_greater(best, cell, f6[c], i6)
        best, cell = _keep_greater(best, cell, f7[c], i7)
        value[c], position[c] = best, cell


@njit(cache=True, inline="always")
def _keep_greater(best: float, cell: int, other: float, other_cell: int) -> tuple[float, int]:
    is_greater = other > best
    return (other if is_greater else best), (other_cell if is_greater else cell)
