"""What all readers share: a broken record hides no other, several files form one source, ids and names must agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TypeVar

from pseudogt.annotations.form import (
    BROKEN,
    REGION_CHOICE,
    AnnotatedBox,
    AnnotatedMark,
    ImageAnnotations,
    Reading,
    UnusableObject,
)
from pseudogt.files.parsing import SHOWN, read_each

Record = TypeVar("Record")


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


def find_label_files(folder: Path, images: Mapping[str, str], suffix: str) -> tuple[dict[str, Path], str]:
    """Label file of each image that has one, and where was looked for them if none has.

    A file is named like its image, or like its id. Where images of several folders have one name, it lies in a folder
    of the name of the image's.

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
        raise ValueError(f"{folder}: no such folder; annotations.path must hold one {suffix} file per image")
    there = {
        file.relative_to(folder).with_suffix("").as_posix(): file
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() == suffix and not file.name.startswith(".")
    }
    stems = Counter(PurePath(path).stem for path in images.values())
    found = {}
    for image_id, path in images.items():
        names = [image_id, *_name_label_file(PurePath(path), alone=stems[PurePath(path).stem] == 1)]
        name = next((name for name in names if name in there), None)
        if name is not None:
            found[image_id] = there[name]
    return found, "" if found or not images else _describe_search(folder, images, suffix, list(there.values()))


def _name_label_file(image: PurePath, *, alone: bool) -> list[str]:
    """Names without suffix that the label file of an image may have, those with most folders first."""
    parts = image.with_suffix("").parts
    return ["/".join(parts[-length:]) for length in (3, 2, 1) if length > 1 or alone]


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
