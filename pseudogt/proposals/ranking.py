"""The ranker: boosted regression trees as plain arrays."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pseudogt.files.io import replace_atomically
from pseudogt.proposals.grouping import FEATURE_NAMES

DTYPES = {
    "base": np.float64,
    "roots": np.int32,
    "features": np.int16,
    "thresholds": np.float32,
    "left": np.int32,
    "right": np.int32,
    "values": np.float32,
}


class Ranker(NamedTuple):
    """Regression trees whose sum estimates how likely a proposal is the best one of a segment.

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


def write_ranker(path: Path | str, ranker: Ranker, *, feature_names: Sequence[str] = FEATURE_NAMES) -> None:
    """Write a ranker as NPZ, with the names of the features that it was trained on."""
    arrays: dict[str, Any] = {name: np.asarray(value, DTYPES[name]) for name, value in ranker._asdict().items()}
    with replace_atomically(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, feature_names=np.array(feature_names), **arrays)


def read_ranker(path: Path | str) -> Ranker:
    """Read a file of :func:`write_ranker`.

    Raises
    ------
    ValueError
        If the file is missing or broken, holds pickled objects, was trained on other features, or its
        nodes don't make trees.
    """
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such ranker file")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ("feature_names", *DTYPES)}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not a readable ranker file ({error})") from error
    names = tuple(arrays.pop("feature_names").tolist())
    if names != FEATURE_NAMES:
        different = sorted(set(names) ^ set(FEATURE_NAMES))
        raise ValueError(f"{path}: trained on other features than those of this version ({different or 'other order'})")
    for name, dtype in DTYPES.items():
        expected = () if name == "base" else (len(arrays["roots"]),) if name == "roots" else arrays["features"].shape
        if arrays[name].dtype != dtype or arrays[name].shape != expected or arrays[name].ndim > 1:
            raise ValueError(f"{path}: {name} has shape {arrays[name].shape} and type {arrays[name].dtype}")
    ranker = Ranker(float(arrays.pop("base")), **arrays)
    _check_trees(path, ranker)
    return ranker


def score_by_trees(ranker: Ranker, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Score ``(N,)`` of unions from their features ``(N, F) float32``; the higher, the likelier a segment."""
    sums = _sum_trees(*ranker[1:], np.ascontiguousarray(features, np.float32))
    return (ranker.base + sums).astype(np.float32)


def _check_trees(path: Path | str, ranker: Ranker) -> None:
    """Children come after their parent and exist: every walk ends at a leaf."""
    count = len(ranker.features)
    inner = np.flatnonzero(ranker.features >= 0)
    children = np.concatenate([ranker.left[inner], ranker.right[inner]])
    if (
        (ranker.features < -1).any()
        or (ranker.features >= len(FEATURE_NAMES)).any()
        or ((ranker.roots < 0) | (ranker.roots >= count)).any()
        or ((children <= np.tile(inner, 2)) | (children >= count)).any()
    ):
        raise ValueError(f"{path}: its nodes don't make trees")
    if not all(np.isfinite(values).all() for values in (ranker.base, ranker.thresholds, ranker.values)):
        raise ValueError(f"{path}: holds values that are not finite")


@njit(cache=True)
def _sum_trees(
    roots: NDArray[np.int32],
    features: NDArray[np.int16],
    thresholds: NDArray[np.float32],
    left: NDArray[np.int32],
    right: NDArray[np.int32],
    values: NDArray[np.float32],
    rows: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Sum ``(N,)`` of the trees' values for rows ``(N, F)`` of features."""
    sums = np.zeros(len(rows), np.float32)
    for tree in range(len(roots)):  # a tree stays in the cache while it meets all rows
        for row in range(len(rows)):
            node = roots[tree]
            while features[node] >= 0:
                node = left[node] if rows[row, features[node]] <= thresholds[node] else right[node]
            sums[row] += values[node]
    return sums
