"""What lies around points, scribbles and masks: pixels of their class, and pixels where it should have ended."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pseudogt.classes import IGNORE_LABEL
from pseudogt.weak_labels.marks import find_inside
from pseudogt.weak_labels.records import ImageWeakLabels
from pseudogt.weak_labels.widths import ClassWidths, Places, find_narrowness, measure_marks

DISC_RADIUS = 0.75
"""Radius of the disc that has the class of a point, in half widths of its segment."""

RING_RADII = (2.0, 4.0)
"""Inner and outer radius of the ring where a narrow segment should have ended, in half widths."""

SMALLEST_DISC_PX = 2.0
"""Smaller discs are left out: a segment as thin as this was hardly seen when it was measured."""

DISC_STEP_PX = 2
"""Rows and columns of the image of which one is taken in discs."""

RING_STEP_PX = 4
"""The same in rings, which are larger."""


class Surroundings(NamedTuple):
    """Pixels around the marks of an image: row and column in the original image, and train id.

    Attributes
    ----------
    discs : (P, 3) int32
        Pixels that most likely have this class.
    rings : (Q, 3) int32
        Pixels few of which have this class.
    """

    discs: NDArray[np.int32]
    rings: NDArray[np.int32]


def find_surroundings(image: NDArray[np.uint8], weak: ImageWeakLabels, widths: ClassWidths) -> Surroundings:
    """Find a disc and a ring around each mark.

    A click lies inside of its segment, so that no click shows where a segment ends. Half the width of the segment is
    known roughly (:func:`pseudogt.weak_labels.widths.measure_marks`): a disc well within it has the class of the mark,
    and of a ring well beyond it most pixels have another, if the class is narrower than others.

    Parameters
    ----------
    image : (h, w, 3) uint8
        RGB; may be smaller than that of the weak labels.
    weak : ImageWeakLabels
    widths : ClassWidths
        No disc is wider than the median, as a border that was not found makes a segment too wide, and no ring is
        narrower. Masks have no disc, as they end with their segment.
    """
    measured = measure_marks(image, weak)
    median = widths.median[measured.classes]
    factor = measured.size[0] / image.shape[0]
    root_area = np.sqrt(measured.size[0] * measured.size[1])
    is_mask = np.array([mark.kind == "mask" for mark in weak.marks], bool)[measured.numbers]
    disc_px = np.minimum(DISC_RADIUS * measured.widths, median) * root_area
    has_disc = ~is_mask & (disc_px >= SMALLEST_DISC_PX)
    width_px = np.maximum(measured.widths, median) * root_area
    is_narrow = find_narrowness(widths.mean) > 0
    disc_map, ring_map = (np.full(measured.size, IGNORE_LABEL, np.uint8) for _ in range(2))
    # From wide to narrow: where rings overlap, that of the narrowest class remains. Discs lie in their segments.
    for train_id in sorted(set(measured.classes.tolist()), key=lambda k: -widths.mean[k]):
        too_near, around = np.zeros(measured.size, bool), np.zeros(measured.size, bool)
        for number in np.flatnonzero(measured.classes == train_id):
            distance = _measure_distance(measured.places[number], measured.size)
            if has_disc[number]:
                disc_map[distance <= disc_px[number]] = train_id
            too_near |= distance <= RING_RADII[0] * width_px[number]
            around |= distance <= RING_RADII[1] * width_px[number]
        if is_narrow[train_id]:
            ring_map[around & ~too_near] = train_id
    discs = _list_pixels(disc_map, max(1, int(DISC_STEP_PX * factor)), weak)
    rings = _list_pixels(ring_map, max(1, int(RING_STEP_PX * factor)), weak)
    # Things may lie in boxes, whatever was clicked beside them; a box of its own class allows the class.
    in_box = find_inside(weak.boxes_xyxy, discs[:, 0], discs[:, 1])
    in_own_box = find_inside(weak.boxes_xyxy, rings[:, 0], rings[:, 1]) & (weak.box_classes[:, None] == rings[:, 2])
    return Surroundings(discs[~in_box.any(0)], rings[~in_own_box.any(0)])


def _measure_distance(place: Places, size: tuple[int, int]) -> NDArray[np.float32]:
    """Distance ``(h, w)`` of every pixel to the nearest one of a mark."""
    elsewhere = np.ones(size, np.uint8)
    elsewhere[place] = 0
    return np.asarray(cv2.distanceTransform(elsewhere, cv2.DIST_L2, 5), np.float32)


def _list_pixels(classes: NDArray[np.uint8], step: int, weak: ImageWeakLabels) -> NDArray[np.int32]:
    """Rows ``(P, 3)`` of :class:`Surroundings` for a map of classes ``(h, w)``, one pixel in ``step`` of each axis."""
    coarse = classes[::step, ::step]
    rows, columns = np.nonzero(coarse != IGNORE_LABEL)
    y = (rows * step + 0.5) * weak.height / classes.shape[0]
    x = (columns * step + 0.5) * weak.width / classes.shape[1]
    return np.column_stack([y, x, coarse[rows, columns]]).astype(np.int32)
