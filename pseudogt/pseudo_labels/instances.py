"""Instances from a semantic label and boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pseudogt.boxes import box_slices, clip_boxes, measure_box_radius
from pseudogt.classes import IGNORE_LABEL, INSTANCE_DIVISOR, ClassTable
from pseudogt.maps import look_up

NO_OWNER = -1
"""Owner of pixels that belong to no instance."""

Overlap = Literal["nearest", "smaller", "none"]
"""Who owns pixels that several boxes of one class claim."""


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

    # A box of the whole image, as stuff has, is a matter of the class alone: it is written to a table
    # of the 256 values, before the boxes that need a look at their pixels.
    values, table = np.arange(256, dtype=np.uint8), np.zeros(256, np.int32)
    table[ignore_label] = ignore_id
    written = np.arange(1, len(indices) + 1, dtype=np.int32)
    if max_id is not None:
        written = np.minimum(written, max_id)
    windows = [box_slices(box) for box in clip_boxes(boxes[indices], semantic.shape)]
    is_whole = [semantic[window].shape == semantic.shape for window in windows]
    for position in np.flatnonzero(is_whole):
        _write_number(table, values == classes[indices[position]], written[position], ignore_id)
    instances = look_up(table, semantic)
    for position in np.flatnonzero(np.logical_not(is_whole)):
        window = windows[position]
        _write_number(instances[window], semantic[window] == classes[indices[position]], written[position], ignore_id)
    missing = _find_missing(instances, len(indices), ignore_id)
    return InstanceStep(instances, indices, missing)


def _write_number(instances: NDArray[np.int32], hit: NDArray[np.bool_], number: int, ignore_id: int) -> None:
    """Write a number to the pixels that are hit, ``ignore_id`` to those that already have one."""
    taken = hit & (instances != 0)
    instances[hit] = number
    instances[taken] = ignore_id


def _find_missing(instances: NDArray[np.int32], count: int, ignore_id: int) -> NDArray[np.int32]:
    """Which of the numbers 1..count occur in no pixel that is not ``ignore_id``."""
    occurs = np.zeros(count + abs(ignore_id) + 2, bool)  # a negative ignore_id lands behind the numbers
    occurs[instances] = True
    occurs[ignore_id] = False
    return np.flatnonzero(~occurs[1 : count + 1]).astype(np.int32) + np.int32(1)


def _first_occurrences(boxes: NDArray[np.int32], classes: NDArray[Any]) -> NDArray[np.intp]:
    """Positions, ascending, of the first box of each distinct (class, corners)."""
    keys = np.column_stack([boxes, classes]).astype(np.int64)
    return np.sort(np.unique(keys, axis=0, return_index=True)[1])


def find_owners(
    claims: Sequence[NDArray[np.bool_]], boxes: NDArray[np.int32], shape: tuple[int, int], overlap: Overlap
) -> NDArray[np.int32]:
    """Box ``(H, W) int32`` that each claimed pixel belongs to; ``NO_OWNER`` where there is none.

    ``claims`` holds for each box ``(N, 4)`` the pixels ``(h, w)`` bool in it that it claims;
    ``overlap`` as in :func:`combine_boxes`.
    """
    owner = np.full(shape, NO_OWNER, np.int32)
    lowest_cost = np.full(shape, np.inf, np.float32)
    contested = np.zeros(shape, bool)
    for index, (claimed, box) in enumerate(zip(claims, boxes, strict=True)):
        window = box_slices(box)
        height, width = claimed.shape
        # Cost of each pixel: its distance from the middle of the box in box sizes, or the size of the box.
        cost = (
            measure_box_radius(height, width) if overlap == "nearest" else np.full_like(claimed, height * width, float)
        )
        contested[window] |= claimed & (owner[window] != NO_OWNER)
        # The lowest cost wins; of equal ones, the earlier box.
        wins = claimed & (cost < lowest_cost[window])
        owner[window][wins] = index
        lowest_cost[window][wins] = cost[wins]
    if overlap == "none":
        owner[contested] = NO_OWNER
    return owner


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
