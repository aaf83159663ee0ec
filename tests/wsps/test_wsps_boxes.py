"""Boxes of the authors' code: corners, and boxes from instance ids."""

from __future__ import annotations

import numpy as np
import pytest

from pseudogt.wsps.boxes import find_instance_boxes, half_open_to_inclusive, inclusive_to_half_open


def test_inclusive_box_of_one_pixel_is_half_open_of_side_one():
    assert inclusive_to_half_open([[3, 4, 3, 4]]).tolist() == [[3, 4, 4, 5]]
    assert half_open_to_inclusive([[3, 4, 4, 5]]).tolist() == [[3, 4, 3, 4]]


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
