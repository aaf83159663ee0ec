"""Which superpixels a proposal has, and which cells of a feature map a superpixel reaches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

NO_CELL = -1
"""Position of the maximum of a bin that has no cell."""


class Members(NamedTuple):
    """Superpixels of each proposal, as the proposal files store them.

    Attributes
    ----------
    indices : (M,) integer
        Superpixels of all proposals, one proposal after the other.
    starts : (R + 1,) integer
        Proposal r has ``indices[starts[r] : starts[r + 1]]``.
    """

    indices: Tensor
    starts: Tensor

    @classmethod
    def from_dense(cls, members: Tensor) -> Members:
        """From a table ``(R, S) bool``."""
        starts = F.pad(members.sum(1).cumsum(0), (1, 0))
        return cls(members.nonzero()[:, 1].int(), starts)

    @classmethod
    def concatenate(cls, parts: Sequence[Members]) -> Members:
        """Proposals of several images, one image after the other; each keeps the numbers of its own superpixels."""
        counts = torch.cat([part.starts.diff() for part in parts])
        return cls(torch.cat([part.indices for part in parts]), F.pad(counts.cumsum(0), (1, 0)))


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
    for row in rows:
        for column in columns:
            valid = (superpixels >= 0) & (column < width)
            incidence[
                superpixels[valid].long(),
                row[:, None].expand_as(superpixels)[valid],
                column.expand_as(superpixels)[valid],
            ] = True
    return incidence
