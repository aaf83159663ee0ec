"""Polygons and masks of annotations, used exactly as drawn, so that no instance has to be inferred."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pseudogt.annotations import read_annotations
from pseudogt.annotations.class_names import ClassNames
from pseudogt.annotations.fitting import scale_corners
from pseudogt.annotations.form import BROKEN, AnnotatedBox, ImageAnnotations, Reading, UnusableObject
from pseudogt.annotations.frames import turn_upright
from pseudogt.annotations.geometry import check_segmentation, lies_elsewhere
from pseudogt.annotations.matching import find_annotations
from pseudogt.classes import ClassTable
from pseudogt.config.annotations import AnnotationsSettings
from pseudogt.files.index import ImageRecord
from pseudogt.parsing.problems import SHOWN, shorten_list


class DrawnMasks(NamedTuple):
    """Polygons and masks of annotations in pixels, with images named by id and objects by the class table.

    Attributes
    ----------
    full : Reading
        Images in which every object has a mask, and stuff has masks, too, or is everything outside the objects.
    things : Reading
        Other images in which every thing has a mask; only their things.
    background : int or None
        Train id of pixels outside all masks.
    problems, warnings : list of str
        Masks that can't be read, and masks that lie elsewhere than the boxes of their objects.
    """

    full: Reading
    things: Reading
    background: int | None
    problems: list[str]
    warnings: list[str]


def read_masks(
    settings: AnnotationsSettings, data_root: Path, records: Sequence[ImageRecord], classes: ClassTable
) -> DrawnMasks:
    """Read the polygons and masks of annotations.

    An image is left out if one of its things has only a box, or none, or if it was rotated after it was annotated;
    training then uses its boxes and tags.

    Raises
    ------
    ValueError
        If there are no annotations, or they can't be read.
    """
    images = {record.image_id: record.image for record in records}
    reading = read_annotations(settings, data_root, images, masks=True)
    if reading is None:
        raise ValueError("full_labels.polygons takes the polygons of section annotations; set annotations.path")
    names = ClassNames(reading, None, classes, settings)
    full, things = [], []
    broken: list[str] = []
    displaced: list[str] = []
    for image, record in _list_usable(reading, records):
        drawn = _name_objects(image, record, names, classes)
        drawn = _check_masks(drawn, broken, displaced)
        if _is_full(drawn, classes, names):
            full.append(replace(drawn, unusable=()))
        elif (part := _keep_things(drawn, classes)) is not None:
            things.append(part)
    problems, warnings = _describe_masks(broken, displaced, skip=settings.bad_boxes == "skip")
    return DrawnMasks(Reading(full), Reading(things), names.background, problems, warnings)


def _check_masks(image: ImageAnnotations, broken: list[str], displaced: list[str]) -> ImageAnnotations:
    """Return an image without masks that can't be read; what is wrong is added to the lists."""
    boxes = []
    for number, box in enumerate(image.boxes, 1):
        where = f"image {image.file_name!r}: mask {number} ({box.label})"
        if box.segmentation is not None:
            try:
                check_segmentation(box.segmentation, image.height or 0, image.width or 0)
            except ValueError as error:
                broken.append(f"{where}: {error}")
                box = box._replace(segmentation=None)
            else:
                if is_displaced(box, image):
                    displaced.append(where)
        boxes.append(box)
    return replace(image, boxes=boxes)


def is_displaced(box: AnnotatedBox, image: ImageAnnotations) -> bool:
    """Whether the polygons of an object lie elsewhere than its box."""
    corners = scale_corners(box.xyxy, image.width or 0, image.height or 0) if image.relative else box.xyxy
    return lies_elsewhere(corners, box.segmentation)


def _describe_masks(broken: list[str], displaced: list[str], *, skip: bool) -> tuple[list[str], list[str]]:
    """Problems and warnings of masks."""
    warnings = []
    if displaced:
        warnings.append(
            f"{len(displaced)} polygons lie elsewhere than the boxes of their objects; one of the two may be for "
            f"another size of the image, so correct or remove it: {'; '.join(shorten_list(displaced))}"
        )
    if broken and skip:
        warnings.append(
            f"{len(broken)} masks can't be read, so that of their objects only the boxes are used: "
            f"{'; '.join(broken[:SHOWN])}"
        )
        return [], warnings
    return [f"{problem}; correct it, or set annotations.bad_boxes: skip" for problem in broken], warnings


def _list_usable(reading: Reading, records: Sequence[ImageRecord]) -> Iterator[tuple[ImageAnnotations, ImageRecord]]:
    """Images that somebody looked at, whose masks fit the upright image."""
    found = find_annotations(reading, records).annotations
    upright = turn_upright(found, records).annotations
    for record in records:
        image = found.get(record.image_id)
        # Boxes that had to be turned, or are in doubt, are others now; their masks are as they were.
        if image is None or not image.boxed or upright[record.image_id].boxes is not image.boxes:
            continue
        if image.relative or (upright[record.image_id].width or record.width) == record.width:
            yield image, record


def _name_objects(
    image: ImageAnnotations, record: ImageRecord, names: ClassNames, classes: ClassTable
) -> ImageAnnotations:
    """The image by its id, with objects by the class table and masks in pixels, without objects that are left out.

    Objects of an unclear class become unusable.
    """
    boxes, unclear = [], []
    for box in image.boxes:
        if box.label in names.train_ids:
            label = classes.names[names.train_ids[box.label]]
            boxes.append(box._replace(label=label, segmentation=_find_pixels(box, image, record)))
        elif not names.is_left_out(box.label):
            unclear.append(UnusableObject(None, BROKEN))
    for seen in image.unusable:
        if not names.leaves_out(seen):
            train_id = names.train_ids.get(seen.label or "")
            unclear.append(seen._replace(label=None if train_id is None else classes.names[train_id]))
    # Marks label single pixels, so their objects have no outline.
    marked = [mark.label for mark in image.marks if mark.label in names.train_ids]
    unclear += [UnusableObject(classes.names[names.train_ids[label]], "point") for label in marked]
    named = replace(image, file_name=record.image_id, boxes=boxes, unusable=unclear)
    return replace(named, width=record.width, height=record.height)


def _find_pixels(box: AnnotatedBox, image: ImageAnnotations, record: ImageRecord) -> Any:
    """Mask of an object in pixels, None if it has none; polygons of fractions are scaled."""
    if not image.relative or box.segmentation is None:
        return box.segmentation
    scale = np.array([record.width, record.height])
    return [(np.reshape(polygon, (-1, 2)) * scale).ravel().tolist() for polygon in box.segmentation]


def _is_full(image: ImageAnnotations, classes: ClassTable, names: ClassNames) -> bool:
    """Whether everything in an image has a mask, stuff among it."""
    if image.unusable or any(box.segmentation is None for box in image.boxes):
        return False
    return names.background is not None or any(not is_thing(box.label, classes) for box in image.boxes)


def _keep_things(image: ImageAnnotations, classes: ClassTable) -> ImageAnnotations | None:
    """Return the things of an image alone; None if it has none, or one without a mask."""
    things = [box for box in image.boxes if is_thing(box.label, classes)]
    unclear = any(seen.label is None or is_thing(seen.label, classes) for seen in image.unusable)
    if not things or unclear or any(box.segmentation is None for box in things):
        return None
    return replace(image, boxes=things, unusable=())


def is_thing(label: str, classes: ClassTable) -> bool:
    """Whether a class of the table is a thing."""
    return classes.isthing[classes.names.index(label)]
