"""What the labels hold of each class, by hand."""

import pytest
from weak_label_testing import make_point, make_weak_labels

from pseudogt.classes import ClassTable
from pseudogt.reporting.class_counts import count_labels

CLASSES = ClassTable(("sky", "car", "pole"), (7, 3, 5), (False, True, False), ((0, 0, 0),) * 3)


def make_weak(image_id, tags, boxes=0, marks=()):
    return make_weak_labels((10, 20), tags, boxes=[(0, 0, 0, 0)] * boxes, box_classes=1, marks=marks, image_id=image_id)


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
