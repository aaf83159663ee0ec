"""Boxes: clipping, filling, overlaps, radii."""

from __future__ import annotations

import numpy as np
import pytest

from pseudogt.boxes import (
    box_areas,
    box_iou,
    check_boxes,
    clip_boxes,
    fill_boxes,
    fill_class_masks,
    find_tight_box,
    measure_box_radius,
)


@pytest.mark.parametrize("box", [[5, 0, 5, 4], [6, 0, 5, 4], [-1, 0, 5, 4], [0, 0, 11, 4], [0, 0, 4, 9]])
def test_check_boxes_names_the_bad_box(box):
    with pytest.raises(ValueError, match=str(box).replace("[", r"\[").replace("]", r"\]")):
        check_boxes([[0, 0, 1, 1], box], (8, 10))


def test_check_boxes_accepts_none_one_pixel_and_the_whole_image():
    assert check_boxes([], (8, 10)).shape == (0, 4)
    assert len(check_boxes([[9, 7, 10, 8], [0, 0, 10, 8]], (8, 10))) == 2


def test_box_outside_the_image_stays_inverted_and_paints_nothing():
    clipped = clip_boxes([[20, 2, 30, 5], [-9, 2, -3, 5]], (8, 10))
    assert clipped.tolist() == [[20, 2, 10, 5], [0, 2, -3, 5]]
    assert (box_areas(clipped) < 0).all()
    assert not fill_boxes(clipped, (8, 10)).any()
    assert not fill_class_masks(clipped, [1, 1], (8, 10))[1].any()


def test_iou():
    iou = box_iou([[0, 0, 4, 4], [5, 5, 3, 3]], [[0, 0, 4, 4], [2, 0, 6, 4], [4, 0, 8, 4]])
    np.testing.assert_allclose(iou, [[1, 8 / 24, 0], [0, 0, 0]])


def test_tight_box():
    mask = np.zeros((6, 8), bool)
    assert find_tight_box(mask).tolist() == [0, 0, 0, 0]
    mask[2, 3] = mask[4, 6] = True
    assert find_tight_box(mask).tolist() == [3, 2, 7, 5]


def test_radius_is_one_at_the_middle_of_each_side():
    radius = measure_box_radius(201, 101)
    np.testing.assert_allclose([radius[100, 50], radius[0, 50], radius[100, 0]], [0, 1, 1], atol=0.01)
    assert measure_box_radius(1, 1).tolist() == [[0]]
