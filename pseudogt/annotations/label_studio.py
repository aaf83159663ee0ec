"""Label Studio's JSON export: tasks with annotations, coordinates in percent of the image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, NotRequired

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, TypeAdapter
from typing_extensions import TypedDict

from pseudogt.annotations.form import (
    REGION_CHOICE,
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
    decode_png_mask,
    encode_mask,
    flatten_points,
    rotate_rectangle,
)
from pseudogt.annotations.records import UnsupportedKindError, list_labels, read_exports, read_objects
from pseudogt.boxes import find_tight_box
from pseudogt.files.brush import decode_brush
from pseudogt.files.listing import IMAGE_SUFFIXES
from pseudogt.parsing.documents import MisfitError, fit_record, parse_json
from pseudogt.parsing.values import Coordinate, Extent, Flag, parse_name

REGION_TYPES = ("rectanglelabels", "polygonlabels", "ellipselabels", "brushlabels", "bitmasklabels", "labels")
SHAPE_TYPES = ("rectangle", "polygon", "ellipse", "brush", "bitmask", "keypoint", "vector")
"""Regions without class, which another result of the same id may hold."""

REMARKS = ("textarea", "rating", "number", "datetime", "taxonomy", "pairwise", "ranker", "relation")
"""Results that mark no object."""

MINIMAL_TASK_KEYS = frozenset({"annotator", "annotation_id", "lead_time"})
"""Keys that identify a task of the export JSON-MIN."""

TASK_KEYS = MINIMAL_TASK_KEYS | {"annotations", "completions"}
"""Keys that identify a task of any export."""

PENDING = {"predictions": "accepted", "drafts": "submitted"}
"""What a task may have beside annotations, and what is still to be done with it."""

PER_IMAGE = False

Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]
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
    imageDataURL: NotRequired[str]


class Region(TypedDict):
    """A result that marks an object."""

    value: RegionValue
    original_width: Extent
    original_height: Extent


class Annotation(TypedDict):
    """Annotation of a task by one person."""

    result: list[dict[str, Any]]
    id: NotRequired[int | str | None]
    was_cancelled: NotRequired[Flag]
    ground_truth: NotRequired[Flag]
    updated_at: NotRequired[Text]


class Task(TypedDict):
    """One image."""

    annotations: list[Annotation]
    data: NotRequired[dict[str, Any] | None]
    file_upload: NotRequired[Text]
    id: NotRequired[int | str | None]


# Making an adapter takes longer than reading a record.
TASK, REGION = TypeAdapter(Task), TypeAdapter(Region)


class _Mark(NamedTuple):
    """One class of a result that marks an object, and what it is called in messages."""

    label: str | None
    kind: str
    result: Mapping[str, Any]
    where: str


def recognise(content: Any) -> bool:
    """Whether a JSON is a list of tasks, from any of Label Studio's exports."""
    tasks = content[:1] if isinstance(content, list) else []
    return any(isinstance(task, dict) and bool(TASK_KEYS & task.keys()) and _has_results(task) for task in tasks)


def _has_results(task: Mapping[str, Any]) -> bool:
    """Whether the annotations of a task, if it has any, are Label Studio's."""
    found = task.get("annotations", [])
    return isinstance(found, list) and all(isinstance(a, dict) and "result" in a for a in found)


def read(source: Source) -> Reading:
    """As :func:`read_label_studio`, of a file or of a folder of such files, called by the name of the format."""
    return read_exports(source.path, ".json", read_label_studio, declared=False)


def read_label_studio(path: Path) -> Reading:
    """Read an export of the kind *JSON* (not *JSON-MIN*).

    Skipped (``was_cancelled``) annotations do not count; a task without any other is not labelled. Of
    several the one marked as ground truth counts, otherwise the latest. Choices of images become tags. Key points,
    choices of regions and regions without class have no box: their class is unknown. A key point belongs to the region
    that it was dragged into (``parentID``).

    Raises
    ------
    ValueError
        If the file is not JSON of this form.
    """
    try:
        tasks = parse_json(path, TypeAdapter(list[dict[str, Any]]))
    except MisfitError as error:
        raise ValueError(f"{error}; an export of Label Studio is a list of tasks, so export them as JSON") from error
    if any("annotations" not in task for task in tasks):
        raise ValueError(_describe_dialect(path, next(task for task in tasks if "annotations" not in task)))
    images: list[ImageAnnotations] = []
    broken, several, turned, remarks = [], 0, 0, Counter[str]()
    pending = Counter[str]()
    values: list[Mapping[str, Any]] = []
    for position, content in enumerate(tasks):
        where = f"{path}: task {content.get('id') or position}"
        try:
            task = fit_record(TASK, content, where)
            done = [a for a in task["annotations"] if not a.get("was_cancelled", False)]
            several += len(done) > 1
            pending.update(kind for kind in PENDING if not done and content.get(kind))
            values += [r["value"] for a in done for r in a["result"] if isinstance(r.get("value"), dict)]
            turned += any(result.get("image_rotation") for a in done for result in a["result"])
            name = find_image_name(task, where, [result for a in done for result in a["result"]])
            images.append(
                read_task(name, choose_annotation(done), where, remarks)
                if done
                else ImageAnnotations(name, boxed=False)
            )
        except ValueError as error:
            broken.append(str(error))
    warnings = [f"{path}: {count} results of type {kind!r} say nothing of classes" for kind, count in remarks.items()]
    if several:
        warnings.append(f"{path}: {several} tasks have several annotations; the latest counts, or the ground truth")
    warnings += [
        f"{path}: {count} tasks have {kind} that nobody {PENDING[kind]}, and count as unlabelled; do so in Label "
        "Studio to use them"
        for kind, count in pending.items()
    ]
    if turned:
        warnings.append(
            f"{path}: {turned} images were turned in Label Studio's view (image_rotation) while they were annotated; "
            "check where their marks lie in the pictures of the report"
        )
    tags = frozenset(label for image in images for label in image.tags)
    problems = _describe_fractions(path, values)
    return Reading(images, list_labels(images), tags, problems=problems, warnings=warnings, broken=broken)


def _describe_fractions(path: Path, values: Sequence[Mapping[str, Any]]) -> list[str]:
    """Problem of rectangles that are all within one percent of their images: imported annotations may be fractions."""
    rectangles = [[value.get(key) for key in ("x", "y", "width", "height")] for value in values if "height" in value]
    fractions = [r for r in rectangles if all(isinstance(n, int | float) and 0 <= n <= 1 for n in r)]
    text = (
        f"{path}: all rectangles lie within 1% of their images, as if their coordinates were fractions; Label Studio's "
        "are percent, so multiply them by 100"
    )
    return [text] if fractions and len(fractions) == len(rectangles) else []


def _describe_dialect(path: Path, task: Mapping[str, Any]) -> str:
    """Say of a task without annotations what kind of export it is from."""
    if "completions" in task:
        return f"{path}: holds 'completions', so a Label Studio before 1.0 wrote it; export it as JSON by a newer one"
    if any(map(_names_image, task.values())) or MINIMAL_TASK_KEYS & task.keys():
        return (
            f"{path}: is an export of the kind JSON-MIN, which leaves out too much; export it from Label Studio as JSON"
        )
    return f"{path}: a task has no 'annotations' (got {', '.join(map(repr, task))}); export as JSON from Label Studio"


def choose_annotation(done: list[Annotation]) -> Annotation:
    """Return the one marked as ground truth, or else the latest."""
    return max(enumerate(done), key=lambda a: (a[1].get("ground_truth", False), a[1].get("updated_at", ""), a[0]))[1]


def find_image_name(task: Task, where: str, results: Sequence[Mapping[str, Any]]) -> str:
    """Return the name of a task's image: that of its data, or of the file that was uploaded.

    Raises
    ------
    ValueError
        If there is none, or there are several, and it is open on which of them the results are.
    """
    data = task.get("data") or {}
    lists = [key for key, value in data.items() if isinstance(value, list) and any(map(_names_image, value))]
    texts = {key: value for key, value in data.items() if isinstance(value, str) and _is_name(value)}
    named = {key: value for key, value in texts.items() if key == "image" or _names_image(value)}
    targets = {str(r["to_name"]) for r in results if "original_width" in r and r.get("to_name")}
    if lists and not named:
        raise ValueError(f"{where} has a list of images in {lists[0]!r}; one image per task is supported")
    if len(named) > 1 and len(targets) > 1:
        raise ValueError(
            f"{where} has results on the images {', '.join(sorted(targets))}; one image per task is supported"
        )
    target = named.get(next(iter(targets), ""))
    if target is not None:
        return target
    if len(named) > 1 and "image" not in named:
        raise ValueError(f"{where} names {len(named)} images; one image per task is supported")
    name = named.get("image") or next(iter(named.values()), "") or task.get("file_upload", "")
    if not name:
        raise ValueError(f"{where} names no image, neither in 'data' nor in 'file_upload'")
    return name


def _is_name(text: str) -> bool:
    """Whether a text may be a name: it is not the content of an image."""
    return bool(text) and not text.startswith("data:")


def _names_image(value: Any) -> bool:
    """Whether a value ends like the name of an image; what follows the name in a URL does not count."""
    return isinstance(value, str) and value.split("?")[0].lower().endswith(IMAGE_SUFFIXES)


def read_task(name: str, annotation: Annotation, where: str, remarks: Counter[str]) -> ImageAnnotations:
    """Boxes and tags of one annotation, in pixels; counts results that mark nothing in ``remarks``."""
    tags: dict[str, bool | None] = {}
    marks: list[_Mark] = []
    choices: list[UnusableObject] = []
    parents = {_find_parent(result) for result in annotation["result"]}
    labelled = {str(r["id"]) for r in annotation["result"] if r.get("id") is not None and _list_labels(r)}
    for number, result in enumerate(annotation["result"]):
        kind, place = _find_kind(result), f"{where}, result {number}"
        labels = _list_labels(result)
        if kind == "choices" and _is_of_region(result, annotation["result"]):
            choices += [UnusableObject(label, REGION_CHOICE) for label in labels]
        elif kind == "choices":
            tags |= dict.fromkeys(_check_choices(labels, result, place), True)
        elif kind in REMARKS:
            remarks[kind] += 1
        elif labels:
            marks += [_Mark(label, kind, result, place) for label in labels]
        elif str(result.get("id")) not in labelled:
            marks.append(_Mark(None, kind or "result without type", result, place))
    width, height = _find_size(annotation["result"], where)
    boxes, unusable = read_objects(marks, lambda mark: mark.label, lambda mark: _read_mark(mark, parents))
    return ImageAnnotations(name, boxes, tags=tags, width=width, height=height, unusable=[*unusable, *choices])


def _find_kind(result: Mapping[str, Any]) -> str:
    """Type of a result; where that is left out, the key of its class names."""
    value = result.get("value")
    named = [kind for kind in REGION_TYPES if isinstance(value, dict) and kind in value]
    return str(result.get("type") or next(iter(named), ""))


def _list_labels(result: Mapping[str, Any]) -> list[str | None]:
    """Class names of a result: the list under the name of its type, whatever that is; None for what is not a name."""
    kind, value = _find_kind(result), result.get("value")
    found = value.get(kind) if isinstance(value, dict) and kind not in REMARKS else None
    return [_read_name(item) for item in found] if isinstance(found, list) else []


def _read_name(item: Any) -> str | None:
    try:
        return parse_name(item) or None
    except ValueError:
        return None


def _check_choices(labels: Sequence[str | None], result: Mapping[str, Any], where: str) -> list[str]:
    """Return the choices of an image; there is no telling which classes are missing if some can't be read."""
    value = result.get("value")
    if None in labels or not isinstance(value, dict) or not isinstance(value.get("choices"), list):
        raise ValueError(f"{where}: its choices {value!r:.80} are not a list of names")
    return [label for label in labels if label is not None]


def _is_of_region(choice: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a choice is about a region: it repeats the region's coordinates and its id."""
    value = choice.get("value")
    if isinstance(value, dict) and {"x", "points", "rle", "imageDataURL"} & value.keys():
        return True
    others = (r for r in results if r.get("type") not in ("choices", *REMARKS))
    return choice.get("id") is not None and any(r.get("id") == choice["id"] for r in others)


def _find_size(results: Sequence[Mapping[str, Any]], where: str) -> tuple[int | None, int | None]:
    """Width and height of the image, which every region repeats; None if none does."""
    sizes = set()
    for result in results:
        try:
            region = fit_record(REGION, {**result, "value": {}}, "")
        except ValueError:
            continue
        sizes.add((region["original_width"], region["original_height"]))
    if len(sizes) > 1:
        listed = ", ".join(f"{width}x{height}" for width, height in sorted(sizes))
        raise ValueError(
            f"{where}: its regions are on images of different sizes ({listed}); delete its regions and draw them again"
        )
    return sizes.pop() if sizes else (None, None)


def _read_mark(mark: _Mark, parents: Collection[str | None]) -> list[AnnotatedBox]:
    if mark.label is None and mark.kind in (*REGION_TYPES, *SHAPE_TYPES):
        raise UnsupportedKindError("region without class")
    if mark.label is not None and mark.kind == "keypointlabels":
        raise UnsupportedKindError(mark.kind, _read_key_point(mark.label, mark.result))
    if mark.label is None or mark.kind not in REGION_TYPES:
        raise UnsupportedKindError(mark.kind)
    region = fit_record(REGION, {"value": {}, **mark.result}, mark.where)
    box = read_region(mark.label, mark.kind, region, mark.where)
    identity = str(mark.result.get("id"))
    return [box._replace(group=identity) if identity in parents else box]


def _read_key_point(label: str, result: Mapping[str, Any]) -> list[AnnotatedMark]:
    """Point of a key point, in pixels, with the group of the region that it is part of; none if it can't be read."""
    try:
        region = fit_record(REGION, {"value": {}, **result}, "")
        scale = region["original_width"] / 100, region["original_height"] / 100
        point = region["value"]["x"] * scale[0], region["value"]["y"] * scale[1]
    except (ValueError, KeyError):
        return []
    return [AnnotatedMark(label, (point,), group=_find_parent(result))]


def _find_parent(result: Mapping[str, Any]) -> str | None:
    parent = result.get("parentID")
    return str(parent) if parent else None


def read_region(label: str, kind: str, region: Region, where: str) -> AnnotatedBox:
    """Box of a region, in pixels."""
    value, height, width = region["value"], region["original_height"], region["original_width"]
    scale = np.array([width, height]) / 100
    segmentation: Any = None
    try:
        if "rle" in value or "imageDataURL" in value:
            mask = (
                decode_brush(value["rle"], height, width) if "rle" in value else _decode_bitmask(value, height, width)
            )
            x0, y0, x1, y1 = map(float, find_tight_box(mask).tolist())
            return AnnotatedBox(label, (x0, y0, x1, y1), segmentation=encode_mask(mask))
        if "points" in value:
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
    return AnnotatedBox(label, box, segmentation=segmentation)


def _decode_bitmask(value: RegionValue, height: int, width: int) -> NDArray[np.bool_]:
    """Mask ``(H, W)`` of a PNG in a data URL."""
    return decode_png_mask(value["imageDataURL"].partition(",")[2], height, width)


def _read_rectangle(value: RegionValue, scale: NDArray[np.float64]) -> Corners:
    """A rectangle is turned about the corner where it was begun; its size is negative if it was drawn up or left."""
    x, y = value["x"] * scale[0], value["y"] * scale[1]
    corners = (x, y, x + value["width"] * scale[0], y + value["height"] * scale[1])
    rotation = value.get("rotation", 0)
    turned = rotate_rectangle(corners, rotation, (x, y)) if rotation else np.reshape(corners, (2, 2))
    return bound_points(turned)


def _read_ellipse(value: RegionValue, scale: NDArray[np.float64]) -> Corners:
    centre = (value["x"] * scale[0], value["y"] * scale[1])
    return bound_ellipse(centre, (value["radiusX"] * scale[0], value["radiusY"] * scale[1]), value.get("rotation", 0))
