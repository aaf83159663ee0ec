"""COCO's detection JSON: ``images``, ``categories`` and ``annotations`` with ``bbox`` [x, y, width, height]."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NotRequired

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from pseudogt.annotations.coco_annotations import (
    CocoBox,
    CocoObject,
    Key,
    describe_unknown_category,
    find_rotation,
    make_coco_box,
    name_annotation,
    read_coco_annotation,
)
from pseudogt.annotations.form import (
    BROKEN,
    AnnotatedBox,
    AnnotatedMark,
    ImageAnnotations,
    Reading,
    Source,
    UnusableObject,
)
from pseudogt.annotations.records import read_exports, read_objects
from pseudogt.files.parsing import Extent, MisfitError, Name, fit_record, parse_json, unify_id

PER_IMAGE = False


class CocoImage(TypedDict):
    """An entry of ``images``."""

    id: Key
    file_name: Annotated[str, Field(coerce_numbers_to_str=True)]
    width: NotRequired[Extent | None]
    height: NotRequired[Extent | None]


class CocoCategory(TypedDict):
    """An entry of ``categories``."""

    id: Key
    name: Name


class CocoDocument(TypedDict):
    """The parts that are read."""

    images: list[CocoImage]
    categories: list[CocoCategory]
    annotations: list[CocoBox]


class CocoEntries(TypedDict):
    """The same parts, with entries of any form."""

    images: list[Any]
    categories: list[Any]
    annotations: list[Any]


class CocoMaskDocument(CocoDocument):
    """With masks."""

    annotations: list[CocoObject]  # type: ignore[misc]


@dataclass
class _Content:
    """Content of a document: its entries, and the annotations found in them, by image id."""

    images: list[Any]
    categories: list[Any]
    annotations: list[Any]
    broken: list[str] = field(default_factory=list)
    boxes: dict[Hashable, list[AnnotatedBox]] = field(default_factory=dict)
    unusable: dict[Hashable, list[UnusableObject]] = field(default_factory=dict)
    marks: dict[Hashable, list[AnnotatedMark]] = field(default_factory=dict)
    names: dict[Hashable, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.boxes = _index((image["id"], list[AnnotatedBox]()) for image in self.images)
        self.unusable = _index((image["id"], list[UnusableObject]()) for image in self.images)
        self.marks = _index((image["id"], list[AnnotatedMark]()) for image in self.images)
        self.names = _index((category["id"], category["name"]) for category in self.categories)


def recognise(content: Any) -> bool:
    """Whether a JSON has COCO's three lists, and boxes rather than panoptic segments or a run's weak labels."""
    if not isinstance(content, dict) or not {"images", "categories", "annotations"} <= content.keys():
        return False
    if "image_tags" in content:
        return False
    entries = content["annotations"]
    return isinstance(entries, list) and not any(isinstance(e, dict) and "segments_info" in e for e in entries[:1])


def read(source: Source) -> Reading:
    """As :func:`read_coco`, of a file or of a folder of such files, called by the name of the format."""
    return read_exports(
        source.path,
        ".json",
        partial(read_coco, masks=source.masks, points=source.points),
        declared=True,
    )


def read_coco(path: Path, *, masks: bool = False, points: bool = False) -> Reading:
    """Read a COCO instances file; an image without annotations was looked at and holds nothing.

    A box that CVAT turned (``attributes.rotation``) becomes the box around the turned rectangle. An annotation without
    a usable ``bbox`` gets the box of its ``segmentation``.

    With ``points``, ``keypoints`` that are visible (2) are points of the object. An annotation may also hold ``points``
    ``[[x, y], ...]`` in place of a box: a point, or the vertices of a scribble, with a ``radius`` in pixels if wanted.
    Annotations with the same ``instance`` are of one object.

    Parameters
    ----------
    path : Path
    masks : bool
        Keep ``segmentation``, which is most of a file.
    points : bool
        Read key points and points.

    Raises
    ------
    ValueError
        If the file is not JSON of this form.
    """
    content = None if points else _read_whole(path, masks=masks)
    content = content or _read_by_entry(path, masks=masks, points=points)
    images = [
        ImageAnnotations(
            i["file_name"],
            content.boxes[i["id"]],
            width=i.get("width"),
            height=i.get("height"),
            unusable=content.unusable[i["id"]],
            marks=content.marks[i["id"]],
        )
        for i in content.images
    ]
    problems = [
        f"{path}: id {key!r} is in '{part}' more than once; remove or renumber one"
        for part in ("categories", "images", "annotations")
        for key in _find_twice(getattr(content, part))
    ]
    labels = frozenset(content.names.values())
    warnings = [*_find_synonyms(path, content), *_find_corner_boxes(path, images)]
    return Reading(images, labels, problems=problems, warnings=warnings, broken=content.broken)


def _read_whole(path: Path, *, masks: bool) -> _Content | None:
    """Read a document quickly if all its entries are well-formed; None for any other, and for rotated boxes."""
    try:
        document: Any = parse_json(path, TypeAdapter(CocoMaskDocument if masks else CocoDocument))
    except MisfitError:
        return None
    content = _Content(document["images"], document["categories"], document["annotations"])
    boxes, names = content.boxes, content.names
    for position, annotation in enumerate(document["annotations"]):
        if "attributes" in annotation and find_rotation(annotation) is not None:
            return None
        found = boxes.get(annotation["image_id"])
        label = names.get(annotation["category_id"])
        if found is None:
            content.broken.append(_describe_stray(path, position, annotation))
        elif label is None:
            problem = describe_unknown_category(path, position, annotation)
            content.unusable[annotation["image_id"]].append(UnusableObject(None, BROKEN, problem))
        else:
            found.append(make_coco_box(annotation, label))
    return content


def _read_by_entry(path: Path, *, masks: bool, points: bool) -> _Content:
    """Read each entry on its own, so that one that is not of the form hides no other."""
    document = parse_json(path, TypeAdapter(CocoEntries))
    broken: list[str] = []
    images = [
        image
        for number, entry in enumerate(document["images"])
        for image in _fit_image(entry, f"{path}: image number {number}", broken)
    ]
    categories = []
    for number, entry in enumerate(document["categories"]):
        try:
            categories.append(fit_record(TypeAdapter(CocoCategory), entry, f"{path}: category number {number}"))
        except ValueError as error:
            broken.append(str(error))
    annotations = [entry if isinstance(entry, dict) else {} for entry in document["annotations"]]
    content = _Content(images, categories, annotations, broken)
    sizes = _index((image["id"], (image.get("height"), image.get("width"))) for image in images)
    for position, annotation in enumerate(annotations):
        key = _find_key(annotation, "image_id")
        if key not in content.boxes:
            broken.append(_describe_stray(path, position, annotation))
            continue
        label = content.names.get(_find_key(annotation, "category_id"))
        marks = content.marks[key] if points else None
        found, seen = read_objects(
            [annotation],
            lambda _, label=label: label,  # type: ignore[misc]
            lambda record, label=label, position=position, marks=marks, size=sizes[key]: read_coco_annotation(  # type: ignore[misc]
                path, position, record, label, size, masks=masks, marks=marks
            ),
        )
        content.boxes[key] += found
        content.unusable[key] += seen
    return content


def _fit_image(entry: Any, where: str, broken: list[str]) -> list[Any]:
    """Return the image of an entry, if it is one: without its size if that can't be read."""
    adapter = TypeAdapter(CocoImage)
    try:
        return [fit_record(adapter, entry, where)]
    except ValueError as error:
        broken.append(str(error))
    without_size = (
        {key: value for key, value in entry.items() if key in ("id", "file_name")} if isinstance(entry, dict) else {}
    )
    try:
        return [fit_record(adapter, without_size, where)]
    except ValueError:
        return []


def _index(pairs: Iterable[tuple[Key, Any]]) -> dict[Hashable, Any]:
    """Values by id, as a number and as text: ids that differ only in type are equal."""
    found: dict[Hashable, Any] = {}
    for key, value in pairs:
        found[unify_id(key)] = found[str(key)] = value
    return found


def _find_key(record: Mapping[str, Any], name: str) -> Key | None:
    key = record.get(name)
    return key if isinstance(key, int | str) and not isinstance(key, bool) else None


def _find_twice(entries: Iterable[Any]) -> list[Key]:
    keys = [entry["id"] for entry in entries if "id" in entry]
    if set(map(type, keys)) != {int}:
        keys = [unify_id(key) for key in keys if isinstance(key, int | str)]
    seen: set[Key] = set()
    # Most files have no duplicate ids, which is quick to check.
    return [] if len(set(keys)) == len(keys) else [k for k in keys if k in seen or seen.add(k)]  # type: ignore[func-returns-value]


def _find_synonyms(path: Path, content: _Content) -> list[str]:
    """Categories of one name, which count as one class."""
    ids: dict[str, list[Key]] = {}
    for category in content.categories:
        ids.setdefault(category["name"], []).append(category["id"])
    return [
        f"{path}: categories {', '.join(map(str, keys))} are all named {name!r} and count as one class"
        for name, keys in ids.items()
        if len(set(map(unify_id, keys))) > 1
    ]


def _find_corner_boxes(path: Path, images: Iterable[ImageAnnotations]) -> list[str]:
    """Warn of boxes that stick out of their images, if all boxes of the file would fit as two corners each."""
    outside = 0
    for image in images:
        if image.width is None or image.height is None:
            continue
        for box in image.boxes:
            x0, y0, x1, y1 = box.xyxy
            if not (x0 < x1 - x0 <= image.width and y0 < y1 - y0 <= image.height):
                return []
            outside += x1 > image.width + 1 or y1 > image.height + 1
    text = (
        f"{path}: {outside} boxes stick out of their images as [x, y, width, height], COCO's form, but all boxes would "
        "fit as corners [x0, y0, x1, y1]; if they are corners, subtract x0 from x1 and y0 from y1 in each bbox"
    )
    return [text] if outside else []


def _describe_stray(path: Path, position: int, annotation: Any) -> str:
    where = name_annotation(path, position, annotation)
    return f"{where} is of image {annotation.get('image_id')!r}, which is not in 'images'"
