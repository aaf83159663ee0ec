"""Polygons that are taken as masks: tried on all formats that have them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pseudogt.annotations import FORMATS
from pseudogt.annotations.masks import read_masks
from pseudogt.classes import ClassTable
from pseudogt.config.annotations import AnnotationsSettings
from pseudogt.config.run import parse_run_config
from pseudogt.export.annotation_sets import AnnotationSet
from pseudogt.files.index import ImageRecord

CLASSES = ClassTable(("sky", "car"), (3, 5), (False, True), ((0, 0, 0),) * 2)
WIDTH, HEIGHT = 40, 20
SKY = ("sky", [(0, 0), (40, 0), (40, 20), (0, 20)])
CARS = [("car", [(4, 4), (14, 4), (14, 12), (4, 12)]), ("car", [(20, 6), (30, 6), (30, 16), (20, 16)])]
EXPECTED = np.full((HEIGHT, WIDTH), 3000, np.int32)
EXPECTED[4:12, 4:14], EXPECTED[6:16, 20:30] = 5001, 5002


def write_coco(folder, images):
    annotations = [
        {"image_id": i, "category_id": label, "bbox": [*p[0], p[2][0] - p[0][0], p[2][1] - p[0][1]]}
        | ({"segmentation": [[v for xy in p for v in xy]]} if masked else {})
        for i, objects in enumerate(images.values())
        for label, p, masked in objects
    ]
    document = {
        "images": [{"id": i, "file_name": f"{n}.jpg", "width": 40, "height": 20} for i, n in enumerate(images)],
        "categories": [{"id": name, "name": name} for name in ("sky", "car")],
        "annotations": annotations,
    }
    (folder / "coco.json").write_text(json.dumps(document))
    return "coco.json"


def write_yolo(folder, images):
    (folder / "yolo").mkdir()
    (folder / "yolo" / "classes.txt").write_text("sky\ncar")
    for name, objects in images.items():
        lines = []
        for label, p, masked in objects:
            # With a fifth point: four are the corners of an oriented box.
            points = [*p, p[0]] if masked else [(p[0][0] + 5, p[0][1] + 4), (10, 8)]
            values = [v for x, y in points for v in (x / WIDTH, y / HEIGHT)]
            lines.append(" ".join(map(str, [("sky", "car").index(label), *values])))
        (folder / "yolo" / f"{name}.txt").write_text("\n".join(lines))
    return "yolo"


def write_labelme(folder, images):
    (folder / "labelme").mkdir()
    for name, objects in images.items():
        shapes = [
            {
                "label": label,
                "shape_type": "polygon" if masked else "rectangle",
                "points": [list(xy) for xy in (p if masked else (p[0], p[2]))],
            }
            for label, p, masked in objects
        ]
        document = {"imagePath": f"{name}.jpg", "imageWidth": 40, "imageHeight": 20, "shapes": shapes}
        (folder / "labelme" / f"{name}.json").write_text(json.dumps(document))
    return "labelme"


def write_via(folder, images):
    def shape(p, masked):
        if masked:
            return {"name": "polygon", "all_points_x": [x for x, _ in p], "all_points_y": [y for _, y in p]}
        return {"name": "rect", "x": p[0][0], "y": p[0][1], "width": p[2][0] - p[0][0], "height": p[2][1] - p[0][1]}

    entries = {
        name: {
            "filename": f"{name}.jpg",
            "regions": [
                {"shape_attributes": shape(p, masked), "region_attributes": {"class": label}}
                for label, p, masked in objects
            ],
        }
        for name, objects in images.items()
    }
    (folder / "via.json").write_text(json.dumps(entries))
    return "via.json"


def write_label_studio(folder, images):
    def region(label, p, masked):
        kind = "polygonlabels" if masked else "rectanglelabels"
        points = [[x / WIDTH * 100, y / HEIGHT * 100] for x, y in p]
        size = {"width": points[2][0] - points[0][0], "height": points[2][1] - points[0][1]}
        value = {"points": points} if masked else {"x": points[0][0], "y": points[0][1], **size}
        return {"type": kind, "original_width": 40, "original_height": 20, "value": value | {kind: [label]}}

    tasks = [
        {"data": {"image": f"{name}.jpg"}, "annotations": [{"result": [region(*found) for found in objects]}]}
        for name, objects in images.items()
    ]
    (folder / "tasks.json").write_text(json.dumps(tasks))
    return "tasks.json"


def write_cvat(folder, images):
    def shape(label, p, masked):
        if masked:
            return f'<polygon label="{label}" points="{";".join(f"{x},{y}" for x, y in p)}"/>'
        return f'<box label="{label}" xtl="{p[0][0]}" ytl="{p[0][1]}" xbr="{p[2][0]}" ybr="{p[2][1]}"/>'

    body = "".join(
        f'<image name="{name}.jpg" width="40" height="20">{"".join(shape(*found) for found in objects)}</image>'
        for name, objects in images.items()
    )
    (folder / "cvat.xml").write_text(f"<annotations>{body}</annotations>")
    return "cvat.xml"


WRITERS = {
    "coco": write_coco,
    "cvat": write_cvat,
    "label_studio": write_label_studio,
    "labelme": write_labelme,
    "via": write_via,
    "yolo": write_yolo,
}


def mask(*objects):
    return [(*found, True) for found in objects]


def read(folder, name, images, **settings):
    path = WRITERS[name](folder, images)
    records = [ImageRecord(i, f"/photos/{i}.jpg", HEIGHT, WIDTH, "") for i in images]
    settings = AnnotationsSettings(format=name, path=path, **settings)
    drawn = read_masks(settings, folder, records, CLASSES)
    return AnnotationSet(drawn.full, CLASSES, background=drawn.background), AnnotationSet(drawn.things, CLASSES)


def test_every_format_with_polygons_is_tried():
    assert set(WRITERS) | {"voc", "csv"} == set(FORMATS.names)


@pytest.mark.parametrize("name", WRITERS)
def test_polygons_of_things_and_stuff_are_a_full_label(name, tmp_path):
    labels, things = read(tmp_path, name, {"a": mask(SKY, *CARS), "b": mask(*CARS), "c": []})
    assert labels.image_ids == ["a"] and things.image_ids == ["b"]
    np.testing.assert_array_equal(labels.read("a"), EXPECTED)
    np.testing.assert_array_equal(things.read("b"), np.where(EXPECTED == 3000, 0, EXPECTED))


@pytest.mark.parametrize("name", WRITERS)
def test_with_a_background_polygons_of_things_are(name, tmp_path):
    labels, things = read(tmp_path, name, {"a": mask(*CARS), "b": []}, background="outside_boxes")
    assert labels.image_ids == ["a", "b"] and not things.image_ids
    np.testing.assert_array_equal(labels.read("a"), EXPECTED)
    assert (labels.read("b") == 3000).all()


@pytest.mark.parametrize("name", WRITERS)
def test_an_object_without_a_mask_leaves_its_image_to_weak_labels(name, tmp_path):
    images = {"a": [*mask(SKY, CARS[0]), (*CARS[1], False)], "b": [*mask(*CARS), (*SKY, False)], "c": mask(SKY)}
    labels, things = read(tmp_path, name, images)
    assert labels.image_ids == ["c"] and things.image_ids == ["b"] and things.count_objects("b") == 2


def test_names_follow_the_settings_of_boxes(tmp_path):
    images = {"a": [*mask(SKY, *CARS), ("sky", SKY[1], False)]}
    labels, _ = read(tmp_path, "labelme", images, leave_out=["sky"], background="outside_boxes")
    assert labels.image_ids == ["a"]


def test_lines_of_a_thing_leave_its_image_to_weak_labels(tmp_path):
    write_labelme(tmp_path, {"a": mask(SKY, *CARS), "b": mask(SKY, *CARS)})
    for image_id, label in (("a", "car"), ("b", "sky")):
        path = tmp_path / "labelme" / f"{image_id}.json"
        document = json.loads(path.read_text())
        document["shapes"].append({"label": label, "shape_type": "line", "points": [[1, 1], [5, 5]]})
        path.write_text(json.dumps(document))
    records = [ImageRecord(i, f"/photos/{i}.jpg", HEIGHT, WIDTH, "") for i in "ab"]
    drawn = read_masks(AnnotationsSettings(format="labelme", path="labelme"), tmp_path, records, CLASSES)
    assert not drawn.full.images and [image.file_name for image in drawn.things.images] == ["b"]


def test_a_class_that_is_left_out_is_not_a_kind_of_object(tmp_path):
    write_labelme(tmp_path, {"a": mask(SKY, *CARS, ("line", CARS[0][1]))})
    path = tmp_path / "labelme" / "a.json"
    document = json.loads(path.read_text())
    document["shapes"].append({"label": "car", "shape_type": "line", "points": [[1, 1], [5, 5]]})
    path.write_text(json.dumps(document))
    settings = AnnotationsSettings(format="labelme", path="labelme", rename={"line": None})
    drawn = read_masks(settings, tmp_path, [ImageRecord("a", "/photos/a.jpg", HEIGHT, WIDTH, "")], CLASSES)
    assert not drawn.full.images, "a car without a mask was taken for a line"


def test_photos_that_were_turned_are_left_to_weak_labels(tmp_path):
    path = write_labelme(tmp_path, {"a": mask(SKY, *CARS)})
    turned = [ImageRecord("a", "/photos/a.jpg", WIDTH, HEIGHT, "", 6)]
    drawn = read_masks(AnnotationsSettings(format="labelme", path=path), tmp_path, turned, CLASSES)
    assert not drawn.full.images and not drawn.things.images


def test_polygons_need_annotations():
    config = {"name": "a", "data_root": "x", "dataset": {"format": "folder", "classes": {"a": "thing"}}}
    with pytest.raises(ValueError, match=r"full_labels\.polygons takes the polygons of section annotations"):
        parse_run_config(config | {"full_labels": {"polygons": True}})
