"""COCO's detection JSON: ``images``, ``categories`` and ``annotations`` with ``bbox`` [x, y, width, height]."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NotRequired

from pydantic import BeforeValidator, Field, TypeAdapter
from typing_extensions import TypedDict

from pseudogt.annotations.form import AnnotatedBox, ImageAnnotations, Reading, Source
from pseudogt.files.parsing import Coordinate, Extent, parse_json

Key = int | str
Polygons = list[Annotated[list[Coordinate], Field(min_length=6)]]


class RunLengths(TypedDict):
    """``counts`` are numbers, or COCO's text."""

    size: tuple[Extent, Extent]
    counts: list[Annotated[int, Field(ge=0)]] | str


class CocoImage(TypedDict):
    """An entry of ``images``."""

    id: Key
    file_name: str
    width: NotRequired[Extent | None]
    height: NotRequired[Extent | None]


class CocoCategory(TypedDict):
    """An entry of ``categories``."""

    id: int
    name: str


class CocoBox(TypedDict):
    """An entry of ``annotations`` less its mask, which is large."""

    image_id: Key
    category_id: int
    bbox: tuple[Coordinate, Coordinate, Coordinate, Coordinate]
    id: NotRequired[Key]
    iscrowd: NotRequired[Annotated[bool, BeforeValidator(bool)]]


class CocoObject(CocoBox):
    """An entry of ``annotations`` with its mask."""

    segmentation: NotRequired[Polygons | RunLengths]


class CocoDocument(TypedDict):
    """The parts that are read."""

    images: list[CocoImage]
    categories: list[CocoCategory]
    annotations: list[CocoBox]


class CocoMaskDocument(CocoDocument):
    """With masks."""

    annotations: list[CocoObject]  # type: ignore[misc]


def read(source: Source) -> Reading:
    """As :func:`read_coco`, called by the name of the format."""
    return read_coco(source.path)


def read_coco(path: Path, *, masks: bool = False) -> Reading:
    """Read a COCO instances file; an image without annotations was looked at and holds nothing.

    Parameters
    ----------
    path : Path
    masks : bool
        Keep ``segmentation``, which is most of a file.

    Raises
    ------
    ValueError
        If the file is not JSON of this form.
    """
    document: Any = parse_json(path, TypeAdapter(CocoMaskDocument if masks else CocoDocument))
    problems = [
        *_find_twice(path, "categories", (c["id"] for c in document["categories"])),
        *_find_twice(path, "images", (i["id"] for i in document["images"])),
        *_find_twice(path, "annotations", (a["id"] for a in document["annotations"] if "id" in a)),
    ]
    names = {c["id"]: c["name"] for c in document["categories"]}
    boxes: dict[Key, list[AnnotatedBox]] = {image["id"]: [] for image in document["images"]}
    for position, annotation in enumerate(document["annotations"]):
        if annotation["image_id"] not in boxes:
            problems.append(
                f"{_name(path, position, annotation)} is of image {annotation['image_id']!r}, which is not in 'images'"
            )
        elif annotation["category_id"] not in names:
            problems.append(
                f"{_name(path, position, annotation)} has category_id {annotation['category_id']}, which is not in "
                "'categories'"
            )
        else:
            boxes[annotation["image_id"]].append(_make_box(annotation, names))
    images = [
        ImageAnnotations(i["file_name"], boxes[i["id"]], width=i.get("width"), height=i.get("height"))
        for i in document["images"]
    ]
    return Reading(images, box_labels=frozenset(names.values()), problems=problems)


def _make_box(annotation: Any, names: dict[int, str]) -> AnnotatedBox:
    x, y, width, height = annotation["bbox"]
    return AnnotatedBox(
        names[annotation["category_id"]],
        (x, y, x + width, y + height),
        iscrowd=annotation.get("iscrowd", False),
        segmentation=annotation.get("segmentation"),
    )


def _name(path: Path, position: int, annotation: Any) -> str:
    return f"{path}: annotation {annotation.get('id', f'number {position}')}"


def _find_twice(path: Path, part: str, keys: Any) -> list[str]:
    seen: set[Key] = set()
    twice = [key for key in keys if key in seen or seen.add(key)]  # type: ignore[func-returns-value]
    return [f"{path}: id {key!r} is in '{part}' more than once; remove or renumber one" for key in twice]
