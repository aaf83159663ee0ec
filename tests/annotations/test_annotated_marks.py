"""Points, key points, scribbles and brush masks of every tool: unknown by default, weak labels of pixels if wanted."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pseudogt.annotations import convert_annotations
from pseudogt.annotations.form import AnnotatedMark, ImageAnnotations
from pseudogt.annotations.frames import turn_corners, turn_mark
from pseudogt.annotations.geometry import decode_segmentation, encode_mask
from pseudogt.boxes import find_tight_box
from pseudogt.classes import ClassTable
from pseudogt.config.annotations import AnnotationsSettings
from pseudogt.files.brush import encode_brush
from pseudogt.files.index import ImageRecord

SKY, CAR, BUS = range(3)
CLASSES = ClassTable(("sky", "car", "bus"), (1, 2, 3), (False, True, True), ((0, 0, 0),) * 3)
WIDTH, HEIGHT = 100, 80


def write_coco(folder):
    """A car with a box and key points, of which one is hidden; a sky point; a bus scribble of an object."""
    annotations = [
        {"id": 1, "image_id": 1, "category_id": 2, "bbox": [10, 20, 20, 20], "keypoints": [15, 25, 2, 16, 26, 1]},
        {"id": 2, "image_id": 1, "category_id": 1, "points": [[50, 5]], "radius": 4},
        {"id": 3, "image_id": 1, "category_id": 3, "points": [[60, 60], [70, 60]], "instance": 5},
    ]
    document = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT}],
        "categories": [{"id": i, "name": name} for i, name in enumerate(CLASSES.names, 1)],
        "annotations": annotations,
    }
    (folder / "coco.json").write_text(json.dumps(document))


def write_label_studio(folder):
    size = {"original_width": WIDTH, "original_height": HEIGHT}

    def point(label, x, y, **others):
        value = {"x": 100 * x / WIDTH, "y": 100 * y / HEIGHT, "width": 0.5, "keypointlabels": [label]}
        return {"type": "keypointlabels", "value": value, **size, **others}

    box = {"x": 10, "y": 25, "width": 20, "height": 25, "rectanglelabels": ["car"]}
    results = [
        {"type": "rectanglelabels", "id": "r1", "value": box, **size},
        point("car", 15, 25, parentID="r1"),
        point("sky", 50, 5),
        point("bus", 60, 60),
    ]
    tasks = [{"data": {"image": "a.jpg"}, "annotations": [{"result": results}]}]
    (folder / "label_studio.json").write_text(json.dumps(tasks))


def write_cvat(folder):
    labels = "".join(f"<label><name>{name}</name></label>" for name in CLASSES.names)
    shapes = (
        '<box label="car" xtl="10" ytl="20" xbr="30" ybr="40" group_id="3"></box>'
        '<points label="car" points="15,25" group_id="3"></points><points label="sky" points="50,5"></points>'
        '<polyline label="bus" points="60,60;70,60"></polyline>'
    )
    image = f'<image name="a.jpg" width="{WIDTH}" height="{HEIGHT}">{shapes}</image>'
    text = f"<annotations><meta><job><labels>{labels}</labels></job></meta>{image}</annotations>"
    (folder / "cvat.xml").write_text(text)


def write_csv(folder):
    rows = [
        "image,class,x0,y0,x1,y1,x,y,points,radius,instance",
        "a.jpg,car,10,20,30,40,,,,,first",
        "a.jpg,car,,,,,15,25,,,first",
        "a.jpg,sky,,,,,50,5,,4,",
        "a.jpg,bus,,,,,,,60 60;70 60,,",
    ]
    (folder / "csv.csv").write_text("\n".join(rows))


FORMATS = {
    "coco": (write_coco, "coco.json"),
    "label_studio": (write_label_studio, "label_studio.json"),
    "cvat": (write_cvat, "cvat.xml"),
    "csv": (write_csv, "csv.csv"),
}


def convert(folder, name, path, classes=CLASSES, orientation=1, **settings):
    section = AnnotationsSettings(format=name, path=str(path), **settings)
    record = ImageRecord("a", str(folder / "a.jpg"), HEIGHT, WIDTH, "0", orientation)
    return convert_annotations(section, folder, [record], classes)


@pytest.mark.parametrize("name", FORMATS)
def test_marks_are_weak_labels_of_pixels_if_they_are_wanted(tmp_path, name):
    write, path = FORMATS[name]
    write(tmp_path)
    result = convert(tmp_path, name, path, points="weak")
    assert result.problems == []
    (weak,) = result.images
    assert weak.boxes_xyxy.tolist() == [[10, 20, 30, 40]] and weak.box_classes.tolist() == [CAR]
    marks = list(weak.marks)
    assert [(mark.train_id, mark.owner) for mark in marks] == [(CAR, 0), (SKY, -1), (BUS, 1)]
    assert marks[0].values.tolist() == [[15, 25]] and marks[1].values.tolist() == [[50, 5]]
    assert [mark.kind for mark in marks] == ["point", "point", "point" if name == "label_studio" else "scribble"]
    assert marks[0].radius == 2 and marks[1].radius == (4 if name in ("coco", "csv") else 2)
    assert weak.tags.all() and weak.unknown_ids == ()


def test_marks_that_name_no_object_belong_to_the_box_around_them(tmp_path):
    """Two points of one shape, a polyline, and a point of a group of its own, all in one box."""
    write_cvat(tmp_path)
    file = tmp_path / "cvat.xml"
    more = (
        '<points label="car" points="12,22;13,23"></points><polyline label="car" points="12,30;20,30"></polyline>'
        '<points label="car" points="28,38" group_id="9"></points></image>'
    )
    file.write_text(file.read_text().replace("</image>", more))
    (weak,) = convert(tmp_path, "cvat", "cvat.xml", points="weak", leave_out=("bus", "sky")).images
    assert weak.marks.owners.tolist() == [0, 0, 0, 0, 1]


@pytest.mark.parametrize("name", ["label_studio", "cvat", "csv"])
def test_by_default_they_make_their_class_unknown(tmp_path, name):
    write, path = FORMATS[name]
    write(tmp_path)
    (weak,) = convert(tmp_path, name, path).images
    assert len(weak.marks) == 0 and weak.unknown_ids == (SKY, BUS)


@pytest.mark.parametrize("left_out", [{"leave_out": ("bus",)}, {"rename": {"bus": None}}])
@pytest.mark.parametrize("name", FORMATS)
def test_marks_are_left_out_by_class_like_all_else(tmp_path, name, left_out):
    write, path = FORMATS[name]
    write(tmp_path)
    (weak,) = convert(tmp_path, name, path, points="weak", **left_out).images
    assert weak.marks.classes.tolist() == [CAR, SKY] and not weak.tags[BUS]


def test_marks_are_left_out_by_kind(tmp_path):
    write_cvat(tmp_path)
    (weak,) = convert(tmp_path, "cvat", "cvat.xml", points="weak", leave_out=("polyline",)).images
    assert weak.marks.classes.tolist() == [CAR, SKY]


def test_brush_masks_are_outlines_or_scribbles(tmp_path):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:20, 30:40] = True
    value = {"format": "rle", "rle": encode_brush(mask), "brushlabels": ["car"]}
    result = {"type": "brushlabels", "value": value, "original_width": WIDTH, "original_height": HEIGHT}
    (tmp_path / "a.json").write_text(json.dumps([{"data": {"image": "a.jpg"}, "annotations": [{"result": [result]}]}]))
    (outlined,) = convert(tmp_path, "label_studio", "a.json").images
    assert outlined.boxes_xyxy.tolist() == [[30, 10, 40, 20]] and not len(outlined.marks)
    (painted,) = convert(tmp_path, "label_studio", "a.json", masks="scribbles").images
    (mark,) = painted.marks
    drawn = np.zeros_like(mask)
    drawn[tuple(mark.find_pixels(HEIGHT, WIDTH).T)] = True
    np.testing.assert_array_equal(drawn, mask)
    assert not len(painted.boxes_xyxy) and mark.owner == 0 and mark.kind == "mask"


def test_masks_of_coco_are_outlines_of_groups_and_scribbles_of_others(tmp_path):
    write_coco(tmp_path)
    document = json.loads((tmp_path / "coco.json").read_text())
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:20, 30:40] = True
    drawn = {"image_id": 1, "category_id": 2, "bbox": [30, 10, 10, 10], "segmentation": encode_mask(mask)}
    document["annotations"] = [{"id": 1, **drawn}, {"id": 2, "iscrowd": 1, **drawn}]
    (tmp_path / "coco.json").write_text(json.dumps(document))
    (weak,) = convert(tmp_path, "coco", "coco.json", masks="scribbles").images
    assert weak.box_iscrowd.tolist() == [True]
    assert [(mark.kind, mark.owner) for mark in weak.marks] == [("mask", -1)]


@pytest.mark.parametrize("name", ["coco", "csv"])
def test_a_mark_outside_its_image_is_named_or_makes_its_class_unknown(tmp_path, name):
    write, path = FORMATS[name]
    write(tmp_path)
    file = tmp_path / path
    file.write_text(file.read_text().replace("[[50, 5]]", "[[50, 95]]").replace(",50,5,", ",50,95,"))
    assert "lies outside the 100x80 image" in convert(tmp_path, name, path, points="weak").problems[0]
    result = convert(tmp_path, name, path, points="weak", bad_boxes="skip")
    assert result.problems == [] and result.images[0].unknown_ids == (SKY,)
    assert any("don't fit their image" in warning for warning in result.warnings)


@pytest.mark.parametrize("change", [{"keypoints": [1, 2]}, {"points": [[1, 2, 3]]}, {"points": [["x", 2]]}])
def test_a_coco_annotation_whose_points_cannot_be_read_is_named(tmp_path, change):
    write_coco(tmp_path)
    document = json.loads((tmp_path / "coco.json").read_text())
    document["annotations"][1] = {"id": 2, "image_id": 1, "category_id": 1, **change}
    (tmp_path / "coco.json").write_text(json.dumps(document))
    (problem,) = convert(tmp_path, "coco", "coco.json", points="weak").problems
    assert "coco.json: annotation 2" in problem


@pytest.mark.parametrize(("orientation", "expected"), [(6, (80 - 25, 15)), (8, (25, 100 - 15)), (5, (25, 15))])
def test_marks_turn_with_photos_whose_boxes_are_of_the_stored_image(tmp_path, orientation, expected):
    """Stored 100 wide and 80 high, which upright is 80 wide and 100 high."""
    write_cvat(tmp_path)
    file = tmp_path / "cvat.xml"
    file.write_text(file.read_text().replace('xbr="30"', 'xbr="99"'))
    section = AnnotationsSettings(format="cvat", path="cvat.xml", points="weak")
    record = ImageRecord("a", str(tmp_path / "a.jpg"), WIDTH, HEIGHT, "0", orientation)
    (weak,) = convert_annotations(section, tmp_path, [record], CLASSES).images
    assert weak.marks.values[0].tolist() == list(expected)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_masks_turn_as_boxes_do(orientation):
    record = ImageRecord("a", "a.jpg", WIDTH, HEIGHT, "0", orientation)
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[25:27, 15:20] = True
    image = ImageAnnotations("a")
    turned = turn_mark(AnnotatedMark("car", segmentation=encode_mask(mask)), image, record)
    found = find_tight_box(decode_segmentation(turned.segmentation, WIDTH, HEIGHT))
    assert found.tolist() == list(turn_corners((15, 25, 20, 27), image, record))
