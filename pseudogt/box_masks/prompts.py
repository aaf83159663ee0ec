"""Points inside a box that say what the thing is and what it is not, chosen from labelled pixels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pseudogt.box_masks.scene import BoxScene

MOST_POINTS = 5
"""Maximum number of points of the thing, and of points of anything else: models are trained with few."""

LEAST_GAP = 1 / 8
"""Least distance of two points of a kind, in longer sides of the box: a click should give one point, whatever its
radius."""


class PointPrompts(NamedTuple):
    """Points of one box.

    Attributes
    ----------
    xy : (K, 2) float64
        Middles of pixels; the first pixel of the image spans 0 to 1.
    is_thing : (K,) bool
        Whether a point belongs to the thing; else it surely does not.
    """

    xy: NDArray[np.float64]
    is_thing: NDArray[np.bool_]


NO_POINTS = PointPrompts(np.zeros((0, 2)), np.zeros(0, bool))


def choose_points(scene: BoxScene, index: int) -> PointPrompts:
    """Choose points of a box from the labelled pixels inside it: first those of the thing, then those of others.

    Parameters
    ----------
    scene : BoxScene
    index : int
        Position of the box.
    """
    rows, columns, is_thing = scene.find_labels(index)
    x0, y0, x1, y1 = scene.boxes_xyxy[index].tolist()
    inside = (columns >= x0) & (columns < x1) & (rows >= y0) & (rows < y1)
    xy = np.column_stack([columns, rows])[inside] + 0.5
    gap = LEAST_GAP * max(x1 - x0, y1 - y0)
    of_thing, of_others = (spread_points(xy[is_thing[inside] == side], gap) for side in (True, False))
    return PointPrompts(
        np.concatenate([of_thing, of_others]), np.repeat([True, False], [len(of_thing), len(of_others)])
    )


def spread_points(xy: NDArray[np.float64], gap: float, most: int = MOST_POINTS) -> NDArray[np.float64]:
    """Choose points that are far from each other.

    Parameters
    ----------
    xy : (P, 2) float64
    gap : float
        Least distance between two of them.
    most : int

    Returns
    -------
    (K, 2) float64
        First the point nearest to the middle of all, then always the one farthest from those chosen; not random.

    Examples
    --------
    >>> spread_points(np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [9.0, 0.0]]), gap=3.0).tolist()
    [[2.0, 0.0], [9.0, 0.0]]
    """
    if not len(xy):
        return xy
    chosen = [int(np.hypot(*(xy - xy.mean(0)).T).argmin())]
    distance = np.hypot(*(xy - xy[chosen[0]]).T)
    while len(chosen) < most and distance.max() >= gap:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.hypot(*(xy - xy[chosen[-1]]).T))
    return xy[chosen]
