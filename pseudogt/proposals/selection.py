"""From ranked unions of regions to a list of proposals: holes filled, duplicates removed, spread out."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pseudogt.proposals.hierarchies import Adjacency, Hierarchy


def find_members(unions: NDArray[np.int32], hierarchy: Hierarchy) -> NDArray[np.bool_]:
    """Which superpixels ``(N, S) bool`` belong to unions ``(N, 4)`` of a hierarchy's nodes."""
    nodes, leaves = len(hierarchy.parents), hierarchy.num_leaves
    below = np.zeros((nodes + 1, len(hierarchy.leaves)), bool)  # the last row is that of no part, -1
    # Superpixels below each node: of the leaves first, then of each inner node from its children.
    below[hierarchy.leaves, np.arange(len(hierarchy.leaves))] = True
    for node in range(leaves, nodes):
        a, b = hierarchy.children[node]
        below[node] = below[a] | below[b]
    members = below[unions[:, 0]]
    for part in range(1, unions.shape[1]):
        used = unions[:, part] >= 0
        members[used] |= below[unions[used, part]]
    return members


def fill_holes(members: NDArray[np.bool_], adjacency: Adjacency, at_frame: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Proposals with what they enclose; one that covers the whole frame of the image stays as it is.

    Parameters
    ----------
    members : (N, S) bool
    adjacency : Adjacency
    at_frame : (S,) bool
        Superpixels at the image's end; what reaches one is not enclosed.
    """
    count = members.shape[1]
    # List the neighbours of each superpixel, one superpixel after the other, from the borders in both directions.
    ends = np.concatenate([adjacency.first, adjacency.second])
    others = np.concatenate([adjacency.second, adjacency.first])
    order = np.argsort(ends, kind="stable")
    starts = np.searchsorted(ends[order], np.arange(count + 1))
    return _fill(np.ascontiguousarray(members), others[order], starts, at_frame)


def select_distinct(
    members: NDArray[np.bool_],
    boxes: NDArray[np.float64],
    areas: NDArray[np.float64],
    *,
    max_overlap: float,
    limit: int,
) -> NDArray[np.int64]:
    """Rows of ranked proposals that overlap no better one too much.

    Parameters
    ----------
    members : (N, S) bool
        Best first.
    boxes : (N, 4) float64
    areas : (S,) float64
        Pixels of the superpixels.
    max_overlap : float
        IoU from which the lower of two proposals is dropped.
    limit : int
        Maximum number of proposals to keep.
    """
    words = _pack(members)
    return _select(words, boxes, areas, members @ areas, max_overlap, limit)


def spread_out(
    members: NDArray[np.bool_],
    boxes: NDArray[np.float64],
    areas: NDArray[np.float64],
    *,
    max_overlaps: tuple[float, ...],
) -> NDArray[np.int64]:
    """Order ``(N,)`` of ranked proposals in which those come first that resemble no better one.

    Proposals that overlap no better one by the first bound come first, then those of the rest by the
    second bound among themselves, and so on; what remains comes last.
    """
    words, sizes = _pack(members), members @ areas
    left = np.arange(len(members))
    groups = []
    for bound in max_overlaps:
        chosen = _select(words[left], boxes[left], areas, sizes[left], bound, len(left))
        groups.append(left[chosen])
        left = np.delete(left, chosen)
    return np.concatenate([*groups, left]).astype(np.int64)


def _pack(members: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Rows of bits, 64 in a word, the lowest first."""
    padded = np.zeros((len(members), -(-members.shape[1] // 64) * 64), bool)
    padded[:, : members.shape[1]] = members
    return np.packbits(padded, axis=1, bitorder="little").view("<u8")


@njit(cache=True)
def _fill(
    members: NDArray[np.bool_],
    neighbours: NDArray[np.integer],
    starts: NDArray[np.int64],
    at_frame: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Members ``(N, S)`` with what they enclose: all that a search from outside does not reach."""
    filled = members.copy()
    count = members.shape[1]
    queue = np.empty(count, np.int64)
    for row in range(len(members)):
        outside = np.zeros(count, np.bool_)
        tail = 0
        # Start at the superpixels at the frame that the proposal leaves out, and search breadth-first around it.
        for superpixel in range(count):
            if at_frame[superpixel] and not members[row, superpixel]:
                outside[superpixel] = True
                queue[tail] = superpixel
                tail += 1
        head = 0
        while head < tail:
            superpixel = queue[head]
            head += 1
            for position in range(starts[superpixel], starts[superpixel + 1]):
                other = neighbours[position]
                if not outside[other] and not members[row, other]:
                    outside[other] = True
                    queue[tail] = other
                    tail += 1
        if tail:
            filled[row] = ~outside
    return filled


@njit(cache=True)
def _select(
    words: NDArray[np.uint64],
    boxes: NDArray[np.float64],
    areas: NDArray[np.float64],
    sizes: NDArray[np.float64],
    max_overlap: float,
    limit: int,
) -> NDArray[np.int64]:
    """Rows that overlap no kept one before them too much; overlaps are counted only where sizes and boxes allow one."""
    kept = np.empty(min(limit, len(words)), np.int64)
    count = 0
    for row in range(len(words)):
        if count == len(kept):
            break
        distinct = True
        for position in range(count):
            other = kept[position]
            # The IoU is at most the ratio of the two sizes.
            small, large = min(sizes[row], sizes[other]), max(sizes[row], sizes[other])
            if small <= max_overlap * large:
                continue
            # The intersection fits into that of the boxes; an IoU of `max_overlap` takes `needed` pixels of it.
            width = min(boxes[row, 2], boxes[other, 2]) - max(boxes[row, 0], boxes[other, 0])
            height = min(boxes[row, 3], boxes[other, 3]) - max(boxes[row, 1], boxes[other, 1])
            needed = max_overlap * (sizes[row] + sizes[other]) / (1 + max_overlap)
            if width <= 0 or height <= 0 or width * height < needed:
                continue
            # More than `bound` pixels in only one of the two mean that the IoU is below `max_overlap`.
            differs = 0.0
            bound = sizes[row] + sizes[other] - 2 * needed
            for word in range(words.shape[1]):
                # Add the areas of the superpixels that only one of the two has: the bits that differ.
                bits = words[row, word] ^ words[other, word]
                bit = word * 64
                while bits != 0:
                    if bits & np.uint64(1):
                        differs += areas[bit]
                    bits >>= np.uint64(1)
                    bit += 1
                if differs > bound:
                    break
            if differs < bound:
                distinct = False
                break
        if distinct:
            kept[count] = row
            count += 1
    return kept[:count]
