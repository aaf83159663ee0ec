"""Confidence of the segments of a label, from class scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pseudogt.classes import VOID


def measure_segment_confidence(
    panoptic_id: NDArray[np.int32],
    semantic: NDArray[np.uint8],
    label: NDArray[np.uint8],
    confidence: NDArray[np.float32],
) -> dict[int, float]:
    """Mean confidence of the scores in each segment.

    Parameters
    ----------
    panoptic_id : (H, W) int32
        The label.
    semantic : (H, W) uint8
        Its train ids.
    label : (H, W) uint8
        Train ids that the scores alone would have given.
    confidence : (H, W) float32
        Of ``label``, in [0, 1].

    Returns
    -------
    dict
        Panoptic id -> mean in [0, 1]. A pixel that got another class than the scores would have given it,
        from a box mask or as the filling of a box, counts as 0: nothing in the scores speaks for it.
    """
    ids, index, areas = np.unique(panoptic_id, return_inverse=True, return_counts=True)
    # Sum the confidence of each segment over the pixels of the scores' own class, and divide by its area: (N,).
    agreeing = np.where(label == semantic, confidence, 0).ravel()
    means = np.bincount(index.ravel(), agreeing, len(ids)) / areas
    return {int(i): float(mean) for i, mean in zip(ids, means, strict=True) if i != VOID}
