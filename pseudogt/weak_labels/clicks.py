"""Points and scribbles like those of people, derived from full masks for a benchmark."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Container
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects
from scipy.sparse.csgraph import dijkstra
from skimage.graph import pixel_graph
from skimage.morphology import skeletonize

from pseudogt.classes import INSTANCE_DIVISOR, VOID, ClassTable

INNER_SHARE = 0.5
"""People stay inside: a point at least this share of the largest distance to the border away from it, a stroke at least
this share of the median distance along the middle line."""

LEAST_LENGTH = 0.5
"""Least share of the longest way along the middle line of a segment that a stroke covers."""

MAX_DEVIATION_PX = 1.0
"""How far the straight parts of a stroke may run beside the middle line."""


class Drawn(NamedTuple):
    """A point or a stroke in a segment.

    Attributes
    ----------
    segment_id : int
        Panoptic id.
    train_id : int
    vertices : (K, 2) float64
        Middles (x, y) of pixels, one of a point; the first pixel spans 0 to 1.
    room : float
        Smallest distance in pixels of a vertex to the border of the segment.
    """

    segment_id: int
    train_id: int
    vertices: NDArray[np.float64]
    room: float


def draw_in_segments(
    draw: Callable[[NDArray[np.bool_], np.random.Generator], list[NDArray[np.int64]]],
    image_id: str,
    panoptic_id: NDArray[np.int32],
    crowd_ids: Container[int],
    classes: ClassTable,
    wanted: NDArray[np.bool_],
    *,
    seed: int,
) -> list[Drawn]:
    """Points or a stroke in each segment of the wanted classes, groups and void left out.

    Parameters
    ----------
    draw : function
        :func:`draw_points` or :func:`draw_strokes`.
    image_id : str
        What is drawn depends on it, and not on other images.
    panoptic_id : (H, W) int32
    crowd_ids
        Panoptic ids that are groups.
    classes : ClassTable
    wanted : (C,) bool
    seed : int
    """
    ids, index = np.unique(panoptic_id, return_inverse=True)
    slices = find_objects(index.reshape(panoptic_id.shape) + 1)
    drawn = []
    for segment_id, window in zip(ids.tolist(), slices, strict=True):
        train_id = int(classes.category_to_train[segment_id // INSTANCE_DIVISOR])
        if segment_id == VOID or segment_id in crowd_ids or not wanted[train_id]:
            continue
        rng = np.random.default_rng([seed, zlib.crc32(image_id.encode()), segment_id])
        mask = panoptic_id[window] == segment_id
        distance, corner = _measure_distance(mask), (window[1].start + 0.5, window[0].start + 0.5)
        for pixels in draw(mask, rng):
            room = float(distance[tuple(pixels.T)].min())
            drawn.append(Drawn(segment_id, train_id, pixels[:, ::-1] + corner, room))
    return drawn


def draw_points(mask: NDArray[np.bool_], rng: np.random.Generator, count: int) -> list[NDArray[np.int64]]:
    """``count`` points ``(1, 2)`` (y, x) of a mask ``(h, w)``, fewer if it has fewer pixels.

    The first is that of :func:`draw_point`; each further one lies in the largest part that has none yet, then in parts
    drawn by their area.
    """
    points = [draw_point(mask, rng)]
    _, parts, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = statistics[:, cv2.CC_STAT_AREA].astype(float)
    areas[0] = 0
    clicked = {int(parts[tuple(points[0][0])])}
    for _ in range(min(count, int(areas.sum())) - 1):
        left = [part for part in np.argsort(-areas, kind="stable").tolist() if areas[part] and part not in clicked]
        part = left[0] if left else int(rng.choice(len(areas), p=areas / areas.sum()))
        clicked.add(part)
        points.append(draw_point(parts == part, rng))
    return points


def draw_strokes(mask: NDArray[np.bool_], rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """The one stroke of :func:`draw_stroke`."""
    return [draw_stroke(mask, rng)]


def draw_point(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    """One pixel ``(1, 2)`` (y, x) of a mask ``(h, w)``, away from its border by half of the largest distance or more.

    The border of the image is the segment's, too.
    """
    distance = _measure_distance(mask)
    inner = np.flatnonzero(mask & (distance >= INNER_SHARE * distance.max()))
    return np.array([divmod(int(rng.choice(inner)), mask.shape[1])])


def draw_stroke(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    """Vertices ``(K, 2)`` (y, x) of a stroke along the middle line of the largest part of a mask ``(h, w)``.

    It covers at least half of the longest way along that line. A part of a few pixels gets a single vertex, a point.
    """
    part = _find_largest_part(mask)
    distance = _measure_distance(part)
    line = skeletonize(part)
    # Branches of the middle line run into the corners of a segment, where nobody draws.
    line &= distance >= INNER_SHARE * np.median(distance[line])
    way = _find_longest_way(_find_largest_part(line))
    length = max(1, round(rng.uniform(LEAST_LENGTH, 1) * len(way)))
    start = int(rng.integers(len(way) - length + 1))
    stroke = way[start : start + length]
    if len(stroke) == 1:
        return stroke
    return cv2.approxPolyDP(stroke.astype(np.int32), MAX_DEVIATION_PX, False).reshape(-1, 2).astype(np.int64)


def _measure_distance(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Distance from the middle of each pixel to the border, half a pixel before the next one outside."""
    padded = np.pad(mask, 1).astype(np.uint8)
    return cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1] - np.float32(0.5)


def _find_largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The 8-connected part of a mask that has the most pixels."""
    _, parts, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return parts == 1 + np.argmax(statistics[1:, cv2.CC_STAT_AREA])


def _find_longest_way(line: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Pixels ``(L, 2)`` (y, x) from one end to the other of the longest way through a connected line ``(h, w)``."""
    graph, nodes = pixel_graph(line, connectivity=2)
    # Twice to the farthest pixel: exact in a tree, and nearly so where the line runs around a hole.
    first = int(np.argmax(dijkstra(graph, indices=0)))
    lengths, previous = dijkstra(graph, indices=first, return_predecessors=True)
    way = [int(np.argmax(lengths))]
    while way[-1] != first:
        way.append(int(previous[way[-1]]))
    return np.column_stack(np.unravel_index(nodes[way], line.shape))
