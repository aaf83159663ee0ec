"""The label that segmenters give an image, and what labelled pixels say against them."""

from __future__ import annotations

import numpy as np

from pseudogt.box_masks.labelling import label_boxes
from pseudogt.box_masks.scene import BoxScene
from pseudogt.classes import ClassTable
from pseudogt.weak_labels.labelled import LabelledPixels

ROAD, CAR = 0, 1
CLASSES = ClassTable(("road", "car"), (1, 2), (False, True), ((0, 0, 0), (9, 9, 9)))


def label(segment, *pixels):
    """Label of two boxes side by side, with labelled pixels (row, column, class, owner)."""
    rows, columns, classes, owners = np.array(pixels, int).reshape(-1, 4).T
    labelled = LabelledPixels(rows, columns, classes.astype(np.uint8), owners.astype(np.int32))
    boxes = np.array([[0, 0, 4, 2], [4, 0, 8, 2]], np.int32)
    scene = BoxScene(np.zeros((3, 8, 3), np.uint8), boxes, np.full(2, CAR), labelled=labelled)
    crowd = np.zeros(2, bool)
    return label_boxes(scene, crowd, [lambda _: segment], CLASSES, sure=0.5, overlap="nearest")[0]


def test_labelled_pixels_decide_against_the_segmenters():
    full, empty = (lambda _: np.ones((2, 4), bool)), (lambda _: np.zeros((2, 4), bool))
    background = CLASSES.background_category_id * 1000
    assert label(full)[0].tolist() == [2001] * 4 + [2002] * 4
    # A point of road, and one of a car without box, are not of the car whose box they lie in.
    assert label(full, (0, 1, ROAD, -1), (1, 6, CAR, 2))[:2].tolist() == [
        [2001, background, 2001, 2001] + [2002] * 4,
        [2001] * 4 + [2002, 2002, background, 2002],
    ]
    assert label(empty, (0, 1, CAR, 0))[0].tolist() == [background, 2001] + [background] * 6


def test_a_pixel_of_one_of_several_objects_says_nothing_of_its_box():
    assert (label(lambda _: np.ones((2, 4), bool), (0, 1, CAR, -1))[:2] // 1000 == 2).all()
