"""COCO instances: ``instances.json`` with a run-length encoded mask per thing. Loses stuff."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as rle

from pseudogt.annotations.coco import read_coco
from pseudogt.classes import ClassTable
from pseudogt.config.export import ExportSettings
from pseudogt.export.annotation_sets import AnnotationSet
from pseudogt.export.coco_panoptic import list_exported_images
from pseudogt.export.documents import stream_object
from pseudogt.export.segments import LabelledImage, find_segments, is_crowd, list_categories

INSTANCES_JSON = "instances.json"


def place_image(image_id: str, split: str, file_name: str) -> Path:
    """Where readers look for an image."""
    return Path("images", file_name)


def write_image(
    folder: Path, image: LabelledImage, classes: ClassTable, settings: ExportSettings
) -> list[dict[str, Any]]:
    """Return the annotations of an image's things; no file of its own."""
    annotations = []
    for segment in find_segments(image.panoptic_id, classes):
        if not classes.isthing[segment.train_id]:
            continue
        x0, y0, x1, y1 = segment.box_xyxy
        encoded = rle.encode(np.asfortranarray(image.panoptic_id == segment.id, np.uint8))
        annotations.append(
            {
                "category_id": classes.category_ids[segment.train_id],
                "iscrowd": int(is_crowd(segment, classes)),
                "area": int(segment.mask.sum()),
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "segmentation": {"size": encoded["size"], "counts": encoded["counts"].decode("ascii")},
            }
            | ({"score": image.scores[segment.id]} if segment.id in image.scores else {})
        )
    return annotations


def write_set(folder: Path, records: Iterable[dict[str, Any]], classes: ClassTable, settings: ExportSettings) -> None:
    """Write ``instances.json``; ids of images and annotations are numbers from 1."""
    stream_object(
        folder / INSTANCES_JSON,
        {
            "images": list_exported_images(records),
            "annotations": _list_annotations(records),
            "categories": list_categories(classes, things_only=True),
        },
    )


def _list_annotations(records: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    annotation_id = 0
    for number, record in enumerate(records, 1):
        for annotation in record["entry"]:
            annotation_id += 1
            yield {"id": annotation_id, "image_id": number, **annotation}


def read_set(folder: Path, classes: ClassTable) -> AnnotationSet:
    """The labels in a folder; where there are things, but no stuff."""
    return AnnotationSet(read_coco(folder / INSTANCES_JSON, masks=True), classes)
