"""MoIPool: pooling over segments rather than boxes (Shen et al., CVPR 2021).

A proposal is a set of superpixels with a box. A cell of the feature map belongs to it if it lies in
the box and any pixel of the cell's block belongs to one of the superpixels, so that thin segments
survive. The box is divided into ``P x P`` bins as in RoIPool, and each bin takes, per channel, the
maximum over the cells that belong to the proposal: the first in row order if several are equal.

Use :func:`moi_pool`; :func:`pool_by_crops` computes the same in plain PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from models.jtsm.incidence import NO_CELL, MemberTensors, find_incidence

SCATTER_ROWS = 256
"""Proposals whose gradients are scattered at once: bounds the memory of their 64-bit positions."""


class PooledSegments(NamedTuple):
    """Result of :func:`moi_pool`.

    Attributes
    ----------
    features : (R, C, P, P) floating
        In channels-last memory order; 0 where a bin has no cell.
    argmax : (R, C, P, P) int32
        Cell ``y * w + x`` each value comes from; -1 where a bin has no cell.
    filled : (R,) int64
        Bins of each proposal that have a cell.
    """

    features: Tensor
    argmax: Tensor
    filled: Tensor


def moi_pool(
    features: Tensor,
    boxes_xyxy: Tensor,
    batch_index: Tensor,
    members: MemberTensors,
    superpixels: Tensor,
    *,
    spatial_scale: float,
    output_size: int = 7,
) -> PooledSegments:
    """Pool features over segments: numba on the CPU, Triton on a GPU.

    Parameters
    ----------
    features : (B, C, h, w) floating
        Finite. Channels-last memory order saves a copy.
    boxes_xyxy : (R, 4)
        Half-open, in pixels of the network's input; may stick out of it.
    batch_index : (R,) integer
        Image of each proposal.
    members : (indices, starts)
        Superpixels of each proposal, numbered as in the map of its own image. Numbers that the map
        doesn't hold are lost in downscaling: they add nothing.
    superpixels : (B, H, W) integer
        At the size of the network's input, H >= h and W >= w; negative where there is none (padding).
    spatial_scale : float
        Cells per pixel of the boxes.
    output_size : int
        Bins per side, P.

    Returns
    -------
    PooledSegments
        Gradients reach ``features`` only, at the cells of ``argmax``.

    Raises
    ------
    ValueError
        If shapes don't fit, an image doesn't exist or the lists of superpixels are broken.

    Notes
    -----
    A cell's block holds the pixel rows ``floor(i / q)`` to ``ceil((i + 1) / q) - 1``, q = h / H, and
    with the same q the columns.

    Differs from the paper's code: halves are rounded up (theirs: away from zero, which differs left of
    and above the image only); the block of a cell is found in whole numbers, without the rounding of
    32-bit fractions; boxes are half-open, and their last pixel, which theirs store, is ``x1 - 1`` at
    the size of the input too.
    """
    _check_inputs(features, boxes_xyxy, batch_index, members, superpixels)
    cell_boxes = find_cell_boxes(boxes_xyxy, spatial_scale)
    arguments = [tensor.to(features.device) for tensor in (cell_boxes, batch_index.long(), *members, superpixels)]
    values, argmax = _MoIPool.apply(features, *arguments, output_size)
    return PooledSegments(values, argmax, _count_filled(argmax))


def pool_by_crops(
    features: Tensor,
    boxes_xyxy: Tensor,
    batch_index: Tensor,
    members: MemberTensors,
    superpixels: Tensor,
    *,
    spatial_scale: float,
    output_size: int = 7,
) -> PooledSegments:
    """:func:`moi_pool` in plain PyTorch, one crop per proposal: same values and positions, same gradient, slow."""
    _check_inputs(features, boxes_xyxy, batch_index, members, superpixels)
    indices, starts = members
    channels, height, width = features.shape[1:]
    count = max(int(superpixels.max()) + 1, 0)
    incidences = [find_incidence(each, (height, width), count) for each in superpixels]
    rows = torch.arange(height, device=features.device)[:, None]
    columns = torch.arange(width, device=features.device)
    values, positions = [], []
    for r, (x0, y0, x1, y1) in enumerate(find_cell_boxes(boxes_xyxy, spatial_scale).tolist()):
        b = int(batch_index[r])
        # Cells that hold one of the proposal's superpixels and lie in its box.
        own = indices[starts[r] : starts[r + 1]].long()
        mask = incidences[b][own[own < count]].any(0)
        mask &= (y0 <= rows) & (rows <= y1) & (x0 <= columns) & (columns <= x1)
        masked = torch.where(mask, features[b], -torch.inf)
        box_height, box_width = max(y1 - y0 + 1, 1), max(x1 - x0 + 1, 1)
        # Extend the map to cover the box where it extends beyond the map, and cut out the box.
        left, top = max(-x0, 0), max(-y0, 0)
        right, bottom = max(x0 + box_width - width, 0), max(y0 + box_height - height, 0)
        extended = F.pad(masked, (left, right, top, bottom), value=-torch.inf)
        crop = extended[:, y0 + top : y0 + top + box_height, x0 + left : x0 + left + box_width]
        value, position = F.adaptive_max_pool2d(crop, output_size, return_indices=True)
        empty = value == -torch.inf
        # From positions in the box to cells of the map.
        cell = (y0 + position // box_width) * width + x0 + position % box_width
        values.append(value.masked_fill(empty, 0))
        positions.append(cell.masked_fill(empty, NO_CELL).int())
    shape = (0, channels, output_size, output_size)
    argmax = torch.stack(positions) if positions else torch.zeros(shape, dtype=torch.int32, device=features.device)
    return PooledSegments(torch.stack(values) if values else features.new_zeros(shape), argmax, _count_filled(argmax))


def scale_pooled(features: Tensor, filled: Tensor, scores: Tensor) -> Tensor:
    """Make pooled features independent of how much of the box a segment fills, and weigh them by score.

    Parameters
    ----------
    features : (R, C, P, P)
    filled : (R,)
        Bins that have a cell, n.
    scores : (R,)
        Scores of the proposals.

    Returns
    -------
    (R, C, P, P)
        ``features * P * P / (n + 1) * (1 + score)``.
    """
    bins = features.shape[-2] * features.shape[-1]
    factor = bins / (filled.to(features.device) + 1) * (1 + scores.to(features.device))
    return features * factor.to(features.dtype)[:, None, None, None]


def find_cell_boxes(boxes_xyxy: Tensor, spatial_scale: float) -> Tensor:
    """Cells of the corners of half-open boxes ``(R, 4)``: ``(R, 4) int64``, both ends inclusive, halves rounded up."""
    last = torch.tensor([0, 0, 1, 1], device=boxes_xyxy.device)
    return ((boxes_xyxy.double() - last) * spatial_scale + 0.5).floor().long()


class _MoIPool(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        cell_boxes: Tensor,
        batch_index: Tensor,
        indices: Tensor,
        starts: Tensor,
        superpixels: Tensor,
        output_size: int,
    ) -> tuple[Tensor, Tensor]:
        if features.device.type == "cpu":
            from models.jtsm.moi_pool_numba import pool_on_cpu as pool
        elif features.device.type == "cuda":
            from models.jtsm.moi_pool_triton import pool_on_gpu as pool  # triton exists for GPUs only
        else:
            raise ValueError(f"MoIPool runs on cpu and cuda, not on {features.device.type}; use pool_by_crops there")
        cells_last = features.detach().permute(0, 2, 3, 1).contiguous()
        values, argmax = pool(cells_last, cell_boxes, batch_index, indices, starts, superpixels, output_size)
        ctx.save_for_backward(argmax, batch_index)
        ctx.shape, ctx.dtype = cells_last.shape, features.dtype
        ctx.mark_non_differentiable(argmax.permute(0, 3, 1, 2))
        return values.permute(0, 3, 1, 2), argmax.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        argmax, batch_index = ctx.saved_tensors
        images, height, width, channels = ctx.shape
        cells = torch.zeros((images * height * width, channels), device=gradient.device)
        rows: Iterable[tuple[Tensor, ...]] = zip(
            gradient.permute(0, 2, 3, 1).split(SCATTER_ROWS),
            argmax.split(SCATTER_ROWS),
            batch_index.split(SCATTER_ROWS),
            strict=True,
        )
        for part, position, image in rows:
            # Add each gradient to the cell of its maximum; bins without a cell add 0 to the first cell.
            known = position != NO_CELL
            cell = torch.where(known, position + image[:, None, None, None] * (height * width), 0)
            cells.scatter_add_(0, cell.view(-1, channels), (part.float() * known).reshape(-1, channels))
        images_last = cells.view(images, height, width, channels).to(ctx.dtype)
        return images_last.permute(0, 3, 1, 2), None, None, None, None, None, None


def _count_filled(argmax: Tensor) -> Tensor:
    return (argmax[:, 0] != NO_CELL).sum((1, 2))


def _check_inputs(
    features: Tensor, boxes_xyxy: Tensor, batch_index: Tensor, members: MemberTensors, superpixels: Tensor
) -> None:
    indices, starts = members
    count = len(boxes_xyxy)
    if features.ndim != 4 or features.shape[1] == 0:
        raise ValueError(f"features must be (B, C, h, w), got {tuple(features.shape)}")
    if boxes_xyxy.shape != (count, 4) or batch_index.shape != (count,) or starts.shape != (count + 1,):
        shapes = [tuple(tensor.shape) for tensor in (boxes_xyxy, batch_index, starts)]
        raise ValueError(f"boxes, batch_index and starts must be (R, 4), (R,) and (R + 1,), got {shapes}")
    images, _, height, width = features.shape
    if superpixels.ndim != 3 or len(superpixels) != images:
        raise ValueError(f"superpixels must be ({images}, H, W), got {tuple(superpixels.shape)}")
    if superpixels.shape[1] < height or superpixels.shape[2] < width:
        raise ValueError(f"superpixels {tuple(superpixels.shape)} are coarser than features {tuple(features.shape)}")
    if count and not 0 <= int(batch_index.min()) <= int(batch_index.max()) < images:
        raise ValueError(f"batch_index must be in 0..{images - 1}, got {batch_index.unique().tolist()}")
    if int(starts[0]) or int(starts[-1]) != len(indices) or bool((starts.diff() < 0).any()):
        raise ValueError(f"starts must rise from 0 to {len(indices)}, the number of indices")
    if len(indices) and int(indices.min()) < 0:
        raise ValueError(f"indices of superpixels must not be negative, got {int(indices.min())}")
