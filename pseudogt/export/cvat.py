"""CVAT for images 1.1 pre-annotations: ``annotations.xml`` with a shape per segment. Loses crowds and scores."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import numpy as np
from numpy.typing import NDArray

from pseudogt.annotations.cvat import read_cvat
from pseudogt.classes import ClassTable
from pseudogt.config.export import ExportSettings
from pseudogt.export.annotation_sets import AnnotationSet
from pseudogt.export.polygons import trace_outline
from pseudogt.export.segments import LabelledImage, Segment, find_objects_to_draw
from pseudogt.files.io import replace_atomically

ANNOTATIONS_XML = "annotations.xml"
SHAPES = {"masks": ("mask", "mask"), "polygons": ("polygon", "polygon"), "boxes": ("box", "rectangle")}
"""Element, and type of its label, for each of ``export.shapes``."""


def place_image(image_id: str, split: str, file_name: str) -> Path:
    """Where copies of images go; their names must be those of the task."""
    return Path("images", file_name)


def write_image(
    folder: Path, image: LabelledImage, classes: ClassTable, settings: ExportSettings
) -> list[dict[str, str]]:
    """Return the attributes of the shapes of an image; no file of its own."""
    has_all = settings.shapes != "boxes"
    segments = find_objects_to_draw(image.panoptic_id, classes, stuff=has_all, crowds=has_all)
    return [
        {"label": classes.names[segment.train_id], "source": "auto", "occluded": "0", "z_order": "0"}
        | _describe_shape(segment, settings)
        for segment in segments
    ]


def _describe_shape(segment: Segment, settings: ExportSettings) -> dict[str, str]:
    """Attributes of a mask, polygon or box that say where it is."""
    x0, y0, x1, y1 = segment.box_xyxy
    if settings.shapes == "boxes":
        return {"xtl": str(x0), "ytl": str(y0), "xbr": str(x1), "ybr": str(y1)}
    if settings.shapes == "polygons":
        outline = trace_outline(segment.mask, settings.polygon_tolerance_px, (x0, y0))
        return {"points": ";".join(f"{x:.2f},{y:.2f}" for x, y in outline.tolist())}
    runs = ", ".join(map(str, encode_rows(segment.mask)))
    return {"rle": runs, "left": str(x0), "top": str(y0), "width": str(x1 - x0), "height": str(y1 - y0)}


def encode_rows(mask: NDArray[np.bool_]) -> list[int]:
    """Run lengths of a mask ``(h, w) bool`` row by row, zeros first."""
    flat = np.concatenate([[False], mask.ravel()])
    edges = np.flatnonzero(np.diff(flat))
    return np.diff(np.concatenate([[0], edges, [mask.size]])).tolist()


def write_set(folder: Path, records: Iterable[dict[str, Any]], classes: ClassTable, settings: ExportSettings) -> None:
    """Write ``annotations.xml``, image by image."""
    with replace_atomically(folder / ANNOTATIONS_XML) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n')
        tag, kind = SHAPES[settings.shapes]
        file.write(_render(_describe_labels(classes, kind)))
        for number, record in enumerate(records):
            element = Element(
                "image",
                id=str(number),
                name=record["file_name"],
                width=str(record["width"]),
                height=str(record["height"]),
            )
            for shape in record["entry"]:
                SubElement(element, tag, shape)
            file.write(_render(element))
        file.write("</annotations>\n")


def _describe_labels(classes: ClassTable, kind: str) -> Element:
    meta = Element("meta")
    labels = SubElement(SubElement(meta, "task"), "labels")
    for name, color in zip(classes.names, classes.colors, strict=True):
        label = SubElement(labels, "label")
        for tag, text in (("name", name), ("color", f"#{bytes(color).hex()}"), ("type", kind)):
            SubElement(label, tag).text = text
        SubElement(label, "attributes")
    return meta


def _render(element: Element) -> str:
    indent(element)
    return tostring(element, encoding="unicode") + "\n"


def read_set(folder: Path, classes: ClassTable) -> AnnotationSet:
    """The annotations that CVAT exports as *CVAT for images 1.1*."""
    return AnnotationSet(read_cvat(folder / ANNOTATIONS_XML), classes)
