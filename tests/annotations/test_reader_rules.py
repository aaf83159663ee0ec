"""Rules that hold for every annotation format: each is tried on all of them, so that a new reader is held to it, too.

A set is written in each format: images of 100 x 80 pixels with objects, of which some are broken on purpose.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pseudogt.annotations import FORMATS, convert_annotations
from pseudogt.classes import ClassTable
from pseudogt.config.annotations import AnnotationsSettings
from pseudogt.files.index import ImageRecord

CLASSES = ClassTable(("sky", "car", "bus"), (1, 2, 3), (False, True, True), ((0, 0, 0),) * 3)
NAMES = ("car", "bus", "sky", "van")
WIDTH, HEIGHT = 100, 80


@dataclass(frozen=True)
class Thing:
    """An object of a class with half-open corners."""

    label: str
    x0: Any = 10
    y0: Any = 20
    x1: Any = 30
    y1: Any = 40

    @property
    def corners(self):
        return [self.x0, self.y0, self.x1, self.y1]


BROKEN = "broken"
"""In place of a corner: something that is no number."""


def scale(value, factor, offset=0):
    return value if value == BROKEN else value * factor + offset


def measure(start, end):
    return BROKEN if BROKEN in (start, end) else end - start


def write_coco(folder, images, number=lambda value: value):
    annotations = [
        {
            "id": number(10 * i + k),
            "image_id": number(i),
            "category_id": number(NAMES.index(thing.label)),
            "bbox": [*map(number, (thing.x0, thing.y0, measure(thing.x0, thing.x1), measure(thing.y0, thing.y1)))],
            "iscrowd": number(0),
        }
        for i, things in enumerate(images.values())
        for k, thing in enumerate(things)
    ]
    document = {
        "images": [{"id": i, "file_name": f"{name}.jpg", "width": 100, "height": 80} for i, name in enumerate(images)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(NAMES)],
        "annotations": annotations,
    }
    return write(folder / "coco.json", json.dumps(document))


def write_label_studio(folder, images, number=lambda value: value):
    def region(thing):
        corners = (scale(thing.x0, 1), scale(thing.y0, 1.25), measure(thing.x0, thing.x1), measure(thing.y0, thing.y1))
        x, y, width, height = corners[:3] + (scale(corners[3], 1.25),)
        value = {"x": number(x), "y": number(y), "width": number(width), "height": number(height)}
        size = {"original_width": number(WIDTH), "original_height": number(HEIGHT)}
        return {"type": "rectanglelabels", "value": value | {"rectanglelabels": [thing.label]}, **size}

    tasks = [
        {
            "data": {"image": f"{name}.jpg"},
            "annotations": [{"was_cancelled": number(False), "result": [*map(region, t)]}],
        }
        for name, t in images.items()
    ]
    return write(folder / "label_studio.json", json.dumps(tasks))


def write_cvat(folder, images, number=str):
    labels = "".join(f"<label><name>{name}</name></label>" for name in NAMES)
    shapes = {
        name: "".join(
            f'<box label="{t.label}" xtl="{t.x0}" ytl="{t.y0}" xbr="{t.x1}" ybr="{t.y1}"></box>' for t in things
        )
        for name, things in images.items()
    }
    body = "".join(f'<image name="{n}.jpg" width="100" height="80">{s}</image>' for n, s in shapes.items())
    text = f"<annotations><meta><job><labels>{labels}</labels></job></meta>{body}</annotations>"
    return write(folder / "cvat.xml", text)


def write_csv(folder, images, number=str):
    rows = [",".join([f"{name}.jpg", t.label, *map(str, t.corners)]) for name, things in images.items() for t in things]
    rows += [f"{name}.jpg,,,,," for name, things in images.items() if not things]
    return write(folder / "boxes.csv", "\n".join(["image,class,x0,y0,x1,y1", *rows]) + "\n")


def write_voc(folder, images, number=str):
    for name, things in images.items():
        objects = "".join(
            f"<object><name>{t.label}</name><bndbox><xmin>{scale(t.x0, 1, 1)}</xmin><ymin>{scale(t.y0, 1, 1)}</ymin>"
            f"<xmax>{t.x1}</xmax><ymax>{t.y1}</ymax></bndbox></object>"
            for t in things
        )
        size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"
        write(folder / "voc" / f"{name}.xml", f"<annotation>{size}{objects}</annotation>")
    (folder / "voc").mkdir(exist_ok=True)
    return folder / "voc"


def write_yolo(folder, images, number=str):
    for name, things in images.items():
        lines = []
        for t in things:
            width, height = measure(t.x0, t.x1), measure(t.y0, t.y1)
            values = (
                BROKEN if BROKEN in (t.x0, width) else (t.x0 + width / 2) / WIDTH,
                BROKEN if BROKEN in (t.y0, height) else (t.y0 + height / 2) / HEIGHT,
                scale(width, 1 / WIDTH),
                scale(height, 1 / HEIGHT),
            )
            lines.append(" ".join(map(str, (NAMES.index(t.label), *values))))
        write(folder / "yolo" / f"{name}.txt", "\n".join(lines))
    (folder / "yolo").mkdir(exist_ok=True)
    write(folder / "yolo" / "data.yaml", f"names: [{', '.join(NAMES)}]\n")
    return folder / "yolo"


def write_labelme(folder, images, number=lambda value: value):
    (folder / "labelme").mkdir(parents=True, exist_ok=True)
    for name, things in images.items():
        shapes = [
            {
                "label": t.label,
                "points": [[number(t.x0), number(t.y0)], [number(t.x1), number(t.y1)]],
                "shape_type": "rectangle",
            }
            for t in things
        ]
        size = {"imageWidth": number(WIDTH), "imageHeight": number(HEIGHT)}
        document = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": f"..\\{name}.jpg", **size}
        write(folder / "labelme" / f"{name}.json", json.dumps(document | {"imageData": None}))
    return folder / "labelme"


def write_via(folder, images, number=lambda value: value):
    def region(t):
        keys = ("x", "y", "width", "height")
        values = map(number, (t.x0, t.y0, measure(t.x0, t.x1), measure(t.y0, t.y1)))
        shape = {"name": "rect"} | dict(zip(keys, values, strict=True))
        return {"shape_attributes": shape, "region_attributes": {"kind": t.label}}

    files = {
        f"{name}.jpg123": {"filename": f"{name}.jpg", "size": 123, "regions": [*map(region, t)], "file_attributes": {}}
        for name, t in images.items()
    }
    attributes = {"region": {"kind": {"type": "dropdown", "options": dict.fromkeys(NAMES, "")}}, "file": {}}
    document = {"_via_settings": {}, "_via_img_metadata": files, "_via_attributes": attributes}
    return write(folder / "via.json", json.dumps(document))


WRITERS = {
    "coco": write_coco,
    "label_studio": write_label_studio,
    "labelme": write_labelme,
    "via": write_via,
    "cvat": write_cvat,
    "csv": write_csv,
    "voc": write_voc,
    "yolo": write_yolo,
}
ONE_FILE = tuple(name for name in FORMATS.names if not FORMATS.load(name).PER_IMAGE)
"""Formats of which a source is one file, and not one for each image."""

GOOD = {"a": [Thing("car"), Thing("bus", 50, 10, 70, 30)], "b": [Thing("car"), Thing("bus", 40, 40, 90, 79)], "c": []}


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def convert(path, name, image_ids="abc", **settings):
    records = [ImageRecord(i, f"/photos/{i}.jpg", HEIGHT, WIDTH, "") for i in image_ids]
    return convert_annotations(
        AnnotationsSettings(format=name, path=path.name, **settings), path.parent, records, CLASSES
    )


def describe(result):
    """Boxes by image, and one letter for each class: present, absent or unknown."""
    return [
        (
            sorted(zip(w.box_classes.tolist(), w.boxes_xyxy.tolist(), strict=True)),
            "".join("p" if t else "a" if k else "u" for t, k in zip(w.tags, w.known, strict=True)),
        )
        for w in result.images
    ]


def test_every_format_is_tried():
    assert set(WRITERS) == set(FORMATS.names) and set(TURNED) | {"yolo", "csv", "labelme", "via"} == set(FORMATS.names)


@pytest.mark.parametrize("name", FORMATS.names)
def test_formats_agree(name, tmp_path):
    result = convert(WRITERS[name](tmp_path, GOOD), name)
    assert not result.problems
    boxes = [[(1, [10, 20, 30, 40]), (2, [50, 10, 70, 30])], [(1, [10, 20, 30, 40]), (2, [40, 40, 90, 79])], []]
    assert [found for found, _ in describe(result)] == boxes
    assert [letters[1:] for _, letters in describe(result)] == ["pp", "pp", "aa"]


@pytest.mark.parametrize("name", FORMATS.names)
@pytest.mark.parametrize("corner", ["x0", "y0", "x1", "y1"])
def test_a_broken_record_hides_no_other_and_its_class_is_not_absent(name, corner, tmp_path):
    broken = GOOD | {"c": [Thing("car", **{corner: BROKEN}), Thing("bus")], "d": [Thing("van")]}
    path = WRITERS[name](tmp_path, broken)
    result = convert(path, name, "abcd", rename={"van": None})
    (problem,) = result.problems
    assert str(path) in problem and problem.endswith("correct it, or set annotations.bad_boxes: skip")
    result = convert(path, name, "abcd", rename={"van": None}, bad_boxes="skip")
    assert not result.problems and "1 objects of kind" in result.warnings[0] and str(path) in result.warnings[0]
    assert describe(result)[:2] == describe(convert(WRITERS[name](tmp_path / "good", GOOD), name))[:2]
    assert describe(result)[2][0] == [(2, [10, 20, 30, 40])] and describe(result)[2][1][1:] == "up"
    assert describe(result)[3][1][1:] == "aa"


@pytest.mark.parametrize("name", FORMATS.names)
@pytest.mark.parametrize("corners", [(20, 20, 20, 40), (0, 0, 0, 0), (200, 20, 220, 40)])
def test_a_box_that_is_left_out_makes_its_class_unknown(name, corners, tmp_path):
    path = WRITERS[name](tmp_path, GOOD | {"c": [Thing("car", *corners)]})
    problems = convert(path, name).problems
    assert len(problems) == 1 and "annotations.bad_boxes: skip" in problems[0]
    assert describe(convert(path, name, bad_boxes="skip"))[2][1][1:] == "ua"


@pytest.mark.parametrize("name", FORMATS.names)
def test_numbers_and_truth_values_as_text(name, tmp_path):
    plain = describe(convert(WRITERS[name](tmp_path / "plain", GOOD), name))
    assert describe(convert(WRITERS[name](tmp_path / "text", GOOD, str), name)) == plain


@pytest.mark.parametrize("name", FORMATS.names)
@pytest.mark.parametrize("images", [{}, {"a": [], "b": []}, {"z": [Thing("car")]}])
def test_nothing_to_learn_from_is_an_error(name, images, tmp_path):
    path = WRITERS[name](tmp_path, images)
    result = convert(path, name)
    assert any(
        ("nothing to learn from" in p and str(path) in p) or "not among those to train on" in p for p in result.problems
    )


@pytest.mark.parametrize("name", sorted(set(FORMATS.names) - set(ONE_FILE)))
def test_a_folder_one_level_too_high(name, tmp_path):
    """The message names the folder, an image and the file that was looked for."""
    folder = WRITERS[name](tmp_path, GOOD)
    (tmp_path / "train").mkdir()
    folder.rename(tmp_path / "train" / name)
    write(tmp_path / "classes.txt", "car\nbus")
    (problem,) = convert(tmp_path, name).problems
    assert f"image 'a' should have {tmp_path / 'a'}." in problem and f"files in {tmp_path / 'train' / name}" in problem


@pytest.mark.parametrize(("name", "suffix"), [("voc", ".XML"), ("yolo", ".TXT"), ("labelme", ".JSON")])
def test_label_files_of_images_of_one_name_and_suffixes_in_capitals(name, suffix, tmp_path):
    """Ids hold a folder where names repeat; label files lie in folders of the same names, or are named like the ids."""
    folder = WRITERS[name](tmp_path, {"a": [Thing("car")], "b": [Thing("bus")]})
    for image_id, camera in (("a", "cam1"), ("b", "cam2")):
        (folder / camera).mkdir()
        (folder / f"{image_id}{suffix.lower()}").rename(folder / camera / f"0001{suffix}")
    records = [ImageRecord(f"cam{i}_0001", f"/photos/cam{i}/0001.jpg", HEIGHT, WIDTH, "") for i in (1, 2)]
    settings = AnnotationsSettings(format=name, path=folder.name)
    result = convert_annotations(settings, tmp_path, records, CLASSES)
    assert not result.problems and [w.box_classes.tolist() for w in result.images] == [[1], [2]]


@pytest.mark.parametrize("name", FORMATS.names)
def test_what_is_declared_need_not_be_used(name, tmp_path):
    assert not convert(WRITERS[name](tmp_path / "good", GOOD), name).problems
    path = WRITERS[name](tmp_path, GOOD | {"c": [Thing("van")]})
    (problem,) = convert(path, name).problems
    assert "class 'van' of the annotations is not in dataset.classes" in problem
    assert not convert(path, name, rename={"*": None}).problems
    assert describe(convert(path, name, rename={"*": "bus"}))[2][0] == [(2, [10, 20, 30, 40])]
    assert describe(convert(path, name, leave_out=["van"])) == describe(convert(path, name, rename={"van": None}))


@pytest.mark.parametrize("name", FORMATS.names)
def test_stuff_is_tagged_by_its_boxes(name, tmp_path):
    result = convert(WRITERS[name](tmp_path, GOOD | {"c": [Thing("sky", 0, 0, 100, 20)]}), name)
    assert not result.problems and describe(result)[2] == ([], "paa")
    assert any("of stuff became tags" in warning for warning in result.warnings)


@pytest.mark.parametrize("name", ONE_FILE)
def test_a_folder_of_exports_is_one_source(name, tmp_path):
    once = describe(convert(WRITERS[name](tmp_path / "one", GOOD), name))
    for image_id, things in GOOD.items():
        WRITERS[name](tmp_path / "many" / f"task {image_id}", {image_id: things})
        write(tmp_path / "many" / f"task {image_id}" / "._coco.json", "\x00")
        write(tmp_path / "many" / f"task {image_id}" / "a.jpg", "no label")
    assert describe(convert(tmp_path / "many", name)) == once
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="file in this folder"):
        convert(tmp_path / "empty", name)


def turn(document, degrees):
    for annotation in document["annotations"]:
        annotation["attributes"] = {"occluded": False, "rotation": degrees}
    return document


TURNED = {
    "coco": lambda text, degrees: json.dumps(turn(json.loads(text), degrees)),
    "cvat": lambda text, degrees: text.replace("<box ", f'<box rotation="{degrees}" '),
    "voc": lambda text, degrees: text.replace(
        "</bndbox>",
        f"</bndbox><attributes><attribute><name>rotation</name><value>{degrees}</value></attribute></attributes>",
    ),
    "label_studio": lambda text, degrees: text.replace('"width"', f'"rotation": {degrees}, "width"'),
}
"""Formats that can say that a box is turned; Label Studio turns about the upper left corner."""


@pytest.mark.parametrize("name", TURNED)
@pytest.mark.parametrize(
    ("degrees", "expected"), [(90, [45, 20, 55, 60]), (180.0, [30, 35, 70, 45]), (0, [30, 35, 70, 45])]
)
def test_turned_boxes(name, degrees, expected, tmp_path):
    path = WRITERS[name](tmp_path, {"a": [Thing("car", 30, 35, 70, 45)]})
    file = path / "a.xml" if name == "voc" else path
    file.write_text(TURNED[name](file.read_text(), degrees))
    if name == "label_studio":
        expected = {90: [20, 35, 30, 75], 180.0: [0, 25, 30, 35], 0: expected}[degrees]
    assert describe(convert(path, name, "a"))[0][0] == [(1, expected)]


def test_shapes_without_box(tmp_path):
    text = WRITERS["cvat"](tmp_path, GOOD).read_text()
    text = re.sub('<box label="bus"[^>]*></box>', '<polyline label="bus" points="1,1;5,5"></polyline>', text)
    path = write(tmp_path / "cvat.xml", text)
    result = convert(path, "cvat")
    assert not result.problems and [letters[1:] for _, letters in describe(result)] == ["pu", "pu", "aa"]
    (warning,) = result.warnings
    assert "2 objects of kind 'polyline' ('bus')" in warning and "annotations.leave_out: [polyline]" in warning
    for left_out, letters in (("polyline", ["pa", "pa", "aa"]), ("bus", ["pu", "pu", "au"])):
        result = convert(path, "cvat", leave_out=[left_out])
        assert "2 objects of kind 'polyline' ('bus') are left out" in result.warnings
        assert [found[1:] for _, found in describe(result)] == letters
    assert "'polylines' is neither a class" in convert(path, "cvat", leave_out=["polylines"]).problems[0]
