"""COCO's detection JSON: ``images``, ``categories`` and ``annotations`` with ``bbox`` [x, y, width, height]."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NotRequired

from pydantic import AliasChoices, BeforeValidator, Field, TypeAdapter
from typing_extensions import TypedDict

from pseudogt.annotations.coco_annotations import (
    XYWH,
    XYXY,
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
from pseudogt.annotations.geometry import lies_elsewhere, settle_segmentation
from pseudogt.annotations.records import find_shift, find_synonyms, read_exports, read_objects
from pseudogt.parsing.documents import MisfitError, fit_record, parse_json
from pseudogt.parsing.problems import shorten_list
from pseudogt.parsing.values import Extent, Name, unify_id

PER_IMAGE = False
SMALL_BYTES = 2**24
"""Size of a file whose masks are parsed in a second, if only to compare them with the boxes."""

AREA_TOLERANCE = 0.01
"""Share of an area by which a rounded one may differ."""


class CocoImage(TypedDict):
    """An entry of ``images``."""

    id: Key
    file_name: Annotated[str, Field(coerce_numbers_to_str=True, validation_alias=AliasChoices("file_name", "coco_url"))]
    width: NotRequired[Extent | None]
    height: NotRequired[Extent | None]
    neg_category_ids: NotRequired[list[Key]]
    not_exhaustive_category_ids: NotRequired[list[Key]]


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
    """The same parts, with entries of any form; ``annotations`` may also be a mapping from ids."""

    images: list[Any]
    categories: list[Any]
    annotations: Annotated[list[Any], BeforeValidator(lambda found: _list_entries(found))]


class CocoMaskDocument(CocoDocument):
    """With masks."""

    annotations: list[CocoObject]  # type: ignore[misc]


# Making an adapter takes longer than reading an entry.
IMAGE, CATEGORY = TypeAdapter(CocoImage), TypeAdapter(CocoCategory)


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
    entries = _list_entries(content["annotations"])
    return isinstance(entries, list) and not any(isinstance(e, dict) and "segments_info" in e for e in entries[:1])


def _list_entries(found: Any) -> Any:
    """Entries of a mapping from ids, as LIVECell has them; anything else is unchanged."""
    return list(found.values()) if isinstance(found, dict) else found


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
    a usable ``bbox`` gets the box of its ``segmentation``. With ``ignore`` or ``difficult`` it is difficult as in VOC.

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
            vocabulary=_find_vocabulary(i, content),
        )
        for i in content.images
    ]
    problems = [
        f"{path}: id {key!r} is in '{part}' more than once; remove or renumber one"
        for part in ("categories", "images")
        for key in _find_twice(getattr(content, part))
    ]
    labels = frozenset(content.names.values())
    names = [(category["id"], category["name"]) for category in content.categories]
    warnings = [*find_synonyms(path, names, "categories"), *_find_corner_boxes(path, images)]
    warnings += [*_find_corner_areas(path, content.annotations), *_find_scores(path, content.annotations)]
    warnings += [*_find_displaced(path, content.annotations), *_find_equal_ids(path, content.annotations)]
    if any(image.vocabulary is not None for image in images):
        warnings.append(
            f"{path}: is of LVIS: classes that were not looked for in an image are unknown there, also outside its "
            "boxes; tag stuff rather than set annotations.background: outside_boxes"
        )
    problems += find_shift(path, *_number_categories(content), "'categories'")
    return Reading(images, labels, problems=problems, warnings=warnings, broken=content.broken)


def _find_vocabulary(image: Any, content: _Content) -> frozenset[str] | None:
    """Classes that were looked for in an image of LVIS: those found nowhere, and those of which all were boxed."""
    if "neg_category_ids" not in image:
        return None
    absent, partly = (
        {content.names[key] for key in image.get(part, ()) if key in content.names}
        for part in ("neg_category_ids", "not_exhaustive_category_ids")
    )
    return frozenset(absent | {box.label for box in content.boxes[image["id"]]} - partly)


def _read_whole(path: Path, *, masks: bool) -> _Content | None:
    """Read a document quickly if all its entries are well-formed; None for any other, and for rotated boxes."""
    # Masks of a small file show whether its boxes are right.
    is_read = masks or (path.is_file() and path.stat().st_size <= SMALL_BYTES)
    try:
        document: Any = parse_json(path, TypeAdapter(CocoMaskDocument if is_read else CocoDocument))
    except MisfitError:
        return None
    content = _Content(document["images"], document["categories"], document["annotations"])
    boxes, names = content.boxes, content.names
    for position, annotation in enumerate(document["annotations"]):
        if "attributes" in annotation and find_rotation(annotation) is not None:
            return None
        if annotation.get("bbox_mode", XYWH) != XYWH:
            return None
        found = boxes.get(annotation["image_id"])
        label = names.get(annotation["category_id"])
        if found is None:
            content.broken.append(_describe_stray(path, position, annotation))
        elif label is None:
            problem = describe_unknown_category(path, position, annotation)
            content.unusable[annotation["image_id"]].append(UnusableObject(None, BROKEN, problem))
        else:
            box = make_coco_box(annotation, label)
            found.append(box if masks else box._replace(segmentation=None))
    return content


def _read_by_entry(path: Path, *, masks: bool, points: bool) -> _Content:
    """Read each entry on its own, so that one that is not of the form hides no other."""
    try:
        document = parse_json(path, TypeAdapter(CocoEntries))
    except MisfitError as error:
        raise ValueError(
            f"{error}; a file of COCO instances has 'images', 'categories' and 'annotations' with boxes"
        ) from error
    broken: list[str] = []
    images = [
        image
        for number, entry in enumerate(document["images"])
        for image in _fit_image(entry, f"{path}: image number {number}", broken)
    ]
    categories = []
    for number, entry in enumerate(document["categories"]):
        try:
            categories.append(fit_record(CATEGORY, entry, f"{path}: category number {number}"))
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
    try:
        return [fit_record(IMAGE, entry, where)]
    except ValueError as error:
        broken.append(str(error))
    without_size = (
        {key: value for key, value in entry.items() if key in ("id", "file_name")} if isinstance(entry, dict) else {}
    )
    try:
        return [fit_record(IMAGE, without_size, where)]
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
    if isinstance(key, float) and key.is_integer():
        return int(key)
    return key if isinstance(key, int | str) and not isinstance(key, bool) else None


def _find_twice(entries: Iterable[Any]) -> list[Key]:
    keys = [entry["id"] for entry in entries if "id" in entry]
    if set(map(type, keys)) != {int}:
        keys = [unify_id(key) for key in keys if isinstance(key, int | str)]
    seen: set[Key] = set()
    # Most files have no duplicate ids, which is quick to check.
    return [] if len(set(keys)) == len(keys) else [k for k in keys if k in seen or seen.add(k)]  # type: ignore[func-returns-value]


def _number_categories(content: _Content) -> tuple[set[int], set[int]]:
    """Numbers of categories that annotations use, and those that have a name."""
    used = {unify_id(key) for a in content.annotations if (key := _find_key(a, "category_id")) is not None}
    named = {unify_id(category["id"]) for category in content.categories}
    return {key for key in used if isinstance(key, int)}, {key for key in named if isinstance(key, int)}


def _find_scores(path: Path, annotations: Iterable[Any]) -> list[str]:
    """Warn of predictions, which no person has drawn."""
    scored = sum(annotation.get("score") is not None for annotation in annotations)
    text = (
        f"{path}: {scored} annotations have a score, as predictions of a model do; they are used as if a person had "
        "drawn them, whatever the score"
    )
    return [text] if scored else []


def _find_corner_areas(path: Path, annotations: Iterable[Any]) -> list[str]:
    """Warn of boxes that are corners by their ``area``: each has that between its corners, none width times height."""
    count = 0
    for annotation in annotations:
        try:
            x0, y0, x1, y1, area = map(float, (*annotation["bbox"], annotation["area"]))
        except (KeyError, TypeError, ValueError):
            return []
        between = (x1 - x0) * (y1 - y0)
        is_between = x1 > x0 and y1 > y0 and abs(area - between) <= AREA_TOLERANCE * between
        if not is_between or annotation.get("bbox_mode") == XYXY or abs(area - x1 * y1) <= AREA_TOLERANCE * area:
            return []
        count += 1
    text = (
        f"{path}: 'area' of all {count} annotations is that between corners [x0, y0, x1, y1], while 'bbox' is [x, y, "
        "width, height] in COCO; if they are corners, subtract x0 from x1 and y0 from y1 in each bbox"
    )
    return [text] if count else []


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


def _find_displaced(path: Path, annotations: Iterable[Any]) -> list[str]:
    """Warn of boxes that lie elsewhere than the polygons of their objects, as far as these were read."""
    found: list[str] = []
    as_corners = 0
    for position, annotation in enumerate(annotations):
        try:
            x, y, width, height = map(float, annotation["bbox"])
            polygons = settle_segmentation(annotation["segmentation"])
            is_other = annotation.get("bbox_mode") == XYXY or find_rotation(annotation) is not None
            if is_other or min(width, height) <= 0 or not lies_elsewhere((x, y, x + width, y + height), polygons):
                continue
            as_corners += not lies_elsewhere((x, y, width, height), polygons)
        except (KeyError, TypeError, ValueError):
            continue
        found.append(name_annotation(path, position, annotation).removeprefix(f"{path}: "))
    if not found:
        return []
    remedy = "correct the boxes, or remove bbox: the box around the segmentation is then used"
    if as_corners == len(found):
        remedy = "they fit as corners [x0, y0, x1, y1]; subtract x0 from x1 and y0 from y1 in each bbox"
    return [
        f"{path}: the bbox [x, y, width, height] of {len(found)} annotations lies elsewhere than their segmentation "
        f"({', '.join(shorten_list(found))}); {remedy}"
    ]


def _find_equal_ids(path: Path, annotations: Sequence[Any]) -> list[str]:
    """Warn of annotations that share an id, as from tools that restart their numbering with each image."""
    twice = _find_twice(annotations)
    text = f"{path}: {len(twice)} annotations have the id of another, such as {twice[:1]}; all of them are used"
    return [text] if twice else []


def _describe_stray(path: Path, position: int, annotation: Any) -> str:
    where = name_annotation(path, position, annotation)
    return f"{where} is of image {annotation.get('image_id')!r}, which is not in 'images'"
