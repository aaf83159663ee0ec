"""CVAT's *images 1.1* XML: boxes, polygons, masks and tags of images, in pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from pseudogt.annotations.form import AnnotatedBox, Corners, ImageAnnotations, Reading, Source
from pseudogt.annotations.geometry import (
    bound_ellipse,
    bound_points,
    decode_runs,
    encode_mask,
    flatten_points,
    rotate_rectangle,
)
from pseudogt.boxes import find_tight_box
from pseudogt.files.parsing import LARGEST_MASK_PX, parse_extent, parse_number, parse_whole_number, parse_xml

SHAPES = ("box", "polygon", "mask", "ellipse")
OTHER_SHAPES = ("polyline", "points", "cuboid", "skeleton")


def read(source: Source) -> Reading:
    """As :func:`read_cvat`, called by the name of the format."""
    return read_cvat(source.path)


def read_cvat(path: Path) -> Reading:
    """Read an export of the kind *CVAT for images 1.1*; every image in it was looked at.

    Raises
    ------
    ValueError
        If the file is not XML of this form, or holds the tracks of a video.
    """
    root = parse_xml(path)
    if root.tag != "annotations":
        raise ValueError(f"{path}: its root is <{root.tag}>, that of a CVAT file <annotations>")
    track = root.find("track")
    if track is not None:
        raise ValueError(
            f"{path}: holds <track> {track.get('id', '')!r}, so it is 'CVAT for video'; export as 'CVAT for images 1.1'"
        )
    images, problems = [], []
    for element in root.iterfind("image"):
        where = f"{path}: image {element.get('name', '?')!r}"
        boxes = []
        for number, shape in enumerate(element):
            try:
                boxes += _read_shape(shape, element, f"{where}, <{shape.tag}> {number}")
            except ValueError as error:
                problems.append(str(error))
        try:
            images.append(_make_image(element, boxes, where))
        except ValueError as error:
            problems.append(str(error))
    declared = frozenset(e.text for e in root.iterfind("meta//labels/label/name") if e.text)
    drawn = frozenset(box.label for image in images for box in image.boxes)
    tagged = frozenset(label for image in images for label in image.tags)
    return Reading(images, drawn | (declared - tagged), tagged, problems)


def _make_image(element: Element, boxes: list[AnnotatedBox], where: str) -> ImageAnnotations:
    name = element.get("name")
    if not name:
        raise ValueError(f"{where} has no name")
    return ImageAnnotations(
        name,
        boxes,
        tags={e.get("label", ""): True for e in element.iterfind("tag")},
        width=parse_extent(element.get("width"), f"{where}, width"),
        height=parse_extent(element.get("height"), f"{where}, height"),
    )


def _read_shape(shape: Element, image: Element, where: str) -> list[AnnotatedBox]:
    if shape.tag in OTHER_SHAPES:
        raise ValueError(f"{where} is not supported; draw boxes, polygons, ellipses or masks")
    if shape.tag not in SHAPES:
        return []
    label = shape.get("label")
    if not label:
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
    return [AnnotatedBox(label, box, segmentation=segmentation)]


def _read_rotation(shape: Element, where: str) -> float:
    return parse_number(shape.get("rotation", "0"), f"{where}, rotation")


def _read_box(shape: Element, where: str) -> Corners:
    """A box is turned about its centre."""
    sides = ("xtl", "ytl", "xbr", "ybr")
    x0, y0, x1, y1 = (parse_number(shape.get(side), f"{where}, {side}") for side in sides)
    rotation = _read_rotation(shape, where)
    if not rotation:
        return x0, y0, x1, y1
    return bound_points(rotate_rectangle((x0, y0, x1, y1), rotation, ((x0 + x1) / 2, (y0 + y1) / 2)))


def _read_points(shape: Element, where: str) -> np.ndarray:
    pairs = [pair.split(",") for pair in shape.get("points", "").split(";")]
    if len(pairs) < 3 or any(len(pair) != 2 for pair in pairs):
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
