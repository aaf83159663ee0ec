"""CVAT's *images 1.1* XML: boxes, polygons, masks and tags of images, in pixels."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

import numpy as np

from pseudogt.annotations.form import (
    BROKEN,
    AnnotatedBox,
    AnnotatedMark,
    Corners,
    ImageAnnotations,
    Reading,
    Source,
    UnusableObject,
)
from pseudogt.annotations.geometry import (
    bound_ellipse,
    bound_points,
    bound_turned,
    decode_runs,
    encode_mask,
    flatten_points,
)
from pseudogt.annotations.records import UnsupportedKindError, join_parts, list_labels, read_exports, read_objects
from pseudogt.boxes import find_tight_box
from pseudogt.parsing.documents import parse_xml
from pseudogt.parsing.values import LARGEST_MASK_PX, parse_extent, parse_name, parse_number, parse_whole_number

PER_IMAGE = False
ROOT = "annotations"
SHAPES = ("box", "polygon", "mask", "ellipse")
MARKS = ("points", "polyline")
"""Shapes that label some pixels without outlining an object."""


class _Shape(NamedTuple):
    """A shape, its image, and what it is called in messages."""

    element: Element
    image: Element
    where: str


def recognise(content: Any) -> bool:
    """Whether an XML has CVAT's root element."""
    return isinstance(content, Element) and content.tag == ROOT


def read(source: Source) -> Reading:
    """As :func:`read_cvat`, of a file or of a folder of such files, called by the name of the format."""
    return read_exports(source.path, ".xml", read_cvat, declared=True)


def read_cvat(path: Path) -> Reading:
    """Read an export of the kind *CVAT for images 1.1*; every image in it was looked at.

    Polygons and masks of one label and one group are parts of one object.

    Polylines, points and other shapes than boxes, polygons, ellipses and masks have no box: their class is unknown.

    Raises
    ------
    ValueError
        If the file is not XML of this form, or holds the tracks of a video.
    """
    root = parse_xml(path)
    if root.tag != ROOT:
        raise ValueError(f"{path}: its root is <{root.tag}>, that of a CVAT file <{ROOT}>")
    track = root.find("track")
    if track is not None:
        raise ValueError(
            f"{path}: holds <track> {track.get('id', '')!r}, so it is 'CVAT for video'; export as 'CVAT for images 1.1'"
        )
    images, broken = [], []
    names = Counter(element.get("name") for element in root.iterfind("image"))
    for element in root.iterfind("image"):
        try:
            image = _read_image(element, f"{path}: image {element.get('name', '?')!r}")
            # A project may have images of one name in several subsets, whose names are those of folders.
            subset = element.get("subset") if names[image.file_name] > 1 else None
            images.append(replace(image, file_name=f"{subset}/{image.file_name}") if subset else image)
        except ValueError as error:
            broken.append(str(error))
    declared = frozenset(parse_name(e.text) for e in root.iterfind("meta//labels/label/name") if e.text)
    images, warnings = join_parts(path, images)
    drawn = list_labels(images)
    tagged = frozenset(label for image in images for label in image.tags)
    return Reading(images, drawn | (declared - tagged), tagged, broken=broken, warnings=warnings)


def _read_image(element: Element, where: str) -> ImageAnnotations:
    name = element.get("name")
    if not name:
        raise ValueError(f"{where} has no name")
    shapes = [
        _Shape(shape, element, f"{where}, <{shape.tag}> {number}")
        for number, shape in enumerate(element)
        if shape.tag != "tag"
    ]
    boxes, unusable = read_objects(shapes, _find_label, _read_shape)
    tags = [parse_name(e.get("label", "")) for e in element.iterfind("tag")]
    unusable += [UnusableObject(None, BROKEN, f"{where}: a <tag> has no label") for tag in tags if not tag]
    return ImageAnnotations(
        name,
        boxes,
        tags={tag: True for tag in tags if tag},
        width=parse_extent(element.get("width"), f"{where}, width"),
        height=parse_extent(element.get("height"), f"{where}, height"),
        unusable=unusable,
    )


def _find_label(shape: _Shape) -> str | None:
    return parse_name(shape.element.get("label", "")) or None


def _read_shape(found: _Shape) -> list[AnnotatedBox]:
    shape, image, where = found
    label = _find_label(found)
    if shape.tag not in SHAPES:
        raise UnsupportedKindError(shape.tag, _read_marks(shape, label, where))
    if label is None:
        raise ValueError(f"{where} has no label")
    segmentation: Any = None
    if shape.tag == "box":
        box = _read_box(shape, where)
    elif shape.tag == "ellipse":
        cx, cy, rx, ry = (parse_number(shape.get(key), f"{where}, {key}") for key in ("cx", "cy", "rx", "ry"))
        box = bound_ellipse((cx, cy), (rx, ry), _read_rotation(shape, where))
    elif shape.tag == "polygon":
        points = _read_points(shape, where)
        box, segmentation = bound_points(points), [flatten_points(points)]
    else:
        box, segmentation = _read_mask(shape, image, where)
    return [AnnotatedBox(label, box, segmentation=segmentation, group=_find_group(shape))]


def _read_marks(shape: Element, label: str | None, where: str) -> list[AnnotatedMark]:
    """Points, which belong to one object, or the scribble of a polyline; empty for other or unreadable shapes."""
    if label is None or shape.tag not in MARKS:
        return []
    try:
        points = [(x, y) for x, y in _read_points(shape, where, fewest=1).tolist()]
    except ValueError:
        return []
    if shape.tag == "polyline":
        return [AnnotatedMark(label, tuple(points), group=_find_group(shape))]
    group = _find_group(shape)
    return [AnnotatedMark(label, (point,), group=group or where, is_named=group is not None) for point in points]


def _find_group(shape: Element) -> str | None:
    """Number of the group that a person put shapes of one object into; 0 means none."""
    group = shape.get("group_id", "0")
    return None if group == "0" else group


def _read_rotation(shape: Element, where: str) -> float:
    return parse_number(shape.get("rotation", "0"), f"{where}, rotation")


def _read_box(shape: Element, where: str) -> Corners:
    """A box is turned about its centre."""
    sides = ("xtl", "ytl", "xbr", "ybr")
    x0, y0, x1, y1 = (parse_number(shape.get(side), f"{where}, {side}") for side in sides)
    return bound_turned((x0, y0, x1, y1), _read_rotation(shape, where))


def _read_points(shape: Element, where: str, fewest: int = 3) -> np.ndarray:
    pairs = [pair.split(",") for pair in shape.get("points", "").split(";")]
    if len(pairs) < fewest or any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"{where}: its points are not 'x,y;x,y;x,y'")
    return np.array([[parse_number(value, where) for value in pair] for pair in pairs])


def _read_mask(shape: Element, image: Element, where: str) -> tuple[Corners, dict[str, Any]]:
    """Run lengths by rows inside a window of the image."""
    keys = ("left", "top", "width", "height")
    left, top, width, height = (parse_whole_number(shape.get(key), f"{where}, {key}") for key in keys)
    columns, rows = (parse_extent(image.get(key), f"{where}, {key} of the image") or 0 for key in ("width", "height"))
    if min(left, top) < 0 or min(width, height) < 1 or left + width > columns or top + height > rows:
        raise ValueError(f"{where}: window {[left, top, width, height]} is not in the {columns}x{rows} image")
    if columns * rows > LARGEST_MASK_PX:
        raise ValueError(f"{where}: an image of {columns}x{rows} pixels is too large for a mask")
    counts = [parse_whole_number(count, f"{where}, rle") for count in shape.get("rle", "").split(",")]
    mask = np.zeros((rows, columns), bool)
    try:
        mask[top : top + height, left : left + width] = decode_runs(counts, (height, width), "C")
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    x0, y0, x1, y1 = map(float, find_tight_box(mask).tolist())
    return (x0, y0, x1, y1), encode_mask(mask)
