"""CVAT for images 1.1 pre-annotations: ``annotations.xml`` with a mask per segment. Loses crowds and scores."""

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
from pseudogt.export.segments import LabelledImage, find_segments
from pseudogt.files.io import replace_atomically

ANNOTATIONS_XML = "annotations.xml"


def place_image(image_id: str, split: str, file_name: str) -> Path:
    """Where copies of images go; their names must be those of the task."""
    return Path("images", file_name)


def write_image(
    folder: Path, image: LabelledImage, classes: ClassTable, settings: ExportSettings
) -> list[dict[str, str]]:
    """Return the attributes of the ``<mask>`` elements of an image; no file of its own."""
    masks = []
    for segment in find_segments(image.panoptic_id, classes):
        x0, y0, x1, y1 = segment.box_xyxy
        masks.append(
            {
                "label": classes.names[segment.train_id],
                "source": "auto",
                "occluded": "0",
                "rle": ", ".join(map(str, encode_rows(segment.mask))),
                "left": str(x0),
                "top": str(y0),
                "width": str(x1 - x0),
                "height": str(y1 - y0),
                "z_order": "0",
            }
        )
    return masks


def encode_rows(mask: NDArray[np.bool_]) -> list[int]:
    """Run lengths of a mask ``(h, w) bool`` row by row, zeros first."""
    flat = np.concatenate([[False], mask.ravel()])
    edges = np.flatnonzero(np.diff(flat))
    return np.diff(np.concatenate([[0], edges, [mask.size]])).tolist()


def write_set(folder: Path, records: Iterable[dict[str, Any]], classes: ClassTable, settings: ExportSettings) -> None:
    """Write ``annotations.xml``, image by image."""
    with replace_atomically(folder / ANNOTATIONS_XML) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n')
        file.write(_render(_describe_labels(classes)))
        for number, record in enumerate(records):
            element = Element(
                "image",
                id=str(number),
                name=record["file_name"],
                width=str(record["width"]),
                height=str(record["height"]),
            )
            for mask in record["entry"]:
                SubElement(element, "mask", mask)
            file.write(_render(element))
        file.write("</annotations>\n")


def _describe_labels(classes: ClassTable) -> Element:
    meta = Element("meta")
    labels = SubElement(SubElement(meta, "task"), "labels")
    for name, color in zip(classes.names, classes.colors, strict=True):
        label = SubElement(labels, "label")
        for tag, text in (("name", name), ("color", f"#{bytes(color).hex()}"), ("type", "mask")):
            SubElement(label, tag).text = text
        SubElement(label, "attributes")
    return meta


def _render(element: Element) -> str:
    indent(element)
    return tostring(element, encoding="unicode") + "\n"


def read_set(folder: Path, classes: ClassTable) -> AnnotationSet:
    """The annotations that CVAT exports as *CVAT for images 1.1*."""
    return AnnotationSet(read_cvat(folder / ANNOTATIONS_XML), classes)
