"""Which labels are trusted least, measured without ground truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pseudogt.boxes import box_slices
from pseudogt.classes import INSTANCE_DIVISOR, VOID, ClassTable
from pseudogt.pseudo_labels.instances import number_boxes
from pseudogt.weak_labels.records import ImageWeakLabels

SIGNALS = {"agreement": 2.0, "tightness": 1.0, "filled": 0.5, "confidence": 1.0, "certainty": 0.1}
"""Signals and their weights in the trust, set on the training images of CamVid and nuclei (docs/review.md)."""

IMAGE_COLUMNS = ("rank", "image_id", "image", "priority", "trust", "coverage", "masks", "reasons")
SEGMENT_COLUMNS = ("rank", "image_id", "kind", "class", "x0", "y0", "x1", "y1", "pixels", "trust", *SIGNALS, "reasons")

UNKNOWN_TRUST = 0.5
"""Trust in what has pixels, but too few for a signal at the resolution of the scores."""

LOW = 0.6
"""Signals below it are named as the reason."""

REASONS = {
    "agreement": "box segmenters disagree",
    "tightness": "mask and box differ in extent",
    "filled": "mask covers little of the box",
    "confidence": "scores see another class",
    "certainty": "scores are undecided",
}
NO_PIXELS = "no pixels"
HALF_FILLED = 0.5
"""Share of a box from which on its mask counts as filling it."""


@dataclass(frozen=True)
class Suspect:
    """A box, or a tagged class without boxes, and how far its label is trusted.

    Attributes
    ----------
    kind : {"box", "tag"}
    name : str
        Name of the class.
    box_xyxy : list of int or None
    pixels : int
    trust : float
        In [0, 1]: weighted mean of the signals, ``UNKNOWN_TRUST`` without any; 0 for what has no pixels.
    signals : dict
        Those of ``SIGNALS`` that apply, each in [0, 1], high if all is well.
    """

    kind: str
    name: str
    box_xyxy: list[int] | None
    pixels: int
    trust: float
    signals: dict[str, float] = field(default_factory=dict)

    @property
    def reasons(self) -> list[str]:
        """What is wrong, worst first."""
        if not self.pixels:
            return [NO_PIXELS]
        low = sorted((value, name) for name, value in self.signals.items() if value < LOW)
        return [REASONS[name] for _, name in low]


def weigh_signals(signals: Mapping[str, float]) -> float:
    """Trust by some of ``SIGNALS``, at least one: their weighted mean."""
    return float(np.average(list(signals.values()), weights=[SIGNALS[name] for name in signals]))


def measure_certainty(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """One minus the entropy of the classes at each pixel over that of a tie between all of them.

    Parameters
    ----------
    scores : (T, h, w) float32
        Not negative; they are divided by their sum.

    Returns
    -------
    (h, w) float32
        In [0, 1]; 1 where there is one class only, 0 where there is no score.
    """
    total = scores.sum(0)
    shares = scores / np.maximum(total, np.finfo(np.float32).tiny)
    entropy = -(shares * np.log(np.maximum(shares, np.finfo(np.float32).tiny))).sum(0)
    certainty = 1 - entropy / np.log(len(scores)) if len(scores) > 1 else np.ones(total.shape, np.float32)
    return np.where(total > 0, np.clip(certainty, 0, 1), 0).astype(np.float32)


def review_image(
    weak: ImageWeakLabels,
    panoptic_id: NDArray[np.int32],
    confidence: Mapping[int, float],
    agreement: Mapping[int, float] | None,
    certainty: NDArray[np.float32] | None,
    classes: ClassTable,
) -> list[Suspect]:
    """How far each box and each tagged class of an image is trusted.

    ==============  =======================================================================
    signal          meaning
    ==============  =======================================================================
    ``agreement``   of the box segmenters (IoU of two); boxes only
    ``tightness``   IoU of the box with that around the mask; boxes only
    ``filled``      share of the box that the mask covers, over ``HALF_FILLED``, at most 1
    ``confidence``  share of a box's mask where the scores see its class; that of the label, for a tag
    ``certainty``   one minus the entropy of the scores
    ==============  =======================================================================

    Parameters
    ----------
    weak : ImageWeakLabels
        Groups are not reviewed: a box around several says too little about their masks.
    panoptic_id : (H, W) int32
        The label.
    confidence : mapping
        Panoptic id -> the signal of this name.
    agreement : mapping or None
        Panoptic id -> agreement of the box segmenters; None if there are no box masks.
    certainty : (h, w) float32, optional
        At any resolution. Without it, tagged classes are left out: nothing is known of them.
    classes : ClassTable

    Returns
    -------
    list of Suspect
        Boxes in their order, then tagged classes without a box by train id.
    """
    # Ids at the resolution of the scores, to find the cells of each segment.
    small = None if certainty is None else _shrink(panoptic_id, certainty)
    numbers = number_boxes(weak.box_classes, weak.box_iscrowd)
    suspects = []
    for box, train_id, number in zip(weak.boxes_xyxy, weak.box_classes, numbers, strict=True):
        if number:
            segment_id = classes.category_ids[train_id] * INSTANCE_DIVISOR + int(number)
            signals = {} if agreement is None else {"agreement": agreement.get(segment_id, 0.0)}
            pixels, extent = _compare_extents(panoptic_id, segment_id, box)
            signals |= extent
            if small is not None and certainty is not None:
                signals |= _ask_scores(segment_id, confidence, certainty, small == segment_id)
            suspects.append(_suspect("box", classes.names[train_id], box.tolist(), pixels, signals))
    if small is None or certainty is None:
        return suspects
    # A tagged class without boxes is judged as one segment, all of its pixels.
    semantic, small_semantic = panoptic_id // INSTANCE_DIVISOR, small // INSTANCE_DIVISOR
    for train_id in np.flatnonzero(weak.tagged_only).tolist():
        category_id = classes.category_ids[train_id]
        pixels = int(np.count_nonzero(semantic == category_id))
        mask = small_semantic == category_id
        signals = _ask_scores(category_id * INSTANCE_DIVISOR, confidence, certainty, mask)
        suspects.append(_suspect("tag", classes.names[train_id], None, pixels, signals))
    return suspects


def _shrink(panoptic_id: NDArray[np.int32], certainty: NDArray[np.float32]) -> NDArray[np.int32]:
    height, width = certainty.shape
    return np.asarray(cv2.resize(panoptic_id, (width, height), interpolation=cv2.INTER_NEAREST_EXACT))


def _suspect(kind: str, name: str, box: list[int] | None, pixels: int, signals: dict[str, float]) -> Suspect:
    trust = UNKNOWN_TRUST if pixels else 0.0
    if pixels and signals:
        trust = weigh_signals(signals)
    return Suspect(kind, name, box, pixels, trust, signals)


def _compare_extents(
    panoptic_id: NDArray[np.int32], segment_id: int, box_xyxy: NDArray[np.int32]
) -> tuple[int, dict[str, float]]:
    """Pixels of a segment, all of which lie in its box, and how well they fill it."""
    mask = panoptic_id[box_slices(box_xyxy)] == segment_id
    pixels = int(np.count_nonzero(mask))
    if not pixels:
        return 0, {"tightness": 0.0, "filled": 0.0}
    # The tight box around the mask lies in the given box, so the ratio of their areas is their IoU.
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    spanned = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
    return pixels, {
        "tightness": float(spanned / mask.size),
        "filled": min(pixels / mask.size / HALF_FILLED, 1.0),
    }


def _ask_scores(
    segment_id: int, confidence: Mapping[int, float], certainty: NDArray[np.float32], mask: NDArray[np.bool_]
) -> dict[str, float]:
    signals = {"confidence": confidence[segment_id]} if segment_id in confidence else {}
    return signals | ({"certainty": float(certainty[mask].mean())} if mask.any() else {})


def rank_images(reviewed: Mapping[str, Sequence[Suspect]]) -> dict[str, float]:
    """Images by what a person gains in them per mask that has to be drawn, most first.

    PQ is a mean over classes, so a wrong mask counts more in a class with few masks: a mask gains ``1 - trust`` over
    the number of masks of its class in the set. An image's priority is the sum over its masks, divided by their
    number and times the mean number of masks of a class, so that it is 1 where nothing is trusted and all classes
    are equally frequent.

    Parameters
    ----------
    reviewed : mapping
        Image id -> boxes and tagged classes.

    Returns
    -------
    dict
        Image id -> priority; images without any mask to draw come last with 0.
    """
    counts = Counter(suspect.name for suspects in reviewed.values() for suspect in suspects)
    masks = sum(counts.values())
    priority = {
        image_id: sum((1 - s.trust) / counts[s.name] for s in suspects) / max(len(suspects), 1)
        for image_id, suspects in reviewed.items()
    }
    scale = masks / max(len(counts), 1)
    return dict(sorted(((i, p * scale) for i, p in priority.items()), key=lambda item: (-item[1], item[0])))


def summarise_suspects(suspects: Iterable[Suspect]) -> str:
    """What is wrong in an image, in words: each reason with the classes it is about, most frequent first."""
    by_reason: dict[str, Counter[str]] = {}
    for suspect in suspects:
        for reason in suspect.reasons[:1]:
            by_reason.setdefault(reason, Counter())[suspect.name] += 1
    ordered = sorted(by_reason.items(), key=lambda item: -item[1].total())
    return "; ".join(
        f"{reason}: " + ", ".join(f"{n} {name}" if n > 1 else name for name, n in names.most_common())
        for reason, names in ordered
    )


def measure_coverage(panoptic_id: NDArray[np.int32]) -> float:
    """Share of the pixels ``(H, W)`` that have a label."""
    return float(np.count_nonzero(panoptic_id != VOID) / max(panoptic_id.size, 1))


def make_image_row(
    rank: int, image_id: str, path: str, priority: float, suspects: Sequence[Suspect], coverage: float
) -> dict[str, Any]:
    """One row of ``images.csv``; ``path`` is that of the image."""
    trust = sum(s.trust for s in suspects) / len(suspects) if suspects else None
    return {
        "rank": rank,
        "image_id": image_id,
        "image": path,
        "priority": f"{priority:.4f}",
        "trust": "" if trust is None else f"{trust:.3f}",
        "coverage": f"{coverage:.3f}",
        "masks": len(suspects),
        "reasons": summarise_suspects(suspects),
    }


def list_segment_rows(ranked: Iterable[str], suspects: Mapping[str, Sequence[Suspect]]) -> Iterable[dict[str, Any]]:
    """Rows of ``segments.csv``: images in the order of the queue, least trusted segments first."""
    for rank, image_id in enumerate(ranked, 1):
        for suspect in sorted(suspects[image_id], key=lambda s: s.trust):
            corners: Sequence[int | str] = suspect.box_xyxy or [""] * 4
            yield {
                "rank": rank,
                "image_id": image_id,
                "kind": suspect.kind,
                "class": suspect.name,
                **dict(zip(("x0", "y0", "x1", "y1"), corners, strict=True)),
                "pixels": suspect.pixels,
                "trust": f"{suspect.trust:.3f}",
                **{name: f"{value:.3f}" for name, value in suspect.signals.items()},
                "reasons": "; ".join(suspect.reasons),
            }
