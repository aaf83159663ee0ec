"""LabelMe's JSON: one file per image with ``shapes``, in pixels; ``flags`` of the image are tags."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, NamedTuple, NotRequired

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from pseudogt.annotations.form import AnnotatedBox, Corners, ImageAnnotations, Reading, Source
from pseudogt.annotations.geometry import bound_points, decode_png_mask, encode_mask, flatten_points
from pseudogt.annotations.records import (
    UnsupportedKindError,
    find_label_files,
    join_parts,
    list_labels,
    read_objects,
)
from pseudogt.boxes import find_tight_box
from pseudogt.parsing.documents import fit_record, parse_json
from pseudogt.parsing.values import LARGEST_MASK_PX, Coordinate, parse_extent, parse_flag, parse_name

PER_IMAGE = True

AREAS = ("rectangle", "polygon", "circle", "mask", "rotation")
"""Kinds of shapes that cover an area; all others are points and lines. X-AnyLabeling calls turned boxes rotations."""


class Shape(TypedDict):
    """An entry of ``shapes`` that covers an area."""

    points: Annotated[list[tuple[Coordinate, Coordinate]], Field(min_length=2)]
    mask: NotRequired[str | None]


class Document(TypedDict):
    """The parts that are read; shapes may have any form."""

    shapes: list[Any]
    flags: NotRequired[dict[str, Any] | None]
    imageWidth: NotRequired[Any]
    imageHeight: NotRequired[Any]


# Making an adapter takes longer than reading a file.
SHAPE, DOCUMENT = TypeAdapter(Shape), TypeAdapter(Document)


class _Mark(NamedTuple):
    """A shape, the size (height, width) of its image, and what it is called in messages."""

    shape: Any
    size: tuple[int | None, int | None]
    where: str


def recognise(content: Any) -> bool:
    """Whether a JSON has LabelMe's shapes and names one image."""
    return isinstance(content, dict) and isinstance(content.get("shapes"), list) and "imagePath" in content


def read(source: Source) -> Reading:
    """Read ``<image>.json`` of the given images; a missing file says nothing, one without shapes that nothing is there.

    Raises
    ------
    ValueError
        If there is no folder.
    """
    files, searched, warnings = find_label_files(source.path, source.images, ".json")
    found, broken = [], []
    for image_id, path in files.items():
        try:
            found.append(read_labelme(path, image_id))
        except ValueError as error:
            broken.append(str(error))
    tags = frozenset(label for image in found for label in image.tags)
    images, joined = join_parts(source.path, found)
    warnings += joined
    return Reading(images, list_labels(images), tags, warnings=warnings, broken=broken, searched=searched)


def read_labelme(path: Path, image_id: str | None = None) -> ImageAnnotations:
    """Read one file, named like its image.

    Rectangles, polygons, circles and masks have a box; points, lines and other shapes make their class unknown.

    Raises
    ------
    ValueError
        If the file is not JSON of this form.
    """
    document = parse_json(path, DOCUMENT)
    height, width = (
        parse_extent(str(document.get(key) or ""), f"{path}: {key}") for key in ("imageHeight", "imageWidth")
    )
    marks = [_Mark(shape, (height, width), f"{path}: shape {i}") for i, shape in enumerate(document["shapes"], 1)]
    boxes, unusable = read_objects(marks, _find_label, lambda mark: [_read_shape(mark)])
    flags = document.get("flags") or {}
    return ImageAnnotations(
        path.stem if image_id is None else image_id,
        boxes,
        tags={parse_name(name): True for name, state in flags.items() if parse_flag(state, f"{path}: flag {name!r}")},
        width=width,
        height=height,
        unusable=unusable,
    )


def _find_label(mark: _Mark) -> str | None:
    try:
        return parse_name(mark.shape["label"]) or None
    except (ValueError, KeyError, TypeError):
        return None


def _read_shape(mark: _Mark) -> AnnotatedBox:
    """Object of a shape; ``difficult`` is X-AnyLabeling's, ``group_id`` joins the parts of an object."""
    shape, where = mark.shape, mark.where
    if not isinstance(shape, dict):
        raise ValueError(f"{where}: {shape!r:.80} is not a shape")
    box = _read_area(mark)
    group = shape.get("group_id")
    difficult = parse_flag(shape.get("difficult"), f"{where}, difficult")
    return box._replace(group=None if group is None else str(group), difficult=difficult)


def _read_area(mark: _Mark) -> AnnotatedBox:
    shape, size, where = mark
    kind = str(shape.get("shape_type") or "polygon")
    if kind not in AREAS:
        raise UnsupportedKindError(kind)
    label = _find_label(mark)
    if label is None:
        raise ValueError(f"{where} has no label")
    content = fit_record(SHAPE, shape, where)
    points = np.array(content["points"], float)
    if content.get("mask"):
        return _read_mask(label, points, str(content["mask"]), size, where)
    if kind == "circle":
        return AnnotatedBox(label, _bound_circle(points))
    if kind in ("rectangle", "mask"):
        return AnnotatedBox(label, bound_points(points))
    if len(points) < 3:
        raise ValueError(f"{where}: a {kind} needs three points or more, it has {len(points)}")
    return AnnotatedBox(label, bound_points(points), segmentation=[flatten_points(points)])


def _bound_circle(points: NDArray[np.float64]) -> Corners:
    """Box of a circle given by its centre and a point on it."""
    (x, y), edge = points[0].tolist(), points[1].tolist()
    radius = math.dist((x, y), edge)
    return x - radius, y - radius, x + radius, y + radius


def _read_mask(
    label: str, points: NDArray[np.float64], text: str, size: tuple[int | None, int | None], where: str
) -> AnnotatedBox:
    """Object of a PNG that fills the window between two points, the pixels of both included."""
    height, width = size
    (x0, y0), (x1, y1) = points.min(0).round().astype(int).tolist(), points.max(0).round().astype(int).tolist()
    if height is None or width is None or height * width > LARGEST_MASK_PX:
        raise ValueError(f"{where}: has a mask in an image of {width}x{height}; imageWidth and imageHeight are wrong")
    try:
        window = decode_png_mask(text, y1 - y0 + 1, x1 - x0 + 1)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    if min(x0, y0) < 0 or x1 >= width or y1 >= height or not window.any():
        raise ValueError(f"{where}: its mask at {[x0, y0, x1, y1]} is empty, or not in the {width}x{height} image")
    mask = np.zeros((height, width), bool)
    mask[y0 : y1 + 1, x0 : x1 + 1] = window
    left, top, right, bottom = map(float, find_tight_box(mask).tolist())
    return AnnotatedBox(label, (left, top, right, bottom), segmentation=encode_mask(mask))
