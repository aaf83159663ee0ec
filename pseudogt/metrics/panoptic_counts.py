"""Matched segments and pixels of labels and predictions, from which their scores are computed.

All counts come from one joint histogram per image: the pixels shared by each segment of the ground truth and each
segment of the scored map. Counts are summed over images, and scores are computed from the sum.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pseudogt.classes import BACKGROUND, IGNORE_LABEL, INSTANCE_DIVISOR, VOID, ClassTable

MATCH_IOU = 0.5
"""Segments match above this IoU; matches are then unique (Kirillov et al., CVPR 2019, eq. 1)."""

ID_LIMIT = 256**3
"""Ids are stored in three bytes."""


@dataclass(frozen=True)
class Counts:
    """Counts from which scores are computed; those of several images add up.

    Attributes
    ----------
    iou : (C,) float64
        Sum of the IoU of matched segments, by train id.
    tp, fp, fn : (C,) int64
        Matched, surplus and missed segments.
    confusion : (C, C + 1) int64
        Pixels by true class (row) and labelled class (column); the last column counts pixels
        without label. Void pixels of the ground truth are left out.
    images : int
    """

    iou: NDArray[np.float64]
    tp: NDArray[np.int64]
    fp: NDArray[np.int64]
    fn: NDArray[np.int64]
    confusion: NDArray[np.int64]
    images: int

    @classmethod
    def zeros(cls, class_count: int) -> Counts:
        """Make the counts of no image."""
        zero = np.zeros(class_count, np.int64)
        return cls(zero.astype(np.float64), zero, zero, zero, np.zeros((class_count, class_count + 1), np.int64), 0)

    def __add__(self, other: Counts) -> Counts:
        """Add the counts of other images."""
        return Counts(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))


def count_overlaps(
    truth: NDArray[np.int32], labelled: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Joint histogram of two maps of panoptic ids.

    Parameters
    ----------
    truth, labelled : (H, W) int32
        Ids in ``0..2**24-1``.

    Returns
    -------
    truth_ids : (T,) int64
        The ids that occur, ascending.
    labelled_ids : (L,) int64
    pixels : (T, L) int64
        How many pixels each pair of segments shares.

    Raises
    ------
    ValueError
        If shapes differ or an id is out of range.

    Notes
    -----
    Label maps are piecewise constant, so they are first cut into runs of equal pairs; only the
    runs, a few per cent of the pixels, are counted, through tables of the ids and without sorting.
    """
    if truth.shape != labelled.shape:
        raise ValueError(f"ground truth {truth.shape} and label {labelled.shape} differ in size")
    last, runs = _find_runs(truth.ravel(), labelled.ravel())
    truth_ids, row = _number_ids(runs[0])
    labelled_ids, column = _number_ids(runs[1])
    pixels = np.zeros((len(truth_ids), len(labelled_ids)), np.int64)
    _add_runs(last, row.take(runs[0]), column.take(runs[1]), pixels)
    return truth_ids, labelled_ids, pixels


@njit(cache=True, nogil=True)
def _find_runs(a: NDArray[np.int32], b: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Last places (R,) of the runs of equal pairs of two maps, (N,) each, and the pairs (2, R)."""
    places = np.empty(len(a), np.int32)
    count = 0
    for i in range(len(a) - 1):
        # Branches would be mispredicted along every border, so each place is written and kept only if a run ends.
        places[count] = i
        count += (a[i] != a[i + 1]) | (b[i] != b[i + 1])
    places[count : count + 1] = len(a) - 1
    last = places[: count + min(1, len(a))].copy()
    # Later passes over the runs find their ids side by side, not in cache lines of their own.
    runs = np.empty((2, len(last)), np.int32)
    for i in range(len(last)):
        runs[0, i], runs[1, i] = a[last[i]], b[last[i]]
    return last, runs


def _number_ids(ids: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """List the ids that occur, ascending, and a table of the position of each id among them."""
    if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < ID_LIMIT:
        raise ValueError(f"panoptic ids must lie in 0..{ID_LIMIT - 1}, got {int(ids.min())}..{int(ids.max())}")
    occurs = np.zeros(int(ids.max(initial=0)) + 1, bool)
    occurs[ids] = True
    found = np.flatnonzero(occurs)
    position = np.empty(len(occurs), np.int32)  # only what is found is looked up
    position[found] = np.arange(len(found))
    return found, position


@njit(cache=True, nogil=True)
def _add_runs(
    last: NDArray[np.int32], row: NDArray[np.int32], column: NDArray[np.int32], pixels: NDArray[np.int64]
) -> None:
    """Add the length of each run, known from the last places, to its entry of the table ``pixels``."""
    before = -1
    for i in range(len(last)):
        pixels[row[i], column[i]] += last[i] - before
        before = last[i]


def count_image(truth: NDArray[np.int32], labelled: NDArray[np.int32], classes: ClassTable) -> Counts:
    """Count matches and pixels of one image by the rules of COCO panoptic.

    Parameters
    ----------
    truth, labelled : (H, W) int32
        Panoptic ids ``category_id * 1000 + k``.
    classes : ClassTable

    Returns
    -------
    Counts

    Raises
    ------
    ValueError
        If shapes differ or an id belongs to no class of the table.

    Notes
    -----
    ====================================  ============================  ===================
    id                                    in the ground truth           in the scored map
    ====================================  ============================  ===================
    ``VOID``                              void: not counted             no segment
    thing with k = 0                      crowd: neither fn nor fp      no segment
    ``BACKGROUND`` category               error                         no segment
    ====================================  ============================  ===================

    An unmatched segment is not a false positive if more than half of it lies on void and on a crowd
    of its class; void is taken out of the union (Kirillov et al., CVPR 2019, section 4). Pixels of
    things with k = 0 do count in the confusion matrix, where instances play no part.
    """
    truth_id, labelled_id, pixels = count_overlaps(truth, labelled)
    truth_class = _look_up_classes(truth_id, classes, "the ground truth")
    labelled_class = _look_up_classes(labelled_id, classes, "the label")
    if (truth_class == BACKGROUND).any():
        raise ValueError("the ground truth holds the background category, which only box masks have")

    # Tell void, crowds and segments apart: rows are segments of the ground truth (T,), columns of the label (L,).
    is_thing = np.zeros(256, bool)
    is_thing[: len(classes)] = classes.isthing
    void = truth_class == IGNORE_LABEL
    crowd = is_thing[truth_class] & (truth_id % INSTANCE_DIVISOR == 0)
    is_segment = (labelled_class < BACKGROUND) & ~(is_thing[labelled_class] & (labelled_id % INSTANCE_DIVISOR == 0))
    same_class = (truth_class[:, None] == labelled_class) & is_segment

    # Pixels of each segment of the label: in all, on void, and on crowds of its class, (L,) each.
    area = pixels.sum(axis=0)
    on_void = void @ pixels
    on_crowd = (pixels * (same_class & crowd[:, None])).sum(axis=0)
    # |truth| + |label| - |both| - |label on void| of each pair: (T, L).
    union = pixels.sum(axis=1)[:, None] + area - pixels - on_void
    # Only pairs of the void row and a segment that lies in it have no union; these never match.
    iou = pixels / np.maximum(union, 1)
    match = same_class & ~crowd[:, None] & (iou > MATCH_IOU)
    missed = ~void & ~crowd & ~match.any(axis=1)
    surplus = is_segment & ~match.any(axis=0) & ((on_void + on_crowd) / area <= 0.5)

    def by_class(train_ids: NDArray[np.uint8], weights: NDArray[Any] | None = None) -> NDArray[Any]:
        return np.bincount(train_ids, weights, minlength=len(classes))

    matched_class = truth_class[np.nonzero(match)[0]]
    return Counts(
        iou=by_class(matched_class, iou[match]),
        tp=by_class(matched_class),
        fp=by_class(labelled_class[surplus]),
        fn=by_class(truth_class[missed]),
        confusion=_count_confusion(truth_class, labelled_class, pixels, len(classes)),
        images=1,
    )


def _look_up_classes(panoptic_id: NDArray[np.int64], classes: ClassTable, where: str) -> NDArray[np.uint8]:
    category_id = panoptic_id // INSTANCE_DIVISOR
    # Clamp categories beyond the table for the look-up; the next line reports them.
    train_id = classes.category_to_train[np.minimum(category_id, classes.background_category_id)]
    unknown = (train_id == IGNORE_LABEL) & (panoptic_id != VOID) | (category_id > classes.background_category_id)
    if unknown.any():
        raise ValueError(
            f"{where} holds the panoptic ids {panoptic_id[unknown][:5].tolist()}, whose category (id // "
            f"{INSTANCE_DIVISOR}) is not in the class table {sorted(classes.category_ids)}"
        )
    return train_id


def _count_confusion(
    truth_class: NDArray[np.uint8], labelled_class: NDArray[np.uint8], pixels: NDArray[np.int64], class_count: int
) -> NDArray[np.int64]:
    # Put all sentinels into the last row and column; the last row, pixels without a true class, is dropped.
    row = np.minimum(truth_class, class_count).astype(np.int64)
    column = np.minimum(labelled_class, class_count).astype(np.int64)
    width = class_count + 1
    counted = np.bincount((row[:, None] * width + column).ravel(), pixels.ravel(), minlength=width * width)
    return counted.astype(np.int64).reshape(width, width)[:class_count]
