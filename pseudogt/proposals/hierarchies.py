"""Hierarchies of regions from contours at several scales, over common superpixels.

The steps are those of Arbelaez, Pont-Tuset et al. (CVPR 2014): each scale has a hierarchy of its own;
all are projected to the superpixels of the finest contours, and their mean is a hierarchy as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import higra as hg
import numpy as np
from numpy.typing import NDArray

from pseudogt.proposals.contours import Contours

MIN_DIRECTED_LENGTH = 4
"""Pixel edges from which a border has a direction."""

FINE_SHARE = 1e-3
"""Share of the mean strength that decides inside what is one region at a scale."""


class Adjacency(NamedTuple):
    """Which superpixels touch.

    Attributes
    ----------
    first, second : (E,) int32
        Superpixels of each border, ``first < second``.
    lengths : (E,) float64
        Pixel edges of the border.
    """

    first: NDArray[np.int32]
    second: NDArray[np.int32]
    lengths: NDArray[np.float64]


class Hierarchy(NamedTuple):
    """A binary tree over superpixels, pruned.

    Leaves come first and the root last; every parent has a higher number than its children.

    Attributes
    ----------
    parents : (V,) int32
        The root is its own parent.
    children : (V, 2) int32
        -1 for leaves.
    altitudes : (V,) float64
        Contour strength in [0, 1] at which a node's children merge; 0 for leaves.
    leaves : (S,) int32
        Leaf of each superpixel.
    strengths : (E,) float64
        Contour strength of each border between superpixels at this hierarchy's scale.
    """

    parents: NDArray[np.int32]
    children: NDArray[np.int32]
    altitudes: NDArray[np.float64]
    leaves: NDArray[np.int32]
    strengths: NDArray[np.float64]

    @property
    def num_leaves(self) -> int:
        """Number of leaves; nodes from this number on have children."""
        return (len(self.parents) + 1) // 2


class Partition(NamedTuple):
    """An image's superpixels and the hierarchies over them.

    Attributes
    ----------
    superpixels : (H, W) int32
        From 0, each connected.
    adjacency : Adjacency
    hierarchies : tuple of Hierarchy
        The combined one first, then one of each scale (if there are several).
    """

    superpixels: NDArray[np.int32]
    adjacency: Adjacency
    hierarchies: tuple[Hierarchy, ...]


def build_partition(contours: Sequence[Contours], *, max_superpixels: int, max_regions: int) -> Partition:
    """Superpixels and hierarchies of an image from its contours at one or several scales.

    Parameters
    ----------
    contours : sequence of Contours
        Contours of one image at several scales, the finest last, all resized to the image.
    max_superpixels : int
        Superpixels that are kept: the last ones to merge in the combined hierarchy.
    max_regions : int
        Leaves to which each hierarchy is pruned.

    Returns
    -------
    Partition
        One hierarchy for one scale; for several the combined one and one of each scale.

    Differs from the paper: a superpixel replaces the region that covers most of it once, at the
    leaves, not at each level.
    """
    scales = [_segment_scale(each) for each in contours]
    superpixels, adjacency, _ = scales[-1]
    # Altitude, in the hierarchy of each scale, at which the sides of each border merge: (N, E).
    strengths = np.array([_project(scale, superpixels, adjacency) for scale in scales])
    # Keep as superpixels the regions that are the last to merge in the mean of all scales.
    parents, _ = _merge(int(superpixels.max()) + 1, adjacency, strengths.mean(0))
    leaf_of_node = _cut(parents, max_superpixels)
    superpixels = leaf_of_node[superpixels]
    adjacency, strengths = _coarsen(adjacency, strengths, leaf_of_node)

    combined = strengths.mean(0)
    count = int(superpixels.max()) + 1
    of_scales = list(strengths) if len(strengths) > 1 else []
    hierarchies = [_build_hierarchy(count, adjacency, each, combined, max_regions) for each in (combined, *of_scales)]
    return Partition(superpixels, adjacency, tuple(hierarchies))


def _segment_scale(contours: Contours) -> tuple[NDArray[np.int32], Adjacency, NDArray[np.float64]]:
    """Watershed regions ``(H, W)`` of contours, their borders and the strength of each."""
    strength = contours.strength
    # Watershed on the graph of pixels; an edge weighs the mean strength of its two pixels.
    graph = hg.get_4_adjacency_graph(strength.shape)
    sources, targets = graph.edge_list()
    flat = strength.ravel()
    basins = hg.labelisation_watershed(graph, (flat[sources] + flat[targets]) / 2)
    regions = (basins.reshape(strength.shape) - 1).astype(np.int32)
    return regions, *measure_borders(regions, contours)


def measure_borders(regions: NDArray[np.int32], contours: Contours) -> tuple[Adjacency, NDArray[np.float64]]:
    """Mean strength of each border across its own direction, that of the line through its pixel edges.

    Parameters
    ----------
    regions : (H, W) int32
        Numbered from 0.
    contours : Contours

    Returns
    -------
    adjacency : Adjacency
        The E borders.
    strengths : (E,) float64
        In [0, 1].
    """
    low, high, rows, columns, down = _list_pixel_edges(regions)
    # One key for each pair of regions, the lower one in the high 32 bits; `border` is the pair of each pixel edge.
    keys, border, lengths = np.unique(low.astype(np.int64) << 32 | high, return_inverse=True, return_counts=True)
    adjacency = Adjacency((keys >> 32).astype(np.int32), (keys & 0xFFFFFFFF).astype(np.int32), lengths.astype(float))

    def average(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.bincount(border, values, minlength=len(keys)) / adjacency.lengths

    # Second moments of the middles of each border's pixel edges: its principal axis in double-angle form.
    x, y = columns + 0.5 * (1 - down), rows + 0.5 * down
    x_mean, y_mean = average(x), average(y)
    half_difference = (average(x * x) - x_mean**2 - average(y * y) + y_mean**2) / 2
    both = average(x * x) - x_mean**2 + average(y * y) - y_mean**2
    product = average(x * y) - x_mean * y_mean
    spread = np.hypot(half_difference, product)
    # The normal is across the axis of largest spread; a short or curved border has no direction.
    straight = np.where(adjacency.lengths >= MIN_DIRECTED_LENGTH, 2 * spread / np.maximum(both, 1e-9), 0)
    cosine, sine = -half_difference / np.maximum(spread, 1e-9), -product / np.maximum(spread, 1e-9)

    # Contours at each pixel edge, the mean of its two pixels; read along the normal as far as the border is straight.
    mean, c, s = ((each[rows, columns] + each[rows + down, columns + 1 - down]) / 2 for each in contours)
    across = c * cosine[border] + s * sine[border]
    squared = mean + straight[border] * across + (1 - straight[border]) * np.hypot(c, s)
    return adjacency, np.clip(average(np.sqrt(np.maximum(squared, 0))), 0, 1)


def _list_pixel_edges(regions: NDArray[np.int32]) -> tuple[NDArray[Any], ...]:
    """Pixel edges between regions: lower and higher region, row and column, and 1 for the pixel below, 0 beside."""
    beside = np.nonzero(regions[:, :-1] != regions[:, 1:])
    below = np.nonzero(regions[:-1] != regions[1:])
    rows, columns = np.concatenate([beside[0], below[0]]), np.concatenate([beside[1], below[1]])
    down = (np.arange(len(rows)) >= len(beside[0])).astype(np.int64)
    here, there = regions[rows, columns], regions[rows + down, columns + 1 - down]
    return np.minimum(here, there), np.maximum(here, there), rows, columns, down


def _project(
    scale: tuple[NDArray[np.int32], Adjacency, NDArray[np.float64]],
    superpixels: NDArray[np.int32],
    adjacency: Adjacency,
) -> NDArray[np.float64]:
    """Altitude at which the sides of each border between superpixels merge in a scale's hierarchy.

    A superpixel has the place of the region that covers most of it.
    """
    regions, borders, strengths = scale
    count = int(regions.max()) + 1
    if count == 1:
        return np.zeros(len(adjacency.lengths))
    # Pixels of each overlap of a superpixel and a region, sorted so that the largest of each superpixel comes first.
    keys, shared = np.unique(superpixels.ravel().astype(np.int64) * count + regions.ravel(), return_counts=True)
    order = np.lexsort((-shared, keys // count))
    _, first = np.unique(keys[order] // count, return_index=True)
    region = keys[order][first] % count
    parents, altitudes = _merge(count, borders, strengths)
    # Two regions merge at their lowest common ancestor.
    lowest = hg.Tree(parents).lowest_common_ancestor(region[adjacency.first], region[adjacency.second])
    return altitudes[lowest]


def _merge(
    count: int, adjacency: Adjacency, strengths: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Parents and altitudes ``(2 * count - 1,)`` of the binary tree by mean border strength, lowest merge first."""
    if count == 1:
        return np.zeros(1, np.int64), np.zeros(1)
    graph = hg.UndirectedGraph(count)
    graph.add_edges(adjacency.first.astype(np.int64), adjacency.second.astype(np.int64))
    tree, altitudes = hg.binary_partition_tree_average_linkage(graph, strengths, adjacency.lengths)
    # Mean linkage merges in ascending order, up to rounding.
    return np.asarray(tree.parents()), np.maximum.accumulate(np.asarray(altitudes, np.float64))


def _cut(parents: NDArray[np.int64], regions: int) -> NDArray[np.int32]:
    """Which of the last ``regions`` regions to merge each node lies in; the highest nodes get -1."""
    nodes = len(parents)
    # The nodes from `first_kept` on are the last merges; the regions are the subtrees right below them.
    first_kept = max(nodes + 1 - regions, (nodes + 1) // 2)
    region = np.full(nodes, -1, np.int32)
    tops = np.flatnonzero((np.arange(nodes) < first_kept) & (parents >= first_kept)) if nodes > 1 else np.zeros(1, int)
    if regions == 1:
        tops = np.array([nodes - 1])
    region[tops] = np.arange(len(tops))
    # Pass the number of each region down; parents have higher numbers than their children.
    for node in range(min(int(tops.max()), nodes - 2), -1, -1):
        if region[node] < 0:
            region[node] = region[parents[node]]
    return region


def _coarsen(
    adjacency: Adjacency, strengths: NDArray[np.float64], region: NDArray[np.int32]
) -> tuple[Adjacency, NDArray[np.float64]]:
    """Borders between merged regions, and their mean strengths ``(N, E)``."""
    a, b = region[adjacency.first], region[adjacency.second]
    apart = a != b
    a, b, lengths = a[apart], b[apart], adjacency.lengths[apart]
    # One key for each pair of merged regions; lengths add up, strengths are averaged by length.
    keys, border = np.unique(np.minimum(a, b).astype(np.int64) << 32 | np.maximum(a, b), return_inverse=True)
    merged = np.asarray(np.bincount(border, lengths, minlength=len(keys)), np.float64)
    sums = [np.bincount(border, each[apart] * lengths, minlength=len(keys)) for each in strengths]
    first, second = (keys >> 32).astype(np.int32), (keys & 0xFFFFFFFF).astype(np.int32)
    return Adjacency(first, second, merged), np.array(sums).reshape(len(strengths), -1) / merged


def _build_hierarchy(
    count: int,
    adjacency: Adjacency,
    strengths: NDArray[np.float64],
    combined: NDArray[np.float64],
    max_regions: int,
) -> Hierarchy:
    # What is one region at this scale still falls apart in a sensible order.
    parents, altitudes = _merge(count, adjacency, (1 - FINE_SHARE) * strengths + FINE_SHARE * combined)
    leaf_of_node = _cut(parents, max_regions)
    leaves = int(leaf_of_node.max()) + 1
    inner = np.flatnonzero(leaf_of_node < 0)
    tops = np.flatnonzero((leaf_of_node >= 0) & (leaf_of_node[parents] != leaf_of_node))
    if leaves == 1:
        return Hierarchy(
            np.zeros(1, np.int32), np.full((1, 2), -1, np.int32), np.zeros(1), leaf_of_node[:count], strengths
        )
    # Renumber what is kept: the new leaves, then the inner nodes in the order of their merging, the root last.
    kept = np.concatenate([tops, inner])
    number = np.full(len(parents), -1, np.int32)
    number[kept] = np.arange(len(kept))
    new_parents = number[parents[kept]]
    children = np.full((len(kept), 2), -1, np.int32)
    # The first child of a parent goes to column 0, the second to column 1.
    for node, parent in enumerate(new_parents[:-1]):
        children[parent, 0 if children[parent, 0] < 0 else 1] = node
    new_altitudes = np.concatenate([np.zeros(leaves), altitudes[inner]])
    return Hierarchy(new_parents, children, new_altitudes, leaf_of_node[:count], strengths)
