"""Label Studio pre-annotations: a region per segment in ``tasks.json``; ``label_config.xml``. Loses crowds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

import numpy as np
from numpy.typing import NDArray

from pseudogt.annotations.label_studio import read_label_studio
from pseudogt.classes import ClassTable
from pseudogt.config.export import ExportSettings
from pseudogt.export.annotation_sets import AnnotationSet
from pseudogt.export.documents import stream_list
from pseudogt.export.polygons import trace_outline
from pseudogt.export.segments import LabelledImage, Segment, find_objects_to_draw
from pseudogt.files.brush import encode_brush
from pseudogt.files.io import replace_atomically

TASKS_JSON = "tasks.json"
CONTROL, OBJECT = "label", "image"
SHAPES = {"masks": "BrushLabels", "polygons": "PolygonLabels", "boxes": "RectangleLabels"}
"""Control tag for each of ``export.shapes``; in lower case it is the type of a region."""


def place_image(image_id: str, split: str, file_name: str) -> Path:
    """Where copies of images go; the server needs to be told."""
    return Path("images", file_name)


def write_image(
    folder: Path, image: LabelledImage, classes: ClassTable, settings: ExportSettings
) -> list[dict[str, Any]]:
    """Return the regions of an image; no file of its own."""
    height, width = image.panoptic_id.shape
    kind = SHAPES[settings.shapes].lower()
    has_all = settings.shapes != "boxes"
    return [
        {
            "id": str(segment.id),
            "from_name": CONTROL,
            "to_name": OBJECT,
            "type": kind,
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": _describe_shape(segment, image.panoptic_id, settings) | {kind: [classes.names[segment.train_id]]},
        }
        | ({"score": image.scores[segment.id]} if segment.id in image.scores else {})
        for segment in find_objects_to_draw(image.panoptic_id, classes, stuff=has_all, crowds=has_all)
    ]


def _describe_shape(segment: Segment, panoptic_id: NDArray[np.int32], settings: ExportSettings) -> dict[str, Any]:
    """Where a region is: a brush mask, or a polygon or box in percent of the image."""
    if settings.shapes == "masks":
        return {"format": "rle", "rle": encode_brush(panoptic_id == segment.id)}
    percent = 100 / np.array(panoptic_id.shape[::-1])
    corners = np.reshape(segment.box_xyxy, (2, 2))
    if settings.shapes == "polygons":
        outline = trace_outline(segment.mask, settings.polygon_tolerance_px, segment.box_xyxy[:2])
        return {"points": (outline * percent).tolist(), "closed": True}
    (x, y), (width, height) = (corners[0] * percent).tolist(), ((corners[1] - corners[0]) * percent).tolist()
    return {"x": x, "y": y, "width": width, "height": height, "rotation": 0}


def write_set(folder: Path, records: Iterable[dict[str, Any]], classes: ClassTable, settings: ExportSettings) -> None:
    """Write the tasks and the labelling interface they fit."""
    stream_list(folder / TASKS_JSON, _list_tasks(records, settings.image_prefix))
    view = Element("View")
    SubElement(view, "Image", name=OBJECT, value="$image", zoom="true")
    labels = SubElement(view, SHAPES[settings.shapes], name=CONTROL, toName=OBJECT)
    for name, color in zip(classes.names, classes.colors, strict=True):
        SubElement(labels, "Label", value=name, background=f"#{bytes(color).hex()}")
    indent(view)
    with replace_atomically(folder / "label_config.xml") as temporary:
        ElementTree(view).write(temporary, encoding="utf-8")


def _list_tasks(records: Iterable[dict[str, Any]], prefix: str) -> Iterator[dict[str, Any]]:
    # In an address, `#`, `&` and `%` would end the name; names in buckets stay as they are.
    is_address = "?" in prefix or prefix.startswith("http")
    for record in records:
        name = quote(record["file_name"]) if is_address else record["file_name"]
        scores = [region["score"] for region in record["entry"] if "score" in region]
        prediction: dict[str, Any] = {"model_version": "pseudogt", "result": record["entry"]}
        if scores:
            prediction["score"] = round(float(np.mean(scores)), 6)
        yield {"data": {"image": f"{prefix}{name}"}, "annotations": [], "predictions": [prediction]}


def read_set(folder: Path, classes: ClassTable) -> AnnotationSet:
    """The annotations that Label Studio exports as JSON, which has the form of the tasks that go in."""
    return AnnotationSet(read_label_studio(folder / TASKS_JSON), classes)
