"""What all readers share: a broken record hides no other, several files form one source, ids and names must agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any, NamedTuple, TypeVar

import numpy as np

from pseudogt.annotations.form import (
    BROKEN,
    REGION_CHOICE,
    AnnotatedBox,
    AnnotatedMark,
    ImageAnnotations,
    Reading,
    UnusableObject,
)
from pseudogt.annotations.geometry import bound_points, decode_segmentation, encode_mask
from pseudogt.annotations.matching import explain_case_difference, normalise
from pseudogt.parsing.contents import describe_missing
from pseudogt.parsing.problems import SHOWN, read_each, shorten_names
from pseudogt.parsing.values import unify_id

Record = TypeVar("Record")

OTHER_FILES = ("classes", "notes", "train", "val", "valid", "test", "readme", "readme.dataset", "readme.roboflow")
"""Names, without suffix, of files that tools write beside those of the images."""


class UnsupportedKindError(ValueError):
    """An object of a kind from which no box can be made, and the pixels that it labels."""

    def __init__(self, kind: str, marks: Sequence[AnnotatedMark] = ()) -> None:
        super().__init__(kind)
        self.kind, self.marks = kind, tuple(marks)


def read_objects(
    records: Iterable[Record], find_label: Callable[[Record], str | None], read: Callable[[Record], list[AnnotatedBox]]
) -> tuple[list[AnnotatedBox], list[UnusableObject]]:
    """Boxes of an image's records, and the objects of those that hold none.

    Parameters
    ----------
    records : iterable
    find_label : callable
        Name of a record's class, None if it has none that can be read.
    read : callable
        Boxes of a record. It raises ``UnsupportedKindError`` for a kind of object that has no box, and another
        ``ValueError`` for a record that should have one.
    """
    boxes: list[AnnotatedBox] = []
    unusable: list[UnusableObject] = []
    for record, found, error in read_each(records, read):
        boxes += found or []
        if isinstance(error, UnsupportedKindError):
            unusable.append(UnusableObject(find_label(record), error.kind, marks=error.marks))
        elif error is not None:
            unusable.append(UnusableObject(find_label(record), BROKEN, str(error)))
    return boxes, unusable


def join_parts(path: Path, images: Sequence[ImageAnnotations]) -> tuple[list[ImageAnnotations], list[str]]:
    """Images in which polygons and masks of one class and one group are parts of one object, and a warning of it."""
    joined, count = [], 0
    for image in images:
        objects: dict[tuple[str, str | int], AnnotatedBox] = {}
        for number, box in enumerate(image.boxes):
            # Boxes without outline are in one group for other reasons: a rider and a bicycle, a row of cars.
            key = (box.label, number if box.group is None or box.segmentation is None else box.group)
            objects[key] = _join(objects[key], box) if key in objects else box
        count += len(image.boxes) - len(objects)
        joined.append(replace(image, boxes=list(objects.values())) if len(objects) < len(image.boxes) else image)
    text = f"{path}: {count} polygons and masks are further parts of objects, by their class and group"
    return joined, [text] if count else []


def _join(box: AnnotatedBox, part: AnnotatedBox) -> AnnotatedBox:
    """An object with one part more: the box around both, and both outlines if they are of one kind."""
    corners = bound_points(np.reshape([*box.xyxy, *part.xyxy], (-1, 2)))
    mask, other = box.segmentation, part.segmentation
    outline: Any = None
    if isinstance(mask, list) and isinstance(other, list):
        outline = [*mask, *other]
    elif isinstance(mask, dict) and isinstance(other, dict):
        outline = encode_mask(decode_segmentation(mask, *mask["size"]) | decode_segmentation(other, *mask["size"]))
    return box._replace(xyxy=corners, segmentation=outline, difficult=box.difficult or part.difficult)


def list_labels(images: Iterable[ImageAnnotations]) -> frozenset[str]:
    """Class names of all objects that were marked, with or without a box; remarks on regions need be none."""
    return frozenset(
        label
        for image in images
        for label in (
            *(box.label for box in image.boxes),
            *(mark.label for mark in image.marks),
            *(seen.label for seen in image.unusable if seen.kind != REGION_CHOICE),
        )
        if label is not None
    )


def find_synonyms(path: Path, names: Iterable[tuple[int | str, str]], what: str) -> list[str]:
    """Numbers of one name, which count as one class."""
    keys: dict[str, list[int | str]] = {}
    for key, name in names:
        keys.setdefault(name, []).append(key)
    return [
        f"{path}: {what} {', '.join(map(str, found))} are all named {name!r} and count as one class"
        for name, found in keys.items()
        if len(set(map(unify_id, found))) > 1
    ]


def find_shift(path: Path, used: Collection[int], named: Collection[int], where: str) -> list[str]:
    """Problem of a source in which every number of a class may be one too high, or too low: some have no name.

    Leaving those out would give all others the name of their neighbour.
    """
    strange = sorted(set(used) - set(named))
    for step, direction in ((1, "high"), (-1, "low")):
        if strange and len(used) > 1 and {number - step for number in used} <= set(named):
            return [
                f"{path}: class {strange[0]} is used, but {where} names {min(named)} to {max(named)}: all numbers may "
                f"be one too {direction}, which would give every object the name of another class; number them alike"
            ]
    return []


def read_exports(path: Path, suffix: str, read: Callable[[Path], Reading], *, declared: bool) -> Reading:
    """Read a file, or all files with a suffix in a folder and below as one source.

    Parameters
    ----------
    path : Path
    suffix : str
        In lower case; files may have it in any case.
    read : callable
        Reads one file.
    declared : bool
        Whether files of this format list the classes that were looked for. Images of a file that lacks some are then
        not said to be without them.

    Raises
    ------
    ValueError
        If there is no such file in the folder, or one can't be read at all.
    """
    if not path.is_dir():
        return read(path)
    paths = [
        file for file in sorted(path.rglob("*")) if file.suffix.lower() == suffix and not file.name.startswith(".")
    ]
    paths = [file for file in paths if file.is_file()]
    if not paths:
        raise ValueError(
            f"{path}: no {suffix} file in this folder; annotations must be a file, or a folder of such files"
        )
    return merge_readings([read(file) for file in paths], declared=declared)


def merge_readings(readings: Sequence[Reading], *, declared: bool) -> Reading:
    """Several sources as one; see :func:`read_exports`."""
    differ = declared and len({reading.box_labels for reading in readings}) > 1
    images = [
        replace(image, vocabulary=reading.box_labels) if differ else image
        for reading in readings
        for image in reading.images
    ]
    return Reading(
        images,
        frozenset().union(*(reading.box_labels for reading in readings)),
        frozenset().union(*(reading.tag_labels for reading in readings)),
        [problem for reading in readings for problem in reading.problems],
        [warning for reading in readings for warning in reading.warnings],
        [record for reading in readings for record in reading.broken],
    )


class LabelFiles(NamedTuple):
    """Files with the labels of one image each.

    Attributes
    ----------
    files : dict
        Image id -> file.
    searched : str
        Where was looked for them if no image has one.
    warnings : list of str
        On files that belong to no image while there are images without one.
    """

    files: dict[str, Path]
    searched: str
    warnings: list[str]


def find_label_files(folder: Path, images: Mapping[str, str], suffix: str) -> LabelFiles:
    """Find the label file of each image that has one.

    A file is named like its image, with or without its suffix, or like its id. Where images of several folders have
    one name, it lies in a folder of the name of the image's.

    Parameters
    ----------
    folder : Path
    images : mapping
        Image id -> path of the image.
    suffix : str
        In lower case; files may have it in any case.

    Raises
    ------
    ValueError
        If there is no folder.
    """
    if not folder.is_dir():
        missing = describe_missing(folder, "folder")
        raise ValueError(
            f"{folder}: {missing}; annotations.path must be the folder of the {suffix} files, one per image"
        )
    there = {
        normalise(file.relative_to(folder).with_suffix("").as_posix()): file
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() == suffix and not file.name.startswith(".")
    }
    stems = Counter(PurePath(path).stem for path in images.values())
    found = {}
    for image_id, path in images.items():
        names = [image_id, *_name_label_file(PurePath(path), alone=stems[PurePath(path).stem] == 1)]
        name = next((name for name in map(normalise, names) if name in there), None)
        if name is not None:
            found[image_id] = there[name]
    if images and not found:
        return LabelFiles(found, _describe_search(folder, images, suffix, list(there.values())), [])
    return LabelFiles(found, "", _describe_others(folder, there, found, images))


def _describe_others(
    folder: Path, there: Mapping[str, Path], found: Mapping[str, Path], images: Mapping[str, str]
) -> list[str]:
    """Warn of files that belong to no image, if there are images without one: the names may just differ."""
    used = set(found.values())
    others = [str(f.relative_to(folder)) for f in there.values() if f not in used and f.stem.lower() not in OTHER_FILES]
    if not others or len(found) == len(images):
        return []
    without = [path for image_id, path in images.items() if image_id not in found]
    return [
        f"{folder}: {len(others)} files are named like none of the images to train on: {shorten_names(others)}"
        f"{explain_case_difference(others, without)}"
    ]


def _name_label_file(image: PurePath, *, alone: bool) -> list[str]:
    """Names without suffix that the label file of an image may have, those with most folders first."""
    plain, full = image.with_suffix("").parts, image.parts
    return ["/".join(parts[-length:]) for length in (3, 2, 1) if length > 1 or alone for parts in (plain, full)]


def _describe_search(folder: Path, images: Mapping[str, str], suffix: str, there: Sequence[Path]) -> str:
    image_id = next(iter(images))
    text = f"image {image_id!r} should have {folder / image_id}{suffix}, but there is no such file"
    parents = sorted({str(file.parent) for file in there})
    if not there:
        return f"{text}, nor any other {suffix} file in {folder}; set annotations.path to the folder that holds them"
    below = [parent for parent in parents if parent != str(folder)]
    if not below:
        return f"{text}; {there[0].name} and others there are named like no image: rename them like their images"
    listed = " and ".join(below[:SHOWN])
    return (
        f"{text}; there are {suffix} files in {listed}: set annotations.path to the folder that belongs to the images"
    )
