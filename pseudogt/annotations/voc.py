"""PASCAL VOC's XML: one file per image, boxes with 1-based inclusive corners; rotated boxes of CVAT and roLabelImg."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

from pseudogt.annotations.form import AnnotatedBox, Corners, ImageAnnotations, Reading, Source
from pseudogt.annotations.geometry import bound_points, bound_turned
from pseudogt.annotations.records import find_label_files, list_labels, read_objects
from pseudogt.parsing.documents import parse_xml
from pseudogt.parsing.values import parse_extent, parse_flag, parse_name, parse_number

PER_IMAGE = True
ROOT = "annotation"


class _Object(NamedTuple):
    """An ``<object>`` and what it is called in messages."""

    element: Element
    where: str


def read_voc(path: Path, image_id: str | None = None) -> ImageAnnotations:
    """Read one file, named like its image (``<filename>`` inside is often that of another machine).

    ``<object>`` elements count, ``<part>`` elements inside them do not. A size of 0, which some tools
    write, counts as none. A turned box, and a polygon without a box, become the upright box around them.

    Raises
    ------
    ValueError
        If the file is not XML of this form.
    """
    root = parse_xml(path)
    if root.tag != ROOT:
        raise ValueError(f"{path}: its root is <{root.tag}>, that of a VOC file <{ROOT}>")
    elements = root.findall("object")
    hidden = [element.tag for element in root.iter() if element.tag.lower() in ("object", "objects")]
    if hidden and not elements:
        raise ValueError(
            f"{path}: holds <{hidden[0]}>, but no <object> directly in <{ROOT}>, where objects must be; move them there"
        )
    objects = [_Object(element, f"{path}: object {i}") for i, element in enumerate(elements, 1)]
    boxes, unusable = read_objects(objects, _find_label, lambda found: [_read_object(found)])
    return ImageAnnotations(
        file_name=path.stem if image_id is None else image_id,
        boxes=boxes,
        unusable=unusable,
        width=parse_extent(root.findtext("size/width"), f"{path}: width"),
        height=parse_extent(root.findtext("size/height"), f"{path}: height"),
    )


def _find_label(found: _Object) -> str | None:
    return parse_name(found.element.findtext("name") or "") or None


def _read_object(found: _Object) -> AnnotatedBox:
    name = _find_label(found)
    if name is None:
        raise ValueError(f"{found.where} has no <name>")
    where = f"{found.where} ({name})"
    turned = found.element.find("robndbox")
    polygon = found.element.find("polygon")
    if turned is not None:
        corners = _read_turned(turned, where)
    elif polygon is not None and found.element.find("bndbox") is None:
        corners = _read_polygon(polygon, where)
    else:
        corners = _read_corners(found.element, where)
    difficult = parse_flag(found.element.findtext("difficult"), f"{where}, difficult")
    return AnnotatedBox(name, corners, difficult=difficult)


def _read_corners(element: Element, where: str) -> Corners:
    """Corners of a box that CVAT may have turned about its centre: it writes the degrees as an attribute."""
    x0, y0, x1, y1 = (
        parse_number(element.findtext(f"bndbox/{side}"), f"{where}, {side}")
        for side in ("xmin", "ymin", "xmax", "ymax")
    )
    attributes = {a.findtext("name"): a.findtext("value") for a in element.findall("attributes/attribute")}
    degrees = parse_number(attributes.get("rotation") or "0", f"{where}, rotation")
    return bound_turned((x0 - 1, y0 - 1, x1, y1), degrees)


def _read_turned(element: Element, where: str) -> Corners:
    """Corners around a box of roLabelImg: its centre, its size, and its angle in radians."""
    x, y, width, height, angle = (
        parse_number(element.findtext(key), f"{where}, {key}") for key in ("cx", "cy", "w", "h", "angle")
    )
    return bound_turned((x - width / 2, y - height / 2, x + width / 2, y + height / 2), math.degrees(angle))


def _read_polygon(polygon: Element, where: str) -> Corners:
    """Corners around a polygon: ``<x1>``, ``<y1>``, ``<x2>``, ... of Roboflow, or ``<pt>`` of the first LabelMe."""
    points = polygon.findall("pt")
    if points:
        texts = [(point.findtext("x"), point.findtext("y")) for point in points]
    else:
        count = sum(child.tag.startswith("x") for child in polygon)
        texts = [(polygon.findtext(f"x{i}"), polygon.findtext(f"y{i}")) for i in range(1, count + 1)]
    if not texts:
        raise ValueError(f"{where} has neither a <bndbox> nor a <polygon> with points")
    return bound_points([[parse_number(value, f"{where}, polygon") for value in pair] for pair in texts])


def recognise(content: Any) -> bool:
    """Whether an XML has VOC's root element."""
    return isinstance(content, Element) and content.tag == ROOT


def read(source: Source) -> Reading:
    """As :func:`read_voc_folder`, called by the name of the format."""
    return read_voc_folder(source.path, source.images)


def read_voc_folder(folder: Path, images: Mapping[str, str]) -> Reading:
    """Read ``<image>.xml`` of the given images; a missing file says nothing, one without objects that nothing is there.

    Parameters
    ----------
    folder : Path
    images : mapping
        Image id -> path of the image.

    Raises
    ------
    ValueError
        If there is no folder.
    """
    files, searched, warnings = find_label_files(folder, images, ".xml")
    found, broken = [], []
    for image_id, path in files.items():
        try:
            found.append(read_voc(path, image_id))
        except ValueError as error:
            broken.append(str(error))
    return Reading(found, list_labels(found), warnings=warnings, broken=broken, searched=searched)
