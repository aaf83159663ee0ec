"""What the labels hold of each class, by hand."""

import numpy as np
import pytest
from mark_testing import make_point

from pseudogt.classes import ClassTable
from pseudogt.reporting.class_counts import count_labels
from pseudogt.weak_labels.marks import Marks
from pseudogt.weak_labels.records import ImageWeakLabels

CLASSES = ClassTable(("sky", "car", "pole"), (7, 3, 5), (False, True, False), ((0, 0, 0),) * 3)


def make_weak(image_id, tags, boxes=0, marks=()):
    none = np.zeros((0, 4), np.int32)
    found = np.zeros((boxes, 4), np.int32), np.full(boxes, 1, np.uint8), np.zeros(boxes, bool)
    return ImageWeakLabels(
        image_id, 10, 20, *found, np.array(tags, bool), none, np.zeros((0, 3), bool), marks=Marks.collect(marks)
    )


class Labels:
    def __init__(self, *segments):
        self.found = [{"category_id": category_id, "area": area} for category_id, area in segments]

    def segments(self, image_id):
        return self.found


def test_images_instances_and_pixels_are_counted():
    weak = {
        "a": make_weak("a", [1, 0, 1], boxes=2),  # sky, a pole that gets no label, two cars of which one does
        "b": make_weak("b", [0, 0, 0], marks=[make_point(2, -1, 5, 5, 1)]),  # a pole, by a mark alone
        "c": make_weak("c", [1, 0, 0]),  # without labels
    }
    labels = {"a": Labels((7, 100), (3, 60)), "b": Labels((5, 30), (7, 10))}  # sky in b, which nobody tagged
    rows = {row["name"]: row for row in count_labels(weak, labels, CLASSES)}
    keys = ("images", "labelled_images", "boxes", "instances")
    assert {name: tuple(row[key] for key in keys) for name, row in rows.items()} == {
        "sky": (2, 1, 0, 0),
        "car": (1, 1, 2, 1),
        "pole": (2, 1, 0, 0),
    }
    assert [row["pixel_share"] for row in rows.values()] == pytest.approx([110 / 200, 60 / 200, 30 / 200])
