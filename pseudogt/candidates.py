"""Candidate classes: what the weak labels leave possible at each pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pseudogt.labels import ClassTable
from pseudogt.weak_labels import ImageWeakLabels


def candidate_classes(
    weak: ImageWeakLabels,
    classes: ClassTable,
    *,
    things_in_boxes: bool = True,
    size: tuple[int, int] | None = None,
) -> NDArray[np.bool_]:
    """Classes that are possible at each pixel, by weak labels alone.

    A class is possible at a pixel if the image has its tag and every crop that covers the pixel
    has it too. With ``things_in_boxes`` a thing is possible only inside a box of its class.

    Parameters
    ----------
    weak : ImageWeakLabels
    classes : ClassTable
    things_in_boxes : bool
        Switch off where boxes are missing or incomplete.
    size : (h, w), optional
        Size of the result if it is not the image's: a pixel then has the candidates of the image
        pixel under its centre.

    Returns
    -------
    (C, h, w) bool
        All false where the tags contradict each other or say that only void is there.
    """
    height, width = size or (weak.height, weak.width)
    rows = _pixel_centres(height, weak.height)
    columns = _pixel_centres(width, weak.width)
    possible = _look_up_cells(weak, rows, columns)
    if things_in_boxes:
        possible[classes.thing_ids] &= _box_coverage(weak, classes, rows, columns)[classes.thing_ids]
    return possible


def _pixel_centres(count: int, extent: int) -> NDArray[np.intp]:
    """Image row (or column) under the centre of each of ``count`` pixels that span ``extent``."""
    return ((np.arange(count) + 0.5) * extent / count).astype(np.intp)


def _look_up_cells(weak: ImageWeakLabels, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.bool_]:
    """``(C, h, w)``: the crops' edges cut the image into cells, in each of which the tags are constant."""
    x_edges = np.unique(np.append(weak.crops_xyxy[:, [0, 2]], 0))
    y_edges = np.unique(np.append(weak.crops_xyxy[:, [1, 3]], 0))
    cells = np.broadcast_to(weak.tags[:, None, None], (len(weak.tags), len(y_edges), len(x_edges))).copy()
    for (x0, y0, x1, y1), tags in zip(weak.crops_xyxy, weak.crop_tags, strict=True):
        across = slice(*np.searchsorted(x_edges, [x0, x1]))
        down = slice(*np.searchsorted(y_edges, [y0, y1]))
        cells[:, down, across] &= tags[:, None, None]
    row_cell = np.searchsorted(y_edges, rows, side="right") - 1
    column_cell = np.searchsorted(x_edges, columns, side="right") - 1
    return cells[:, row_cell[:, None], column_cell[None, :]]


def _box_coverage(
    weak: ImageWeakLabels, classes: ClassTable, rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """``(C, h, w)``: whether a box of the class covers the pixel."""
    covered = np.zeros((len(classes), len(rows), len(columns)), bool)
    for (x0, y0, x1, y1), train_id in zip(weak.boxes_xyxy, weak.box_classes, strict=True):
        across = slice(*np.searchsorted(columns, [x0, x1]))
        down = slice(*np.searchsorted(rows, [y0, y1]))
        covered[train_id, down, across] = True
    return covered
