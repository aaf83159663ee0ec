"""Discs and rings around marks: where they lie, and what holds them back."""

import numpy as np
import pytest
from weak_label_testing import make_point, make_weak_labels

from pseudogt.weak_labels.marks import make_mask
from pseudogt.weak_labels.records import ImageWeakLabels
from pseudogt.weak_labels.surroundings import find_surroundings
from pseudogt.weak_labels.widths import ClassWidths

HEIGHT, WIDTH = 120, 240
STRIPE = slice(110, 130)
"""Columns of class 1, between halves of classes 0 and 2."""

CLICKS = [make_point(0, -1, 55, 60, 1), make_point(1, -1, 120, 60, 1), make_point(2, -1, 185, 60, 1)]
ROOT_AREA = np.sqrt(HEIGHT * WIDTH)


def make_image() -> np.ndarray:
    image = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
    image[:, STRIPE], image[:, STRIPE.stop :] = 130, 220
    return image


def make_weak(marks, boxes=(), box_classes=(), scale=1) -> ImageWeakLabels:
    size = (HEIGHT * scale, WIDTH * scale)
    return make_weak_labels(size, (True, True, True), boxes=boxes, box_classes=box_classes, marks=marks)


def find(weak: ImageWeakLabels, widths_px=(55.0, 10.0, 55.0)):
    """Pixels (y, x) by class in discs and in rings; widths are those of an image of 120x240."""
    surroundings = find_surroundings(make_image(), weak, ClassWidths(*[np.array(widths_px) / ROOT_AREA] * 2))
    return [{k: rows[rows[:, 2] == k, :2] for k in range(3)} for rows in surroundings]


def distance_from(pixels: np.ndarray, x: float, y: float) -> np.ndarray:
    return np.hypot(pixels[:, 1] + 0.5 - x, pixels[:, 0] + 0.5 - y)


def test_discs_lie_inside_of_segments():
    discs, _ = find(make_weak(CLICKS))
    # Three quarters of a half width of 55 and of 10, one pixel in two of each axis.
    for train_id, x, radius in ((0, 55, 41), (1, 120, 7.5), (2, 185, 41)):
        assert distance_from(discs[train_id], x, 60).max() == pytest.approx(radius, abs=2.5)
        assert len(discs[train_id]) == pytest.approx(np.pi * radius**2 / 4, rel=0.3)
    assert set(discs[1][:, 1] // 10) <= {11, 12}


def test_no_disc_is_wider_than_usual_for_its_class():
    discs, _ = find(make_weak(CLICKS), widths_px=(20, 10, 55))
    assert distance_from(discs[0], 55, 60).max() == pytest.approx(20, abs=2.5)


def test_narrow_classes_alone_have_rings_beyond_their_segment():
    _, rings = find(make_weak(CLICKS))
    assert not len(rings[0]) and not len(rings[2])
    distance = distance_from(rings[1], 120, 60)
    assert distance.min() == pytest.approx(20, abs=3.5) and distance.max() == pytest.approx(40, abs=3.5)


def test_a_ring_is_as_wide_as_usual_where_a_segment_seems_narrower():
    _, rings = find(make_weak(CLICKS), widths_px=(55, 13, 55))
    assert distance_from(rings[1], 120, 60).min() == pytest.approx(26, abs=3.5)


def test_another_mark_of_its_class_holds_a_ring_back():
    _, rings = find(make_weak([*CLICKS, make_point(1, -1, 120, 90, 1)]))
    for y in (60, 90):
        assert distance_from(rings[1], 120, y).min() > 16


def test_boxes_hold_discs_and_rings_back():
    _, rings = find(make_weak(CLICKS, [[130, 0, 240, 120]], [1]))
    assert rings[1][:, 1].max() < 130
    discs, rings = find(make_weak(CLICKS, [[130, 0, 240, 120]], [0]))
    assert not len(discs[2]) and len(discs[0]) and rings[1][:, 1].max() > 130


def test_a_mask_ends_with_its_segment():
    mask = make_mask(1, -1, [HEIGHT * STRIPE.start, HEIGHT * 20, HEIGHT * (WIDTH - STRIPE.stop)])
    discs, rings = find(make_weak([CLICKS[0], mask, CLICKS[2]]))
    assert not len(discs[1])
    assert len(rings[1])


def test_a_segment_too_thin_to_be_measured_has_no_disc():
    discs, rings = find(make_weak(CLICKS), widths_px=(55, 1.5, 55))
    assert not len(discs[1])
    assert len(discs[0]) and len(rings[1])


def test_pixels_are_as_close_in_images_larger_than_measured():
    """A ring must hold many cells of the network, whatever the size of the image."""
    image = np.kron(make_image(), np.ones((8, 8, 1), np.uint8))
    marks = [make_point(mark.train_id, -1, *(mark.values[0] * 8), 8) for mark in CLICKS]
    widths = ClassWidths(*[np.array([55.0, 10, 55]) / ROOT_AREA] * 2)
    large = find_surroundings(image, make_weak(marks, scale=8), widths).rings
    small = find_surroundings(make_image(), make_weak(CLICKS), widths).rings
    assert len(large) > 10 * len(small)


def test_coordinates_are_those_of_the_original_image():
    large = [make_point(mark.train_id, -1, *(mark.values[0] * 4), 4) for mark in CLICKS]
    discs, rings = find(make_weak(large, scale=4))
    assert distance_from(discs[1], 480, 240).max() == pytest.approx(4 * 7.5, abs=10)
    assert distance_from(rings[1], 480, 240).min() == pytest.approx(4 * 20, abs=14)


@pytest.mark.parametrize("marks", [[], CLICKS[:1]])
def test_marks_of_a_single_class_have_no_surroundings(marks):
    surroundings = find_surroundings(make_image(), make_weak(marks), ClassWidths(np.ones(3), np.ones(3)))
    assert [rows.shape for rows in surroundings] == [(0, 3), (0, 3)]
