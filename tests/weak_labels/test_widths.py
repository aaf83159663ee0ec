"""The width of marked segments, and the odds of classes that follow from it."""

import numpy as np
import pytest
from mark_testing import make_point

from pseudogt.weak_labels.marks import Marks, make_mask
from pseudogt.weak_labels.records import ImageWeakLabels
from pseudogt.weak_labels.widths import find_log_prior, measure_class_widths, measure_mark_widths

GREYS = (40, 120, 220)


def make_image(height=100, width=200, stripe=10):
    """A stripe of class 1 between halves of classes 0 and 2, and a click in the middle of each."""
    middle = width // 2
    x0, x1 = middle - stripe // 2, middle + stripe // 2
    image = np.empty((height, width, 3), np.uint8)
    image[:, :x0], image[:, x0:x1], image[:, x1:] = GREYS
    y = height / 2
    points = [
        make_point(0, -1, x0 / 2, y, 1),
        make_point(1, -1, middle, y, 1),
        make_point(2, -1, (x1 + width) / 2, y, 1),
    ]
    return image, weak_labels(height, width, points)


def weak_labels(height, width, marks):
    nothing = np.zeros((0, 4), np.int32)
    return ImageWeakLabels(
        "a", height, width, nothing, np.zeros(0, np.uint8), np.zeros(0, bool), np.ones(3, bool), nothing,
        np.zeros((0, 3), bool), marks=Marks.collect(marks),
    )  # fmt: skip


@pytest.mark.parametrize("factor", [1, 4])  # the larger image is measured at half its size
def test_width_is_half_that_of_the_segment_whatever_the_size_of_the_image(factor):
    image, weak = make_image(100 * factor, 200 * factor, 10 * factor)
    classes, widths = measure_mark_widths(image, weak)
    assert classes.tolist() == [0, 1, 2]
    # The outer segments are 95 wide and 100 high, the stripe is 10 wide.
    expected = np.array([47.5, 5, 47.5]) / np.sqrt(100 * 200)
    np.testing.assert_allclose(widths, expected, atol=1.5 / np.sqrt(100 * 200))


def test_a_mark_without_pixels_counts_for_nothing():
    image, weak = make_image()
    empty = make_mask(1, -1, [100 * 200])
    classes, widths = measure_mark_widths(image, weak_labels(100, 200, [*weak.marks, empty]))
    assert classes.tolist() == [0, 1, 2]
    assert np.isfinite(widths).all()


def test_marks_of_a_single_class_have_no_width():
    image, weak = make_image()
    alone = weak_labels(100, 200, [make_point(1, -1, 100, 50, 1), make_point(1, -1, 100, 80, 1)])
    assert len(measure_mark_widths(image, alone)[0]) == 0
    widths = measure_class_widths([(image, weak), (image, alone)], 4)
    assert widths[3] == 0
    assert 4 * widths[1] < widths[0]


def test_the_prior_is_a_power_of_the_width_and_even_on_average():
    prior = find_log_prior((0.4, 0.1, 0.0), 1.5)
    np.testing.assert_allclose(prior, [1.5 * np.log(2), -1.5 * np.log(2), 0], rtol=1e-6)
    assert not find_log_prior((0.4, 0.1), 0).any()
    assert not find_log_prior((0.0, 0.0), 1.5).any()
