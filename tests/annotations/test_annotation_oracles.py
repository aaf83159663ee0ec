"""The readers against those of other projects; skipped where they are not installed (`pip install '.[oracles]'`)."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pseudogt.annotations.coco import read_coco
from pseudogt.annotations.cvat import read_cvat
from pseudogt.annotations.geometry import decode_segmentation
from pseudogt.annotations.voc import read_voc_folder
from pseudogt.annotations.yolo import read_yolo
from pseudogt.files.brush import decode_brush
from pseudogt.files.images import write_png

SIZE = (80, 100)
"""Height and width of the images."""


@pytest.fixture
def datumaro():
    return pytest.importorskip("datumaro", reason="datumaro is not installed")


@pytest.fixture
def items(datumaro):
    """Three images: two boxes, one box with a polygon, none."""
    from datumaro.components.annotation import Bbox, Polygon
    from datumaro.components.media import Image

    def make(name, annotations, subset="train"):
        image = Image.from_numpy(data=np.zeros((*SIZE, 3), np.uint8))
        return datumaro.DatasetItem(name, subset=subset, media=image, annotations=annotations)

    two = [Bbox(10, 20, 30, 40, label=0, id=1), Bbox(0, 0, 100, 80, label=1, id=2)]
    polygon = [Polygon([10, 10, 50, 10, 50, 30], label=1, id=3)]
    made = [make("a b", two), make("ümlaut", polygon), make("c", []), make("d", [], "val")]
    return datumaro.Dataset.from_iterable(made, categories=["car", "bus"])


def list_boxes(reading, size=(1, 1)):
    """(image, class, corners in pixels) of all boxes, sorted."""
    scale = np.array([size[1], size[0]] * 2)
    return sorted(
        (image.file_name.rsplit(".", 1)[0], box.label, tuple(np.round(np.array(box.xyxy) * scale, 2).tolist()))
        for image in reading.images
        for box in image.boxes
    )


BOXES = [
    ("a b", "bus", (0, 0, 100, 80)),
    ("a b", "car", (10, 20, 40, 60)),
    ("ümlaut", "bus", (10, 10, 50, 30)),
]


def test_coco_of_datumaro(items, tmp_path):
    items.export(str(tmp_path), "coco_instances", save_media=True)
    path = next((tmp_path / "annotations").glob("instances_train.json"))
    reading = read_coco(path, masks=True)
    assert list_boxes(reading) == BOXES and not reading.problems
    assert len(reading.images) == 3
    polygon = next(b for i in reading.images for b in i.boxes if i.file_name.startswith("ümlaut"))
    assert decode_segmentation(polygon.segmentation, *SIZE).sum() == pytest.approx(400, abs=40)


def test_yolo_of_datumaro(items, tmp_path):
    items.export(str(tmp_path), "yolo_ultralytics", save_media=True)
    reading = read_yolo(tmp_path / "labels" / "train", {name: f"{name}.jpg" for name in ("a b", "ümlaut", "c")})
    assert not reading.problems
    assert list_boxes(reading, SIZE) == [box for box in BOXES if box[0] == "a b"]  # polygons are not exported


def test_cvat_of_datumaro(items, tmp_path):
    items.export(str(tmp_path), "cvat", save_media=True)
    reading = read_cvat(next(tmp_path.rglob("*.xml")))
    assert not reading.problems and list_boxes(reading) == BOXES


def test_datumaro_reads_the_same_voc_boxes(datumaro, tmp_path):
    text = (
        "<annotation><filename>a.jpg</filename><size><width>100</width><height>80</height><depth>3</depth></size>"
        "<object><name>car</name><difficult>1</difficult><bndbox><xmin>11</xmin><ymin>21</ymin><xmax>40</xmax>"
        "<ymax>60</ymax></bndbox></object></annotation>"
    )
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "Annotations" / "a.xml").write_text(text)
    (tmp_path / "ImageSets" / "Main" / "train.txt").write_text("a\n")
    write_png(tmp_path / "JPEGImages" / "a.png", np.zeros((*SIZE, 3), np.uint8))
    theirs = next(iter(datumaro.Dataset.import_from(str(tmp_path), "voc_detection"))).annotations[0]
    ours = read_voc_folder(tmp_path / "Annotations", {"a": "a.png"}).images[0].boxes[0]
    assert theirs.attributes["difficult"] == ours.difficult
    # They keep the corners as written and take both as half-open; ours hold the pixels that VOC's inclusive ones do.
    assert theirs.points == [ours.xyxy[0] + 1, ours.xyxy[1] + 1, ours.xyxy[2], ours.xyxy[3]]


@pytest.mark.parametrize("seed", range(3))
def test_brush_masks_of_label_studio(seed):
    brush = pytest.importorskip("label_studio_sdk.converter.brush", reason="label-studio-sdk is not installed")
    rng = np.random.default_rng(seed)
    mask = np.zeros((40, 70), bool)
    mask[5:20, 10:30] = rng.random((15, 20)) < 0.7
    mask[39, 69] = seed == 1
    encoded = brush.mask2rle((mask * 255).astype(np.uint8))
    np.testing.assert_array_equal(decode_brush(encoded, *mask.shape), mask)
    np.testing.assert_array_equal(brush.decode_rle(encoded).reshape(40, 70, 4)[..., 3] > 0, mask)


def test_label_studios_converter_gives_the_same_boxes(tmp_path):
    converter = pytest.importorskip("label_studio_sdk.converter", reason="label-studio-sdk is not installed")
    from pseudogt.annotations.label_studio import read_label_studio

    value = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0, "rectanglelabels": ["car"]}
    result = {
        "id": "1",
        "type": "rectanglelabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": SIZE[1],
        "original_height": SIZE[0],
        "value": value,
    }
    task = {"id": 1, "data": {"image": "a.jpg"}, "annotations": [{"id": 1, "result": [result], "completed_by": 1}]}
    (tmp_path / "export.json").write_text(json.dumps([task]))
    view = (
        '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image"><Label value="car"/>'
        "</RectangleLabels></View>"
    )
    tool = converter.Converter(view, str(tmp_path), download_resources=False)
    tool.convert_to_coco(str(tmp_path / "export.json"), str(tmp_path / "out"), is_dir=False)
    theirs = read_coco(tmp_path / "out" / "result.json").images[0].boxes[0]
    ours = read_label_studio(tmp_path / "export.json").images[0].boxes[0]
    assert ours.xyxy == pytest.approx(theirs.xyxy) and ours.label == theirs.label
