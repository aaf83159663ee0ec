"""From what readers found to weak labels of the dataset's images."""

from __future__ import annotations

import pytest

from pseudogt.annotations.conversion import convert_readings
from pseudogt.annotations.fitting import round_outwards
from pseudogt.annotations.form import REGION_CHOICE, AnnotatedBox, ImageAnnotations, Reading, UnusableObject
from pseudogt.annotations.records import merge_readings
from pseudogt.classes import ClassTable
from pseudogt.config.annotations import AnnotationsSettings
from pseudogt.files.index import ImageRecord

CLASSES = ClassTable(("sky", "road", "car", "bus"), (1, 2, 3, 4), (False, False, True, True), ((0, 0, 0),) * 4)
RECORDS = [ImageRecord(i, f"/images/{i}.jpg", 20, 30, "") for i in ("a", "b", "c")]
CAR = AnnotatedBox("car", (1, 2, 5, 6))


def boxes(*images, labels=("car", "bus")):
    return Reading(list(images), box_labels=frozenset(labels))


def convert(boxed=None, tagged=None, classes=CLASSES, **settings):
    return convert_readings(boxed, tagged, RECORDS, classes, AnnotationsSettings(**settings))


def describe_tags(weak):
    """One letter per class: present, absent or unknown."""
    return "".join("p" if tag else "a" if known else "u" for tag, known in zip(weak.tags, weak.known, strict=True))


def test_tags_of_images_with_boxes():
    """Looked at and found, looked at and empty, not looked at."""
    unlabelled = ImageAnnotations("c", boxed=False)
    result = convert(boxes(ImageAnnotations("a.jpg", [CAR]), ImageAnnotations("b.jpg"), unlabelled))
    assert not result.problems
    assert [describe_tags(w) for w in result.images] == ["uupa", "uuaa", "uuuu"]
    assert result.images[0].boxes_xyxy.tolist() == [[1, 2, 5, 6]] and result.images[0].box_classes.tolist() == [2]
    assert [w.height for w in result.images] == [20, 20, 20]


def test_an_image_without_annotations_is_unknown_and_said_so():
    result = convert(boxes(ImageAnnotations("a.jpg", [CAR])))
    assert describe_tags(result.images[1]) == "uuuu"
    assert "2 images have no annotations and train nothing: 'b', 'c'" in result.warnings


def test_classes_that_no_source_names_are_unknown():
    result = convert(boxes(ImageAnnotations("a.jpg", [CAR]), labels=["car"]))
    assert describe_tags(result.images[0]) == "uupu"


@pytest.mark.parametrize(
    ("unlisted", "expected"), [("absent", ["papa", "aaaa", "uupu"]), ("unknown", ["pupu", "uuuu", "uupu"])]
)
def test_tags_beside_boxes(unlisted, expected):
    """Image c is in the file of boxes only; nothing is known of its stuff, and of things only what has a box."""
    boxed = boxes(ImageAnnotations("a", [CAR]), ImageAnnotations("b"), ImageAnnotations("c", [CAR], boxed=False))
    tagged = Reading(
        [ImageAnnotations("a", boxed=False, tags={"sky": True}), ImageAnnotations("b", boxed=False)],
        tag_labels=frozenset({"sky", "road"}),
    )
    result = convert(boxed, tagged, unlisted=unlisted)
    assert [describe_tags(w) for w in result.images] == expected


def test_explicit_states_win_over_what_is_unlisted():
    tagged = Reading(
        [ImageAnnotations("a", boxed=False, tags={"sky": None, "road": False, "bus": True})],
        tag_labels=frozenset({"sky", "road", "bus"}),
    )
    assert describe_tags(convert(None, tagged).images[0]) == "uaup"


def test_box_and_tag_contradict():
    tagged = Reading([ImageAnnotations("a", boxed=False, tags={"car": False})], tag_labels=frozenset({"car"}))
    result = convert(boxes(ImageAnnotations("a", [CAR])), tagged)
    assert result.problems == ["image 'a' has a box or a mark of 'car', and a tag that says it is absent; remove one"]


def test_tags_in_the_file_of_boxes():
    image = ImageAnnotations("a", [CAR], tags={"sky": True})
    reading = Reading([image, ImageAnnotations("b")], frozenset({"car"}), frozenset({"sky", "road"}))
    assert [describe_tags(w) for w in convert(reading).images[:2]] == ["papu", "aaau"]


def test_background_is_where_no_box_is():
    classes = ClassTable(("rest", "car"), (1, 2), (False, True), ((0, 0, 0),) * 2)
    boxed = boxes(ImageAnnotations("a", [CAR]), ImageAnnotations("b"), labels=["car"])
    result = convert(boxed, classes=classes, background="outside_boxes")
    assert [describe_tags(w) for w in result.images] == ["pp", "pa", "uu"]


def test_background_needs_one_stuff_class():
    result = convert(boxes(ImageAnnotations("a", [CAR])), background="outside_boxes")
    assert "exactly one stuff class" in result.problems[0]


def test_difficult_objects():
    hard = AnnotatedBox("bus", (1, 1, 9, 9), difficult=True)
    result = convert(boxes(ImageAnnotations("a", [CAR, hard])))
    assert describe_tags(result.images[0]) == "uupu" and len(result.images[0].boxes_xyxy) == 1
    result = convert(boxes(ImageAnnotations("a", [CAR, hard])), difficult="use")
    assert describe_tags(result.images[0]) == "uupp" and len(result.images[0].boxes_xyxy) == 2
    result = convert(boxes(ImageAnnotations("a", [CAR, hard])), difficult="absent")
    assert describe_tags(result.images[0]) == "uupa" and len(result.images[0].boxes_xyxy) == 1
    both = [hard, AnnotatedBox("bus", (3, 3, 5, 5))]
    assert describe_tags(convert(boxes(ImageAnnotations("a", both))).images[0]) == "uuap"


def test_renamed_and_unknown_classes():
    van = AnnotatedBox("van", (1, 1, 9, 9))
    reading = boxes(ImageAnnotations("a", [CAR, van]), labels=["car", "van"])
    assert (
        "class 'van' of the annotations is not in dataset.classes (sky, road, car, bus)" in convert(reading).problems[0]
    )
    assert convert(reading, rename={"van": "bus"}).images[0].box_classes.tolist() == [2, 3]
    assert convert(reading, rename={"van": None}).images[0].box_classes.tolist() == [2]
    problems = convert(reading, rename={"van": "lorry", "truck": "car"}).problems
    assert "'van'" in problems[0] and "'truck' is not a class of the annotations" in problems[1]


def test_boxes_of_stuff_are_tags():
    sky = AnnotatedBox("sky", (1, 1, 9, 9))
    reading = boxes(ImageAnnotations("a", [sky, sky, CAR]), ImageAnnotations("b"), labels=["sky", "car"])
    result = convert(reading)
    assert not result.problems and [describe_tags(w) for w in result.images] == ["pupu", "auau", "uuuu"]
    assert result.images[0].box_classes.tolist() == [2]
    assert "1 boxes and polygons of stuff became tags of their class" in result.warnings
    assert "box 1 is of 'sky', which is stuff" in convert(reading, stuff="error").problems[0]


@pytest.mark.parametrize("corners", [(5, 5, 5, 9), (9, 5, 5, 9), (31, 2, 40, 6), (-9, 2, -1, 6), (2, 20, 5, 25)])
def test_boxes_without_area_in_the_image(corners):
    reading = boxes(ImageAnnotations("a", [CAR, AnnotatedBox("car", corners)]))
    assert "image 'a': box 2 (car)" in convert(reading).problems[0]
    result = convert(reading, bad_boxes="skip")
    assert not result.problems and len(result.images[0].boxes_xyxy) == 1
    assert result.warnings[0] == "1 boxes without area in their image are left out, so their class is unknown there"


def test_boxes_are_clipped_and_said_so():
    result = convert(boxes(ImageAnnotations("a", [AnnotatedBox("car", (-3, 2, 31.5, 6))])))
    assert result.images[0].boxes_xyxy.tolist() == [[0, 2, 30, 6]]
    assert "1 boxes stick out of their image and are clipped" in result.warnings


def test_equal_boxes_are_kept_once():
    result = convert(boxes(ImageAnnotations("a", [CAR, CAR, AnnotatedBox("bus", CAR.xyxy)])))
    assert result.images[0].box_classes.tolist() == [2, 3]
    assert "boxes are there twice" in result.warnings[0]


def test_fractions_are_scaled():
    result = convert(boxes(ImageAnnotations("a", [AnnotatedBox("car", (0.1, 0.25, 0.499, 0.9))], relative=True)))
    assert result.images[0].boxes_xyxy.tolist() == [[3, 5, 15, 18]]


@pytest.mark.parametrize(
    ("corners", "expected"),
    [
        ((1, 2, 5, 6), (1, 2, 5, 6)),
        ((1.5, 2.2, 5.5, 6.2), (1, 2, 6, 7)),
        ((0.9999, 1.98, 5.0001, 6.02), (1, 2, 5, 6)),
        ((3.01, 3.01, 3.02, 3.02), (3, 3, 4, 4)),
    ],
)
def test_rounding(corners, expected):
    assert round_outwards(corners) == expected


def test_sizes_must_agree():
    problems = convert(boxes(ImageAnnotations("a", [CAR], width=20, height=30))).problems
    assert "/images/a.jpg: is 30x20, its annotations are for 20x30. If the photo was turned" in problems[0]
    assert "turned" not in convert(boxes(ImageAnnotations("a", width=31, height=20))).problems[0]


def test_images_of_the_source_that_are_not_here():
    result = convert(boxes(ImageAnnotations("a", [CAR]), ImageAnnotations("zz"), ImageAnnotations("../b")))
    assert "1 annotated images are not among those to train on: 'zz'" in result.warnings
    assert "1 annotated images are not among" in convert(boxes(ImageAnnotations("zz"))).problems[0]


def test_a_name_that_may_mean_several_images():
    records = [ImageRecord(f"x{i}__0", f"/images/x{i}/0.jpg", 20, 30, "") for i in (1, 2)]
    reading = boxes(ImageAnnotations("x1/0.jpg", [CAR]), ImageAnnotations("0.jpg", [CAR]))
    (problem,) = convert_readings(reading, None, records, CLASSES, AnnotationsSettings()).problems
    assert "1 annotated images may be any of several of their name: '0.jpg'" in problem


def test_an_image_that_is_annotated_twice():
    problems = convert(boxes(ImageAnnotations("a.jpg", [CAR]), ImageAnnotations("x/a.jpg"))).problems
    assert problems == ["image 'a' is annotated 2 times ('a.jpg', 'x/a.jpg'); remove all but one"]


def test_a_class_that_only_some_files_could_name():
    """Of several files of one source, one that does not list a class says nothing of it."""
    one = Reading([ImageAnnotations("a", [CAR])], box_labels=frozenset({"car"}))
    two = Reading([ImageAnnotations("b", [CAR])], box_labels=frozenset({"car", "bus"}))
    merged = merge_readings([one, two], declared=True)
    assert [describe_tags(w) for w in convert(merged).images[:2]] == ["uupu", "uupa"]
    merged = merge_readings([one, two], declared=False)
    assert [describe_tags(w) for w in convert(merged).images[:2]] == ["uupa", "uupa"]


def test_objects_of_unknown_class():
    """Any class that has boxes may be meant, but for those that are there anyway."""
    seen = [UnusableObject(None, "region without class"), UnusableObject("old", REGION_CHOICE)]
    reading = boxes(ImageAnnotations("a", [CAR], unusable=seen), ImageAnnotations("b"))
    result = convert(reading)
    assert not result.problems and describe_tags(result.images[0]) == "uupu"
    assert "1 objects of kind 'region without class'" in result.warnings[0]
    assert "1 objects of kind 'choice of a region' ('old')" in result.warnings[1]
    assert describe_tags(convert(reading, leave_out=["region without class"]).images[0]) == "uupa"


def test_records_of_no_image():
    reading = Reading([ImageAnnotations("a", [CAR])], frozenset({"car"}), broken=["x.json: annotation 3 is of image 9"])
    assert convert(reading).problems == [
        "x.json: annotation 3 is of image 9; correct it, or set annotations.bad_boxes: skip"
    ]
    result = convert(reading, bad_boxes="skip")
    assert (
        not result.problems and "1 records can't be read and are left out: x.json: annotation 3" in result.warnings[0]
    )


def test_a_source_of_background_alone_teaches_nothing():
    classes = ClassTable(("rest", "car"), (1, 2), (False, True), ((0, 0, 0),) * 2)
    reading = boxes(ImageAnnotations("a"), ImageAnnotations("b"), labels=["car"])
    (problem,) = convert(reading, classes=classes, background="outside_boxes").problems
    assert "there is nothing to learn from: none of the 3 training images has a box or a tag" in problem
    seen = boxes(ImageAnnotations("a", unusable=[UnusableObject(None, "polyline")]), labels=["car"])
    assert "Its objects can't be used; the warnings say why" in convert(seen).problems[0]
    tags = Reading([ImageAnnotations("a", boxed=False, tags={"sky": False})], tag_labels=frozenset({"sky"}))
    assert "nothing to learn from" in convert(None, tags).problems[0]
    tags = Reading([ImageAnnotations("a", boxed=False, tags={"sky": True})], tag_labels=frozenset({"sky"}))
    assert not convert(None, tags).problems


def test_many_unknown_classes_are_one_problem():
    found = [AnnotatedBox(f"class {i}", (1, 1, 5, 5)) for i in range(9)]
    reading = boxes(ImageAnnotations("a", [CAR, *found]), labels=["car", *(box.label for box in found)])
    (problem,) = convert(reading).problems
    assert "9 classes of the annotations are not in dataset.classes" in problem and "class 0, class 1" in problem
    assert not convert(reading, rename={"*": None}).problems


def test_names_as_numbers_and_truth_values():
    assert AnnotationsSettings(rename={"no": 0, 1: "car"}).rename == {"no": "0", "1": "car"}
    for rename in ({False: "car"}, {"car": True}):
        with pytest.raises(ValueError, match="put the word in quotes"):
            AnnotationsSettings(rename=rename)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"format": "coco"}, "format and path go together"),
        ({"path": "x"}, "format and path go together"),
        ({"format": "coco", "path": "x", "names": "y"}, "names is for the format yolo"),
        ({"format": "pascal", "path": "x"}, "known are coco, cvat"),
    ],
)
def test_bad_settings(values, message):
    with pytest.raises(ValueError, match=message):
        AnnotationsSettings(**values)
