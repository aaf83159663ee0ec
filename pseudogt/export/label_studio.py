"""Label Studio pre-annotations: a brush mask per segment in ``tasks.json``; ``label_config.xml``. Loses crowds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

import numpy as np

from pseudogt.annotations.label_studio import read_label_studio
from pseudogt.classes import ClassTable
from pseudogt.config.export import ExportSettings
from pseudogt.export.annotation_sets import AnnotationSet
from pseudogt.export.documents import stream_list
from pseudogt.export.segments import LabelledImage, find_segments
from pseudogt.files.brush import encode_brush
from pseudogt.files.io import replace_atomically

TASKS_JSON = "tasks.json"
CONTROL, OBJECT = "label", "image"


def place_image(image_id: str, split: str, file_name: str) -> Path:
    """Where copies of images go; the server needs to be told."""
    return Path("images", file_name)


def write_image(
    folder: Path, image: LabelledImage, classes: ClassTable, settings: ExportSettings
) -> list[dict[str, Any]]:
    """Return the regions of an image; no file of its own."""
    height, width = image.panoptic_id.shape
    return [
        {
            "id": str(segment.id),
            "from_name": CONTROL,
            "to_name": OBJECT,
            "type": "brushlabels",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": {
                "format": "rle",
                "rle": encode_brush(image.panoptic_id == segment.id),
                "brushlabels": [classes.names[segment.train_id]],
            },
        }
        | ({"score": image.scores[segment.id]} if segment.id in image.scores else {})
        for segment in find_segments(image.panoptic_id, classes)
    ]


def write_set(folder: Path, records: Iterable[dict[str, Any]], classes: ClassTable, settings: ExportSettings) -> None:
    """Write the tasks and the labelling interface they fit."""
    stream_list(folder / TASKS_JSON, _list_tasks(records, settings.image_prefix))
    view = Element("View")
    SubElement(view, "Image", name=OBJECT, value="$image", zoom="true")
    labels = SubElement(view, "BrushLabels", name=CONTROL, toName=OBJECT)
    for name, color in zip(classes.names, classes.colors, strict=True):
        SubElement(labels, "Label", value=name, background=f"#{bytes(color).hex()}")
    indent(view)
    with replace_atomically(folder / "label_config.xml") as temporary:
        ElementTree(view).write(temporary, encoding="utf-8")


def _list_tasks(records: Iterable[dict[str, Any]], prefix: str) -> Iterator[dict[str, Any]]:
    for record in records:
        scores = [region["score"] for region in record["entry"] if "score" in region]
        prediction: dict[str, Any] = {"model_version": "pseudogt", "result": record["entry"]}
        if scores:
            prediction["score"] = round(float(np.mean(scores)), 6)
        yield {"data": {"image": f"{prefix}{record['file_name']}"}, "annotations": [], "predictions": [prediction]}


def read_set(folder: Path, classes: ClassTable) -> AnnotationSet:
    """The annotations that Label Studio exports as JSON, which has the form of the tasks that go in."""
    return AnnotationSet(read_label_studio(folder / TASKS_JSON), classes)
