"""The ranker: boosted regression trees as plain arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray


class Ranker(NamedTuple):
    """Regression trees whose sum predicts how well a proposal fits an object.

    Attributes
    ----------
    base : float
        Prediction before the first tree.
    roots : (T,) int32
        First node of each tree.
    features : (N,) int16
        Feature that a node looks at; -1 for a leaf.
    thresholds : (N,) float32
        Values up to it go left.
    left, right : (N,) int32
        Children of a node.
    values : (N,) float32
        What a leaf adds.
    """

    base: float
    roots: NDArray[np.int32]
    features: NDArray[np.int16]
    thresholds: NDArray[np.float32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    values: NDArray[np.float32]


def predict_overlaps(ranker: Ranker, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Predicted IoU ``(N,)`` with the best-fitting object, from features ``(N, F) float32``."""
    ranker_arrays = ranker[1:]
    return (ranker.base + _sum_trees(*ranker_arrays, np.ascontiguousarray(features, np.float32))).astype(np.float32)


@njit(cache=True)
def _sum_trees(roots, features, thresholds, left, right, values, rows):
    sums = np.zeros(len(rows), np.float32)
    for tree in range(len(roots)):  # a tree stays in the cache while it meets all rows
        for row in range(len(rows)):
            node = roots[tree]
            while features[node] >= 0:
                node = left[node] if rows[row, features[node]] <= thresholds[node] else right[node]
            sums[row] += values[node]
    return sums
