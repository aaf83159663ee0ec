"""Minimum cuts of a grid of pixels, each joined to its eight neighbours, in whole numbers.

Augmenting paths are found by two search trees, one from the source and one from the sink, that are kept from path to
path (Boykov and Kolmogorov, PAMI 2004). When the terminals change, the flow stays (Kohli and Torr, ICCV 2005). Whole
numbers make the result exact: it depends neither on the order of the paths nor on the flow that a cut starts from.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

DX = (-1, 0, 1, -1, 1, -1, 0, 1)
DY = (-1, -1, -1, 0, 0, 1, 1, 1)
"""Steps to the neighbours; the opposite of direction d is 7 - d."""

FREE, SOURCE, SINK = 0, 1, 2
"""Trees that a node may be in."""

NONE, ROOT, ORPHAN = -1, 8, 9
"""Parents of nodes that have none: outside the trees, joined to a terminal, and cut off."""

FAR = 1 << 30
"""More steps than any path has."""


class Grid(NamedTuple):
    """A graph with a flow in it. Nodes are numbered row by row, with a margin of one around the pixels.

    Attributes
    ----------
    capacity : (N, 8) int32
        What each edge can still carry.
    excess : (N,) int32
        What the edge from the source can still carry, or, if negative, that to the sink.
    steps : (8,) int64
        Differences between the numbers of a node and its neighbours.
    tree : (N,) uint8
    parent : (N,) int8
        Direction of the parent in the tree.
    depth, stamp : (N,) int32
        Steps to the root, and the path after which they were right.
    queue : (N + 1,) int32
        Ring of the nodes from which trees may grow.
    ends : (2,) int64
        Where the queue starts and ends.
    queued : (N,) bool
    orphans : (N,) int32
    """

    capacity: NDArray[np.int32]
    excess: NDArray[np.int32]
    steps: NDArray[np.int64]
    tree: NDArray[np.uint8]
    parent: NDArray[np.int8]
    depth: NDArray[np.int32]
    stamp: NDArray[np.int32]
    queue: NDArray[np.int32]
    ends: NDArray[np.int64]
    queued: NDArray[np.bool_]
    orphans: NDArray[np.int32]

    @classmethod
    def without_flow(cls, capacity: NDArray[np.int32]) -> Self:
        """Graph of pixels ``(h, w, 8)``; no edge may leave the pixels, and nothing joins them to a terminal yet."""
        height, width = capacity.shape[0] + 2, capacity.shape[1] + 2
        count = height * width
        numbers = [np.zeros(count, kind) for kind in (np.int32, np.uint8, np.int8, np.int32, np.int32, np.int32)]
        excess, tree, parent, depth, stamp, orphans = numbers
        padded = np.pad(capacity, ((1, 1), (1, 1), (0, 0))).reshape(count, 8)
        steps = np.array(DY, np.int64) * width + np.array(DX)
        queue, queued = np.zeros(count + 1, np.int32), np.zeros(count, np.bool_)
        return cls(padded, excess, steps, tree, parent, depth, stamp, queue, np.zeros(2, np.int64), queued, orphans)


@njit(cache=True, nogil=True)
def cut_grid(grid: Grid) -> None:
    """Raise the flow to its maximum; nodes with ``tree == SOURCE`` are then the source's side of a minimum cut.

    Of several minimum cuts it is the one with the fewest nodes on the source's side.
    """
    _push_to_neighbours(grid)
    _plant(grid)
    path, node = 0, -1
    while True:
        if node < 0 or grid.parent[node] == NONE:
            node = _take(grid)
            if node < 0:
                return
        direction = _grow(grid, node)
        if direction == NONE:
            node = -1
            continue
        path += 1
        other = node + grid.steps[direction]
        if grid.tree[node] == SOURCE:
            count = _augment(grid, node, direction, other)
        else:
            count = _augment(grid, other, 7 - direction, node)
        _adopt(grid, count, path)


@njit(cache=True, nogil=True)
def _push_to_neighbours(grid: Grid) -> None:
    """Saturate paths with one edge between pixels, which are the most frequent."""
    for node in range(len(grid.excess)):
        for d in range(8):
            if grid.excess[node] <= 0:
                break
            other = node + grid.steps[d]
            if grid.capacity[node, d] > 0 and grid.excess[other] < 0:
                flow = min(grid.capacity[node, d], grid.excess[node], -grid.excess[other])
                grid.capacity[node, d] -= flow
                grid.capacity[other, 7 - d] += flow
                grid.excess[node] -= flow
                grid.excess[other] += flow


@njit(cache=True, nogil=True)
def _plant(grid: Grid) -> None:
    """Start both trees from the nodes that are joined to a terminal."""
    grid.ends[:] = 0
    for node in range(len(grid.excess)):
        joined = grid.excess[node] != 0
        grid.tree[node] = (SOURCE if grid.excess[node] > 0 else SINK) if joined else FREE
        grid.parent[node] = ROOT if joined else NONE
        grid.depth[node], grid.stamp[node] = 1, 0
        grid.queued[node] = False
        if joined:
            _put(grid, node)


@njit(cache=True, nogil=True)
def _put(grid: Grid, node: int) -> None:
    if not grid.queued[node]:
        grid.queued[node] = True
        grid.queue[grid.ends[1]] = node
        grid.ends[1] = grid.ends[1] + 1 if grid.ends[1] + 1 < len(grid.queue) else 0


@njit(cache=True, nogil=True)
def _take(grid: Grid) -> int:
    """The next node of the queue that is in a tree; -1 if there is none."""
    while grid.ends[0] != grid.ends[1]:
        node = grid.queue[grid.ends[0]]
        grid.ends[0] = grid.ends[0] + 1 if grid.ends[0] + 1 < len(grid.queue) else 0
        grid.queued[node] = False
        if grid.parent[node] != NONE:
            return node
    return -1


@njit(cache=True, nogil=True)
def _grow(grid: Grid, node: int) -> int:
    """Add the neighbours of a node to its tree, up to one in the other tree, whose direction is returned."""
    tree = grid.tree[node]
    for d in range(8):
        other = node + grid.steps[d]
        if (grid.capacity[node, d] if tree == SOURCE else grid.capacity[other, 7 - d]) <= 0:
            continue
        if grid.parent[other] != NONE and grid.tree[other] != tree:
            return d
        nearer = grid.stamp[other] <= grid.stamp[node] and grid.depth[other] > grid.depth[node] + 1
        if grid.parent[other] == NONE:
            _put(grid, other)
        elif not nearer:
            continue
        grid.tree[other], grid.parent[other] = tree, 7 - d
        grid.depth[other], grid.stamp[other] = grid.depth[node] + 1, grid.stamp[node]
    return NONE


@njit(cache=True, nogil=True)
def _augment(grid: Grid, first: int, direction: int, second: int) -> int:
    """Push as much as possible along the path through an edge between the trees; return the number of orphans."""
    flow = min(_find_bottleneck(grid, first), _find_bottleneck(grid, second), grid.capacity[first, direction])
    grid.capacity[first, direction] -= flow
    grid.capacity[second, 7 - direction] += flow
    return _push(grid, second, flow, _push(grid, first, flow, 0))


@njit(cache=True, nogil=True)
def _find_bottleneck(grid: Grid, node: int) -> int:
    """What the path between a node and the root of its tree can carry."""
    flow, from_source = FAR, grid.tree[node] == SOURCE
    while grid.parent[node] != ROOT:
        d = grid.parent[node]
        parent = node + grid.steps[d]
        flow = min(flow, grid.capacity[parent, 7 - d] if from_source else grid.capacity[node, d])
        node = parent
    return min(flow, abs(grid.excess[node]))


@njit(cache=True, nogil=True)
def _push(grid: Grid, node: int, flow: int, count: int) -> int:
    """Push along the path between a node and its root; nodes whose edge is then full become orphans."""
    sign = 1 if grid.tree[node] == SOURCE else -1
    while grid.parent[node] != ROOT:
        d = grid.parent[node]
        parent = node + grid.steps[d]
        grid.capacity[node, d] += sign * flow
        grid.capacity[parent, 7 - d] -= sign * flow
        if (grid.capacity[parent, 7 - d] if sign > 0 else grid.capacity[node, d]) == 0:
            grid.parent[node] = ORPHAN
            grid.orphans[count] = node
            count += 1
        node = parent
    grid.excess[node] -= sign * flow
    if grid.excess[node] == 0:
        grid.parent[node] = ORPHAN
        grid.orphans[count] = node
        count += 1
    return count


@njit(cache=True, nogil=True)
def _adopt(grid: Grid, count: int, path: int) -> None:
    """Find new parents for orphans, nearest to a root; those without one leave their tree."""
    while count:
        count -= 1
        node = grid.orphans[count]
        tree, nearest, fewest = grid.tree[node], NONE, FAR
        for d in range(8):
            other = node + grid.steps[d]
            capacity = grid.capacity[other, 7 - d] if tree == SOURCE else grid.capacity[node, d]
            if capacity > 0 and grid.tree[other] == tree and grid.parent[other] != NONE:
                steps = _measure_depth(grid, other, path)
                if steps < fewest:
                    nearest, fewest = d, steps
        grid.parent[node] = nearest
        if nearest != NONE:
            grid.depth[node], grid.stamp[node] = fewest + 1, path
        else:
            count = _release(grid, node, count)


@njit(cache=True, nogil=True)
def _measure_depth(grid: Grid, node: int, path: int) -> int:
    """Steps from a node to the root of its tree, ``FAR`` if it is cut off from it; nodes on the way remember theirs."""
    steps, each = 0, node
    while grid.stamp[each] != path:
        parent = grid.parent[each]
        if parent in (ORPHAN, NONE):
            return FAR
        if parent == ROOT:
            grid.depth[each], grid.stamp[each] = 1, path
            break
        steps += 1
        each += grid.steps[parent]
    steps += grid.depth[each]
    found, each = steps, node
    while grid.stamp[each] != path:
        grid.depth[each], grid.stamp[each] = steps, path
        steps -= 1
        each += grid.steps[grid.parent[each]]
    return found


@njit(cache=True, nogil=True)
def _release(grid: Grid, node: int, count: int) -> int:
    """Take a node out of its tree: its children become orphans, and neighbours may reach it again."""
    tree = grid.tree[node]
    for d in range(8):
        other = node + grid.steps[d]
        if grid.tree[other] != tree or grid.parent[other] == NONE:
            continue
        if (grid.capacity[other, 7 - d] if tree == SOURCE else grid.capacity[node, d]) > 0:
            _put(grid, other)
        if grid.parent[other] == 7 - d:
            grid.parent[other] = ORPHAN
            grid.orphans[count] = other
            count += 1
    grid.tree[node] = FREE
    return count
