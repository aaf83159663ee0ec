"""The instance step and the composition of panoptic ids."""

from __future__ import annotations

import numpy as np
import pytest

from pseudogt.classes import BACKGROUND, IGNORE_LABEL, ClassTable
from pseudogt.pseudo_labels.instances import assign_instances, compose_panoptic, number_boxes

CAR = 2
CLASSES = ClassTable(("sky", "road", "car"), (1, 2, 3), (False, False, True), ((0, 0, 0),) * 3)


def assign(semantic, boxes, crowd=None, **options):
    count = len(boxes)
    return assign_instances(np.array(semantic, np.uint8), boxes, [CAR] * count, crowd or [False] * count, **options)


def test_truth_table():
    step = assign([[CAR, CAR, CAR, CAR, 0, IGNORE_LABEL]], [[0, 0, 2, 1], [1, 0, 3, 1]])
    assert step.instances.tolist() == [[1, -1, 2, 0, 0, -1]]
    assert step.instances.dtype == np.int32
    assert step.box_indices.tolist() == [0, 1]


def test_triple_overlap_stays_ignored():
    assert assign([[CAR]], [[0, 0, 1, 1], [0, 0, 1, 2], [0, 0, 2, 1]]).instances.item() == -1


def test_no_box():
    step = assign([[CAR, IGNORE_LABEL]], [])
    assert step.instances.tolist() == [[0, -1]]
    assert not len(step.box_indices)


def test_quirk_a_group_before_an_equal_instance_hides_it():
    box = [0, 0, 1, 1]
    assert assign([[CAR]], [box, box], [True, False]).instances.item() == 0
    assert assign([[CAR]], [box, box], [False, True]).instances.item() == 1


def test_quirk_a_box_without_pixels_uses_up_its_number():
    step = assign([[0, CAR]], [[0, 0, 1, 1], [1, 0, 2, 1]])
    assert step.instances.tolist() == [[0, 2]]
    assert step.missing.tolist() == [1]


def test_quirk_ids_saturate_only_if_asked_for():
    semantic = np.full((1, 300), CAR, np.uint8)
    boxes = [[x, 0, x + 1, 1] for x in range(300)]
    assert assign(semantic, boxes).instances.max() == 300
    saturated = assign(semantic, boxes, ignore_id=255, max_id=255).instances
    assert (saturated[0, 254:] == 255).all()


def test_box_numbers_count_within_a_class_and_skip_groups():
    assert number_boxes([2, 5, 2, 2, 5], [False, False, True, False, False]).tolist() == [1, 1, 0, 2, 2]


def test_compose_panoptic():
    semantic = np.array([[CAR, CAR, CAR, 0, IGNORE_LABEL, BACKGROUND]], np.uint8)
    owner = np.array([[0, 1, -1, 0, -1, -1]], np.int32)
    panoptic_id = compose_panoptic(semantic, owner, np.array([1, 2], np.int32), CLASSES)
    assert panoptic_id.tolist() == [[3001, 3002, 3000, 1000, 0, 4000]]
    assert panoptic_id.dtype == np.int32


def test_compose_panoptic_refuses_what_a_file_can_not_hold():
    one = np.zeros((1, 1), np.int32)
    with pytest.raises(ValueError, match="999"):
        compose_panoptic(one.astype(np.uint8), one, np.array([1000], np.int32), CLASSES)
    with pytest.raises(ValueError, match="differ in shape"):
        compose_panoptic(np.zeros((1, 2), np.uint8), one, np.array([1], np.int32), CLASSES)
