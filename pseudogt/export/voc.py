"""PASCAL VOC segmentation: SegmentationClass and SegmentationObject in ``VOCdevkit/VOC2012/``. Renumbers things."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pseudogt.classes import IGNORE_LABEL, ClassTable, combine_semantic_and_instances, panoptic_to_semantic
from pseudogt.config.export import ExportSettings
from pseudogt.export.palettes import number_colours, write_class_csv, write_palette_png
from pseudogt.export.segments import LabelledImage, find_segments, is_crowd
from pseudogt.files.images import read_png
from pseudogt.files.io import replace_atomically

ROOT = Path("VOCdevkit", "VOC2012")
VOID_VALUE = 255
HIGHEST_VALUE = 254
BACKGROUND_NAME = "background"


def list_mask_values(classes: ClassTable) -> NDArray[np.uint8]:
    """Value ``(C,)`` of each class in SegmentationClass: 0 of one named "background", 1, 2, ... of the others.

    Raises
    ------
    ValueError
        If there are more classes than values.
    """
    others = [i for i, name in enumerate(classes.names) if name != BACKGROUND_NAME]
    if len(others) > HIGHEST_VALUE:
        raise ValueError(
            f"{len(others)} classes do not fit into SegmentationClass, whose values end at {HIGHEST_VALUE}"
        )
    values = np.zeros(len(classes), np.uint8)
    values[others] = np.arange(1, len(others) + 1)
    return values


def place_image(image_id: str, split: str, file_name: str) -> Path:
    """Where readers look for an image."""
    return ROOT / "JPEGImages" / f"{image_id}.jpg"


def write_image(folder: Path, image: LabelledImage, classes: ClassTable, settings: ExportSettings) -> None:
    """Write class and object PNG of an image.

    Objects are numbered 1, 2, ... in the order of panoptic ids; 0 is where no thing is, 255 where
    there is no label, or a thing without an instance.

    Raises
    ------
    ValueError
        If the image has more than 254 things.
    """
    values = list_mask_values(classes)
    lookup = np.full(256, VOID_VALUE, np.uint8)
    lookup[: len(classes)] = values
    semantic = lookup[panoptic_to_semantic(image.panoptic_id, classes)]
    objects = np.where(image.panoptic_id == 0, VOID_VALUE, 0).astype(np.int32)
    number = 0
    for segment in find_segments(image.panoptic_id, classes):
        if classes.isthing[segment.train_id]:
            number += not is_crowd(segment, classes)
            x0, y0, x1, y1 = segment.box_xyxy
            objects[y0:y1, x0:x1][segment.mask] = VOID_VALUE if is_crowd(segment, classes) else number
    if number > HIGHEST_VALUE:
        raise ValueError(f"image {image.image_id!r} has {number} things, SegmentationObject holds {HIGHEST_VALUE}")
    name = f"{image.image_id}.png"
    write_palette_png(folder / ROOT / "SegmentationClass" / name, semantic, _class_palette(classes, values))
    write_palette_png(folder / ROOT / "SegmentationObject" / name, objects.astype(np.uint8), number_colours())


def _class_palette(classes: ClassTable, values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    palette = np.zeros((256, 3), np.uint8)
    palette[values] = classes.colors
    palette[VOID_VALUE] = number_colours()[VOID_VALUE]
    return palette


def write_set(folder: Path, records: Iterable[dict[str, Any]], classes: ClassTable, settings: ExportSettings) -> None:
    """Write ``ImageSets/Segmentation/<split>.txt`` and ``classes.csv`` with the values of SegmentationClass."""
    names: dict[str, list[str]] = {}
    for record in records:
        names.setdefault(record["split"], []).append(record["image_id"])
    for split, image_ids in names.items():
        with replace_atomically(folder / ROOT / "ImageSets" / "Segmentation" / f"{split}.txt") as temporary:
            temporary.write_text("".join(f"{image_id}\n" for image_id in image_ids), encoding="utf-8")
    write_class_csv(folder / ROOT / "classes.csv", classes, list_mask_values(classes))


class VocSet:
    """Pairs of files in SegmentationClass and SegmentationObject."""

    def __init__(self, folder: Path, classes: ClassTable) -> None:
        self._folder, self._classes = folder / ROOT, classes
        self._lookup = np.full(256, IGNORE_LABEL, np.uint8)
        self._lookup[list_mask_values(classes)] = np.arange(len(classes))

    @property
    def image_ids(self) -> list[str]:
        """Images by name."""
        return sorted(path.stem for path in (self._folder / "SegmentationClass").glob("*.png"))

    def read(self, image_id: str) -> NDArray[np.int32]:
        """Panoptic ids ``(H, W) int32`` of one image, instances of a class numbered 1, 2, ..."""
        semantic = self._lookup[read_png(self._folder / "SegmentationClass" / f"{image_id}.png")]
        objects = read_png(self._folder / "SegmentationObject" / f"{image_id}.png").astype(np.int32)
        return combine_semantic_and_instances(semantic, np.where(objects == VOID_VALUE, 0, objects), self._classes)


def read_set(folder: Path, classes: ClassTable) -> VocSet:
    """The labels in a folder."""
    return VocSet(folder, classes)
