"""The five steps that clean a predicted label with weak labels: Li, Arnab, Torr, ECCV 2018.

Each step takes a label of train ids ``(H, W) uint8`` and returns a new one. The defaults behave
like the authors' code; the workflow passes an argument where it deviates.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from pseudogt.boxes import box_areas, box_slices, clip_boxes
from pseudogt.classes import IGNORE_LABEL
from pseudogt.maps import look_up

PAPER_STUFF_IDS = tuple(range(11))
"""Cityscapes stuff train ids, which the authors' ``check_low_iou`` holds as a literal."""

PAPER_BACKGROUND = 0
"""Value that means "no thing here" in the authors' box masks; also the train id of road."""

_UNMERGED = 255


def threshold_scores(
    label: NDArray[np.uint8],
    scores: NDArray[np.floating[Any]],
    threshold: float,
    *,
    ignore_label: int = IGNORE_LABEL,
) -> NDArray[np.uint8]:
    """Ignore pixels whose score lies below ``threshold`` (strictly).

    Parameters
    ----------
    label : (H, W) uint8
    scores : (H, W) floating
        The threshold is compared in the precision of the scores. NaN keeps its label.
    threshold : float
        0.99 in the paper.
    ignore_label : int

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    _check_same_shape(label, scores, "label", "scores")
    low = scores < np.asarray(threshold, scores.dtype)
    return np.where(low, np.uint8(ignore_label), label)


def find_crop_values(label: NDArray[np.uint8], crops_xyxy: ArrayLike) -> NDArray[np.bool_]:
    """Which of the values 0..255 occur in each crop ``(G, 4)`` of ``label``: ``(G, 256) bool``."""
    crops = np.asarray(crops_xyxy, np.int32).reshape(-1, 4)
    values = np.zeros((len(crops), 256), bool)
    for row, crop in zip(values, crops, strict=True):
        window = label[box_slices(crop)]
        if window.size:
            row[:] = cv2.calcHist([window], [0], None, [256], [0, 256]).ravel() > 0
    return values


def check_crop_tags(
    label: NDArray[np.uint8],
    crops_xyxy: ArrayLike,
    crop_tags: NDArray[np.bool_],
    *,
    ignore_label: int = IGNORE_LABEL,
) -> NDArray[np.uint8]:
    """Ignore pixels whose class lacks a tag in any of the crops that cover them.

    WSPS ``check_image_level_tags``; the crops come from :func:`pseudogt.weak_labels.crops.paper_crop_grid` or
    from the weak labels.

    Parameters
    ----------
    label : (H, W) uint8
    crops_xyxy : (G, 4) int
        Half-open, inside the label.
    crop_tags : (G, K) bool
        Whether value 0..K-1 may occur; values from K on never may. The authors tag with the raw
        values of the ground truth, so there K = 256 and 255 is a tag like any other.
    ignore_label : int

    Raises
    ------
    ValueError
        If there are not as many rows of tags as crops.

    Differs from what you may expect: things are tested as well as stuff, and a pixel that lies in
    no crop is left alone.
    """
    crops = np.asarray(crops_xyxy, np.int32).reshape(-1, 4)
    if len(crops) != len(crop_tags):
        raise ValueError(f"{len(crops)} crops but tags {crop_tags.shape}; each crop needs a row of tags")
    # Look-up table of each crop, (G, 256): tagged classes keep their value, all others are ignored.
    kept = np.full((len(crops), 256), ignore_label, np.uint8)
    tagged = np.nonzero(crop_tags)
    kept[tagged] = tagged[1]
    checked = label.copy()
    for crop, table in zip(crops, kept, strict=True):
        window = box_slices(crop)
        checked[window] = look_up(table, checked[window])
    return checked


def merge_box_masks(
    box_masks: NDArray[np.uint8],
    label: NDArray[np.uint8],
    *,
    stuff_ids: ArrayLike,
    thing_ids: ArrayLike,
    ignore_label: int = IGNORE_LABEL,
    background: int = PAPER_BACKGROUND,
    keep_unsure_things: bool = False,
) -> NDArray[np.uint8]:
    """Merge a label with the masks of box segmenters: WSPS ``merge_mag_and_pred``.

    =================================  ==========  ==========  ==========  =======
    box mask, by label                 thing       stuff       ignore      other
    =================================  ==========  ==========  ==========  =======
    thing                              box mask    box mask    box mask    255
    ``background`` or ``ignore``       ignore      label       ignore      255
    other                              255         255         255         255
    =================================  ==========  ==========  ==========  =======

    Parameters
    ----------
    box_masks : (H, W) uint8
        Train ids of things, ``background`` where no thing is, ``ignore_label`` where unknown.
    label : (H, W) uint8
    stuff_ids, thing_ids : int sequences
        Train ids.
    ignore_label : int
    background : int
        The authors use a literal 0; the workflow uses ``BACKGROUND``, as 0 is a class there.
    keep_unsure_things : bool
        Where the box masks are ``ignore_label``, things of the label stay, where the authors ignore
        them: what two segmenters disagree about is then left to the label.

    Raises
    ------
    ValueError
        If the shapes differ.

    Differs from what you may expect: "unknown" and "no thing" have the same row; what matches no
    cell becomes 255 even if ``ignore_label`` is another value.
    """
    _check_same_shape(box_masks, label, "box masks", "label")
    stuff, things = np.asarray(stuff_ids, np.intp), np.asarray(thing_ids, np.intp)
    known = np.concatenate([stuff, things, [ignore_label]])
    no_thing = np.array([background, ignore_label])

    # Outcome for each pair (box mask, label) of the table above.
    table = np.full((256, 256), _UNMERGED, np.uint8)
    table[np.ix_(things, known)] = things[:, None]
    table[np.ix_(no_thing, things)] = ignore_label
    if keep_unsure_things:
        table[ignore_label, things] = things
    table[np.ix_(no_thing, stuff)] = stuff
    table[np.ix_(no_thing, np.array([ignore_label]))] = ignore_label
    # Both bytes make up a 16-bit index into the table.
    return table.ravel().take(box_masks.astype(np.uint16) << 8 | label)


def apply_box_prior(
    label: NDArray[np.uint8],
    class_masks: Mapping[int, NDArray[np.bool_]],
    *,
    thing_ids: ArrayLike,
    ignore_label: int = IGNORE_LABEL,
) -> NDArray[np.uint8]:
    """Ignore thing pixels outside the boxes of their class: WSPS ``apply_bbox_prior``.

    Parameters
    ----------
    label : (H, W) uint8
    class_masks : dict
        Class -> ``(H, W)`` bool, see :func:`pseudogt.boxes.fill_class_masks`; a class that is not
        there has no box.
    thing_ids : int sequence
    ignore_label : int
    """
    things = set(np.asarray(thing_ids).tolist())
    # Ignore things without a box by a table; only those with boxes need a look at their masks.
    table = np.arange(256, dtype=np.uint8)
    table[list(things - class_masks.keys())] = ignore_label
    allowed = look_up(table, label)
    for thing in things & class_masks.keys():
        allowed[(label == thing) & ~class_masks[thing]] = ignore_label
    return allowed


def fill_low_coverage(
    label: NDArray[np.uint8],
    boxes_xyxy: ArrayLike,
    classes: ArrayLike,
    iscrowd: ArrayLike | None,
    *,
    threshold: float = 0.5,
    keep_things: bool = True,
    stuff_ids: Collection[int] = PAPER_STUFF_IDS,
    whole_box: bool = False,
    ignore_label: int = IGNORE_LABEL,
) -> NDArray[np.uint8]:
    """Fill each box that its class covers too little: WSPS ``check_low_iou``.

    Parameters
    ----------
    label : (H, W) uint8
    boxes_xyxy : (N, 4) int
        Half-open, inside the image or clipped to it.
    classes : (N,) int
        Boxes of a class in ``stuff_ids`` are skipped.
    iscrowd : (N,) bool or None
        Groups are skipped; None = no box is a group.
    threshold : float
        Boxes with a share of own-class pixels below it (strictly) are filled.
    keep_things : bool
        Write only where ``label`` is ignored or stuff.
    stuff_ids
        The authors' code holds 0..10 as a literal.
    whole_box : bool
        False as in the authors' code: the top row and the left column of a box do not belong to it
        (MATLAB's ``poly2mask`` through pixel centres), so boxes one pixel wide or high are never
        filled. True: all pixels of the box.
    ignore_label : int

    Returns
    -------
    (H, W) uint8

    Differs from what you may expect: the share is a coverage, not an IoU. All decisions look at the
    label given, only writing goes to the result; boxes go from large to small (equal areas in file
    order), so a small box paints over the fill of a large one, also of another class, but a pixel
    that had the small box's class from the start and was painted over by a large box stays so. Unless
    ``whole_box``, the top row and the left column of a box are left out, and an inverted box, which a
    box outside the image becomes when it is clipped, is taken with its corners in order.
    """
    boxes, classes = np.asarray(boxes_xyxy, np.int32).reshape(-1, 4), np.asarray(classes)
    crowd = np.zeros(len(boxes), bool) if iscrowd is None else np.asarray(iscrowd, bool)
    stuff = np.fromiter(stuff_ids, np.int64, len(stuff_ids))
    # Values that may be painted over: stuff and ignored pixels.
    is_free = np.isin(np.arange(256), np.append(stuff, ignore_label))

    filled = label.copy()
    fillable = ~crowd & ~np.isin(classes, stuff)
    order = np.argsort(-box_areas(boxes), kind="stable")
    for index in order[fillable[order]]:
        box = boxes[index] if whole_box else _leave_out_first_row_and_column(boxes[index])
        window = box_slices(clip_boxes(box, label.shape)[0])
        own = label[window] == classes[index]
        if own.size == 0 or np.count_nonzero(own) / own.size >= threshold:
            continue
        region = ~own & is_free[label[window]] if keep_things else ~own
        filled[window][region] = classes[index]
    return filled


def _leave_out_first_row_and_column(box_xyxy: NDArray[np.int32]) -> NDArray[np.int32]:
    """The pixels that MATLAB's ``poly2mask`` finds in the polygon through the centres of the corner pixels."""
    x0, y0, x1, y1 = box_xyxy
    (left, right), (top, bottom) = sorted((x0, x1 - 1)), sorted((y0, y1 - 1))
    return np.array([left + 1, top + 1, right + 1, bottom + 1], np.int32)


def _check_same_shape(a: NDArray[Any], b: NDArray[Any], name_a: str, name_b: str) -> None:
    if a.shape != b.shape:
        raise ValueError(f"{name_a} {a.shape} and {name_b} {b.shape} differ in shape")
