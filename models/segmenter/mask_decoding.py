"""From the output of a mask transformer to panoptic ids.

The summed scores decide the class of a pixel, as in every network of the segmenter; queries only tell instances apart.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from models.segmenter.decoding import Decoded, name_segments, separate_parts
from pseudogt.classes import ClassTable

IN_MASK = 0.5
"""Least probability of the pixels of a mask."""


def decode_masks(
    probabilities: NDArray[np.float32],
    query_classes: NDArray[np.float32],
    masks: NDArray[np.float32],
    classes: ClassTable,
    *,
    min_query_score: float,
    min_mask_share: float,
    min_stuff_fraction: float,
    min_instance_px: int,
) -> Decoded:
    """Give each thing pixel to a query, and every segment its class.

    Parameters
    ----------
    probabilities : (C, H, W)
        Probabilities of the classes, at the image's size.
    query_classes : (Q, C + 1)
        Probabilities of the classes of each query; the last class is "nothing".
    masks : (Q, h, w)
        Probabilities of the pixels of each query, at the network's stride.
    classes : ClassTable
    min_query_score : float
        Least probability that a query has found a thing.
    min_mask_share : float
        A query is left out if less of its mask is its own, because others with a higher score cover it.
    min_stuff_fraction, min_instance_px
        As in :func:`models.segmenter.decoding.decode_panoptic`.

    Returns
    -------
    Decoded
        A thing pixel belongs to the query with the highest product of score and mask there. An instance has the thing
        class with the highest summed probability, and the query's score times mean probability as score. In an image
        in which no query has found a thing, each connected part of the thing pixels is an instance.
    """
    scores = query_classes[:, classes.thing_ids].sum(1)
    chosen = np.flatnonzero(scores >= min_query_score)
    chosen = chosen[np.argsort(-scores[chosen], kind="stable")]
    chosen = chosen[keep_distinct(scores[chosen], masks[chosen], min_mask_share)]

    def group(things: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        if not len(chosen):
            return separate_parts(things, (scores[:, None, None] * masks).max(0))
        best = np.full(int(things.sum()), -1, np.float32)
        owner = np.zeros(len(best), np.intp)
        # One mask at a time: all of them at the size of a large image would not fit.
        for row, query in enumerate(chosen):
            enlarged = cv2.resize(masks[query], things.shape[::-1], interpolation=cv2.INTER_LINEAR)
            strength = scores[query] * enlarged[things]
            owner[strength > best] = row
            best = np.maximum(best, strength)
        return owner, scores[chosen]

    return name_segments(
        probabilities, group, classes, min_stuff_fraction=min_stuff_fraction, min_instance_px=min_instance_px
    )


def keep_distinct(scores: NDArray[np.float32], masks: NDArray[np.float32], min_share: float) -> NDArray[np.bool_]:
    """Whether ``(Q,)`` enough of each mask ``(Q, h, w)`` is its own: of its highest product with the scores ``(Q,)``.

    Empty masks are not kept.
    """
    if not len(scores):
        return np.zeros(0, bool)
    inside = masks >= IN_MASK
    owner = (scores[:, None, None] * masks).argmax(0)
    own = inside & (owner == np.arange(len(scores))[:, None, None])
    return own.sum((1, 2)) >= np.maximum(min_share * inside.sum((1, 2)), 1)
