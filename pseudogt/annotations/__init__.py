"""Annotations that people made with other tools: one reader for each format, one common form, weak labels from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pseudogt.annotations.conversion import Conversion, convert_readings
from pseudogt.annotations.form import AnnotatedBox, ImageAnnotations, Reading, Source
from pseudogt.annotations.tables import read_tags
from pseudogt.classes import ClassTable
from pseudogt.config.annotations import AnnotationsSettings
from pseudogt.config.registry import Registry
from pseudogt.files.index import ImageRecord

__all__ = ["AnnotatedBox", "Conversion", "ImageAnnotations", "Reading", "convert_annotations", "read_annotations"]

FORMATS = Registry("pseudogt.annotations.formats", "annotation format")


def read_annotations(settings: AnnotationsSettings, data_root: Path, image_ids: Sequence[str]) -> Reading | None:
    """Read the source of boxes; None if there is none.

    Parameters
    ----------
    settings : AnnotationsSettings
    data_root : Path
        Where relative paths start.
    image_ids : sequence of str
        Where each image has a file of its own, those that are looked for.

    Raises
    ------
    ValueError
        If the source can't be read at all; smaller problems are in the result.
    """
    if settings.format is None or settings.path is None:
        return None
    names = data_root / settings.names if settings.names else None
    read: Callable[[Source], Reading] = FORMATS.load(settings.format)
    return read(Source(data_root / settings.path, image_ids, names))


def convert_annotations(
    settings: AnnotationsSettings, data_root: Path, records: Sequence[ImageRecord], classes: ClassTable
) -> Conversion:
    """Weak labels of the images from the files that the settings name; see :func:`convert_readings`."""
    boxes = read_annotations(settings, data_root, [record.image_id for record in records])
    tags = read_tags(data_root / settings.tags) if settings.tags else None
    return convert_readings(boxes, tags, records, classes, settings)
