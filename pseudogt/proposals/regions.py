"""Statistics of the regions of a hierarchy, from which those of a union follow without reading pixels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from pseudogt.proposals.contours import convert_to_lab
from pseudogt.proposals.hierarchies import Adjacency, Hierarchy, Partition
from pseudogt.proposals.members import Members

Floats = NDArray[np.float64]

WEAK_STRENGTH = 0.15
"""A border below it is hardly one."""


class ImageFacts(NamedTuple):
    """Facts of an image and its superpixels that all its hierarchies share.

    Attributes
    ----------
    areas : (S,) float64
        Pixels of each superpixel.
    boxes : (S, 4) float64
        Half-open ``x0, y0, x1, y1``.
    frame : (S, 4) float64
        Pixels on the left, upper, right and lower side of the image.
    colours, squares : (S, 3) float64
        Sums of the Lab values and of their squares.
    integral : (H + 1, W + 1, 3) float64
        Lab summed from the upper left corner.
    """

    areas: Floats
    boxes: Floats
    frame: Floats
    colours: Floats
    squares: Floats
    integral: Floats


class RegionTable(NamedTuple):
    """Facts of the ``V`` nodes of a hierarchy.

    Attributes
    ----------
    sums : (V, 11) float64
        Area; pixels on the four sides of the image; Lab sums; sums of Lab squares.
    boxes : (V, 4) float64
        Half-open.
    outlines : (V, 3) float64
        Border to other regions: pixel edges, their summed strength, and the number of weak ones.
    shared : (V, V, 3) float32
        The same of the border between two nodes; 0 if they don't touch or one holds the other.
    neighbours, starts
        Nodes that touch node v: ``neighbours[starts[v] : starts[v + 1]]``.
    spans : (V, 2) int32
        First and last leaf below each node, in an order in which every node's leaves are a range.
    parents, altitudes
        As in the hierarchy.
    """

    sums: Floats
    boxes: Floats
    outlines: Floats
    shared: NDArray[np.float32]
    neighbours: NDArray[np.int32]
    starts: NDArray[np.int64]
    spans: NDArray[np.int32]
    parents: NDArray[np.int32]
    altitudes: Floats


def gather_facts(image: NDArray[np.uint8], superpixels: NDArray[np.int32]) -> ImageFacts:
    """Facts of an image ``(H, W, 3) uint8`` and its superpixels ``(H, W)``."""
    lab = convert_to_lab(image).astype(np.float64)
    flat, count = superpixels.ravel(), int(superpixels.max()) + 1

    def total(values: NDArray[np.floating]) -> Floats:
        return np.asarray(np.bincount(flat, values.ravel(), minlength=count), np.float64)

    height, width = superpixels.shape
    # Integral image of Lab with a first row and column of zeros: the sum over any box takes four entries.
    integral = np.zeros((height + 1, width + 1, 3))
    integral[1:, 1:] = lab.cumsum(0).cumsum(1)
    sides = (superpixels[:, 0], superpixels[0], superpixels[:, -1], superpixels[-1])
    return ImageFacts(
        areas=np.bincount(flat, minlength=count).astype(np.float64),
        boxes=find_superpixel_boxes(superpixels),
        frame=np.stack([np.bincount(side, minlength=count) for side in sides], axis=1).astype(np.float64),
        colours=np.stack([total(lab[..., k]) for k in range(3)], axis=1),
        squares=np.stack([total(lab[..., k] ** 2) for k in range(3)], axis=1),
        integral=integral,
    )


def measure_regions(partition: Partition, hierarchy: Hierarchy, facts: ImageFacts) -> RegionTable:
    """Facts of all nodes of one of a partition's hierarchies."""
    leaves, nodes = hierarchy.num_leaves, len(hierarchy.parents)
    # Sum up superpixels over leaves; inner nodes follow from their children in _accumulate.
    of_superpixels = np.hstack([facts.areas[:, None], facts.frame, facts.colours, facts.squares])
    sums = np.zeros((nodes, of_superpixels.shape[1]))
    np.add.at(sums, hierarchy.leaves, of_superpixels)
    boxes = np.tile([np.inf, np.inf, -np.inf, -np.inf], (nodes, 1))
    np.minimum.at(boxes[:, :2], hierarchy.leaves, facts.boxes[:, :2])
    np.maximum.at(boxes[:, 2:], hierarchy.leaves, facts.boxes[:, 2:])
    shared = np.zeros((nodes, nodes, 3), np.float32)
    _fill_leaf_borders(shared, hierarchy, partition.adjacency)
    outlines = np.zeros((nodes, 3))
    outlines[:leaves] = shared[:leaves, :leaves].sum(1)
    _accumulate(hierarchy.parents, hierarchy.children, leaves, sums, boxes, outlines, shared)
    # The neighbours of all nodes, one node after the other; a node's start is where its number first occurs.
    node, neighbours = np.nonzero(shared[..., 0])
    starts = np.searchsorted(node, np.arange(nodes + 1))
    spans = _order_leaves(hierarchy.parents, hierarchy.children, leaves)
    return RegionTable(
        sums,
        boxes,
        outlines,
        shared,
        neighbours.astype(np.int32),
        starts,
        spans,
        hierarchy.parents,
        hierarchy.altitudes,
    )


def find_superpixel_boxes(superpixels: NDArray[np.int32]) -> Floats:
    """Box ``(S, 4)`` of each superpixel; inverted and infinite where a number has no pixel."""
    boxes = np.tile([np.inf, np.inf, -np.inf, -np.inf], (int(superpixels.max()) + 1, 1))
    for number, slices in enumerate(find_objects(superpixels + 1)):
        if slices is not None:
            rows, columns = slices
            boxes[number] = columns.start, rows.start, columns.stop, rows.stop
    return boxes


def find_member_boxes(members: Members, superpixel_boxes: Floats) -> Floats:
    """Tight box ``(N, 4)`` of each proposal, from those of the superpixels ``(S, 4)``; zeros if it has no pixel."""
    found = np.zeros((len(members.lengths), 4))
    filled = members.lengths > 0
    # Extremes over the superpixels of each proposal; reduceat can't take empty ranges, so these stay out.
    first = members.starts[:-1][filled]
    for side, find_extreme in enumerate((np.minimum, np.minimum, np.maximum, np.maximum)):
        found[filled, side] = find_extreme.reduceat(superpixel_boxes[members.indices, side], first)
    found[~np.isfinite(found).all(1)] = 0
    return found


def _fill_leaf_borders(shared: NDArray[np.float32], hierarchy: Hierarchy, adjacency: Adjacency) -> None:
    a, b = hierarchy.leaves[adjacency.first], hierarchy.leaves[adjacency.second]
    apart = a != b
    a, b = a[apart], b[apart]
    lengths, strengths = adjacency.lengths[apart], hierarchy.strengths[apart]
    # Length, strength times length, and weak length of each border between two leaves: (E, 3).
    values = np.stack([lengths, lengths * strengths, lengths * (strengths < WEAK_STRENGTH)], axis=1)
    np.add.at(shared, (a, b), values.astype(np.float32))
    np.add.at(shared, (b, a), values.astype(np.float32))


@njit(cache=True)
def _accumulate(
    parents: NDArray[np.int32],
    children: NDArray[np.int32],
    leaves: int,
    sums: Floats,
    boxes: Floats,
    outlines: Floats,
    shared: NDArray[np.float32],
) -> None:
    """Facts of inner nodes from those of their children, in place."""
    nodes = len(parents)
    for node in range(leaves, nodes):
        a, b = children[node, 0], children[node, 1]
        sums[node] = sums[a] + sums[b]
        for k in range(2):
            boxes[node, k] = min(boxes[a, k], boxes[b, k])
            boxes[node, k + 2] = max(boxes[a, k + 2], boxes[b, k + 2])
        # The children's outlines and borders add up; the joint between the children is in both outlines and disappears.
        for k in range(3):
            outlines[node, k] = outlines[a, k] + outlines[b, k] - 2 * shared[a, b, k]
            for other in range(node):
                both = shared[a, other, k] + shared[b, other, k]
                shared[node, other, k] = both
                shared[other, node, k] = both
        # no border with what it holds
        below = np.zeros(nodes, np.bool_)
        below[node] = True
        for other in range(node - 1, -1, -1):
            if below[parents[other]]:
                below[other] = True
                for k in range(3):
                    shared[node, other, k] = 0
                    shared[other, node, k] = 0


@njit(cache=True)
def _order_leaves(parents: NDArray[np.int32], children: NDArray[np.int32], leaves: int) -> NDArray[np.int32]:
    """First and last place ``(V, 2)`` of each node's leaves when the tree is walked from the root."""
    nodes = len(parents)
    sizes = np.ones(nodes, np.int32)
    for node in range(leaves, nodes):
        sizes[node] = sizes[children[node, 0]] + sizes[children[node, 1]]
    spans = np.zeros((nodes, 2), np.int32)
    spans[nodes - 1, 1] = leaves - 1
    # From the root down, divide the range of each node between its two children.
    for node in range(nodes - 1, leaves - 1, -1):
        a, b = children[node, 0], children[node, 1]
        middle = spans[node, 0] + sizes[a]
        spans[a, 0], spans[a, 1] = spans[node, 0], middle - 1
        spans[b, 0], spans[b, 1] = middle, spans[node, 1]
    return spans
