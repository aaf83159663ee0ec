"""Points for prompts, from labelled pixels."""

from __future__ import annotations

import numpy as np

from pseudogt.box_masks.prompts import MOST_POINTS, choose_points
from pseudogt.box_masks.scene import BoxScene
from pseudogt.weak_labels.labelled import LabelledPixels
from pseudogt.weak_labels.marks import NO_OBJECT

BOXES = np.array([[0, 0, 80, 40], [60, 20, 100, 60]], np.int32)
CAR, ROAD = 1, 0


def choose(pixels, index=0):
    """Points of a box from pixels (row, column, class, owner)."""
    rows, columns, classes, owners = np.array(pixels, int).reshape(-1, 4).T
    labelled = LabelledPixels(rows, columns, classes.astype(np.uint8), owners.astype(np.int32))
    return choose_points(BoxScene(np.zeros((60, 100, 3), np.uint8), BOXES, np.full(2, CAR), labelled=labelled), index)


def test_points_of_the_thing_come_before_those_of_others():
    found = choose([(5, 50, ROAD, NO_OBJECT), (10, 20, CAR, 0), (30, 70, CAR, 1)])
    assert found.xy.tolist() == [[20.5, 10.5], [50.5, 5.5], [70.5, 30.5]]
    assert found.is_thing.tolist() == [True, False, False]


def test_pixels_outside_the_box_and_of_no_known_object_say_nothing():
    found = choose([(50, 90, CAR, 1), (10, 20, CAR, NO_OBJECT)])
    assert found.xy.shape == (0, 2) and found.is_thing.shape == (0,)
    assert choose([]).xy.shape == (0, 2)


def test_a_click_is_one_point_and_a_scribble_several_that_are_far_apart():
    click = [(20 + y, 30 + x, CAR, 0) for y in range(-4, 5) for x in range(-4, 5)]
    assert choose(click).xy.tolist() == [[30.5, 20.5]]
    scribble = choose([(20, column, CAR, 0) for column in range(80)]).xy
    assert len(scribble) == MOST_POINTS
    assert np.diff(np.sort(scribble[:, 0])).min() >= 10
