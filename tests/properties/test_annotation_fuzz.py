"""Whatever a file holds, a reader returns or raises a ``ValueError`` that names it; nothing else, ever."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pseudogt.annotations.coco import read_coco
from pseudogt.annotations.conversion import convert_readings
from pseudogt.annotations.cvat import read_cvat
from pseudogt.annotations.form import ImageAnnotations, Reading
from pseudogt.annotations.label_studio import read_label_studio
from pseudogt.annotations.labelme import read_labelme
from pseudogt.annotations.tables import read_box_table
from pseudogt.annotations.tags import read_tags
from pseudogt.annotations.via import read_via
from pseudogt.annotations.voc import read_voc
from pseudogt.annotations.yolo import read_yolo
from pseudogt.classes import ClassTable
from pseudogt.config.annotations import AnnotationsSettings
from pseudogt.files.index import ImageRecord
from pseudogt.weak_labels.files import read_weak_labels
from pseudogt.weak_labels.labelled import find_labelled_pixels

FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
CLASSES = ClassTable(("sky", "car"), (1, 2), (False, True), ((0, 0, 0),) * 2)
RECORDS = [ImageRecord("a", "/images/a.jpg", 20, 30, "")]
SETTINGS = AnnotationsSettings(bad_boxes="skip")
WITH_MARKS = AnnotationsSettings(bad_boxes="skip", points="weak", masks="scribbles")

COCO = {
    "images": [{"id": 7, "file_name": "a.jpg", "width": 30, "height": 20}],
    "categories": [{"id": 3, "name": "car"}],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 2, 5, 4], "segmentation": [[1, 2, 5, 2, 5, 4]]},
        {"image_id": 7, "category_id": 3, "bbox": [1, 2, 5, 4], "segmentation": {"size": [20, 30], "counts": [600]}},
    ],
}
MARKED = COCO | {
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 2, 5, 4], "keypoints": [2, 3, 2, 4, 4, 1]},
        {"id": 2, "image_id": 7, "category_id": 3, "points": [[9, 9], [12, 15]], "radius": 2, "instance": 1},
    ]
}
REGION = {"original_width": 30, "original_height": 20}
LABEL_STUDIO = [
    {
        "data": {"image": "a.jpg"},
        "annotations": [
            {
                "was_cancelled": False,
                "result": [
                    {
                        "type": "rectanglelabels",
                        **REGION,
                        "value": {"x": 1, "y": 2, "width": 3, "height": 4, "rotation": 5, "rectanglelabels": ["car"]},
                    },
                    {
                        "type": "polygonlabels",
                        **REGION,
                        "value": {"points": [[1, 2], [3, 4], [5, 6]], "polygonlabels": ["car"]},
                    },
                    {
                        "type": "brushlabels",
                        **REGION,
                        "value": {
                            "format": "rle",
                            "rle": [0, 0, 9, 96, 7, 255, 252, 9, 95, 128],
                            "brushlabels": ["car"],
                        },
                    },
                    {
                        "type": "keypointlabels",
                        **REGION,
                        "value": {"x": 50, "y": 60, "width": 0.5, "keypointlabels": ["car"]},
                    },
                    {"type": "choices", "value": {"choices": ["sky"]}},
                ],
            }
        ],
    }
]
WEAK = {
    "images": [{"id": "a", "height": 20, "width": 30}],
    "categories": [
        {"id": 1, "name": "sky", "isthing": 0, "color": [0, 0, 0]},
        {"id": 2, "name": "car", "isthing": 1, "color": [0, 0, 0]},
    ],
    "annotations": [{"id": 1, "image_id": "a", "category_id": 2, "bbox": [1, 2, 5, 4], "iscrowd": 0}],
    "image_tags": {"a": [2]},
    "unknown_tags": {"a": [1]},
    "crop_tags": {"a": [{"crop_xyxy": [0, 0, 15, 20], "tags": [2]}]},
    "marks": {
        "a": [
            {"category_id": 2, "annotation_id": 1, "points": [[3, 3]], "radius": 1},
            {"category_id": 1, "points": [[9, 9], [12, 15]], "radius": 2, "instance": "x"},
            {"category_id": 1, "segmentation": {"size": [20, 30], "counts": [100, 5, 495]}},
        ]
    },
}
LABELME = {
    "imagePath": "a.jpg",
    "imageWidth": 30,
    "imageHeight": 20,
    "flags": {"sky": True},
    "shapes": [
        {"label": "car", "shape_type": "rectangle", "points": [[1, 2], [3, 4]]},
        {"label": "car", "shape_type": "polygon", "points": [[1, 2], [3, 4], [5, 6]]},
        {"label": "car", "shape_type": "circle", "points": [[5, 6], [7, 8]]},
    ],
}
VIA = {
    "a.jpg99": {
        "filename": "a.jpg",
        "regions": [
            {
                "shape_attributes": {"name": "rect", "x": 1, "y": 2, "width": 3, "height": 4},
                "region_attributes": {"class": "car"},
            },
            {
                "shape_attributes": {"name": "polygon", "all_points_x": [1, 3, 5], "all_points_y": [2, 4, 6]},
                "region_attributes": {"class": {"car": True}},
            },
        ],
        "file_attributes": {"class": "sky"},
    }
}
VIA_PROJECT = {
    "project": {"pname": "p"},
    "attribute": {"1": {"aname": "class", "options": {"0": "car", "1": "sky"}}},
    "file": {"1": {"fid": "1", "fname": "a.jpg", "type": 2}},
    "view": {"1": {"fid_list": ["1"]}},
    "metadata": {
        "m1": {"vid": "1", "xy": [2, 1, 2, 3, 4], "av": {"1": "0"}},
        "m2": {"vid": "1", "xy": [7, 1, 2, 3, 4, 5, 6], "av": {"1": "0"}},
        "m3": {"vid": "1", "xy": [], "av": {"1": "1"}},
    },
}
TAGS = {"a": ["sky"], "b": {"car": True, "sky": None}}
VOC = (
    "<annotation><size><width>30</width><height>20</height></size><object><name>car</name><difficult>0</difficult>"
    "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></object></annotation>"
)
CVAT = (
    '<annotations><image name="a.jpg" width="30" height="20"><tag label="sky"/>'
    '<box label="car" xtl="1" ytl="2" xbr="3" ybr="4" rotation="5"/><polygon label="car" points="1,2;3,4;5,6"/>'
    '<ellipse label="car" cx="5" cy="5" rx="2" ry="3"/><mask label="car" rle="1,2,3" left="0" top="0" width="3" '
    'height="2"/><points label="car" points="7,8;9,9"/><polyline label="car" points="2,15;9,16"/></image></annotations>'
)
BOXES = (
    "image,class,x0,y0,x1,y1,x,y,points,radius\na.jpg,car,1,2,3,4,,,,\na.jpg,car,,,,,9,9,,2\na.jpg,car,,,,,,,1 9;5 9,\n"
)
TAG_TABLE = "image,class,state\na.jpg,sky,present\n"
YOLO = "0 0.5 0.5 0.1 0.1\n0 0.1 0.1 0.2 0.1 0.2 0.3\n"
NAMES = "names:\n  0: car\nkpt_shape: [2, 3]\n"


def read_yolo_file(path: Path) -> Reading:
    (path.parent / "classes.txt").write_text("car\n")
    return read_yolo(path.parent, {path.stem: f"{path.stem}.jpg"}, path.parent / "classes.txt")


def read_yolo_names(path: Path) -> Reading:
    (path.parent / "b.txt").write_text(YOLO)
    return read_yolo(path.parent, {"b": "b.jpg"}, path)


def read_voc_file(path: Path) -> Reading:
    return Reading([read_voc(path)])


def read_labelme_file(path: Path) -> Reading:
    return Reading([read_labelme(path, "a")])


def read_coco_masks(path: Path) -> Reading:
    return read_coco(path, masks=True)


def read_coco_points(path: Path) -> Reading:
    return read_coco(path, masks=True, points=True)


def read_weak_file(path: Path) -> Reading:
    images, _ = read_weak_labels([path])
    return Reading([ImageAnnotations(image_id) for image_id in images])


READERS: dict[str, tuple[Callable[[Path], Reading], str]] = {
    "coco.json": (read_coco_masks, json.dumps(COCO)),
    "marked.json": (read_coco_points, json.dumps(MARKED)),
    "label_studio.json": (read_label_studio, json.dumps(LABEL_STUDIO)),
    "labelme.json": (read_labelme_file, json.dumps(LABELME)),
    "via.json": (read_via, json.dumps(VIA)),
    "via_project.json": (read_via, json.dumps(VIA_PROJECT)),
    "tags.json": (read_tags, json.dumps(TAGS)),
    "a.xml": (read_voc_file, VOC),
    "cvat.xml": (read_cvat, CVAT),
    "boxes.csv": (read_box_table, BOXES),
    "tags.csv": (read_tags, TAG_TABLE),
    "a.txt": (read_yolo_file, YOLO),
    "data.yaml": (read_yolo_names, NAMES),
    "weak.json": (read_weak_file, json.dumps(WEAK)),
}
JSON_DOCUMENTS = {
    "coco.json": COCO,
    "marked.json": MARKED,
    "label_studio.json": LABEL_STUDIO,
    "labelme.json": LABELME,
    "via.json": VIA,
    "via_project.json": VIA_PROJECT,
    "tags.json": TAGS,
    "weak.json": WEAK,
}

STATED = ("tags.json", "tags.csv", "weak.json")
"""Files that may say themselves that a class is absent; no other good file here has one that is."""

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([0, -1, 1e308, 2**70, "../../x", "C:\\a.jpg", "car", "", "\ud800", "\x00"])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
)


def read(name: str, content: bytes, folder: Path) -> None:
    """Read and convert; only a ``ValueError`` may be raised, and it says which file it is about."""
    reader, _ = READERS[name]
    path = folder / name
    path.write_bytes(content)
    try:
        reading = reader(path)
    except ValueError as error:
        reading = Reading([], problems=[str(error)])
    assert all(str(folder) in problem for problem in (*reading.problems, *reading.broken))
    result = convert_readings(reading, None, RECORDS, CLASSES, SETTINGS)
    # What is seen as a whole may say less of an image, but only aloud that a class is not there.
    if name not in STATED and not result.problems and not result.warnings:
        assert all(not (weak.known & ~weak.tags).any() for weak in result.images)
    marked = convert_readings(reading, None, RECORDS, CLASSES, WITH_MARKS)
    for weak in (*result.images, *marked.images):
        find_labelled_pixels(weak)
        x0, y0, x1, y1 = weak.boxes_xyxy.T
        assert (x0 >= 0).all() and (y0 >= 0).all() and (x1 > x0).all() and (y1 > y0).all()
        assert (x1 <= weak.width).all() and (y1 <= weak.height).all()


@pytest.mark.parametrize("name", READERS)
def test_the_files_themselves_are_read(name, tmp_path):
    (tmp_path / name).write_text(READERS[name][1], encoding="utf-8")
    assert READERS[name][0](tmp_path / name).images


@pytest.mark.parametrize("name", READERS)
@FUZZ
@given(content=st.binary(max_size=300))
def test_any_bytes(name, content, tmp_path):
    read(name, content, tmp_path)


@pytest.mark.parametrize("name", READERS)
@FUZZ
@given(data=st.data())
def test_changed_bytes(name, data, tmp_path):
    """A part of a good file replaced, cut out or doubled."""
    content = READERS[name][1].encode()
    start = data.draw(st.integers(0, len(content)))
    stop = data.draw(st.integers(start, min(len(content), start + 40)))
    inserted = data.draw(st.binary(max_size=12) | st.text(max_size=12).map(lambda t: t.encode(errors="replace")))
    read(name, content[:start] + inserted * data.draw(st.integers(0, 3)) + content[stop:], tmp_path)


@pytest.mark.parametrize("name", JSON_DOCUMENTS)
@FUZZ
@given(data=st.data())
def test_changed_values(name, data, tmp_path):
    """Any value anywhere in a good document replaced by any other."""
    document = {"root": copy.deepcopy(JSON_DOCUMENTS[name])}
    for _ in range(data.draw(st.integers(1, 3))):
        container, key = data.draw(st.sampled_from(list(find_places(document))))
        container[key] = data.draw(values)
    read(name, json.dumps(document["root"]).encode(errors="replace"), tmp_path)


@pytest.mark.parametrize("name", ["coco.json", "marked.json", "label_studio.json", "tags.json"])
@FUZZ
@given(data=st.data())
def test_shuffled_and_retyped(name, data, tmp_path):
    """Entries in another order, keys too, and numbers and truth values as text: the same labels."""
    retype = data.draw(st.sampled_from([set(), {int}, {float}, {bool}, {int, float, bool}]))
    document = rewrite(JSON_DOCUMENTS[name], data.draw(st.randoms()), retype)
    described = [describe(name, json.dumps(d).encode(), tmp_path) for d in (JSON_DOCUMENTS[name], document)]
    assert described[0] == described[1]


def rewrite(value: Any, random: Any, retype: set[type], inside: str = "") -> Any:
    if isinstance(value, dict):
        return {k: rewrite(value[k], random, retype, k) for k in random.sample(list(value), len(value))}
    if isinstance(value, list) and inside in ("bbox", "segmentation", "size", "counts", "points", "keypoints", "rle"):
        return [rewrite(item, random, retype, inside) for item in value]
    if isinstance(value, list):
        return [rewrite(item, random, retype) for item in random.sample(value, len(value))]
    return str(value) if type(value) in retype and random.random() < 0.5 else value


def describe(name: str, content: bytes, folder: Path) -> list[Any]:
    """All that the labels of a file say, whatever the order of its entries."""
    (folder / name).write_bytes(content)
    reading = READERS[name][0](folder / name)
    results = [convert_readings(reading, None, RECORDS, CLASSES, section) for section in (SETTINGS, WITH_MARKS)]
    return [
        *(problem for result in results for problem in result.problems),
        *(
            (
                w.tags.tolist(),
                w.known.tolist(),
                sorted(zip(w.boxes_xyxy.tolist(), w.box_classes.tolist(), strict=True)),
                [part.tolist() for part in find_labelled_pixels(w)[:3]],
                len(w.object_classes),
            )
            for result in results
            for w in result.images
        ),
    ]


@pytest.mark.parametrize("name", ["a.xml", "cvat.xml"])
@FUZZ
@given(data=st.data())
def test_changed_words(name, data, tmp_path):
    """A number, name or attribute of a good XML file replaced by other text."""
    words = sorted(set(READERS[name][1].replace("<", " ").replace(">", " ").replace('"', " ").split()))
    word = data.draw(st.sampled_from(words))
    other = data.draw(st.sampled_from(["", "-1", "1e999", "nan", "0", "99999999", "1,2", "track", "x y", "&lt;", "ä"]))
    read(name, READERS[name][1].replace(word, other, data.draw(st.integers(1, 2))).encode(), tmp_path)


@pytest.mark.parametrize("name", ["boxes.csv", "tags.csv", "a.txt", "data.yaml"])
@FUZZ
@given(data=st.data())
def test_changed_lines(name, data, tmp_path):
    lines = READERS[name][1].splitlines()
    position = data.draw(st.integers(0, len(lines)))
    words = st.sampled_from(
        ["", "nan", "-1", "1e999", "0.5", "car", '"', "a.jpg", ",", "[", ":", "&x", "*x", "ä", "\x00"]
    )
    lines.insert(position, data.draw(st.sampled_from([" ", ",", ", "])).join(data.draw(st.lists(words, max_size=9))))
    read(name, "\n".join(lines).encode(), tmp_path)


def find_places(document: Any):
    """All (container, key) of a JSON document."""
    for key in list(document) if isinstance(document, dict) else range(len(document)):
        yield document, key
        if isinstance(document[key], dict | list):
            yield from find_places(document[key])
