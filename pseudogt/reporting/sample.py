"""Which images the report shows, and how far their labels are trusted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pseudogt.classes import INSTANCE_DIVISOR, ClassTable
from pseudogt.files.labels import LabelFolder
from pseudogt.files.scores import ScoreFile
from pseudogt.reporting.review_queue import weigh_signals

WORST, BEST, RANDOM = "worst", "best", "random"


def choose_sample(values: Mapping[str, float | None], extremes: int, drawn: int) -> dict[str, str]:
    """Choose the images with the lowest and the highest value, and others at random.

    Parameters
    ----------
    values : mapping
        Image id -> score or trust; an image with None is only drawn at random.
    extremes : int
        Number of the worst, and of the best. If there are fewer than three times as many images with a value,
        a third of them are the worst and a third the best, so that something is left to draw from.
    drawn : int
        Number of images drawn from the rest. The draw depends on nothing but the ids: equal input, equal sample.

    Returns
    -------
    dict
        Image id -> ``"random"``, ``"best"`` or ``"worst"``, in this order.
    """
    ranked = sorted((value, image_id) for image_id, value in values.items() if value is not None)
    count = min(extremes, -(-len(ranked) // 3))
    worst = [image_id for _, image_id in ranked[:count]]
    best = [image_id for _, image_id in reversed(ranked[count:][-count:])] if count else []
    rest = sorted(values.keys() - {*worst, *best})
    generator = np.random.default_rng(0)
    chosen = [rest[i] for i in np.sort(generator.choice(len(rest), min(drawn, len(rest)), replace=False))]
    return dict.fromkeys(chosen, RANDOM) | dict.fromkeys(best, BEST) | dict.fromkeys(worst, WORST)


def choose_evenly(values: Sequence[str], count: int) -> list[str]:
    """At most ``count`` values, spread evenly over the sequence, first and last included."""
    positions = np.unique(np.linspace(0, len(values) - 1, min(count, len(values))).round().astype(int))
    return [values[i] for i in positions]


def find_worst(per_image: Mapping[str, Mapping[str, Any]], count: int) -> list[str]:
    """Images with the lowest PQ, lowest first; images without a PQ are left out."""
    scored = sorted((s["pq"], image_id) for image_id, s in per_image.items() if s["pq"] is not None)
    return [image_id for _, image_id in scored[:count]]


def measure_trust(confidence: Mapping[int, float], agreement: Mapping[int, float]) -> dict[int, float]:
    """Trust in the segments of a label, by those signals of the review queue that label files hold.

    Parameters
    ----------
    confidence : mapping
        Panoptic id -> confidence of the scores in the segment.
    agreement : mapping
        Panoptic id -> agreement of the box segmenters on the segment.

    Returns
    -------
    dict
        Panoptic id -> weighted mean of the signals that the segment has, in [0, 1]; a segment of ``confidence``
        always has one.
    """
    trust = {}
    for segment_id, sure in confidence.items():
        signals = {"confidence": sure}
        if segment_id in agreement:
            signals["agreement"] = agreement[segment_id]
        trust[segment_id] = weigh_signals(signals)
    return trust


def trust_segments(
    sources: Mapping[str, Mapping[str, LabelFolder | ScoreFile]], judged: str, image_id: str
) -> dict[int, float]:
    """Trust in the segments of an image, as :func:`measure_trust`, by what label files hold.

    Parameters
    ----------
    sources : mapping
        Name -> image id -> labels; of ``box-masks``, the scores are the agreement.
    judged : str
        Name of the source whose segments are trusted; an image that it lacks has none.
    image_id : str
    """
    label, masks = (sources.get(name, {}).get(image_id) for name in (judged, "box-masks"))
    if not isinstance(label, LabelFolder):
        return {}
    return measure_trust(label.scores(image_id), masks.scores(image_id) if isinstance(masks, LabelFolder) else {})


def average(values: Mapping[int, float]) -> float | None:
    """Mean of the values, each counting once; None if there are none."""
    return sum(values.values()) / len(values) if values else None


def find_classes(
    segment_ids: Iterable[int], true_ids: Iterable[int], trust: Mapping[int, float], classes: ClassTable
) -> dict[str, float | None]:
    """Classes of an image, by name in the order of train ids, with the mean trust in their segments.

    Parameters
    ----------
    segment_ids : iterable of int
        Panoptic ids in the label.
    true_ids : iterable of int
        Panoptic ids in the ground truth: a class that the label misses is of the image, too, without trust.
    trust : mapping
        Panoptic id -> trust of the segments that have one.
    classes : ClassTable
    """
    by_class: dict[int, dict[int, float]] = {}
    for segment_id in {*segment_ids, *true_ids}:
        train_id = int(classes.category_to_train[segment_id // INSTANCE_DIVISOR])
        if train_id < len(classes):
            by_class.setdefault(train_id, {}).update({segment_id: trust[segment_id]} if segment_id in trust else {})
    return {classes.names[train_id]: average(by_class[train_id]) for train_id in sorted(by_class)}
