"""COCO instances: ``instances.json`` with a mask, polygon or box per thing, and on request stuff."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as rle

from pseudogt.annotations.coco import read_coco
from pseudogt.classes import ClassTable
from pseudogt.config.export import ExportSettings
from pseudogt.export.annotation_sets import AnnotationSet
from pseudogt.export.coco_panoptic import list_exported_images
from pseudogt.export.documents import stream_object
from pseudogt.export.polygons import trace_outline
from pseudogt.export.segments import LabelledImage, Segment, find_objects_to_draw, is_crowd, list_categories

INSTANCES_JSON = "instances.json"


def place_image(image_id: str, split: str, file_name: str) -> Path:
    """Where readers look for an image."""
    return Path("images", file_name)


def write_image(
    folder: Path, image: LabelledImage, classes: ClassTable, settings: ExportSettings
) -> list[dict[str, Any]]:
    """Return the annotations of an image's things, and of its stuff on request; no file of its own."""
    annotations = []
    for segment in find_objects_to_draw(image.panoptic_id, classes, stuff=settings.stuff, crowds=True):
        x0, y0, x1, y1 = segment.box_xyxy
        annotations.append(
            {
                "category_id": classes.category_ids[segment.train_id],
                "iscrowd": int(is_crowd(segment, classes)),
                "area": int(segment.mask.sum()),
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "segmentation": _draw_segment(segment, image.panoptic_id, classes, settings),
            }
            | ({"score": image.scores[segment.id]} if segment.id in image.scores else {})
        )
    return annotations


def _draw_segment(
    segment: Segment, panoptic_id: NDArray[np.int32], classes: ClassTable, settings: ExportSettings
) -> dict[str, Any] | list[list[float]]:
    """COCO's ``segmentation``; readers expect run lengths for crowds, whatever the shape of other objects."""
    if settings.shapes == "boxes":
        return []
    if settings.shapes == "polygons" and not is_crowd(segment, classes):
        outline = trace_outline(segment.mask, settings.polygon_tolerance_px, segment.box_xyxy[:2])
        return [outline.ravel().tolist()]
    encoded = rle.encode(np.asfortranarray(panoptic_id == segment.id, np.uint8))
    return {"size": encoded["size"], "counts": encoded["counts"].decode("ascii")}


def write_set(folder: Path, records: Iterable[dict[str, Any]], classes: ClassTable, settings: ExportSettings) -> None:
    """Write ``instances.json``; ids of images and annotations are numbers from 1."""
    stream_object(
        folder / INSTANCES_JSON,
        {
            "images": list_exported_images(records),
            "annotations": _list_annotations(records),
            "categories": list_categories(classes, things_only=not settings.stuff),
        },
    )


def _list_annotations(records: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    annotation_id = 0
    for number, record in enumerate(records, 1):
        for annotation in record["entry"]:
            annotation_id += 1
            yield {"id": annotation_id, "image_id": number, **annotation}


def read_set(folder: Path, classes: ClassTable) -> AnnotationSet:
    """The labels in a folder; where there are things, and stuff only if it was asked for."""
    return AnnotationSet(read_coco(folder / INSTANCES_JSON, masks=True), classes)


def read_full_set(folder: Path, classes: ClassTable) -> AnnotationSet:
    """The labels in a folder, of stuff as well.

    Raises
    ------
    ValueError
        If none of the categories is a stuff class.
    """
    path = folder / INSTANCES_JSON
    reading = read_coco(path, masks=True)
    if reading.box_labels.isdisjoint(classes.names[train_id] for train_id in classes.stuff_ids):
        raise ValueError(f"{path}: holds no stuff; a full label needs it, give COCO panoptic")
    return AnnotationSet(reading, classes)
