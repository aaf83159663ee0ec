from __future__ import annotations

import json

import numpy as np
import pytest

from pseudogt.classes import ClassTable
from pseudogt.weak_labels.records import ImageWeakLabels, read_weak_labels, write_weak_labels

CLASSES = ClassTable(("sky", "car"), (1, 2), (False, True), ((0, 0, 255), (0, 0, 142)))


@pytest.fixture
def weak():
    return ImageWeakLabels(
        image_id="a",
        height=20,
        width=30,
        boxes_xyxy=np.array([[0, 0, 30, 20], [3, 4, 5, 6]], np.int32),
        box_classes=np.array([1, 1], np.uint8),
        box_iscrowd=np.array([True, False]),
        tags=np.array([True, True]),
        crops_xyxy=np.array([[0, 0, 15, 20], [15, 0, 30, 20]], np.int32),
        crop_tags=np.array([[True, False], [True, True]]),
    )


@pytest.fixture
def file(tmp_path, weak):
    write_weak_labels(tmp_path / "weak.json", [weak], CLASSES)
    return tmp_path / "weak.json"


def test_weak_labels_round_trip(file, weak):
    images, classes = read_weak_labels([file])
    assert classes == CLASSES
    for field in vars(weak):
        assert np.array_equal(getattr(images["a"], field), getattr(weak, field)), field


def change(file, edit):
    document = json.loads(file.read_text())
    edit(document)
    file.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda d: d["annotations"][0].update(bbox=[1, 1, -3, 4]), "empty or inverted"),
        (lambda d: d["annotations"][0].update(bbox=[20, 1, 11, 4]), "sticks out of the 30x20 image"),
        (lambda d: d["annotations"][0].update(category_id=9), "category_id 9, not one of"),
        (lambda d: d["annotations"][0].update(image_id="z"), "names image 'z'"),
        (lambda d: d["image_tags"].update(a=[1, 8]), r"image 'a': tags \[8\]"),
    ],
)
def test_bad_weak_labels_name_file_and_value(file, edit, message):
    change(file, edit)
    with pytest.raises(ValueError, match=rf"weak\.json: .*{message}"):
        read_weak_labels([file])


def test_numbers_ids_and_truth_values_as_text(file, weak):
    def retype(document):
        for annotation in document["annotations"]:
            annotation.update(category_id=str(annotation["category_id"]), iscrowd=str(annotation["iscrowd"]))
            annotation["bbox"] = [str(value) for value in annotation["bbox"]]
        document["image_tags"]["a"] = ["1", 2]

    change(file, retype)
    images, _ = read_weak_labels([file])
    for field in vars(weak):
        assert np.array_equal(getattr(images["a"], field), getattr(weak, field)), field


def test_image_listed_twice(file):
    with pytest.raises(ValueError, match="'a' is listed twice"):
        read_weak_labels([file, file])


def test_image_without_boxes_and_tags(tmp_path, file):
    change(file, lambda d: d.update(annotations=[], image_tags={}, crop_tags={}))
    image = read_weak_labels([file])[0]["a"]
    assert image.boxes_xyxy.shape == (0, 4)
    assert image.crop_tags.shape == (0, 2)
    assert not image.tags.any()
