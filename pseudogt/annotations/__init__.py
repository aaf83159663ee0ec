"""Annotations from other tools: one reader per format, one common form, and weak labels from it."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pseudogt.annotations.conversion import Conversion, convert_readings
from pseudogt.annotations.form import AnnotatedBox, ImageAnnotations, Reading, Source
from pseudogt.annotations.recognition import FORMATS, get_format, suggest_format
from pseudogt.annotations.tables import read_tags
from pseudogt.classes import ClassTable
from pseudogt.config.annotations import AnnotationsSettings
from pseudogt.files.index import ImageRecord

__all__ = [
    "FORMATS",
    "AnnotatedBox",
    "Conversion",
    "ImageAnnotations",
    "Reading",
    "convert_annotations",
    "read_annotations",
]


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
