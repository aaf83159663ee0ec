"""MoIPool on a GPU: one program per bin and block of channels."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from models.jtsm.incidence import NO_CELL, find_incidence

CHANNELS_PER_PROGRAM = 256


def pool_on_gpu(
    features: Tensor,
    cell_boxes: Tensor,
    batch_index: Tensor,
    indices: Tensor,
    starts: Tensor,
    superpixels: Tensor,
    output_size: int,
) -> tuple[Tensor, Tensor]:
    """Values and positions ``(R, P, P, C)`` of features ``(B, h, w, C)``."""
    height, width, channels = features.shape[1:]
    masks = _find_masks(batch_index, indices, starts, superpixels, (height, width))
    shape = (len(cell_boxes), output_size, output_size, channels)
    values = features.new_empty(shape)
    argmax = torch.empty(shape, dtype=torch.int32, device=features.device)
    if argmax.numel():
        grid = (len(cell_boxes) * output_size**2, triton.cdiv(channels, CHANNELS_PER_PROGRAM))
        _pool_bin[grid](
            features,
            masks.view(torch.uint8),
            cell_boxes.int().contiguous(),
            batch_index.int(),
            values,
            argmax,
            channels,
            height,
            width,
            size=output_size,
            block=min(triton.next_power_of_2(channels), CHANNELS_PER_PROGRAM),
            none=NO_CELL,
        )
    return values, argmax


def _find_masks(
    batch_index: Tensor, indices: Tensor, starts: Tensor, superpixels: Tensor, map_size: tuple[int, int]
) -> Tensor:
    """Cells ``(R, h, w) bool`` with a pixel of each proposal, box or not; a product of matrices, fast on a GPU."""
    count = max(int(superpixels.max()) + 1, 0)
    proposals = torch.repeat_interleave(starts.diff())
    on_map = indices < count
    # Sums of non-negative numbers never round to 0, so that half precision is exact enough.
    members = torch.zeros((len(batch_index), count), dtype=torch.float16, device=indices.device)
    members[proposals[on_map], indices[on_map].long()] = 1
    masks = torch.zeros((len(batch_index), *map_size), dtype=torch.bool, device=indices.device)
    for b, image in enumerate(superpixels):
        own = batch_index == b
        incidence = find_incidence(image, map_size, count).flatten(1).half()
        masks[own] = (members[own] @ incidence > 0).view(-1, *map_size)
    return masks


@triton.jit
def _pool_bin(
    features, masks, cell_boxes, batch_index, values, argmax, channels, height, width,
    size: tl.constexpr, block: tl.constexpr, none: tl.constexpr,
):  # fmt: skip
    place = tl.program_id(0)  # (r * size + p) * size + q
    r = place // (size * size)
    p = (place // size) % size
    q = place % size
    x0 = tl.load(cell_boxes + 4 * r)
    y0 = tl.load(cell_boxes + 4 * r + 1)
    x1 = tl.load(cell_boxes + 4 * r + 2)
    y1 = tl.load(cell_boxes + 4 * r + 3)
    box_width = tl.maximum(x1 - x0 + 1, 1)
    box_height = tl.maximum(y1 - y0 + 1, 1)
    # Bin as in RoIPool, start rounded down and end up, within the box and the map.
    top = tl.maximum(y0 + p * box_height // size, 0)
    bottom = tl.minimum(y0 + ((p + 1) * box_height + size - 1) // size, tl.minimum(y1 + 1, height))
    left = tl.maximum(x0 + q * box_width // size, 0)
    right = tl.minimum(x0 + ((q + 1) * box_width + size - 1) // size, tl.minimum(x1 + 1, width))

    channel = tl.program_id(1) * block + tl.arange(0, block)
    exists = channel < channels
    cell_count = height * width
    image = features + tl.load(batch_index + r).to(tl.int64) * cell_count * channels
    mask = masks + r.to(tl.int64) * cell_count
    best = tl.full([block], float("-inf"), values.dtype.element_ty)
    position = tl.full([block], none, tl.int32)
    for y in range(top, bottom):
        for x in range(left, right):
            cell = y * width + x
            is_member = tl.load(mask + cell) != 0
            value = tl.load(image + cell * channels + channel, mask=exists & is_member, other=float("-inf"))
            # Cells come in row order, and an equal one doesn't replace an earlier one.
            is_greater = value > best
            best = tl.where(is_greater, value, best)
            position = tl.where(is_greater, cell, position)
    best = tl.where(position == none, 0.0, best).to(values.dtype.element_ty)
    output = place.to(tl.int64) * channels + channel
    tl.store(values + output, best, mask=exists)
    tl.store(argmax + output, position, mask=exists)
