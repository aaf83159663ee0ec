"""Cityscapes: ``gtFine/<split>/<city>/<id>_gtFine_{labelIds,instanceIds,labelTrainIds}.png``. Keeps all but scores."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pseudogt.classes import INSTANCE_DIVISOR, ClassTable, panoptic_to_semantic
from pseudogt.config.export import ExportSettings
from pseudogt.export.palettes import write_class_csv
from pseudogt.export.segments import LabelledImage
from pseudogt.files.images import read_png, write_png

FOLDER = "gtFine"
SUFFIX = "_gtFine_instanceIds"
HIGHEST_LABEL_ID = 255
HIGHEST_INSTANCE_ID = 65535


def name_city(image_id: str) -> str:
    """Name of the folder of an image: its id up to the first underscore, as Cityscapes and its readers have it."""
    return image_id.partition("_")[0]


def place_image(image_id: str, split: str, file_name: str) -> Path:
    """Where readers look for an image."""
    return Path("leftImg8bit", split, name_city(image_id), f"{image_id}_leftImg8bit{Path(file_name).suffix}")


def write_image(folder: Path, image: LabelledImage, classes: ClassTable, settings: ExportSettings) -> None:
    """Write the three PNG files of an image.

    Raises
    ------
    ValueError
        If a category id does not fit into 8 bits or an instance's id not into 16.
    """
    panoptic_id = image.panoptic_id
    category_id, number = panoptic_id // INSTANCE_DIVISOR, panoptic_id % INSTANCE_DIVISOR
    instance_id = np.where(number > 0, panoptic_id, category_id)
    if category_id.max(initial=0) > HIGHEST_LABEL_ID or instance_id.max(initial=0) > HIGHEST_INSTANCE_ID:
        raise ValueError(
            f"image {image.image_id!r}: categories up to {category_id.max()} and instances up to {instance_id.max()} "
            "do not fit into 8 and 16 bits, as Cityscapes has them; give the classes lower ids (things at most 64)"
        )
    files: dict[str, NDArray[Any]] = {
        "labelIds": category_id.astype(np.uint8),
        "instanceIds": instance_id.astype(np.uint16),
        "labelTrainIds": panoptic_to_semantic(panoptic_id, classes),
    }
    place = folder / FOLDER / image.split / name_city(image.image_id)
    for kind, values in files.items():
        write_png(place / f"{image.image_id}_gtFine_{kind}.png", values)


def write_set(folder: Path, records: Iterable[dict[str, Any]], classes: ClassTable, settings: ExportSettings) -> None:
    """Write ``classes.csv``: label ids are category ids, train ids the position in the table, 0 and 255 no label."""
    write_class_csv(folder / "classes.csv", classes, np.array(classes.category_ids))


class CityscapesSet:
    """Files ``*_instanceIds.png`` of all splits and cities."""

    def __init__(self, folder: Path) -> None:
        found = sorted((folder / FOLDER).glob(f"*/*/*{SUFFIX}.png"))
        self._files = {path.stem.removesuffix(SUFFIX): path for path in found}

    @property
    def image_ids(self) -> list[str]:
        """Images by split, city and name."""
        return list(self._files)

    def read(self, image_id: str) -> NDArray[np.int32]:
        """Panoptic ids ``(H, W) int32`` of one image."""
        values = read_png(self._files[image_id]).astype(np.int32)
        return np.where(values < INSTANCE_DIVISOR, values * INSTANCE_DIVISOR, values)


def read_set(folder: Path, classes: ClassTable) -> CityscapesSet:
    """The labels in a folder."""
    return CityscapesSet(folder)
