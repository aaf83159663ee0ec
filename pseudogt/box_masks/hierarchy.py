"""Boxes segmented by the regions of a contour hierarchy, which is built once per image."""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import higra as hg
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from pseudogt.box_masks.scene import BoxScene, BoxSegmenter, PrepareScene, SegmenterOptions
from pseudogt.box_masks.shapes import load_ellipse
from pseudogt.boxes import box_slices, check_boxes, measure_thing_radius

LEAK_TOLERANCE = 0.1
"""Share of a region's pixels that may lie outside the box."""

SIGMA_PX = 1.5
"""Smoothing before the gradient; larger gives fewer and smoother regions. 1.5 takes 0.12 s at 360x480, plain
differences between pixels seven times as long."""

CORE_RADIUS = 0.5
"""Size of the inner ellipse that always belongs to the mask; 1 touches the sides."""

PRIOR_STEEPNESS = 5.0
"""Slope of the position prior, fitted to the figures of :func:`pseudogt.boxes.measure_box_radius`."""


class RegionHierarchy(NamedTuple):
    """A tree of regions over an image.

    Attributes
    ----------
    tree
        higra tree; its leaves are the finest regions.
    altitudes : (V,) float
        Mean contour strength at which each node's children merge.
    regions : (H, W) intp
        Leaf of each pixel.
    areas : (V,) float
        Pixels of each node.
    """

    tree: Any
    altitudes: NDArray[np.float64]
    regions: NDArray[np.intp]
    areas: NDArray[np.float64]


def build_hierarchy(image: NDArray[np.uint8]) -> RegionHierarchy:
    """Hierarchy of an image by mean contour strength (Arbelaez et al., PAMI 2011).

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
        At least 2x2.
    """
    smooth = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32), (0, 0), SIGMA_PX)
    # Gradient strength over all Lab channels at each pixel: (H * W,).
    gradients = [cv2.Scharr(smooth, cv2.CV_32F, dx, 1 - dx, scale=1 / 32) for dx in (0, 1)]
    strength = np.sqrt(sum((g**2).sum(2) for g in gradients)).ravel()

    graph = hg.get_4_adjacency_graph(image.shape[:2])
    sources, targets = graph.edge_list()
    # An edge between two pixels weighs their mean strength.
    tree, altitudes = hg.mean_pb_hierarchy(graph, (strength[sources] + strength[targets]) / 2, image.shape[:2])
    # Leaves of the tree are small regions, not pixels: look up the leaf of each pixel.
    leaf_graph = hg.CptHierarchy.get_leaf_graph(tree)
    regions = hg.CptRegionAdjacencyGraph.get_vertex_map(leaf_graph).reshape(image.shape[:2]).astype(np.intp)
    areas = _sum_over_nodes(tree, np.bincount(regions.ravel(), minlength=tree.num_leaves()))
    return RegionHierarchy(tree, np.asarray(altitudes, np.float64), regions, areas)


def segment_by_hierarchy(hierarchy: RegionHierarchy, box_xyxy: ArrayLike) -> NDArray[np.bool_]:
    """Segment the thing in a box by the union of regions that fits it best.

    A region's barrier is the contour strength at which it first merges with what lies outside the
    box; a region that itself sticks out has none. Of all thresholds on the barrier the one is
    taken whose regions overlap most (soft IoU) with the prior of a pixel's position in the box.

    Parameters
    ----------
    hierarchy : RegionHierarchy
    box_xyxy : (4,) int
        Half-open, inside the image.

    Returns
    -------
    (h, w) bool
        In the box, without holes.

    Raises
    ------
    ValueError
        For a box that is inverted, empty or outside the image.
    """
    box = check_boxes(box_xyxy, hierarchy.regions.shape)[0]
    radius = measure_thing_radius(box, hierarchy.regions.shape)
    # Leaves of the tree in the box, numbered from 0, and the pixels of each that lie in the box.
    leaves, leaf_of_pixel = np.unique(hierarchy.regions[box_slices(box)], return_inverse=True)
    leaf_of_pixel = leaf_of_pixel.ravel()
    pixels = np.bincount(leaf_of_pixel).astype(np.float64)

    # Probability that a pixel is the thing by its place in the box, and its sum over each leaf.
    prior = 1 / (1 + np.exp(PRIOR_STEEPNESS * (radius.ravel() - 1)))
    overlap = np.bincount(leaf_of_pixel, prior).astype(np.float64)
    chosen = _choose_regions(_find_barriers(hierarchy, leaves, pixels), pixels, overlap)
    mask = chosen[leaf_of_pixel].reshape(radius.shape) | (radius <= CORE_RADIUS)
    return ndimage.binary_fill_holes(mask)


def _find_barriers(
    hierarchy: RegionHierarchy, leaves: NDArray[np.intp], pixels_inside: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Contour strength ``(L,)`` at which each leaf in a box first merges with what lies outside it."""
    tree = hierarchy.tree
    inside = np.zeros(tree.num_leaves())
    inside[leaves] = pixels_inside
    # A node leaks if more than the tolerated share of its pixels lies outside the box.
    leaks = _sum_over_nodes(tree, inside) < (1 - LEAK_TOLERANCE) * hierarchy.areas
    # A node that stays inside takes the altitude of its lowest ancestor that leaks
    barriers = hg.propagate_sequential(tree, np.where(leaks, hierarchy.altitudes, 0), ~leaks)
    return np.where(leaks[leaves], 0, barriers[leaves])


def _choose_regions(
    barriers: NDArray[np.float64], pixels: NDArray[np.float64], prior: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Regions over the threshold with the best soft IoU; those with equal barriers are taken together or not at all."""
    order = np.argsort(-barriers, kind="stable")
    ordered = barriers[order]
    # Area, prior and soft IoU of the regions with the highest barriers, for every number of them.
    area, overlap = np.cumsum(pixels[order]), np.cumsum(prior[order])
    score = overlap / (area + prior.sum() - overlap)
    # A threshold takes all regions of an equal barrier: only the last of them is a candidate.
    score[:-1][ordered[1:] == ordered[:-1]] = -1
    return barriers >= ordered[score.argmax()]


def _sum_over_nodes(tree: Any, leaf_values: NDArray[Any]) -> NDArray[np.float64]:
    """Sum of the leaves below each node ``(V,)``."""
    return hg.accumulate_sequential(tree, np.asarray(leaf_values, np.float64), hg.Accumulators.sum)


def load_hierarchy(options: SegmenterOptions) -> PrepareScene:
    """Regions of a contour hierarchy, see :func:`segment_by_hierarchy`; not random."""

    def prepare(scene: BoxScene) -> BoxSegmenter:
        if min(scene.image.shape[:2]) < 2:  # no border to rank
            return load_ellipse(options)(scene)
        hierarchy = build_hierarchy(scene.image)
        return lambda index: segment_by_hierarchy(hierarchy, scene.boxes_xyxy[index])

    return prepare
