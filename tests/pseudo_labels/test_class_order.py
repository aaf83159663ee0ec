"""The three numberings of classes in JTSM."""

from __future__ import annotations

import numpy as np

from pseudogt.classes import IGNORE_LABEL, ClassTable
from pseudogt.pseudo_labels.class_order import ClassOrder, find_semantic_labels, find_train_ids, merge_things

ROAD, CAR, SKY, BUS = range(4)
CLASSES = ClassTable(("road", "car", "sky", "bus"), (1, 2, 3, 4), (False, True, False, True), ((0, 0, 0),) * 4)


def test_positions_and_labels():
    order = ClassOrder(things=2, stuff=2)
    assert CLASSES.things_first.tolist() == [CAR, BUS, ROAD, SKY]
    assert CLASSES.things_first[order.of_things].tolist() == [CAR, BUS]
    assert CLASSES.things_first[order.of_stuff].tolist() == [ROAD, SKY]
    assert (order.count, order.label_count) == (4, 3)
    assert order.labels.tolist() == [0, 0, 1, 2]
    assert order.stuff_labels.tolist() == [1, 2]


def test_labels_and_train_ids():
    assert find_train_ids(CLASSES).tolist() == [IGNORE_LABEL, ROAD, SKY]
    labels = find_semantic_labels(CLASSES)
    assert labels[:4].tolist() == [1, 0, 2, 0]
    assert (labels[4:] == IGNORE_LABEL).all()
    by_train_id = np.array([[1, 0], [0, 0], [1, 1], [0, 1]], bool)
    assert merge_things(by_train_id, CLASSES).astype(int).tolist() == [[0, 1], [1, 0], [1, 1]]


def test_things_or_stuff_alone():
    assert ClassOrder(things=2, stuff=0).labels.tolist() == [0, 0]
    assert ClassOrder(things=0, stuff=2).labels.tolist() == [1, 2]
    stuff = ClassTable(("road", "sky"), (1, 2), (False, False), ((0, 0, 0),) * 2)
    assert merge_things(np.ones((2, 3), bool), stuff).tolist() == [[False] * 3, [True] * 3, [True] * 3]
