"""Scores of labels and predictions from their counts: panoptic quality, mIoU, coverage and precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pseudogt.classes import ClassTable
from pseudogt.metrics.panoptic_counts import Counts

SCORE_KEYS = (
    "pq",
    "sq",
    "rq",
    "pq_th",
    "pq_st",
    "miou",
    "ap",
    "ap50",
    "coverage",
    "precision",
    "per_class",
    "images",
)
"""Keys of the scores of one subject, as :func:`summarise` returns them."""


@dataclass(frozen=True)
class ClassScores:
    """Scores by class, all ``(C,) float64``; NaN where a class has nothing to score.

    ``pq``, ``sq``, ``rq`` are NaN for a class without any segment, true or predicted; ``iou``
    for a class without any pixel; ``coverage`` and ``precision`` where they divide by zero.
    """

    pq: NDArray[np.float64]
    sq: NDArray[np.float64]
    rq: NDArray[np.float64]
    iou: NDArray[np.float64]
    coverage: NDArray[np.float64]
    precision: NDArray[np.float64]


def score_classes(counts: Counts) -> ClassScores:
    """Compute scores by class from counts.

    ``pq = iou / (tp + fp / 2 + fn / 2) = sq * rq`` (Kirillov et al., CVPR 2019, eq. 1 and 2);
    ``sq`` is 0 for a class with segments but no match. A pixel without label is a miss in the IoU.
    ``coverage`` is the labelled share of a class's pixels, ``precision`` the share of the pixels
    labelled as the class that are it.
    """
    segments = counts.tp + counts.fp / 2 + counts.fn / 2
    occurs = np.where(segments > 0, 1.0, np.nan)
    right = np.diagonal(counts.confusion).astype(np.float64)
    true_pixels = counts.confusion.sum(axis=1)
    # The last column holds the pixels without a label.
    labelled_pixels = counts.confusion[:, :-1].sum(axis=0)
    return ClassScores(
        pq=_divide(counts.iou, segments),
        sq=occurs * counts.iou / np.maximum(counts.tp, 1),
        rq=_divide(counts.tp, segments),
        iou=_divide(right, true_pixels + labelled_pixels - right),
        coverage=_divide(counts.confusion[:, :-1].sum(axis=1), true_pixels),
        precision=_divide(right, labelled_pixels),
    )


def _divide(numerator: NDArray[Any], denominator: NDArray[Any]) -> NDArray[np.float64]:
    """Divide; NaN where the denominator is 0."""
    nothing = denominator == 0
    return np.where(nothing, np.nan, numerator / np.where(nothing, 1, denominator))


def summarise(
    counts: Counts,
    classes: ClassTable,
    *,
    has_instances: bool = True,
    has_stuff: bool = True,
    is_prediction: bool = False,
) -> dict[str, Any]:
    """Compute the scores ``M`` of labels or a model as plain values; what does not apply is None.

    Parameters
    ----------
    counts : Counts
        Sum over the images.
    classes : ClassTable
    has_instances : bool
        False for semantic labels (CAMs): no PQ of things and so none of all.
    has_stuff : bool
        False for box masks: no PQ of stuff and of all, and the mIoU is that of the things.
    is_prediction : bool
        True for a model, to which coverage and precision don't apply.

    Returns
    -------
    dict
        ``SCORE_KEYS``; ``ap`` and ``ap50`` are None here; see :mod:`pseudogt.metrics.average_precision`.

    Notes
    -----
    Means run over classes that occur, in the ground truth or as a false positive, as in
    cityscapesScripts: a class that is nowhere is left out, one that is wrongly predicted is 0.
    """
    scores = score_classes(counts)
    things = np.array(classes.isthing)
    # Classes scored by segments, and classes scored by pixels, in a subject of this kind: (C,) each.
    segmented = np.where(things, has_instances, has_stuff)
    labelled = things | has_stuff
    coverable, right = counts.confusion.sum(), np.trace(counts.confusion)
    covered = counts.confusion[:, :-1].sum()
    is_whole = bool(segmented.all())
    return {
        "pq": _mean(scores.pq) if is_whole else None,
        "sq": _mean(scores.sq) if is_whole else None,
        "rq": _mean(scores.rq) if is_whole else None,
        "pq_th": _mean(scores.pq[things & segmented]),
        "pq_st": _mean(scores.pq[~things & segmented]),
        "miou": _mean(scores.iou[labelled]),
        "ap": None,
        "ap50": None,
        "coverage": None if is_prediction or not coverable else float(covered / coverable),
        "precision": None if is_prediction or not covered else float(right / covered),
        "per_class": {
            name: {
                **_choose(_describe_segments(scores, counts, i), bool(segmented[i])),
                "iou": _number(scores.iou[i]) if labelled[i] else None,
                "ap": None,
                "ap50": None,
                **_choose(_describe_pixels(scores, i), bool(labelled[i]) and not is_prediction),
            }
            for i, name in enumerate(classes.names)
        },
        "images": counts.images,
    }


def _describe_segments(scores: ClassScores, counts: Counts, train_id: int) -> dict[str, float | None]:
    return {
        "pq": _number(scores.pq[train_id]),
        "sq": _number(scores.sq[train_id]),
        "rq": _number(scores.rq[train_id]),
        "tp": int(counts.tp[train_id]),
        "fp": int(counts.fp[train_id]),
        "fn": int(counts.fn[train_id]),
    }


def _describe_pixels(scores: ClassScores, train_id: int) -> dict[str, float | None]:
    return {"coverage": _number(scores.coverage[train_id]), "precision": _number(scores.precision[train_id])}


def _choose(values: dict[str, float | None], applies: bool) -> dict[str, float | None]:
    """The values if they apply, else None for each."""
    return values if applies else dict.fromkeys(values)


def _mean(values: NDArray[np.float64]) -> float | None:
    occurring = values[~np.isnan(values)]
    return float(occurring.mean()) if len(occurring) else None


def _number(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)
