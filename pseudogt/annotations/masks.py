"""Images whose annotations are masks of everything in them: full labels in which nobody has to guess an instance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pseudogt.annotations import read_annotations
from pseudogt.annotations.conversion import ClassNames, Conversion, map_class_names, pick_images
from pseudogt.annotations.form import AnnotatedBox, ImageAnnotations, Reading
from pseudogt.annotations.frames import turn_upright
from pseudogt.classes import ClassTable
from pseudogt.config.annotations import AnnotationsSettings
from pseudogt.files.index import ImageRecord


def read_masks(
    settings: AnnotationsSettings, data_root: Path, records: Sequence[ImageRecord], classes: ClassTable
) -> tuple[Reading, int | None]:
    """Read the images that :func:`select_masks` selects, and the train id of what no mask covers, None for no class."""
    images = {record.image_id: record.image for record in records}
    reading = read_annotations(settings, data_root, images, masks=True)
    if reading is None:
        raise ValueError("full_labels.polygons takes the polygons of section annotations; set annotations.path")
    names = map_class_names(reading, classes, settings)
    return Reading(list(select_masks(reading, records, classes, names))), names.background


def select_masks(
    reading: Reading, records: Sequence[ImageRecord], classes: ClassTable, names: ClassNames
) -> Iterator[ImageAnnotations]:
    """Images of which every object has a polygon or a mask, and stuff has some, too, or is wherever nothing else is.

    They are named by their ids, their objects by the class table; coordinates are pixels. An image with an object that
    has a box only, or none, or that was turned after it was annotated, is not among them: its boxes and tags count.
    """
    found = pick_images(reading, records, Conversion())
    upright = turn_upright(found, records).annotations
    for record in records:
        image = found.get(record.image_id)
        # Boxes that had to be turned, or are in doubt, are others now; their masks are as they were.
        if image is None or not image.boxed or upright[record.image_id].boxes is not image.boxes:
            continue
        kept = [box for box in image.boxes if box.label not in names.left_out]
        seen = [s for s in image.unusable if s.kind not in names.left_out and s.label not in names.left_out]
        has_size = image.relative or (upright[record.image_id].width or record.width) == record.width
        is_known = all(box.segmentation is not None and box.label in names.train_ids for box in kept)
        train_ids = [names.train_ids[box.label] for box in kept] if is_known else []
        has_stuff = names.background is not None or any(not classes.isthing[train_id] for train_id in train_ids)
        if seen or not is_known or not has_stuff or not has_size:
            continue
        boxes = [
            box._replace(label=classes.names[train_id], segmentation=_find_pixels(box, image, record))
            for box, train_id in zip(kept, train_ids, strict=True)
        ]
        masked = replace(image, file_name=record.image_id, boxes=boxes, unusable=())
        yield replace(masked, width=record.width, height=record.height)


def _find_pixels(box: AnnotatedBox, image: ImageAnnotations, record: ImageRecord) -> Any:
    """Mask of an object in pixels; polygons of fractions are scaled."""
    if not image.relative:
        return box.segmentation
    scale = np.array([record.width, record.height])
    return [(np.reshape(polygon, (-1, 2)) * scale).ravel().tolist() for polygon in box.segmentation]
