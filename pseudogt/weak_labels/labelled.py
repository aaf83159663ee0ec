"""Pixels that marks label with a class and, for things, an object."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pseudogt.classes import IGNORE_LABEL
from pseudogt.weak_labels.marks import NO_OBJECT, find_inside
from pseudogt.weak_labels.records import ImageWeakLabels


class LabelledPixels(NamedTuple):
    """Labelled pixels of an image, each once.

    Attributes
    ----------
    rows, columns : (P,) int64
    classes : (P,) uint8
        Train ids.
    owners : (P,) int32
        Position of a box, from the number of boxes on the number of an object without box, or ``NO_OBJECT``.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    classes: NDArray[np.uint8]
    owners: NDArray[np.int32]

    def __bool__(self) -> bool:
        return len(self.rows) > 0

    def take(self, kept: NDArray[np.bool_]) -> LabelledPixels:
        """Those of them that are kept, ``(P,)``."""
        return LabelledPixels(self.rows[kept], self.columns[kept], self.classes[kept], self.owners[kept])


def find_labelled_pixels(weak: ImageWeakLabels) -> LabelledPixels:
    """The labelled pixels of an image, from its marks.

    ===========================================  =============================
    a pixel                                      is labelled
    ===========================================  =============================
    in marks of one class                        with this class
    in marks of several classes                  not
    in a crop without the tag of the class       not
    of a mark of a box, outside the box          not
    in marks of several objects of one class     with the class, ``NO_OBJECT``
    ===========================================  =============================

    The radius of a mark may reach farther than what was marked: tags and boxes hold it back.
    """
    pixels = [mark.find_pixels(weak.height, weak.width) for mark in weak.marks]
    counts = [len(found) for found in pixels]
    rows, columns = np.concatenate([np.zeros((0, 2), np.int64), *pixels]).T
    found = LabelledPixels(rows, columns, np.repeat(weak.marks.classes, counts), np.repeat(weak.marks.owners, counts))
    return _settle_conflicts(found.take(_find_allowed(found, weak)), weak.width)


def paint_classes(
    rows: NDArray[np.integer], columns: NDArray[np.integer], classes: NDArray[np.uint8], size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Label ``(h, w)`` with the classes ``(P,)`` at these positions; ``IGNORE_LABEL`` where there is not just one."""
    lowest, highest = np.full(size, IGNORE_LABEL, np.uint8), np.zeros(size, np.uint8)
    np.minimum.at(lowest, (rows, columns), classes)
    np.maximum.at(highest, (rows, columns), classes)
    return np.where(lowest == highest, lowest, np.uint8(IGNORE_LABEL))


def _find_allowed(found: LabelledPixels, weak: ImageWeakLabels) -> NDArray[np.bool_]:
    """Which pixels ``(P,)`` the tags of crops and the box of their object allow."""
    rows, columns, classes, owners = found
    allowed = np.ones(len(rows), bool)
    for inside, tags in zip(find_inside(weak.crops_xyxy, rows, columns), weak.crop_tags, strict=True):
        allowed &= (tags | ~weak.known)[classes] | ~inside
    # Pixels of objects that have a box are compared with it.
    boxed = (owners >= 0) & (owners < len(weak.boxes_xyxy))
    x0, y0, x1, y1 = weak.boxes_xyxy[owners[boxed]].T
    y, x = rows[boxed], columns[boxed]
    allowed[boxed] &= (y >= y0) & (y < y1) & (x >= x0) & (x < x1)
    return allowed


def _settle_conflicts(found: LabelledPixels, width: int) -> LabelledPixels:
    """Each pixel once, without pixels of several classes."""
    if not found:
        return found
    flat = found.rows * width + found.columns
    order = np.argsort(flat, kind="stable")
    starts = np.flatnonzero(np.diff(flat[order], prepend=-1))
    # Lowest and highest value of each pixel: they differ where marks do.
    lowest, highest = (
        [extreme.reduceat(values[order], starts) for values in (found.classes, found.owners)]
        for extreme in (np.minimum, np.maximum)
    )
    owners = np.where(lowest[1] == highest[1], lowest[1], np.int32(NO_OBJECT))
    first = order[starts]
    each = LabelledPixels(found.rows[first], found.columns[first], lowest[0], owners)
    return each.take(lowest[0] == highest[0])
