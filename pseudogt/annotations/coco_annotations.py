"""Entries of ``annotations`` in COCO's detection JSON: the box, the mask and the points of one object."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NotRequired

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from pseudogt.annotations.form import AnnotatedBox, AnnotatedMark, Corners
from pseudogt.annotations.geometry import bound_segmentation, bound_turned, settle_segmentation
from pseudogt.parsing.documents import fit_record
from pseudogt.parsing.values import Coordinate, Extent, parse_flag, parse_number

Key = int | str
"""Id of an image, a category or an annotation."""

XYXY, XYWH = 0, 1
"""What Detectron2 writes as ``bbox_mode``: two corners, or COCO's form."""

FLAGS = ("iscrowd", "ignore", "difficult")

VISIBLE = 2
"""Visibility of a key point that can be seen; other values mean hidden or missing."""

Size = tuple[int | None, int | None]
"""Height and width of an image, None where the file does not give them."""

Polygons = list[Annotated[list[Coordinate], Field(min_length=6)]]


class RunLengths(TypedDict):
    """``counts`` are numbers, or COCO's text."""

    size: tuple[Extent, Extent]
    counts: list[Annotated[int, Field(ge=0)]] | str


class CocoBox(TypedDict):
    """An entry of ``annotations`` without its mask, which is large."""

    image_id: Key
    category_id: Key
    bbox: tuple[Coordinate, Coordinate, Coordinate, Coordinate]
    id: NotRequired[Key | None]
    iscrowd: NotRequired[bool | None]
    ignore: NotRequired[bool | None]
    difficult: NotRequired[bool | None]
    attributes: NotRequired[Any]
    score: NotRequired[Any]
    area: NotRequired[Any]
    bbox_mode: NotRequired[Any]


class CocoObject(CocoBox):
    """An entry of ``annotations`` with its mask."""

    segmentation: NotRequired[Polygons | RunLengths | None]


# Making an adapter takes longer than reading an annotation.
BOX: TypeAdapter[Any] = TypeAdapter(CocoBox)
OBJECT: TypeAdapter[Any] = TypeAdapter(CocoObject)
MASK: TypeAdapter[Any] = TypeAdapter(Polygons | RunLengths)


def read_coco_annotation(
    path: Path,
    position: int,
    record: Any,
    label: str | None,
    size: Size,
    *,
    masks: bool,
    marks: list[AnnotatedMark] | None,
) -> list[AnnotatedBox]:
    """Read the box of an annotation; its points are added to ``marks``, and an annotation with points needs no box.

    Parameters
    ----------
    path : Path
        File, for messages.
    position : int
        Position of the annotation in its list, for messages.
    record : mapping
        The annotation, which need not be of the form.
    label : str or None
        Name of its category, None if the file has none of its id.
    size : tuple
        Height and width of its image.
    masks : bool
        Keep the mask.
    marks : list or None
        Points are added to it; None: they are not read.

    Returns
    -------
    list of AnnotatedBox
        One, or none for points alone.

    Raises
    ------
    ValueError
        If the category is unknown, or neither the box nor the mask can be read.
    """
    if marks is None or label is None:
        return [_read_box(path, position, record, label, size, masks=masks)]
    found = _read_marks(record, label, name_annotation(path, position, record))
    marks += found
    if found and not record.get("bbox") and not record.get("segmentation"):
        return []
    box = _read_box(path, position, record, label, size, masks=masks)
    return [box._replace(group=found[0].group) if found else box]


def _read_box(path: Path, position: int, record: Any, label: str | None, size: Size, *, masks: bool) -> AnnotatedBox:
    """Box of an annotation that need not be of the form, in an image of a size."""
    where = name_annotation(path, position, record)
    if label is None:
        raise ValueError(describe_unknown_category(path, position, record))
    record = record | {key: parse_flag(record.get(key), f"{where}, {key}") for key in FLAGS}
    record["segmentation"] = settle_segmentation(record.get("segmentation"))
    mask = _find_mask(record)
    try:
        annotation: Any = fit_record(OBJECT if masks else BOX, record, where)
    except ValueError as error:
        if mask is None:
            raise ValueError(f"{error}, and it has no mask to take a box from") from error
        annotation = {**record, "bbox": None, "segmentation": mask}
    box = make_coco_box(annotation | {"bbox": annotation["bbox"] or (0, 0, 0, 0)}, label)
    mode = record.get("bbox_mode", XYWH)
    if mode == XYXY and annotation["bbox"]:
        box = box._replace(xyxy=annotation["bbox"])
    elif mode not in (XYXY, XYWH):
        raise ValueError(f"{where}: bbox_mode {mode!r} is not read; write bbox as [x, y, width, height] in pixels")
    rotation = parse_number(find_rotation(record) or 0, f"{where}, rotation")
    # A mask shows where the object is, whether or not its box was turned.
    is_flat = annotation["bbox"] is None or (mode == XYWH and min(annotation["bbox"][2:]) <= 0)
    if mask is not None and (rotation or is_flat):
        _check_mask_size(mask, size, where)
        corners = bound_segmentation(mask)
    else:
        corners = bound_turned(box.xyxy, rotation)
    return box._replace(xyxy=corners, segmentation=box.segmentation if masks else None)


def _check_mask_size(mask: Any, size: Size, where: str) -> None:
    """Refuse run lengths of another size than the image: their pixels would lie elsewhere."""
    if isinstance(mask, dict) and None not in size and tuple(mask["size"]) != size:
        raise ValueError(f"{where}: its mask is for [height, width] {list(mask['size'])}, its image has {list(size)}")


def _find_mask(record: Mapping[str, Any]) -> Any:
    """Mask of an annotation, None if it has none that can be read."""
    try:
        mask = fit_record(MASK, record.get("segmentation"), "")
        bound_segmentation(mask)
    except ValueError:
        return None
    return mask


def find_rotation(annotation: Mapping[str, Any]) -> Any:
    """Degrees by which CVAT turned the box of an annotation about its centre, as written; None if it did not.

    Attributes are a mapping, or a list as in CVAT's XML: each entry has a name and a value, or is a mapping of its own.
    """
    attributes = annotation.get("attributes")
    named: dict[str, Any] = {}
    for entry in attributes if isinstance(attributes, list) else [attributes]:
        if isinstance(entry, dict):
            named |= {str(entry["name"]): entry.get("value")} if "name" in entry else entry
    rotation = named.get("rotation")
    return None if rotation in (None, 0, "", "0", "0.0") else rotation


def make_coco_box(annotation: Any, label: str) -> AnnotatedBox:
    """Box of a well-formed annotation, with its mask."""
    x, y, width, height = annotation["bbox"]
    corners = (x, y, x + width, y + height)
    if (width <= 0 or height <= 0) and isinstance(annotation.get("segmentation"), list):
        corners = _bound_polygons(annotation["segmentation"]) or corners
    difficult = bool(annotation.get("ignore") or annotation.get("difficult"))
    # By position, which is faster: a set may have millions. An empty list of polygons is no mask.
    segmentation = annotation.get("segmentation") or None
    return AnnotatedBox(label, corners, bool(annotation.get("iscrowd")), difficult, segmentation)


def _bound_polygons(polygons: Any) -> Corners | None:
    """Box around polygons, None if they can't be read."""
    try:
        return bound_segmentation(polygons)
    except ValueError:
        return None


def _read_marks(annotation: Mapping[str, Any], label: str, where: str) -> list[AnnotatedMark]:
    """Points and scribble of an annotation."""
    instance = annotation.get("instance")
    named = instance is not None
    group = str(instance) if named else where
    flat, pairs = (annotation.get(key) or [] for key in ("keypoints", "points"))
    radius = annotation.get("radius")
    if not isinstance(flat, list) or len(flat) % 3 or not isinstance(pairs, list):
        raise ValueError(f"{where}: keypoints are [x, y, visibility, ...], points are [[x, y], ...]")
    numbers = [parse_number(value, f"{where}, keypoints") for value in flat]
    visible = [(x, y) for x, y, seen in zip(*[iter(numbers)] * 3, strict=True) if seen == VISIBLE]
    marks = [AnnotatedMark(label, (point,), group=group, is_named=named) for point in visible]
    if any(not isinstance(pair, list) or len(pair) != 2 for pair in pairs):
        raise ValueError(f"{where}: points are [[x, y], ...]")
    if pairs:
        vertices = tuple((parse_number(x, f"{where}, points"), parse_number(y, f"{where}, points")) for x, y in pairs)
        own = parse_number(radius, f"{where}, radius") if radius is not None else None
        marks.append(AnnotatedMark(label, vertices, own, group=group, is_named=named))
    return marks


def name_annotation(path: Path, position: int, annotation: Any) -> str:
    """Name an annotation in a message, by its id or else by its position."""
    return f"{path}: annotation {annotation.get('id', f'number {position}')}"


def describe_unknown_category(path: Path, position: int, annotation: Any) -> str:
    """Problem of an annotation whose category the file does not list."""
    category = annotation.get("category_id")
    return f"{name_annotation(path, position, annotation)} has category_id {category!r}, which is not in 'categories'"
