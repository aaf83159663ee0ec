"""From the maps of a mask transformer to panoptic ids, in NumPy.

The summed scores decide the class of a pixel, as in every network of the segmenter; queries only tell instances apart.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from pseudogt.classes import ClassTable
from pseudogt.prediction.decoding import Decoded, Decoding, name_segments, separate_parts
from pseudogt.prediction.maps import MaskMaps

IN_MASK = 0.5
"""Least probability of the pixels of a mask."""


def decode_masks(maps: MaskMaps, size: tuple[int, int], classes: ClassTable, decoding: Decoding) -> Decoded:
    """Give each thing pixel to a query, and every segment its class.

    Parameters
    ----------
    maps : MaskMaps
        Maps of one image.
    size : (H, W)
        Size of the image.
    classes : ClassTable
    decoding : Decoding

    Returns
    -------
    Decoded
        A thing pixel belongs to the query with the highest product of score and mask there. An instance has the thing
        class with the highest summed probability, and the query's score times mean probability as score. In an image
        in which no query has found a thing, each connected part of the thing pixels is an instance.
    """
    masks = expit(maps.masks[-1])
    # The probability of each query that it has found a thing of any class.
    scores = softmax(maps.classes[-1], axis=-1)[:, classes.thing_ids].sum(1)
    chosen = np.flatnonzero(scores >= decoding.min_query_score)
    chosen = chosen[np.argsort(-scores[chosen], kind="stable")]
    chosen = chosen[keep_distinct(scores[chosen], masks[chosen], decoding.min_mask_share)]

    def group(things: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        if not len(chosen):
            return separate_parts(things, (scores[:, None, None] * masks).max(0))
        return assign_to_queries(things, scores[chosen], masks[chosen]), scores[chosen]

    return name_segments(maps.semantic, size, group, classes, decoding)


def assign_to_queries(
    things: NDArray[np.bool_], scores: NDArray[np.float32], masks: NDArray[np.float32]
) -> NDArray[np.intp]:
    """Find the row ``(P,)`` of the highest product of score ``(Q,)`` and mask ``(Q, h, w)`` at P thing pixels."""
    best = np.full(int(things.sum()), -1, np.float32)
    owner = np.zeros(len(best), np.intp)
    # One mask at a time: all of them at the size of a large image would not fit.
    for row, (score, mask) in enumerate(zip(scores, masks, strict=True)):
        strength = score * cv2.resize(mask, things.shape[::-1], interpolation=cv2.INTER_LINEAR)[things]
        owner[strength > best] = row
        best = np.maximum(best, strength)
    return owner


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
