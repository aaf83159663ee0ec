"""Annotations that people made with other tools: one reader for each format, one common form, weak labels from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pseudogt.annotations.coco import read_coco
from pseudogt.annotations.conversion import Conversion, convert_readings
from pseudogt.annotations.cvat import read_cvat
from pseudogt.annotations.form import AnnotatedBox, ImageAnnotations, Reading
from pseudogt.annotations.label_studio import read_label_studio
from pseudogt.annotations.tables import read_box_table, read_tags
from pseudogt.annotations.voc import read_voc_folder
from pseudogt.annotations.yolo import read_yolo
from pseudogt.classes import ClassTable
from pseudogt.config.annotations import AnnotationsSettings
from pseudogt.files.index import ImageRecord

__all__ = ["AnnotatedBox", "Conversion", "ImageAnnotations", "Reading", "convert_annotations", "read_boxes"]

FILE_READERS = {
    "coco": read_coco,
    "label_studio": read_label_studio,
    "cvat": read_cvat,
    "csv": read_box_table,
}


def read_boxes(settings: AnnotationsSettings, data_root: Path, image_ids: Sequence[str]) -> Reading | None:
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
    path = data_root / settings.path
    if settings.format == "yolo":
        return read_yolo(path, image_ids, data_root / settings.names if settings.names else None)
    if settings.format == "voc":
        return read_voc_folder(path, image_ids)
    return FILE_READERS[settings.format](path)


def convert_annotations(
    settings: AnnotationsSettings, data_root: Path, records: Sequence[ImageRecord], classes: ClassTable
) -> Conversion:
    """Weak labels of the images from the files that the settings name; see :func:`convert_readings`."""
    boxes = read_boxes(settings, data_root, [record.image_id for record in records])
    tags = read_tags(data_root / settings.tags) if settings.tags else None
    return convert_readings(boxes, tags, records, classes, settings)
