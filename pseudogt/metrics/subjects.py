"""All scores of one subject of the evaluation: labels, box masks, or a model's predictions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pseudogt.classes import INSTANCE_DIVISOR, VOID, ClassTable
from pseudogt.metrics.average_precision import ImageThings, compute_average_precision, describe_things
from pseudogt.metrics.panoptic_counts import Counts, count_image
from pseudogt.metrics.panoptic_quality import SCORE_KEYS, summarise
from pseudogt.parsing.problems import SHOWN

IMAGE_SCORE_KEYS = ("pq", "pq_th", "pq_st", "miou", "coverage", "precision")
"""Scores that are given for each image."""


@dataclass(frozen=True)
class Kind:
    """Kind of a scored subject, which decides the scores that apply to it; see :func:`summarise`.

    Attributes
    ----------
    has_instances : bool
        False for labels from scores.
    has_stuff : bool
        False for box masks.
    is_prediction : bool
        Whether segments have scores, from which AP is computed.
    """

    has_instances: bool
    has_stuff: bool
    is_prediction: bool


class ScoredImage(NamedTuple):
    """Counts from which scores are computed.

    Attributes
    ----------
    counts : Counts
    things : ImageThings or None
        None unless the subject is a prediction.
    """

    counts: Counts
    things: ImageThings | None


def check_same_images(truth: Collection[str], subject: Collection[str], name: str) -> None:
    """Raise a ``ValueError`` that names images which only one of both has."""
    for present, absent, where in ((truth, subject, name), (subject, truth, "the ground truth")):
        missing = [image_id for image_id in present if image_id not in absent]
        if missing:
            named = ", ".join(missing[:SHOWN]) + (", ..." if len(missing) > SHOWN else "")
            raise ValueError(f"{len(missing)} images are missing in {where}: {named}; give both the same shards")


def score_image(
    true_id: NDArray[np.int32],
    labelled_id: NDArray[np.int32],
    scores: Mapping[int, float],
    classes: ClassTable,
    kind: Kind,
    *,
    ap_ignores_void: bool = False,
) -> ScoredImage:
    """Compare the label of an image with its ground truth.

    Parameters
    ----------
    true_id, labelled_id : (H, W) int32
        Panoptic ids.
    scores : mapping
        Score of each segment of a prediction.
    classes : ClassTable
    kind : Kind
    ap_ignores_void : bool
        Whether void pixels of the ground truth are left out of AP; from PQ they always are.

    Raises
    ------
    ValueError
        If shapes differ, an id belongs to no class, or a segment of a prediction has no score.
    """
    if kind.has_stuff and (labelled_id // INSTANCE_DIVISOR == classes.background_category_id).any():
        raise ValueError("the label holds the background category, as box masks do; give --things-only")
    counts = count_image(true_id, labelled_id, classes)
    if not kind.is_prediction:
        return ScoredImage(counts, None)
    detected = np.where(true_id == VOID, np.int32(VOID), labelled_id) if ap_ignores_void else labelled_id
    return ScoredImage(counts, describe_things(true_id, detected, scores, classes))


def summarise_images(
    images: Mapping[str, ScoredImage], classes: ClassTable, kind: Kind, *, max_detections: int
) -> dict[str, Any]:
    """Scores of a subject over all of its images, and of each.

    Parameters
    ----------
    images : mapping
        By image id.
    classes : ClassTable
    kind : Kind
    max_detections : int
        Segments of the highest score that count for AP, of an image and class.

    Returns
    -------
    dict
        ``SCORE_KEYS``, ``categories``, and ``per_image`` with ``IMAGE_SCORE_KEYS`` by image id.
    """
    applying = asdict(kind)
    total = sum((image.counts for image in images.values()), Counts.zeros(len(classes)))
    result = summarise(total, classes, **applying)
    if kind.is_prediction:
        things = [image.things for image in images.values() if image.things is not None]
        _add_average_precision(result, things, classes, max_detections)
    result["categories"] = classes.to_categories()
    by_image = {image_id: summarise(image.counts, classes, **applying) for image_id, image in images.items()}
    result["per_image"] = {
        image_id: {key: scores[key] for key in IMAGE_SCORE_KEYS} for image_id, scores in by_image.items()
    }
    return result


def summarise_nothing() -> dict[str, Any]:
    """Scores of a subject without ground truth: all are None."""
    return dict.fromkeys(SCORE_KEYS) | {"per_class": {}, "images": 0, "categories": [], "per_image": {}}


def _add_average_precision(
    result: dict[str, Any], things: Sequence[ImageThings], classes: ClassTable, max_detections: int
) -> None:
    found = compute_average_precision(things, classes, max_detections=max_detections)
    # The first row holds the means over classes, the others follow in the order of train ids.
    rows = [result, *result["per_class"].values()]
    for row, ap, ap50 in zip(rows, [found.ap, *found.per_class_ap], [found.ap50, *found.per_class_ap50], strict=True):
        row["ap"] = None if np.isnan(ap) else float(ap)
        row["ap50"] = None if np.isnan(ap50) else float(ap50)
