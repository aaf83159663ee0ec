"""Candidate classes: the classes that the weak labels allow at each pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pseudogt.classes import ClassTable
from pseudogt.weak_labels.records import ImageWeakLabels


def candidate_classes(
    weak: ImageWeakLabels,
    classes: ClassTable,
    *,
    things_in_boxes: bool = True,
    size: tuple[int, int] | None = None,
) -> NDArray[np.bool_]:
    """Classes that are possible at each pixel, by weak labels alone.

    A class is possible at a pixel if its tag is present in the image and in every crop that covers
    the pixel, or if its presence in the image is unknown. With ``things_in_boxes``, a thing with
    boxes in the image is possible only inside them, unless marks show further objects. If a thing
    has boxes but no tag, the boxes alone decide.

    Parameters
    ----------
    weak : ImageWeakLabels
    classes : ClassTable
    things_in_boxes : bool
        Switch off where boxes are incomplete.
    size : (h, w), optional
        Size of the result if it is not the image's: a pixel then has the candidates of the image
        pixel under its centre.

    Returns
    -------
    (C, h, w) bool
        All false where the tags contradict each other or allow only void.
    """
    height, width = size or (weak.height, weak.width)
    rows = (np.arange(height) + 0.5) * weak.height / height
    columns = (np.arange(width) + 0.5) * weak.width / width
    return candidates_at(weak, classes, rows, columns, things_in_boxes=things_in_boxes)


def candidates_at(
    weak: ImageWeakLabels,
    classes: ClassTable,
    rows: NDArray[np.floating],
    columns: NDArray[np.floating],
    *,
    things_in_boxes: bool = True,
) -> NDArray[np.bool_]:
    """Candidate classes on the grid ``rows (h,)`` x ``columns (w,)`` of image coordinates.

    The first pixel spans 0 to 1. Outside the image nothing is possible. Otherwise as
    :func:`candidate_classes`, of which this is the general form.
    """
    # What the tags allow, and what lies inside the boxes of its class, at each position: (C, h, w).
    possible = _look_up_cells(weak, rows, columns)
    inside_boxes = np.zeros_like(possible)
    for box, train_id in zip(weak.boxes_xyxy, weak.box_classes, strict=True):
        down, across = cover_span(rows, box[1], box[3]), cover_span(columns, box[0], box[2])
        inside_boxes[train_id] |= down[:, None] & across
    boxed = np.zeros(len(classes), bool)
    boxed[np.intersect1d(weak.box_classes, classes.thing_ids)] = True
    boxed[list(weak.partly_boxed_ids)] = False
    untagged = boxed & ~weak.tags
    in_image = cover_span(rows, 0, weak.height)[:, None] & cover_span(columns, 0, weak.width)
    possible[untagged] = in_image
    if things_in_boxes:
        possible[boxed] &= inside_boxes[boxed]
    return possible & in_image


def cover_span(
    positions: NDArray[np.floating], start: float | NDArray[np.floating], stop: float | NDArray[np.floating]
) -> NDArray[np.bool_]:
    """Which positions lie in the half-open span ``[start, stop)``; all three broadcast."""
    return (positions >= start) & (positions < stop)


def _look_up_cells(
    weak: ImageWeakLabels, rows: NDArray[np.floating], columns: NDArray[np.floating]
) -> NDArray[np.bool_]:
    """``(C, h, w)``: the crops' edges cut the image into cells, in each of which the tags are constant."""
    # Edges of the crops on each axis; 0 opens the cell before the first crop.
    x_edges = np.unique(np.append(weak.crops_xyxy[:, [0, 2]], 0))
    y_edges = np.unique(np.append(weak.crops_xyxy[:, [1, 3]], 0))
    # Possible classes of each cell, (C, cells down, cells across): those that no crop over it rules out.
    cells = np.broadcast_to(weak.possible[:, None, None], (len(weak.tags), len(y_edges), len(x_edges))).copy()
    for (x0, y0, x1, y1), tags in zip(weak.crops_xyxy, weak.crop_tags, strict=True):
        across = slice(*np.searchsorted(x_edges, [x0, x1]))
        down = slice(*np.searchsorted(y_edges, [y0, y1]))
        cells[:, down, across] &= (tags | ~weak.known)[:, None, None]
    # The cell of a position starts at the last edge at or before it.
    row_cell = np.searchsorted(y_edges, rows, side="right") - 1
    column_cell = np.searchsorted(x_edges, columns, side="right") - 1
    return cells[:, row_cell[:, None], column_cell[None, :]]
