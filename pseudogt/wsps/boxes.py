"""Boxes as in the WSPS code: found in instance ids, with groups and stuff, and written with inclusive corners."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage


class InstanceBoxes(NamedTuple):
    """Boxes of one image in file order.

    Attributes
    ----------
    boxes_xyxy : (N, 4) int32
        Half-open. All zero where an id was asked for that has no pixel.
    classes : (N,) int32
        Train ids.
    iscrowd : (N,) bool
        True for a box around a group of instances.
    isstuff : (N,) bool
        True for the full-image box of a stuff class.
    """

    boxes_xyxy: NDArray[np.int32]
    classes: NDArray[np.int32]
    iscrowd: NDArray[np.bool_]
    isstuff: NDArray[np.bool_]


def inclusive_to_half_open(boxes: ArrayLike) -> NDArray[np.int32]:
    """Boxes ``(N, 4)`` whose last column and row belong to them, as half-open ones."""
    return np.asarray(boxes, np.int32).reshape(-1, 4) + np.array([0, 0, 1, 1], np.int32)


def half_open_to_inclusive(boxes_xyxy: ArrayLike) -> NDArray[np.int32]:
    """Inverse of :func:`inclusive_to_half_open`."""
    return np.asarray(boxes_xyxy, np.int32).reshape(-1, 4) - np.array([0, 0, 1, 1], np.int32)


def find_instance_boxes(
    instance_ids: NDArray[Any],
    *,
    stuff_ids: Collection[int],
    thing_ids: Collection[int],
    num_classes: int,
    ignore_label: int = 255,
    include_stuff: bool = True,
    include_groups: bool = True,
) -> InstanceBoxes:
    """Boxes from Cityscapes-style instance ids: WSPS ``instanceTrainId_to_dets``.

    Parameters
    ----------
    instance_ids : (H, W) integer or floating
        ``class`` for stuff and groups, ``class * 1000 + k`` for instances.
    stuff_ids, thing_ids
        Train ids of the stuff and thing classes.
    num_classes : int
    ignore_label : int
        Value of ``instance_ids`` that does not name a segment.
    include_stuff, include_groups : bool
        Whether stuff gives full-image boxes and bare thing ids give group boxes.

    Returns
    -------
    InstanceBoxes
        Ascending by id: stuff, then groups, then instances. Empty if no id matches a rule.

    Raises
    ------
    ValueError
        If an id means a class beyond ``num_classes``.

    Differs from what you may expect: the ids are the symmetric difference with ``ignore_label``, so
    an ignore label that does not occur is *added* and, if it is a class, gets a box (stuff) or an
    all-zero group box (thing). With integer ids the class is the id over 1000 rounded to nearest,
    halves up: instance 11500 has class 12. Ids 1001 to 10999 give instances of stuff classes. A
    group box spans all of a class's group pixels together.
    """
    # Number the ids from 1; find_objects then finds all tight boxes in one pass.
    ids, inverse = np.unique(instance_ids, return_inverse=True)
    positions = {int(v): i for i, v in enumerate(ids)}
    tight = ndimage.find_objects(inverse.reshape(instance_ids.shape) + 1, max_label=len(ids))
    height, width = instance_ids.shape
    # Half the divisor makes the integer division below round to nearest.
    offset = 500 if np.issubdtype(instance_ids.dtype, np.integer) else 0

    found: list[tuple[tuple[int, int, int, int], int, bool, bool]] = []
    for value in sorted(set(positions) ^ {ignore_label}):
        box = _slices_to_box(tight[positions[value]]) if value in positions else (0, 0, 0, 0)
        if include_stuff and value in stuff_ids:
            found.append(((0, 0, width, height), value, False, True))
        elif value > 1000:
            found.append((box, (value + offset) // 1000, False, False))
        elif include_groups and value in thing_ids:
            found.append((box, value, True, False))

    beyond = [c for _, c, _, _ in found if c >= num_classes]
    if beyond:
        raise ValueError(f"instance ids hold class {beyond[0]}, there are {num_classes} classes")
    return InstanceBoxes(
        boxes_xyxy=np.array([f[0] for f in found], np.int32).reshape(-1, 4),
        classes=np.array([f[1] for f in found], np.int32),
        iscrowd=np.array([f[2] for f in found], bool),
        isstuff=np.array([f[3] for f in found], bool),
    )


def _slices_to_box(slices: tuple[slice, slice]) -> tuple[int, int, int, int]:
    rows, columns = slices
    return columns.start, rows.start, columns.stop, rows.stop
