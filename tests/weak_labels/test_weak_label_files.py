from __future__ import annotations

import json
import re

import numpy as np
import pytest
from weak_label_testing import make_weak_labels

from pseudogt.classes import ClassTable
from pseudogt.weak_labels.files import read_weak_label_file, read_weak_labels, write_weak_labels

CLASSES = ClassTable(("sky", "car"), (1, 2), (False, True), ((0, 0, 255), (0, 0, 142)))


@pytest.fixture
def weak():
    return make_weak_labels(
        (20, 30),
        (True, True),
        boxes=[[0, 0, 30, 20], [3, 4, 5, 6]],
        box_classes=1,
        crowd=[True, False],
        crops=[[0, 0, 15, 20], [15, 0, 30, 20]],
        crop_tags=[[True, False], [True, True]],
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
        (lambda d: d["categories"][0].pop("isthing"), "an entry lacks 'isthing'"),
        (lambda d: d.update(marks={"a": [{"category_id": 1, "points": [[5, 5]]}]}), "it lacks 'radius'"),
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


def test_categories_of_other_tools_need_no_colour(file):
    change(file, lambda document: [category.pop("color") for category in document["categories"]])
    assert read_weak_labels([file])[1].names == CLASSES.names


def test_image_listed_twice(file):
    with pytest.raises(ValueError, match="'a' is listed twice"):
        read_weak_labels([file, file])


def test_image_without_boxes_and_tags(file):
    change(file, lambda d: d.update(annotations=[], image_tags={}, crop_tags={}))
    image = read_weak_labels([file])[0]["a"]
    assert image.boxes_xyxy.shape == (0, 4)
    assert image.crop_tags.shape == (0, 2)
    assert not image.tags.any()


def write_two_images(folder):
    """A car with a box in each of two images; of the second, the tags say nothing is there."""
    box = {"category_id": 2, "bbox": [3, 4, 5, 6], "iscrowd": 0}
    document = {
        "images": [{"id": name, "height": 20, "width": 30} for name in "ab"],
        "categories": CLASSES.to_categories(),
        "annotations": [{"id": number, "image_id": name, **box} for number, name in enumerate("ab")],
        "image_tags": {"a": [1, 2], "b": []},
        "crop_tags": {"b": [{"crop_xyxy": [0, 0, 15, 20], "tags": []}]},
    }
    path = folder / "weak.json"
    path.write_text(json.dumps(document))
    return path


SKY, CAR = 0, 1


@pytest.mark.parametrize(
    ("edit", "unknown", "message"),
    [
        (lambda d: d["annotations"][1].update(bbox=None), (CAR,), r"annotation 1: bbox: .*\(got None\)"),
        (lambda d: d["annotations"][1].update(bbox=[1, 2, 3]), (CAR,), "annotation 1: bbox"),
        (lambda d: d["annotations"][1].update(bbox=[1, 2, "x", 3]), (CAR,), r"annotation 1: bbox.2: .*\(got 'x'\)"),
        (lambda d: d["annotations"][1].update(bbox=[1, 2, 0, 3]), (CAR,), "annotation 1: .* is empty"),
        (lambda d: d["annotations"][1].update(iscrowd="maybe"), (CAR,), "annotation 1: iscrowd: .*'maybe'"),
        (lambda d: d["annotations"][1].pop("category_id"), (SKY, CAR), "annotation 1 has category_id None"),
        (lambda d: d["annotations"][1].update(category_id=[2]), (SKY, CAR), r"annotation 1 has category_id \[2\]"),
        (lambda d: d["annotations"].append("x"), (), "annotation number 2 names image 'None'"),
        (lambda d: d["images"].append({"id": "c"}), (), "image number 2: height"),
        (lambda d: d["images"].append({"id": "a", "height": 1, "width": 1}), (), "image number 2: image 'a' is listed"),
        (lambda d: d["image_tags"].update(b=[9]), (SKY, CAR), r"image 'b': tags \[9\]"),
        (lambda d: d["image_tags"].update(b=None), (SKY, CAR), r"image 'b': tags \[None\]"),
        (lambda d: d["image_tags"].update(z=[1]), (), "image_tags name image 'z'"),
        (lambda d: d["crop_tags"]["b"][0].pop("tags"), (SKY, CAR), "crop_tags of image 'b': tags: Field required"),
        (lambda d: d["crop_tags"]["b"][0].update(crop_xyxy=[0, 0, 9]), (SKY, CAR), "crop_tags of image 'b': crop_xyxy"),
    ],
)
def test_a_broken_record_hides_no_other_and_its_class_is_not_absent(tmp_path, edit, unknown, message):
    path = write_two_images(tmp_path)
    expected = read_weak_label_file(path).images["a"]
    change(path, edit)
    images, classes, (problem,) = read_weak_label_file(path)
    assert classes == CLASSES and list(images) == ["a", "b"]
    for field in vars(expected):
        assert np.array_equal(getattr(images["a"], field), getattr(expected, field)), field
    assert images["b"].unknown_ids == unknown and not images["b"].tags.any()
    assert str(path) in problem and re.search(message, problem)
    with pytest.raises(ValueError, match=message):
        read_weak_labels([path])


def test_a_tag_outweighs_a_broken_box(tmp_path):
    path = write_two_images(tmp_path)
    change(path, lambda d: d["annotations"][0].update(bbox=[0, 0, 99, 99]))
    assert read_weak_label_file(path).images["a"].unknown_ids == ()
