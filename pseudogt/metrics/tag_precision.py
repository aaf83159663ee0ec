"""Average precision of tags: how well scores of crops rank those that have a tag above the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def average_precisions(scores: NDArray[np.floating], tags: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Average precision of each class: the mean, over its positives, of the precision at their score.

    Parameters
    ----------
    scores : (N, C) floating
        The higher, the more likely the tag.
    tags : (N, C) bool

    Returns
    -------
    (C,) float64
        In [0, 1]; NaN for a class that never occurs. Samples of equal score share the precision of
        the last of them, so that their order plays no part.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if scores.shape != tags.shape:
        raise ValueError(f"scores {scores.shape} and tags {tags.shape} differ in shape")
    return np.array([_average_precision(s, t) for s, t in zip(scores.T, tags.T, strict=True)])


def summarise_tag_precision(
    scores: NDArray[np.floating], tags: NDArray[np.bool_], names: Sequence[str]
) -> dict[str, Any]:
    """Mean average precision ``map``, and ``ap`` by class name, of scores and tags ``(N, C)``; None where undefined.

    See :func:`average_precisions`.
    """
    precisions = average_precisions(scores, tags)
    known = precisions[~np.isnan(precisions)]
    return {
        "map": round(float(known.mean()), 6) if len(known) else None,
        "ap": {
            name: None if np.isnan(value) else round(float(value), 6)
            for name, value in zip(names, precisions, strict=True)
        },
    }


def _average_precision(scores: NDArray[np.floating], tags: NDArray[np.bool_]) -> float:
    if not tags.any():
        return float("nan")
    ascending = np.sort(scores)
    ascending_hits = np.sort(scores[tags])
    # Samples, and positives, that score at least as high as each positive: (P,) each.
    at_least = len(scores) - np.searchsorted(ascending, ascending_hits, side="left")
    hits_at_least = len(ascending_hits) - np.searchsorted(ascending_hits, ascending_hits, side="left")
    return float(np.mean(hits_at_least / at_least))
