"""Boxes: conventions, clipping, filling, boxes from instance ids."""

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
    find_instance_boxes,
    find_tight_box,
    half_open_to_inclusive,
    inclusive_to_half_open,
    measure_box_radius,
)


def test_inclusive_box_of_one_pixel_is_half_open_of_side_one():
    assert inclusive_to_half_open([[3, 4, 3, 4]]).tolist() == [[3, 4, 4, 5]]
    assert half_open_to_inclusive([[3, 4, 4, 5]]).tolist() == [[3, 4, 3, 4]]


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


def find(ids, **options):
    return find_instance_boxes(ids, stuff_ids=[0, 1], thing_ids=[11, 12], num_classes=13, **options)


def test_instance_boxes_in_order_of_ids():
    ids = np.zeros((4, 6), np.uint16)
    ids[1, 2:4], ids[2, 5], ids[3, 0] = 11001, 11, 255
    found = find(ids)
    assert found.boxes_xyxy.tolist() == [[0, 0, 6, 4], [5, 2, 6, 3], [2, 1, 4, 2]]
    assert found.classes.tolist() == [0, 11, 11]
    assert found.iscrowd.tolist() == [False, True, False]
    assert found.isstuff.tolist() == [True, False, False]
    assert find(ids, include_stuff=False, include_groups=False).classes.tolist() == [11]


def test_quirk_integer_ids_round_to_the_nearest_class():
    assert find(np.full((2, 2), 11500, np.uint16)).classes.tolist() == [12]
    assert find(np.full((2, 2), 11500.0)).classes.tolist() == [11]
    with pytest.raises(ValueError, match="class 13"):
        find(np.full((2, 2), 12500, np.uint16))


def test_quirk_absent_ignore_label_that_is_a_class_gets_a_box():
    ids = np.ones((2, 3), np.uint16)
    assert find(ids, ignore_label=0).classes.tolist() == [0, 1]
    group = find(ids, ignore_label=11)
    assert group.boxes_xyxy[group.iscrowd].tolist() == [[0, 0, 0, 0]]


def test_radius_is_one_at_the_middle_of_each_side():
    radius = measure_box_radius(201, 101)
    np.testing.assert_allclose([radius[100, 50], radius[0, 50], radius[100, 0]], [0, 1, 1], atol=0.01)
    assert measure_box_radius(1, 1).tolist() == [[0]]
