"""One panoptic map from instance masks that may overlap and a semantic map."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from pseudogt.classes import INSTANCE_DIVISOR, VOID, ClassTable

MIN_COMPONENT_PX = 16
"""Smaller connected parts of a thing are not instances."""


class MergedPanoptic(NamedTuple):
    """Result of :func:`merge_panoptic`.

    Attributes
    ----------
    panoptic_id : (H, W) int32
        Ids as in label files; within a class, instances count from 1 by descending score.
    scores : dict
        Score of each instance by its id. Stuff has none.
    """

    panoptic_id: NDArray[np.int32]
    scores: dict[int, float]


def merge_panoptic(
    masks: ArrayLike,
    scores: ArrayLike,
    train_ids: ArrayLike,
    semantic: NDArray[np.uint8],
    classes: ClassTable,
    *,
    min_score: float = 0.5,
    max_overlap: float = 0.5,
    min_stuff_area_px: int = 4096,
) -> MergedPanoptic:
    """Paint instances by descending score, then stuff where nothing is: Panoptic FPN (Kirillov et al., CVPR 2019).

    =============================================================  ===========================
    instance                                                       outcome
    =============================================================  ===========================
    score below ``min_score``                                      dropped
    no pixels                                                      dropped
    share of its pixels that are taken is above ``max_overlap``    dropped
    all its pixels are taken                                       dropped
    otherwise                                                      gets its pixels not taken
    =============================================================  ===========================

    =================================================================  =====================
    pixel that no instance has                                         outcome
    =================================================================  =====================
    label is stuff that has ``min_stuff_area_px`` such pixels or more  that stuff
    label is stuff that has fewer                                      ``VOID``
    label is a thing or no class                                       ``VOID``
    =================================================================  =====================

    Parameters
    ----------
    masks : (N, H, W) bool
    scores : (N,) float
    train_ids : (N,) int
        Classes of the instances: things.
    semantic : (H, W) uint8
        Train ids; ``IGNORE_LABEL`` and ``BACKGROUND`` allowed. For VOC, whose one stuff class is
        "background", a map of that class alone.
    classes : ClassTable
    min_score, max_overlap : float
    min_stuff_area_px : int

    Raises
    ------
    ValueError
        If shapes differ, an instance is of no thing class, a score is not finite, or more than 999
        instances of a class remain.

    Differs from what you may expect: of equal scores the first given goes first. The authors' code
    gives an id to an instance without a remaining pixel (possible from ``max_overlap`` 1).
    """
    scores, train_ids = np.asarray(scores, np.float64).reshape(-1), np.asarray(train_ids, np.int64).reshape(-1)
    masks = np.asarray(masks, bool).reshape(-1, *semantic.shape) if not len(scores) else np.asarray(masks, bool)
    _check_instances(masks, scores, train_ids, semantic, classes)

    # Instances, the surest first, take what is free.
    panoptic_id = np.full(semantic.shape, VOID, np.int32)
    counts = dict.fromkeys(classes.thing_ids.tolist(), 0)
    kept: dict[int, float] = {}
    for index in np.argsort(-scores, kind="stable").tolist():
        if scores[index] < min_score:
            break
        free = masks[index] & (panoptic_id == VOID)
        area, free_area = np.count_nonzero(masks[index]), np.count_nonzero(free)
        if free_area == 0 or (area - free_area) / area > max_overlap:
            continue
        train_id = int(train_ids[index])
        counts[train_id] += 1
        if counts[train_id] >= INSTANCE_DIVISOR:
            raise ValueError(
                f"more than {INSTANCE_DIVISOR - 1} instances of class {classes.names[train_id]} in one image; "
                f"raise min_score from {min_score}"
            )
        segment_id = classes.category_ids[train_id] * INSTANCE_DIVISOR + counts[train_id]
        panoptic_id[free] = segment_id
        kept[segment_id] = float(scores[index])

    _paint_stuff(panoptic_id, semantic, classes, min_stuff_area_px)
    return MergedPanoptic(panoptic_id, kept)


def _paint_stuff(
    panoptic_id: NDArray[np.int32], semantic: NDArray[np.uint8], classes: ClassTable, min_area_px: int
) -> None:
    """Write stuff of at least ``min_area_px`` pixels to the pixels that are void."""
    free = panoptic_id == VOID
    areas = np.bincount(semantic[free], minlength=256)
    for train_id in classes.stuff_ids.tolist():
        if areas[train_id] >= max(min_area_px, 1):
            panoptic_id[free & (semantic == train_id)] = classes.category_ids[train_id] * INSTANCE_DIVISOR


def _check_instances(
    masks: NDArray[np.bool_],
    scores: NDArray[np.float64],
    train_ids: NDArray[np.int64],
    semantic: NDArray[np.uint8],
    classes: ClassTable,
) -> None:
    if masks.shape != (len(scores), *semantic.shape) or len(train_ids) != len(scores):
        raise ValueError(
            f"masks {masks.shape}, {len(scores)} scores, {len(train_ids)} classes and the semantic map "
            f"{semantic.shape} do not fit together"
        )
    unknown = train_ids[~np.isin(train_ids, classes.thing_ids)]
    if unknown.size:
        raise ValueError(f"an instance has train id {unknown[0]}, which is not a thing of the class table")
    if not np.isfinite(scores).all():
        raise ValueError(f"instance {np.flatnonzero(~np.isfinite(scores))[0]} has a score that is not finite")


def fill_things(
    panoptic_id: NDArray[np.int32], semantic: NDArray[np.uint8], classes: ClassTable, *, with_instances: bool
) -> None:
    """Write thing pixels of ``semantic`` to panoptic ids ``(H, W)``: as crowds, or connected parts as instances."""
    for train_id in classes.thing_ids.tolist():
        first = classes.category_ids[train_id] * INSTANCE_DIVISOR
        inside = semantic == train_id
        panoptic_id[inside] = first
        if not with_instances:
            continue
        # Number large parts upwards from the highest id in use, as far as ids go; all others stay crowd pixels.
        taken = panoptic_id[panoptic_id // INSTANCE_DIVISOR == classes.category_ids[train_id]].max(initial=first)
        _, parts, stats, _ = cv2.connectedComponentsWithStats(inside.astype(np.uint8))
        large = np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] >= MIN_COMPONENT_PX) + 1
        large = large[: first + INSTANCE_DIVISOR - 1 - taken]
        numbers = np.full(len(stats), first, np.int32)
        numbers[large] = taken + 1 + np.arange(len(large))
        panoptic_id[inside] = numbers[parts[inside]]
