"""Annotations from other tools: one reader per format, one common form, and weak labels from it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from pseudogt.annotations.conversion import Conversion, convert_readings
from pseudogt.annotations.form import AnnotatedBox, AnnotationFormat, ImageAnnotations, Reading, Source
from pseudogt.annotations.tags import read_tags, recognise_tags
from pseudogt.classes import ClassTable
from pseudogt.config.annotations import AnnotationsSettings
from pseudogt.config.registry import Registry
from pseudogt.files.index import ImageRecord
from pseudogt.parsing.documents import parse_json, parse_xml, read_text
from pseudogt.parsing.tables import parse_header

__all__ = [
    "FORMATS",
    "AnnotatedBox",
    "Conversion",
    "ImageAnnotations",
    "Reading",
    "convert_annotations",
    "read_annotations",
]

FORMATS = Registry("pseudogt.annotations.formats", "annotation format")

PARSERS: dict[str, Callable[[Path], Any]] = {
    ".json": lambda path: parse_json(path, TypeAdapter(Any)),
    ".xml": parse_xml,
    ".csv": parse_header,
    ".txt": read_text,
}
"""Parser that recognises a file, by its suffix."""

SAMPLED = 8
"""Files of a folder that are parsed to recognise their format."""


def read_annotations(
    settings: AnnotationsSettings, data_root: Path, images: Mapping[str, str], *, masks: bool = False
) -> Reading | None:
    """Read the source of boxes; None if there is none.

    Parameters
    ----------
    settings : AnnotationsSettings
    data_root : Path
        Where relative paths start.
    images : mapping
        Image id -> path of the image, where each image has a label file of its own: those that are looked for.
    masks : bool
        Keep the objects' masks, where a reader leaves them out otherwise.

    Raises
    ------
    ValueError
        If the source can't be read at all; smaller problems are in the result.
    """
    if settings.format is None or settings.path is None:
        return None
    names = data_root / settings.names if settings.names else None
    source = Source(
        data_root / settings.path,
        images,
        names,
        attribute=settings.attribute,
        points=settings.points == "weak",
        masks=masks or settings.masks == "scribbles",
    )
    try:
        return get_format(settings.format).read(source)
    except ValueError as error:
        raise ValueError(f"{error}{suggest_format(source.path, settings.format)}") from error


def recognise_file(path: Path) -> str | None:
    """Name of the format that a file is of; empty for tags of images, None for anything else."""
    try:
        content = PARSERS[path.suffix.lower()](path)
    except ValueError:
        return None
    name = next((name for name in FORMATS.names if get_format(name).recognise(content)), None)
    return "" if name is None and recognise_tags(content) else name


def get_format(name: str) -> AnnotationFormat:
    """Return the module of a format."""
    reader: AnnotationFormat = FORMATS.load(name)
    return reader


def suggest_format(path: Path, name: str) -> str:
    """Sentence on the format that a file, or the first of a folder that is of any, is of; empty if it is ``name``."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    readable = [file for file in files if file.suffix.lower() in PARSERS and file.is_file()]
    for file in readable[:SAMPLED]:
        if found := recognise_file(file):
            return "" if found == name else f"; {file} looks like the format {found}: set annotations.format to {found}"
    return ""


@contextmanager
def pause_garbage_collection() -> Iterator[None]:
    """Pause garbage collection while millions of small objects are made, none of which is in a cycle."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def convert_annotations(
    settings: AnnotationsSettings, data_root: Path, records: Sequence[ImageRecord], classes: ClassTable
) -> Conversion:
    """Weak labels of the images from the files that the settings name; see :func:`convert_readings`."""
    with pause_garbage_collection():
        boxes = read_annotations(settings, data_root, {record.image_id: record.image for record in records})
        tags = read_tags(data_root / settings.tags) if settings.tags else None
        return _convert(boxes, tags, settings, data_root, records, classes)


def _convert(
    boxes: Reading | None,
    tags: Reading | None,
    settings: AnnotationsSettings,
    data_root: Path,
    records: Sequence[ImageRecord],
    classes: ClassTable,
) -> Conversion:
    """Convert what was read, with the files' names for a source that says nothing."""
    searched = boxes.searched if boxes else ""
    named = [f"{data_root / path}" for path in (settings.path, settings.tags) if path]
    reason = searched or f"{' and '.join(named)}: there is nothing in it of these images and classes"
    return convert_readings(boxes, tags, records, classes, settings, reason)
