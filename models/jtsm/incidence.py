"""Which cells of a feature map a superpixel reaches.

The members of proposals come from files as NumPy arrays (:class:`pseudogt.proposals.members.Members`);
here, where a GPU may need them, they are a pair of tensors.
"""

from __future__ import annotations

import torch
from torch import Tensor

MemberTensors = tuple[Tensor, Tensor]
"""``indices (M,)`` and ``starts (R + 1,)`` of :class:`pseudogt.proposals.members.Members`, integers."""

NO_CELL = -1
"""Position of the maximum of a bin that has no cell."""


def find_incidence(superpixels: Tensor, map_size: tuple[int, int], count: int) -> Tensor:
    """Which superpixels have a pixel in the block of which cell.

    Parameters
    ----------
    superpixels : (H, W) integer
        Negative where there is none.
    map_size : (h, w)
    count : int
        Superpixels, S.

    Returns
    -------
    (S, h, w) bool
    """
    (pixel_height, pixel_width), (height, width) = superpixels.shape, map_size
    incidence = torch.zeros((count, height, width), dtype=torch.bool, device=superpixels.device)
    y, x = (torch.arange(n, device=superpixels.device) for n in (pixel_height, pixel_width))
    # A pixel that the border of two blocks cuts belongs to both.
    rows = (y * height // pixel_height, ((y + 1) * height - 1) // pixel_height)
    columns = (x * height // pixel_height, ((x + 1) * height - 1) // pixel_height)
    # First and last block of each pixel on both axes: four combinations.
    for row in rows:
        for column in columns:
            valid = (superpixels >= 0) & (column < width)
            incidence[
                superpixels[valid].long(),
                row[:, None].expand_as(superpixels)[valid],
                column.expand_as(superpixels)[valid],
            ] = True
    return incidence
