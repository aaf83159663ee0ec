"""Instances from a semantic label and boxes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pseudogt.boxes import box_slices, clip_boxes
from pseudogt.labels import IGNORE_LABEL, INSTANCE_DIVISOR, ClassTable


class InstanceStep(NamedTuple):
    """Result of :func:`assign_instances`.

    Attributes
    ----------
    instances : (H, W) int32
        1..n by box, 0 in no box of the pixel's class, ``ignore_id`` where unknown.
    box_indices : (n,) intp
        Position of the box behind instance 1, 2, ... in the boxes given.
    missing : (m,) int32
        Numbers that no pixel carries.
    """

    instances: NDArray[np.int32]
    box_indices: NDArray[np.intp]
    missing: NDArray[np.int32]


def assign_instances(
    semantic: NDArray[np.uint8],
    boxes_xyxy: ArrayLike,
    classes: ArrayLike,
    iscrowd: ArrayLike,
    *,
    ignore_label: int = IGNORE_LABEL,
    ignore_id: int = -1,
    max_id: int | None = None,
) -> InstanceStep:
    """Cut the pixels of a class into instances by its boxes: WSPS ``ins_box_process``.

    ======================================  =============
    pixel                                   instance
    ======================================  =============
    label is ``ignore_label``               ``ignore_id``
    in no box of its class                  0
    in one box of its class                 number of it
    in two or more boxes of its class       ``ignore_id``
    ======================================  =============

    Parameters
    ----------
    semantic : (H, W) uint8
        Train ids.
    boxes_xyxy : (N, 4) int
        Half-open.
    classes : (N,) int
    iscrowd : (N,) bool
        Groups make no instance.
    ignore_label : int
        Value of ``semantic`` at unknown pixels.
    ignore_id : int
        Value of ``instances`` at unknown pixels. The authors use 255.
    max_id : int, optional
        Numbers above it are written as ``max_id``. The authors' uint8 maps saturate at 255, where
        the 255th object's id equals their ignore label; None = no limit.

    Returns
    -------
    InstanceStep

    Differs from what you may expect: boxes equal in class and corners count once, and the first of
    them decides, so a group before an equal instance hides it. Stuff boxes count as objects, so
    with them stuff segments get numbers too. A box without a pixel still uses up its number. With
    ``max_id`` numbers saturate, and where ``max_id`` is ``ignore_id`` the last boxes are lost.
    """
    boxes, classes = np.asarray(boxes_xyxy, np.int32).reshape(-1, 4), np.asarray(classes)
    keep = _first_occurrences(boxes, classes)
    indices = keep[~np.asarray(iscrowd, bool)[keep]]

    instances = np.zeros(semantic.shape, np.int32)
    instances[semantic == ignore_label] = ignore_id
    for number, index in enumerate(indices, start=1):
        written = number if max_id is None else min(number, max_id)
        window = box_slices(clip_boxes(boxes[index], semantic.shape)[0])
        view, hit = instances[window], semantic[window] == classes[index]
        view[...] = np.where(hit, np.where(view != 0, ignore_id, written), view)
    numbers = np.arange(1, len(indices) + 1, dtype=np.int32)
    missing = np.setdiff1d(numbers, instances[instances != ignore_id])
    return InstanceStep(instances, indices, missing)


def _first_occurrences(boxes: NDArray[np.int32], classes: NDArray) -> NDArray[np.intp]:
    """Positions, ascending, of the first box of each distinct (class, corners)."""
    keys = np.column_stack([boxes, classes]).astype(np.int64)
    return np.sort(np.unique(keys, axis=0, return_index=True)[1])


def number_boxes(classes: ArrayLike, iscrowd: ArrayLike) -> NDArray[np.int32]:
    """Instance number ``(N,) int32`` of each box: 1, 2, ... within its class in file order, 0 for a group.

    Box masks and the labels of every round use these numbers, so a number means the same box in all
    of them.
    """
    classes, single = np.asarray(classes), ~np.asarray(iscrowd, bool)
    numbers = np.zeros(len(classes), np.int32)
    for train_id in np.unique(classes):
        of_class = single & (classes == train_id)
        numbers[of_class] = np.arange(1, of_class.sum() + 1)
    return numbers


def compose_panoptic(
    semantic: NDArray[np.uint8], owner: NDArray[np.int32], numbers: NDArray[np.int32], classes: ClassTable
) -> NDArray[np.int32]:
    """Panoptic ids ``(H, W) int32`` from train ids and the box that owns each pixel.

    Parameters
    ----------
    semantic : (H, W) uint8
        Train ids, ``IGNORE_LABEL`` and ``BACKGROUND`` allowed.
    owner : (H, W) int32
        Position of a box, -1 for none.
    numbers : (N,) int32
        See :func:`number_boxes`.
    classes : ClassTable

    Raises
    ------
    ValueError
        If shapes differ or a number is beyond 999.
    """
    if semantic.shape != owner.shape:
        raise ValueError(f"semantic {semantic.shape} and owner {owner.shape} differ in shape")
    if numbers.max(initial=0) >= INSTANCE_DIVISOR:
        raise ValueError(f"{numbers.max()} boxes of one class in one image; a label file holds {INSTANCE_DIVISOR - 1}")
    k = np.append(numbers, np.int32(0))[owner]  # owner -1 finds the zero at the end
    k[~np.isin(semantic, classes.thing_ids)] = 0
    return classes.train_to_category[semantic] * np.int32(INSTANCE_DIVISOR) + k
