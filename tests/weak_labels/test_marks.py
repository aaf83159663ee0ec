"""Marks: their pixels, their objects, the tags they imply, and the file that holds them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from weak_label_testing import make_point, make_weak_labels

from pseudogt.annotations.geometry import encode_mask
from pseudogt.classes import ClassTable
from pseudogt.weak_labels.candidates import candidate_classes
from pseudogt.weak_labels.files import read_weak_labels, write_weak_labels
from pseudogt.weak_labels.labelled import find_labelled_pixels
from pseudogt.weak_labels.marks import NO_OBJECT, UNSETTLED, Mark, make_mask
from pseudogt.weak_labels.records import ImageWeakLabels, complete_marks
from pseudogt.weak_labels.supervision import describe_image

SKY, ROAD, CAR = 0, 1, 2
CLASSES = ClassTable(("sky", "road", "car"), (1, 2, 7), (False, False, True), ((0, 0, 0), (1, 1, 1), (2, 2, 2)))


def make_weak(marks, boxes=(), tags=(0, 0, 0), **others) -> ImageWeakLabels:
    weak = make_weak_labels((20, 30), tags, boxes=boxes, box_classes=CAR, marks=marks, **others)
    return complete_marks(weak, CLASSES)


def point(train_id: int, x: float, y: float, radius: float = 1.0, owner: int = UNSETTLED) -> Mark:
    return make_point(train_id, owner, x, y, radius)


def test_pixels_of_a_point_are_those_whose_middle_is_near():
    y, x = np.mgrid[:20, :30]
    expected = np.hypot(x + 0.5 - 12.2, y + 0.5 - 7.9) <= 3
    found = point(SKY, 12.2, 7.9, 3).find_pixels(20, 30)
    np.testing.assert_array_equal(found, np.argwhere(expected))


@pytest.mark.parametrize(("x", "y"), [(0, 0), (30, 20), (4.99, 5.01), (12.5, 8.5)])
def test_a_point_without_radius_labels_the_pixel_it_lies_in(x, y):
    pixels = point(SKY, x, y, 0).find_pixels(20, 30).tolist()
    assert [min(int(y), 19), min(int(x), 29)] in pixels


def test_a_scribble_is_as_wide_as_it_was_drawn_and_stays_in_the_image():
    scribble = Mark(ROAD, UNSETTLED, 1.0, np.array([[2.5, 10.0], [20.5, 10.0], [20.5, 40.0]]))
    drawn = np.zeros((20, 30), bool)
    drawn[tuple(scribble.find_pixels(20, 30).T)] = True
    assert drawn[:, 10].nonzero()[0].tolist() == [9, 10]
    assert drawn[15].nonzero()[0].tolist() == [19, 20, 21]
    assert scribble.kind == "scribble"


def test_a_mask_is_read_from_run_lengths():
    mask = np.random.default_rng(0).random((20, 30)) > 0.6
    mark = make_mask(SKY, NO_OBJECT, encode_mask(mask)["counts"])
    drawn = np.zeros((20, 30), bool)
    drawn[tuple(mark.find_pixels(20, 30).T)] = True
    np.testing.assert_array_equal(drawn, mask)


@pytest.mark.parametrize(
    ("boxes", "crowd", "owner"),
    [
        ([], False, 0),
        ([[20, 0, 30, 9]], False, 1),
        ([[20, 0, 30, 9], [0, 0, 9, 9]], False, 1),
        ([[1, 1, 9, 9], [0, 0, 9, 9]], False, NO_OBJECT),
        ([[1, 1, 9, 9], [0, 0, 9, 9]], [True, False], 1),
        ([[1, 1, 9, 9]], [True], NO_OBJECT),
    ],
)
def test_a_thing_belongs_to_the_only_box_around_it(boxes, crowd, owner):
    weak = make_weak([point(CAR, 5, 5), point(SKY, 5, 15)], boxes, crowd=crowd)
    assert weak.marks.owners.tolist() == [owner, NO_OBJECT]


def test_things_that_share_an_object_are_not_split():
    weak = make_weak([point(CAR, 5, 5, owner=1), point(CAR, 20, 5), point(CAR, 8, 5, owner=1)], [[0, 10, 9, 19]])
    assert weak.marks.owners.tolist() == [1, 2, 1]
    assert weak.object_classes.tolist() == [CAR] * 3


def test_marks_of_one_object_find_their_box_together():
    """One of three lies outside the box around the others; two of another object lie in no box."""
    owners = [UNSETTLED - 1, UNSETTLED - 2, UNSETTLED - 1, UNSETTLED - 1, UNSETTLED - 2]
    places = [(5, 5), (20, 15), (6, 5), (12, 5), (22, 15)]
    marks = [point(CAR, x, y, owner=owner) for owner, (x, y) in zip(owners, places, strict=True)]
    assert make_weak(marks, [[0, 0, 9, 9]]).marks.owners.tolist() == [0, 1, 0, 0, 1]


def test_marks_imply_tags_of_the_image_and_of_the_crops_they_lie_in():
    crops = [[0, 0, 15, 20], [10, 0, 30, 20]]
    weak = make_weak([point(ROAD, 12, 5)], crops=crops, crop_tags=[[1, 0, 0], [1, 0, 0]], unknown=[ROAD])
    assert weak.tags.tolist() == [False, True, False]
    assert weak.crop_tags.tolist() == [[True, True, False]] * 2
    assert weak.unknown_ids == (ROAD,)
    assert make_weak([point(ROAD, 12, 5)], unknown=[ROAD, CAR]).unknown_ids == (CAR,)
    # The radius alone reaches into the second crop, which nobody said to hold it.
    beside = make_weak([point(ROAD, 8.5, 5.5, 3)], crops=crops, crop_tags=[[1, 0, 0], [1, 0, 0]])
    assert beside.crop_tags.tolist() == [[True, True, False], [True, False, False]]
    assert find_labelled_pixels(beside).columns.max() == 9


def test_pixels_of_several_classes_are_not_labelled():
    found = find_labelled_pixels(make_weak([point(SKY, 5.5, 5.5, 2), point(ROAD, 7.5, 5.5, 2)]))
    label = {
        (y, x): c for y, x, c in zip(found.rows.tolist(), found.columns.tolist(), found.classes.tolist(), strict=True)
    }
    assert label[5, 4] == SKY and label[5, 8] == ROAD and (5, 6) not in label
    assert len(label) == len(found.rows)


def test_pixels_of_several_objects_are_of_none_and_boxes_hold_their_own():
    weak = make_weak([point(CAR, 4.5, 5.5, 2, 0), point(CAR, 7.5, 5.5, 2, 1)], [[0, 0, 6, 20]])
    found = find_labelled_pixels(weak)
    owners = {
        (y, x): o for y, x, o in zip(found.rows.tolist(), found.columns.tolist(), found.owners.tolist(), strict=True)
    }
    assert owners[5, 4] == 0 and owners[5, 8] == 1 and owners[5, 5] == NO_OBJECT
    assert owners[5, 6] == 1


def test_a_mark_outside_the_boxes_of_its_class_says_that_there_are_more():
    inside, outside = make_weak([point(CAR, 5, 5)], [[0, 0, 9, 9]]), make_weak([point(CAR, 20, 5)], [[0, 0, 9, 9]])
    assert candidate_classes(inside, CLASSES)[CAR].sum() == 81
    assert candidate_classes(outside, CLASSES)[CAR].all()
    assert (inside.partly_boxed_ids, outside.partly_boxed_ids) == ((), (CAR,))


def test_files_hold_marks_of_all_kinds(tmp_path):
    mask = make_mask(SKY, NO_OBJECT, [7, 3, 590])
    scribble = Mark(ROAD, NO_OBJECT, 1.5, np.array([[2.5, 10.0], [20.5, 10.25]]))
    written = make_weak([point(CAR, 5, 5), mask, scribble, point(CAR, 25, 5)], [[0, 0, 9, 9]], tags=(0, 1, 1))
    path = tmp_path / "weak.json"
    write_weak_labels(path, [written], CLASSES)
    (read,), classes = read_weak_labels([path])[0].values(), read_weak_labels([path])[1]
    assert classes == CLASSES
    for name, value in vars(written.marks).items():
        np.testing.assert_array_equal(getattr(read.marks, name), value)
    assert [mark.kind for mark in read.marks] == ["point", "mask", "scribble", "point"]
    assert describe_image(read, has_full_label=False) == "image tags + boxes + points + scribbles + masks"


def test_marks_of_no_object_stay_without_one_in_a_file(tmp_path):
    """Together, these marks lie in two boxes; each alone lies in one, or in none."""
    group = [point(CAR, x, 5, owner=UNSETTLED - 1) for x in (8, 10, 12, 25)]
    written = make_weak([*group, point(SKY, 5, 15)], [[0, 0, 13, 9], [5, 0, 14, 9]], tags=(0, 0, 1))
    assert written.marks.owners.tolist() == [NO_OBJECT] * 5
    write_weak_labels(tmp_path / "weak.json", [written], CLASSES)
    (read,) = read_weak_labels([tmp_path / "weak.json"])[0].values()
    assert read.marks.owners.tolist() == [NO_OBJECT] * 5
    assert read.partly_boxed_ids == written.partly_boxed_ids == ()
    stuff = json.loads((tmp_path / "weak.json").read_text())["marks"]["a"][-1]
    assert "no_object" not in stuff


def test_a_file_without_marks_is_as_before(tmp_path):
    write_weak_labels(tmp_path / "weak.json", [make_weak([], [[0, 0, 9, 9]])], CLASSES)
    assert "marks" not in json.loads((tmp_path / "weak.json").read_text())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"category_id": 9}, "mark 0 has category_id 9"),
        ({"annotation_id": 5}, "belongs to annotation 5, which is not a box of this image"),
        ({"annotation_id": 1, "category_id": 2}, "of another class than annotation 1"),
        ({"points": [[31, 5]]}, r"\[31.0, 5.0\] lies outside the 30x20 image"),
        ({"points": []}, "its points are not"),
        ({"radius": -1}, "has radius -1"),
        ({"segmentation": {"size": [20, 30], "counts": [5, 5]}}, "do not fill the image"),
        ({"no_object": "perhaps"}, "no_object"),
    ],
)
def test_a_broken_mark_is_named(tmp_path, change, message):
    path = tmp_path / "weak.json"
    write_weak_labels(path, [make_weak([], [[0, 0, 9, 9]])], CLASSES)
    document = json.loads(path.read_text())
    document["marks"] = {"a": [{"category_id": 7, "points": [[5, 5]], "radius": 1} | change]}
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=message) as caught:
        read_weak_labels([path])
    assert str(path) in str(caught.value)


def test_boxes_without_an_id_of_their_own_own_no_mark_and_keep_their_numbers(tmp_path):
    path = tmp_path / "weak.json"
    write_weak_labels(path, [make_weak([], [[0, 0, 9, 9], [10, 0, 19, 9]])], CLASSES)
    document = json.loads(path.read_text())
    category = document["annotations"][0]["category_id"]
    for annotation in document["annotations"]:
        annotation["id"] = 1
    document["marks"] = {"a": [{"category_id": category, "points": [[25, 15]], "radius": 1, "instance": "third"}]}
    path.write_text(json.dumps(document))
    (image,) = read_weak_labels([path])[0].values()
    assert image.marks.owners.tolist() == [2]
    document["marks"]["a"][0] = {"category_id": category, "points": [[5, 5]], "radius": 1, "annotation_id": 1}
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match="belongs to annotation 1"):
        read_weak_labels([path])
