"""Label Studio's JSON export: tasks with annotations, coordinates in percent of the image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NotRequired

import numpy as np
from pydantic import BeforeValidator, Field, TypeAdapter
from typing_extensions import TypedDict

from pseudogt.annotations.form import AnnotatedBox, ImageAnnotations, Reading, Source
from pseudogt.annotations.geometry import bound_ellipse, bound_points, encode_mask, flatten_points, rotate_rectangle
from pseudogt.boxes import find_tight_box
from pseudogt.files.brush import decode_brush
from pseudogt.files.io import IMAGE_SUFFIXES
from pseudogt.files.parsing import Coordinate, Extent, parse_json

NAMED_SUFFIXES = (*IMAGE_SUFFIXES, ".gif")
REGION_TYPES = ("rectanglelabels", "polygonlabels", "ellipselabels", "brushlabels", "labels")
Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]
Flag = Annotated[bool, BeforeValidator(bool)]
Byte = Annotated[int, Field(ge=0, le=255)]


class RegionValue(TypedDict):
    """Coordinates in percent, and class names under a key that depends on the type."""

    x: NotRequired[Coordinate]
    y: NotRequired[Coordinate]
    width: NotRequired[Coordinate]
    height: NotRequired[Coordinate]
    rotation: NotRequired[Coordinate]
    radiusX: NotRequired[Coordinate]
    radiusY: NotRequired[Coordinate]
    points: NotRequired[Annotated[list[tuple[Coordinate, Coordinate]], Field(min_length=3)]]
    format: NotRequired[Text]
    rle: NotRequired[list[Byte]]
    rectanglelabels: NotRequired[list[str]]
    polygonlabels: NotRequired[list[str]]
    ellipselabels: NotRequired[list[str]]
    brushlabels: NotRequired[list[str]]
    labels: NotRequired[list[str]]
    choices: NotRequired[list[str]]


class Region(TypedDict):
    """A result: a region, a choice, or what does not matter here."""

    type: NotRequired[Text]
    value: NotRequired[RegionValue]
    original_width: NotRequired[Extent | None]
    original_height: NotRequired[Extent | None]


class Annotation(TypedDict):
    """What one person did in a task."""

    result: list[Region]
    id: NotRequired[int | str | None]
    was_cancelled: NotRequired[Flag]
    ground_truth: NotRequired[Flag]
    updated_at: NotRequired[Text]


class Task(TypedDict):
    """One image."""

    annotations: list[Annotation]
    data: NotRequired[dict[str, Any]]
    file_upload: NotRequired[Text]
    id: NotRequired[int | str | None]


def read(source: Source) -> Reading:
    """As :func:`read_label_studio`, called by the name of the format."""
    return read_label_studio(source.path)


def read_label_studio(path: Path) -> Reading:
    """Read an export of the kind *JSON* (not *JSON-MIN*).

    Skipped (``was_cancelled``) annotations do not count; a task without any other is not labelled. Of
    several the one marked as ground truth counts, otherwise the latest. Choices become tags.

    Raises
    ------
    ValueError
        If the file is not JSON of this form.
    """
    tasks = parse_json(path, TypeAdapter(list[Task]))
    images, problems, several = [], [], 0
    for position, task in enumerate(tasks):
        where = f"{path}: task {task.get('id') or position}"
        done = [a for a in task["annotations"] if not a.get("was_cancelled", False)]
        several += len(done) > 1
        try:
            name = find_image_name(task, where)
            images.append(
                read_task(name, choose_annotation(done), where) if done else ImageAnnotations(name, boxed=False)
            )
        except ValueError as error:
            problems.append(str(error))
    warnings = []
    if several:
        warnings.append(f"{path}: {several} tasks have several annotations; the latest counts, or the ground truth")
    return Reading(
        images,
        frozenset(box.label for image in images for box in image.boxes),
        frozenset(label for image in images for label in image.tags),
        problems,
        warnings,
    )


def choose_annotation(done: list[Annotation]) -> Annotation:
    """Return the one marked as ground truth, or else the latest."""
    return max(enumerate(done), key=lambda a: (a[1].get("ground_truth", False), a[1].get("updated_at", ""), a[0]))[1]


def find_image_name(task: Task, where: str) -> str:
    """Return the name of a task's image: that of its data, or of the file that was uploaded."""
    data = {key: value for key, value in (task.get("data") or {}).items() if isinstance(value, str) and value}
    if "image" in data:
        return data["image"]
    named = [value for value in data.values() if value.split("?")[0].lower().endswith(NAMED_SUFFIXES)]
    if len(named) > 1:
        raise ValueError(f"{where} names {len(named)} images; one image per task is supported")
    name = named[0] if named else task.get("file_upload", "")
    if not name:
        raise ValueError(f"{where} names no image, neither in 'data' nor in 'file_upload'")
    return name


def read_task(name: str, annotation: Annotation, where: str) -> ImageAnnotations:
    """Boxes and tags of one annotation, in pixels."""
    boxes, tags = [], {}
    size: tuple[int, int] | None = None
    for number, region in enumerate(annotation["result"]):
        kind, value = region.get("type", ""), region.get("value") or {}
        place = f"{where}, result {number}"
        if kind == "choices":
            tags.update(dict.fromkeys(value.get("choices", []), True))
        elif kind in REGION_TYPES:
            size = find_size(region, size, place)
            boxes += read_region(kind, value, *size, place)
        elif kind.startswith(("video", "keypoint")):
            raise ValueError(f"{place} is of type {kind!r}, which is not supported; draw boxes, polygons or masks")
    height, width = size or (None, None)
    return ImageAnnotations(name, boxes, tags=tags, width=width, height=height)


def find_size(region: Region, before: tuple[int, int] | None, where: str) -> tuple[int, int]:
    """Height and width of the image, which every region repeats."""
    height, width = region.get("original_height"), region.get("original_width")
    if height is None or width is None:
        raise ValueError(f"{where} lacks original_width or original_height")
    if before not in (None, (height, width)):
        raise ValueError(f"{where} is on an image of {width}x{height} pixels, the one before of another size")
    return height, width


def read_region(kind: str, value: Mapping[str, Any], height: int, width: int, where: str) -> list[AnnotatedBox]:
    """Return one box for each class of a region: none for a region that was given no class."""
    labels = value.get(kind, [])
    if not labels:
        return []
    scale = np.array([width, height]) / 100
    segmentation: Any = None
    try:
        if "rle" in value:
            mask = decode_brush(value["rle"], height, width)
            box = tuple(map(float, find_tight_box(mask).tolist()))
            segmentation = encode_mask(mask)
        elif "points" in value:
            points = np.array(value["points"]) * scale
            box, segmentation = bound_points(points), [flatten_points(points)]
        elif "radiusX" in value:
            box = _read_ellipse(value, scale)
        else:
            box = _read_rectangle(value, scale)
    except KeyError as error:
        raise ValueError(f"{where} ({kind}) lacks {error}") from error
    except ValueError as error:
        raise ValueError(f"{where} ({kind}): {error}") from error
    return [AnnotatedBox(label, box, segmentation=segmentation) for label in labels]  # type: ignore[arg-type]


def _read_rectangle(value: Mapping[str, Any], scale: Any) -> tuple[float, ...]:
    """A rectangle is turned about its upper left corner."""
    x, y, width, height = (value[key] * scale[i % 2] for i, key in enumerate(("x", "y", "width", "height")))
    rotation = value.get("rotation", 0)
    if not rotation:
        return x, y, x + width, y + height
    return bound_points(rotate_rectangle((x, y, x + width, y + height), rotation, (x, y)))


def _read_ellipse(value: Mapping[str, Any], scale: Any) -> tuple[float, ...]:
    centre = (value["x"] * scale[0], value["y"] * scale[1])
    return bound_ellipse(centre, (value["radiusX"] * scale[0], value["radiusY"] * scale[1]), value.get("rotation", 0))
