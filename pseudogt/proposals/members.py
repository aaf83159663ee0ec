"""The superpixels of each proposal as lists of numbers, which is how the proposal files store them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Members(NamedTuple):
    """Superpixels of each of N proposals.

    Attributes
    ----------
    indices : (M,) int32
        Superpixels of all proposals, one proposal after the other; within a proposal they ascend and are distinct.
    starts : (N + 1,) int32
        Proposal n has ``indices[starts[n] : starts[n + 1]]``.
    """

    indices: NDArray[np.int32]
    starts: NDArray[np.int32]

    @classmethod
    def from_dense(cls, dense: NDArray[np.bool_]) -> Members:
        """From a table ``(N, S) bool``."""
        return cls(np.nonzero(dense)[1].astype(np.int32), _find_starts(dense.sum(1)))

    @classmethod
    def from_lists(cls, lists: Sequence[NDArray[np.integer]]) -> Members:
        """From the superpixels ``(M_n,)`` of each proposal, in any order; duplicates are removed."""
        rows = np.repeat(np.arange(len(lists)), [len(each) for each in lists])
        indices = np.concatenate([*lists, np.zeros(0, np.int64)]).astype(np.int64)
        # One key for each (proposal, superpixel): sorting the keys sorts both and drops duplicates.
        count = int(indices.max(initial=0)) + 1
        rows, indices = np.divmod(np.unique(rows * count + indices), count)
        return cls(indices.astype(np.int32), _find_starts(np.bincount(rows, minlength=len(lists))))

    @classmethod
    def concatenate(cls, parts: Sequence[Members]) -> Members:
        """Join the proposals of several images; superpixels keep the numbers that they have in their image."""
        lengths = np.concatenate([part.lengths for part in parts])
        return cls(np.concatenate([part.indices for part in parts]), _find_starts(lengths))

    @property
    def lengths(self) -> NDArray[np.int32]:
        """Number of superpixels of each proposal, ``(N,)``."""
        return np.diff(self.starts)

    @property
    def rows(self) -> NDArray[np.int64]:
        """Proposal of each entry of ``indices``, ``(M,)``."""
        return np.repeat(np.arange(len(self.starts) - 1), self.lengths)

    def to_dense(self, superpixels: int) -> NDArray[np.bool_]:
        """Table ``(N, S) bool`` of the first S superpixels; the others are left out."""
        dense = np.zeros((len(self.starts) - 1, superpixels), bool)
        inside = self.indices < superpixels
        dense[self.rows[inside], self.indices[inside]] = True
        return dense

    def take(self, rows: NDArray[np.integer] | Sequence[int]) -> Members:
        """Some proposals ``(R,)``, in the order given."""
        first, lengths = self.starts[:-1][rows], self.lengths[rows]
        starts = _find_starts(lengths)
        # Position in the old list of each entry of the new one: shifted by how far its proposal has moved.
        return Members(self.indices[np.arange(starts[-1]) + np.repeat(first - starts[:-1], lengths)], starts)

    def keep_superpixels(self, kept: NDArray[np.bool_]) -> Members:
        """All proposals with the superpixels that are true in ``(S,)`` only; these are renumbered from 0, in order."""
        inside = kept[self.indices]
        # New number of each superpixel: how many are kept before it.
        numbers = np.cumsum(kept, dtype=np.int32) - np.int32(1)
        lengths = np.bincount(self.rows[inside], minlength=len(self.starts) - 1)
        return Members(numbers[self.indices[inside]], _find_starts(lengths))

    def find_distinct(self) -> NDArray[np.int64]:
        """Rows, ascending, of the first of each group of proposals with equal superpixels."""
        first: dict[bytes, int] = {}
        for row, (start, stop) in enumerate(pairwise(self.starts.tolist())):
            first.setdefault(self.indices[start:stop].tobytes(), row)
        return np.fromiter(first.values(), np.int64, len(first))

    def measure_areas(self, areas: NDArray[np.integer]) -> NDArray[np.int64]:
        """Pixels ``(N,)`` of each proposal, from those of the superpixels ``(S,)``."""
        # Differences of the running sum, which are 0 for a proposal without superpixels.
        total = np.concatenate([[0], np.cumsum(areas[self.indices])])
        return total[self.starts[1:]] - total[self.starts[:-1]]

    def masks(self, rows: NDArray[np.integer] | Sequence[int], superpixels: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Pixels ``(R, h, w)`` of some proposals ``(R,)`` in a map of superpixels ``(h, w)``, or a part of it."""
        return self.take(rows).to_dense(int(superpixels.max(initial=-1)) + 1)[:, superpixels]

    def mask(self, row: int, superpixels: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Pixels ``(h, w)`` of one proposal in a map of superpixels ``(h, w)``, or a part of it."""
        return self.masks([row], superpixels)[0]


def _find_starts(lengths: NDArray[np.integer]) -> NDArray[np.int32]:
    """Starts of consecutive lists of lengths ``(N,)``, and the end of the last one: ``(N + 1,)``."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
