"""Unions of one to four neighbouring regions, and the cheap features by which they are ranked.

A union is written as up to four nodes of one hierarchy, ascending, none inside another and no two
of one parent (these would be the parent): each set of pixels has one such form.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pseudogt.proposals.regions import Floats, ImageFacts, RegionTable

MAX_PARTS = 4
MIN_PART = 0.06
"""Smallest part's share of a union; a smaller one would make a duplicate of the rest."""

NODE_BITS = 15
"""Nodes of a hierarchy are below 2 ** 15, so that a union fits into a 64-bit key."""

FEATURE_NAMES = (
    "log_area",
    "width",
    "height",
    "log_aspect",
    "extent",
    "log_roundness",
    "frame_share",
    "frame_sides",
    "outer_strength",
    "outer_weak",
    "inner_altitude",
    "joint_strength",
    "joint_share",
    "next_altitude",
    "outer_over_inner",
    "parts",
    "smallest_part",
    "surround_contrast",
    "lightness_spread",
    "colour_spread",
    "centre_x",
    "centre_y",
    "part_contrast",
    "outer_over_image",
    "box_share",
    "scale",
)
(
    LOG_AREA,
    WIDTH,
    HEIGHT,
    LOG_ASPECT,
    EXTENT,
    LOG_ROUNDNESS,
    FRAME_SHARE,
    FRAME_SIDES,
    OUTER_STRENGTH,
    OUTER_WEAK,
    INNER_ALTITUDE,
    JOINT_STRENGTH,
    JOINT_SHARE,
    NEXT_ALTITUDE,
    OUTER_OVER_INNER,
    PARTS,
    SMALLEST_PART,
    SURROUND_CONTRAST,
    LIGHTNESS_SPREAD,
    COLOUR_SPREAD,
    CENTRE_X,
    CENTRE_Y,
    PART_CONTRAST,
    OUTER_OVER_IMAGE,
    BOX_SHARE,
    SCALE,
) = range(len(FEATURE_NAMES))
"""Columns of the features, in the order of their names."""


def list_singles(table: RegionTable) -> NDArray[np.int32]:
    """All nodes but the root as unions ``(N, 4) int32``, -1 where there is no part; the root if it is alone."""
    count = max(len(table.parents) - 1, 1)
    unions = np.full((count, MAX_PARTS), -1, np.int32)
    unions[:, 0] = np.arange(count)
    return unions


def add_neighbours(unions: NDArray[np.int32], table: RegionTable) -> NDArray[np.int32]:
    """Unions ``(M, 4)`` with one more part that touches them, each once, ordered by their nodes.

    No part is so small that the union would be a duplicate of what it is without.

    Parameters
    ----------
    unions : (N, 4) int32
        All of the same number of parts, 1 to 3.
    table : RegionTable
    """
    if not len(unions):
        return unions
    parts = int((unions[0] >= 0).sum())
    areas = np.ascontiguousarray(table.sums[:, 0])
    keys = np.unique(_list_extensions(unions, parts, areas, table.neighbours, table.starts, table.parents, table.spans))
    # Unpack the nodes of each key, first node in the highest bits: (M, 4), of which the last parts + 1 columns are set.
    shifts = NODE_BITS * np.arange(MAX_PARTS)
    nodes = ((keys[:, None] >> shifts[::-1]) & (2**NODE_BITS - 1)).astype(np.int32)
    grown = np.full((len(keys), MAX_PARTS), -1, np.int32)
    grown[:, : parts + 1] = nodes[:, MAX_PARTS - parts - 1 :]
    return grown


def compute_features(
    unions: NDArray[np.int32], table: RegionTable, facts: ImageFacts, *, scale: int
) -> NDArray[np.float32]:
    """Features ``(N, F) float32`` of unions ``(N, 4)``, in the order of ``FEATURE_NAMES``.

    Parameters
    ----------
    unions, table, facts
    scale : int
        Number of the hierarchy; 0 is the combined one.
    """
    features = np.zeros((len(unions), len(FEATURE_NAMES)), np.float32)
    # Mean strength of all borders between leaves.
    leaves = (len(table.parents) + 1) // 2
    lengths, strengths = table.outlines[:leaves, 0].sum(), table.outlines[:leaves, 1].sum()
    _fill_features(features, unions, table, facts.integral, strengths / max(lengths, 1))
    features[:, SCALE] = scale
    return features


@njit(cache=True)
def _list_extensions(
    unions: NDArray[np.int32],
    parts: int,
    areas: Floats,
    neighbours: NDArray[np.int32],
    starts: NDArray[np.int64],
    parents: NDArray[np.int32],
    spans: NDArray[np.int32],
) -> NDArray[np.int64]:
    """Keys of all unions with one more part; some come several times."""
    # Upper bound of the number of extensions: the neighbours of all parts of all unions.
    total = 0
    for row in range(len(unions)):
        for p in range(parts):
            total += starts[unions[row, p] + 1] - starts[unions[row, p]]
    keys = np.empty(total, np.int64)
    count = 0
    nodes = np.empty(parts + 1, np.int64)
    for row in range(len(unions)):
        for p in range(parts):
            for position in range(starts[unions[row, p]], starts[unions[row, p] + 1]):
                new = neighbours[position]
                # A node can't join if it holds or lies in a part (by their ranges of leaves), or is a part's sibling.
                fits = True
                for q in range(parts):
                    old = unions[row, q]
                    inside = spans[old, 0] <= spans[new, 0] and spans[new, 1] <= spans[old, 1]
                    around = spans[new, 0] <= spans[old, 0] and spans[old, 1] <= spans[new, 1]
                    if inside or around or parents[old] == parents[new]:
                        fits = False
                        break
                area = areas[new]
                smallest = areas[new]
                for q in range(parts):
                    area += areas[unions[row, q]]
                    smallest = min(smallest, areas[unions[row, q]])
                if not fits or smallest < MIN_PART * area:
                    continue
                # Insert the new node in ascending order, then pack all into one integer, first in the highest bits.
                place = parts
                while place > 0 and unions[row, place - 1] > new:
                    nodes[place] = unions[row, place - 1]
                    place -= 1
                nodes[place] = new
                for q in range(place):
                    nodes[q] = unions[row, q]
                key = 0
                for q in range(parts + 1):
                    key = (key << NODE_BITS) | nodes[q]
                keys[count] = key
                count += 1
    return keys[:count]


@njit(cache=True)
def _fill_features(
    features: NDArray[np.float32], unions: NDArray[np.int32], table: RegionTable, integral: Floats, mean_strength: float
) -> None:
    height, width = integral.shape[0] - 1, integral.shape[1] - 1
    sums, boxes, outlines, shared = table.sums, table.boxes, table.outlines, table.shared
    parents, altitudes = table.parents, table.altitudes
    total = np.empty(sums.shape[1])
    for row in range(len(unions)):
        total[:] = 0
        parts, (x0, y0, x1, y1), smallest = _add_parts(unions, row, sums, boxes, total)
        length, strength, weak, shortest, joint_length, joint_strength = _measure_borders(
            unions, row, parts, outlines, shared
        )
        contrast = _compare_parts(unions, row, parts, sums)
        inner, following = _find_altitudes(unions, row, parts, parents, altitudes)
        surround, spread_light, spread_colour = _compare_with_surround(total, x0, y0, x1, y1, integral)
        # Pixels on the four sides of the image, where a region has no border.
        area, frame = total[0], total[1] + total[2] + total[3] + total[4]
        box_width, box_height = x1 - x0, y1 - y0
        outer = strength / max(length, 1.0)
        features[row, LOG_AREA] = np.log(area / (height * width))
        features[row, WIDTH] = box_width / width
        features[row, HEIGHT] = box_height / height
        features[row, LOG_ASPECT] = np.log(box_width / box_height)
        features[row, EXTENT] = area / (box_width * box_height)
        features[row, LOG_ROUNDNESS] = np.log(area / (length + frame) ** 2)
        features[row, FRAME_SHARE] = frame / (length + frame)
        features[row, FRAME_SIDES] = (total[1] > 0) + (total[2] > 0) + (total[3] > 0) + (total[4] > 0)
        features[row, OUTER_STRENGTH] = outer
        features[row, OUTER_WEAK] = weak / max(length, 1.0)
        features[row, INNER_ALTITUDE] = inner
        features[row, JOINT_STRENGTH] = joint_strength / max(joint_length, 1.0)
        features[row, JOINT_SHARE] = joint_length / max(shortest, 1.0) if parts > 1 else 0.0
        features[row, NEXT_ALTITUDE] = following
        features[row, OUTER_OVER_INNER] = outer - max(inner, features[row, JOINT_STRENGTH])
        features[row, PARTS] = parts
        features[row, SMALLEST_PART] = smallest / area
        features[row, SURROUND_CONTRAST] = np.sqrt(surround)
        features[row, LIGHTNESS_SPREAD] = np.sqrt(spread_light)
        features[row, COLOUR_SPREAD] = np.sqrt(spread_colour)
        features[row, CENTRE_X] = abs((x0 + x1) / 2 / width - 0.5)
        features[row, CENTRE_Y] = (y0 + y1) / 2 / height
        features[row, PART_CONTRAST] = np.sqrt(contrast)
        features[row, OUTER_OVER_IMAGE] = outer / max(mean_strength, 1e-6)
        features[row, BOX_SHARE] = box_width * box_height / (height * width)


@njit(cache=True)
def _add_parts(
    unions: NDArray[np.int32], row: int, sums: Floats, boxes: Floats, total: Floats
) -> tuple[int, tuple[float, float, float, float], float]:
    """Add the sums of the parts to ``total``; give their number, the box around them and the smallest area."""
    parts = 0
    x0, y0, x1, y1 = 1e9, 1e9, -1.0, -1.0
    smallest = 1e18
    for p in range(MAX_PARTS):
        node = unions[row, p]
        if node < 0:
            break
        parts += 1
        total += sums[node]
        x0, y0 = min(x0, boxes[node, 0]), min(y0, boxes[node, 1])
        x1, y1 = max(x1, boxes[node, 2]), max(y1, boxes[node, 3])
        smallest = min(smallest, sums[node, 0])
    return parts, (x0, y0, x1, y1), smallest


@njit(cache=True)
def _measure_borders(
    unions: NDArray[np.int32], row: int, parts: int, outlines: Floats, shared: NDArray[np.float32]
) -> tuple[float, float, float, float, float, float]:
    """Measure the outline of a union and the joints between its parts.

    Returns length, strength and weak length of the outline, length of the shortest part's outline, length and strength
    of the joints.
    """
    length = strength = weak = joint_length = joint_strength = 0.0
    shortest = 1e18
    for p in range(parts):
        node = unions[row, p]
        length += outlines[node, 0]
        strength += outlines[node, 1]
        weak += outlines[node, 2]
        shortest = min(shortest, outlines[node, 0])
        for q in range(p):
            # A joint lies in the outlines of both parts, but not in that of the union.
            joint = shared[node, unions[row, q]]
            length -= 2 * joint[0]
            strength -= 2 * joint[1]
            weak -= 2 * joint[2]
            joint_length += joint[0]
            joint_strength += joint[1]
    return length, strength, weak, shortest, joint_length, joint_strength


@njit(cache=True)
def _compare_parts(unions: NDArray[np.int32], row: int, parts: int, sums: Floats) -> float:
    """Largest squared distance between the mean colours of two parts."""
    contrast = 0.0
    for p in range(parts):
        node = unions[row, p]
        for q in range(p):
            other = unions[row, q]
            # Squared distance of the mean Lab colours.
            distance = 0.0
            for k in range(5, 8):
                distance += (sums[node, k] / sums[node, 0] - sums[other, k] / sums[other, 0]) ** 2
            contrast = max(contrast, distance)
    return contrast


@njit(cache=True)
def _find_altitudes(
    unions: NDArray[np.int32], row: int, parts: int, parents: NDArray[np.int32], altitudes: Floats
) -> tuple[float, float]:
    """Highest altitude at which a part was merged, and the lowest at which one would be merged next."""
    inner, following = 0.0, 1.0
    for p in range(parts):
        inner = max(inner, altitudes[unions[row, p]])
        following = min(following, altitudes[parents[unions[row, p]]])
    return inner, following


@njit(cache=True)
def _compare_with_surround(
    total: Floats, x0: float, y0: float, x1: float, y1: float, integral: Floats
) -> tuple[float, float, float]:
    """Squared distance of a union's mean colour and that around it, and variances of lightness and colour in it.

    What is around it lies in a box that is larger by a quarter on each side.
    """
    height, width = integral.shape[0] - 1, integral.shape[1] - 1
    area, box_width, box_height = total[0], x1 - x0, y1 - y0
    left, right = int(max(0, x0 - box_width / 4)), int(min(width, x1 + box_width / 4 + 1))
    upper, lower = int(max(0, y0 - box_height / 4)), int(min(height, y1 + box_height / 4 + 1))
    around = (right - left) * (lower - upper) - area
    surround = spread_light = spread_colour = 0.0
    for k in range(3):
        # Lab sum over the larger box from the integral image, minus the union's sum: the sum over the surroundings.
        window = integral[lower, right, k] - integral[upper, right, k] - integral[lower, left, k]
        window += integral[upper, left, k]
        mean = total[5 + k] / area
        if around > 0:
            surround += ((window - total[5 + k]) / around - mean) ** 2
        variance = max(0.0, total[8 + k] / area - mean * mean)
        if k == 0:
            spread_light = variance
        else:
            spread_colour += variance
    return surround, spread_light, spread_colour
