"""The width of marked segments, and the odds of classes that follow from it."""

from dataclasses import replace

import numpy as np
import pytest
from weak_label_testing import make_point, make_weak_labels

from pseudogt.weak_labels.marks import Marks, make_mask
from pseudogt.weak_labels.widths import find_log_prior, find_narrowness, measure_class_widths, measure_marks

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
    return image, make_weak_labels((height, width), (True, True, True), marks=points)


@pytest.mark.parametrize("factor", [1, 4])  # the larger image is measured at half its size
def test_width_is_half_that_of_the_segment_whatever_the_size_of_the_image(factor):
    image, weak = make_image(100 * factor, 200 * factor, 10 * factor)
    measured = measure_marks(image, weak)
    assert measured.classes.tolist() == [0, 1, 2]
    # The outer segments are 95 wide and 100 high, the stripe is 10 wide.
    expected = np.array([47.5, 5, 47.5]) / np.sqrt(100 * 200)
    np.testing.assert_allclose(measured.widths, expected, atol=1.5 / np.sqrt(100 * 200))


def test_a_mark_without_pixels_counts_for_nothing():
    image, weak = make_image()
    empty = make_mask(1, -1, [100 * 200])
    measured = measure_marks(image, replace(weak, marks=Marks.collect([empty, *weak.marks])))
    assert measured.classes.tolist() == [0, 1, 2]
    assert measured.numbers.tolist() == [1, 2, 3]
    assert np.isfinite(measured.widths).all()


def test_marks_of_a_single_class_have_no_width():
    image, weak = make_image()
    alone = replace(weak, marks=Marks.collect([make_point(1, -1, 100, 50, 1), make_point(1, -1, 100, 80, 1)]))
    assert len(measure_marks(image, alone).widths) == 0
    widths = measure_class_widths([(image, weak), (image, alone)], 4)
    for each in widths:
        assert each[3] == 0
        assert 4 * each[1] < each[0]
    assert not np.any(measure_class_widths([], 4))


def test_one_segment_that_is_far_too_wide_changes_the_mean_alone():
    images = [make_image(stripe=stripe) for stripe in (10, 10, 60)]
    mean, median = measure_class_widths(images, 3)
    usual = measure_marks(*images[0]).widths
    np.testing.assert_allclose(median[1], usual[1])
    assert mean[1] > 2 * median[1]


def test_narrowness_compares_with_the_usual_width():
    # The geometric mean of 0.02, 0.08 and 0.16 is 0.0635.
    expected = [1 - 0.02 / (0.75 * 0.063496), 0, 0, 0]
    np.testing.assert_allclose(find_narrowness([0.02, 0.08, 0.16, 0]), expected, rtol=1e-4)
    # A little narrower than usual is not narrow.
    assert not find_narrowness([0.05, 0.06]).any()
    assert not find_narrowness([0.0, 0.0]).any()
    assert not find_narrowness([0.05]).any()


def test_the_prior_is_a_power_of_the_width_and_even_on_average():
    prior = find_log_prior((0.4, 0.1, 0.0), 1.5)
    np.testing.assert_allclose(prior, [1.5 * np.log(2), -1.5 * np.log(2), 0], rtol=1e-6)
    assert not find_log_prior((0.4, 0.1), 0).any()
    assert not find_log_prior((0.0, 0.0), 1.5).any()
