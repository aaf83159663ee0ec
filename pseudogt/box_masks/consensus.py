"""Consensus of box segmenters: one box, then the whole image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pseudogt.boxes import box_areas, box_slices, check_boxes
from pseudogt.classes import BACKGROUND, IGNORE_LABEL
from pseudogt.pseudo_labels.instances import NO_OWNER, Overlap, find_owners

INSIDE_SHARE, INSIDE_SIZE = 0.9, 0.5
"""A box is inside another if this share of it is, and if it has at most this share of the other's size."""


UNSURE_WRONG = 1 / 3
"""Wrong pixels of a mask over the share of its box's pixels that are unsure, as measured on half of the training images
of four datasets (``benchmarks/trust.py``)."""


class BoxLabels(NamedTuple):
    """Labels of an image's pixels from its boxes.

    Attributes
    ----------
    semantic : (H, W) uint8
        Train ids of things, ``BACKGROUND`` where no thing is, ``IGNORE_LABEL`` where unknown.
    owner : (H, W) int32
        Position of the box whose instance the pixel belongs to; ``NO_OWNER`` elsewhere.
    """

    semantic: NDArray[np.uint8]
    owner: NDArray[np.int32]


def fuse_masks(
    masks: Sequence[NDArray[np.bool_] | NDArray[np.floating]], train_id: int, *, sure: float = 0.5
) -> NDArray[np.uint8]:
    """Fuse the masks of one or several independent segmenters in one box.

    =====================  ================
    segmenters             outcome
    =====================  ================
    all say thing          ``train_id``
    all say not            ``BACKGROUND``
    they disagree          ``IGNORE_LABEL``
    one is unsure          ``IGNORE_LABEL``
    =====================  ================

    Parameters
    ----------
    masks : sequence of (h, w) bool or floating
        Masks or probabilities.
    train_id : int
        Class of the box.
    sure : float
        In [0.5, 1). A probability above it says thing, one of ``1 - sure`` or less says not.

    Returns
    -------
    (h, w) uint8

    Raises
    ------
    ValueError
        If there is no mask or their shapes differ.
    """
    if not masks:
        raise ValueError("a consensus needs a mask")
    if len({mask.shape for mask in masks}) > 1:
        raise ValueError(f"masks differ in shape: {[mask.shape for mask in masks]}")
    fused = np.full(masks[0].shape, IGNORE_LABEL, np.uint8)
    fused[np.minimum.reduce(masks) > sure] = train_id
    fused[np.maximum.reduce(masks) <= 1 - sure] = BACKGROUND
    return fused


def measure_agreement(verdict: NDArray[np.uint8], train_id: int) -> float:
    """Of the pixels of a verdict ``(h, w)`` that are not surely no thing, the share that surely is; 0 without any.

    For two masks this is their IoU. Low agreement marks a box to review.
    """
    claimed, unsure = (int(np.count_nonzero(verdict == value)) for value in (train_id, IGNORE_LABEL))
    return claimed / max(claimed + unsure, 1)


def trust_agreement(agreement: float) -> float:
    """How likely a pixel of a mask is right, by the agreement about its box."""
    return 1 - (1 - agreement) * UNSURE_WRONG


def find_agreement(confidence: float) -> float:
    """Inverse of :func:`trust_agreement`; 0 for what no agreement gives."""
    return max(1 - (1 - confidence) / UNSURE_WRONG, 0.0)


def combine_boxes(
    verdicts: Sequence[NDArray[np.uint8]],
    boxes_xyxy: ArrayLike,
    classes: ArrayLike,
    iscrowd: ArrayLike,
    shape: tuple[int, int],
    *,
    overlap: Overlap = "nearest",
) -> BoxLabels:
    """Combine the fused labels of all boxes of an image.

    ==========================================  ================  ==========================
    boxes that cover the pixel                  semantic          owner
    ==========================================  ================  ==========================
    none, or all say ``BACKGROUND``             ``BACKGROUND``    ``NO_OWNER``
    none claims it, some are unsure             ``IGNORE_LABEL``  ``NO_OWNER``
    claimed by one                              its class         this box
    claimed by several of one class             this class        by ``overlap``
    claimed by several of different classes     ``IGNORE_LABEL``  ``NO_OWNER``
    the same, one box lies inside the others    its class         this box
    claimed by groups of one class only         this class        ``NO_OWNER``
    ==========================================  ================  ==========================

    A box lies inside another if 0.9 of it do and it has half its size or less: what it holds is
    taken to be in front (the rider's bag, the cup on the table).

    Parameters
    ----------
    verdicts : sequence of (h, w) uint8
        For each box the result of :func:`fuse_masks`.
    boxes_xyxy : (N, 4) int
    classes : (N,) int
    iscrowd : (N,) bool
        A group claims its class, but owns nothing.
    shape : (H, W)
    overlap
        Who owns what several boxes of a class claim: the box relative to whose size its centre is
        "nearest", the "smaller" box (as if in front), or "none". Ties go to the earlier box.

    Returns
    -------
    BoxLabels

    Raises
    ------
    ValueError
        For a box outside the image, or a verdict that does not fit its box.
    """
    boxes, crowd = check_boxes(boxes_xyxy, shape), np.asarray(iscrowd, bool)
    verdicts = _yield_to_inner_boxes(verdicts, boxes, np.asarray(classes))
    semantic = np.full(shape, BACKGROUND, np.uint8)
    unsure, conflict = np.zeros(shape, bool), np.zeros(shape, bool)
    for verdict, box, train_id in zip(verdicts, boxes, np.asarray(classes), strict=True):
        window = box_slices(box)
        if verdict.shape != semantic[window].shape:
            raise ValueError(f"verdict {verdict.shape} does not fit box {box.tolist()}")
        # A pixel that a box of another class has claimed is in conflict; `view` writes through to `semantic`.
        claimed, view = verdict == train_id, semantic[window]
        unsure[window] |= verdict == IGNORE_LABEL
        conflict[window] |= claimed & (view != BACKGROUND) & (view != train_id)
        view[claimed] = train_id

    claims = [
        np.zeros_like(v, bool) if c else v == t for v, t, c in zip(verdicts, np.asarray(classes), crowd, strict=True)
    ]
    owner = find_owners(claims, boxes, shape, overlap)
    semantic[conflict | (unsure & (semantic == BACKGROUND))] = IGNORE_LABEL
    owner[conflict] = NO_OWNER
    return BoxLabels(semantic, owner)


def _yield_to_inner_boxes(
    verdicts: Sequence[NDArray[np.uint8]], boxes: NDArray[np.int32], classes: NDArray[Any]
) -> list[NDArray[np.uint8]]:
    """Verdicts that say "no thing" where a box of another class that lies inside claims the pixel."""
    areas = np.maximum(box_areas(boxes), 1)
    # Corners of the intersections of all pairs of boxes, (N, N, 2), and their areas, (N, N).
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    # inside[i, j]: box i lies in box j, which is of another class.
    inside = (shared >= INSIDE_SHARE * areas[:, None]) & (areas[:, None] <= INSIDE_SIZE * areas[None])
    inside &= classes[:, None] != classes[None]
    yielding = [verdict.copy() if inside[:, outer].any() else verdict for outer, verdict in enumerate(verdicts)]
    for inner, outer in np.argwhere(inside):
        (x0, y0), (x1, y1) = low[inner, outer], high[inner, outer]
        # The intersection in the coordinates of the inner box, and in those of the outer box.
        of_inner, of_outer = (
            (slice(y0 - boxes[k, 1], y1 - boxes[k, 1]), slice(x0 - boxes[k, 0], x1 - boxes[k, 0]))
            for k in (inner, outer)
        )
        yielding[outer][of_outer][verdicts[inner][of_inner] == classes[inner]] = BACKGROUND
    return yielding
