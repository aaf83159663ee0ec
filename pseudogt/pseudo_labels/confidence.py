"""Confidence of the pixels and segments of a label: the probability that they are right, from scores and box masks.

The constants were chosen on half of the training images of four datasets, for which ``benchmarks/trust.py`` gives the
calibration error; docs/results/trust.md has the figures of the other half.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pseudogt.classes import VOID
from pseudogt.maps import look_up

TEMPERATURE = 1.3
"""By which the log odds of a classifier's score are divided; it is trained on tags, and too sure of where they are."""

SHARED_DOUBT = 0.5
"""Doubt in a box mask that is left where the scores see its class, too."""

TRUST_ALONE = 0.8
"""Trust in a box mask that is left where the scores see another class."""


def temper(confidence: NDArray[np.floating]) -> NDArray[np.floating]:
    """Probability of being right by a classifier's score in [0, 1] (temperature scaling: Guo et al., ICML 2017).

    Examples
    --------
    >>> temper(np.array([0.0, 0.5, 0.9, 1.0])).round(2).tolist()
    [0.0, 0.5, 0.84, 1.0]
    """
    right, wrong = confidence ** (1 / TEMPERATURE), (1 - confidence) ** (1 / TEMPERATURE)
    return right / (right + wrong)


def temper_levels(confidence: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """As :func:`temper`, of scores ``(H, W)`` times 255."""
    return look_up(np.round(255 * temper(np.arange(256) / 255)).astype(np.uint8), confidence)


def spread_scores(panoptic_id: NDArray[np.int32], scores: Mapping[int, float]) -> NDArray[np.float32]:
    """Score ``(H, W)`` of the segment of each pixel, 0 without one."""
    table = np.zeros(max(panoptic_id.max(initial=VOID), *scores, VOID) + 1, np.float32)
    table[list(scores)] = list(scores.values())
    return table[panoptic_id]


def rate_pixels(
    semantic: NDArray[np.uint8],
    label: NDArray[np.uint8],
    confidence: NDArray[np.float32],
    box_masks: NDArray[np.uint8] | None = None,
    box_confidence: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """How likely each pixel of a label is right.

    ==============================  =====================================================
    the class of the pixel comes    confidence
    ==============================  =====================================================
    from scores and from a mask     of the mask, with ``SHARED_DOUBT`` of its doubt
    from a box mask alone           ``TRUST_ALONE`` of that of the mask
    from scores alone               of the scores
    from neither: a filled box      0
    ==============================  =====================================================

    Parameters
    ----------
    semantic : (H, W) uint8
        Train ids of the label.
    label : (H, W) uint8
        Train ids that the scores alone would have given.
    confidence : (H, W) float32
        Confidence of ``label``, in [0, 1].
    box_masks : (H, W) uint8, optional
        Train ids of the masks of boxes.
    box_confidence : (H, W) float32, optional
        Confidence of these masks, in [0, 1]; 0 where nothing is known.
    """
    seen = label == semantic
    by_scores = np.where(seen, confidence, np.float32(0))
    if box_masks is None or box_confidence is None:
        return by_scores
    by_masks = np.where(seen, 1 - (1 - box_confidence) * SHARED_DOUBT, box_confidence * TRUST_ALONE)
    return np.where((box_masks == semantic) & (box_confidence > 0), by_masks, by_scores).astype(np.float32)


def find_seen_share(confidence: float, box_confidence: float) -> float:
    """Share of a mask in which the scores see its class, by the mean of :func:`rate_pixels` over it: its inverse."""
    seen, unseen = 1 - (1 - box_confidence) * SHARED_DOUBT, box_confidence * TRUST_ALONE
    return min(max((confidence - unseen) / (seen - unseen), 0.0), 1.0)


def rate_segments(panoptic_id: NDArray[np.int32], confidence: NDArray[np.float32]) -> dict[int, float]:
    """Mean confidence ``(H, W)`` of each segment but ``VOID``, by panoptic id."""
    ids, index, areas = np.unique(panoptic_id, return_inverse=True, return_counts=True)
    means = np.bincount(index.ravel(), confidence.ravel(), len(ids)) / areas
    return {int(i): float(mean) for i, mean in zip(ids, means, strict=True) if i != VOID}
