"""Semantic PNG with palette: ``semantic/<image id>.png`` and ``classes.csv``. Loses instances."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pseudogt.classes import INSTANCE_DIVISOR, ClassTable, panoptic_to_semantic
from pseudogt.config.export import ExportSettings
from pseudogt.export.palettes import write_class_csv, write_palette_png
from pseudogt.export.segments import LabelledImage
from pseudogt.files.images import read_png

FOLDER = "semantic"


def place_image(image_id: str, split: str, file_name: str) -> Path:
    """Where readers look for an image."""
    return Path("images", file_name)


def write_image(folder: Path, image: LabelledImage, classes: ClassTable, settings: ExportSettings) -> None:
    """Write the position of each pixel's class in the class table, 255 for no label."""
    semantic = panoptic_to_semantic(image.panoptic_id, classes)
    write_palette_png(folder / FOLDER / f"{image.image_id}.png", semantic, classes.palette)


def write_set(folder: Path, records: Iterable[dict[str, Any]], classes: ClassTable, settings: ExportSettings) -> None:
    """Write ``classes.csv``, whose ``source_id`` is the value in the PNG files."""
    write_class_csv(folder / "classes.csv", classes, np.arange(len(classes)))


class SemanticSet:
    """Semantic PNG files with positions in the class table."""

    def __init__(self, folder: Path, classes: ClassTable) -> None:
        self._folder, self._classes = folder / FOLDER, classes

    @property
    def image_ids(self) -> list[str]:
        """Images by name."""
        return sorted(path.stem for path in self._folder.glob("*.png"))

    def read(self, image_id: str) -> NDArray[np.int32]:
        """Panoptic ids ``(H, W) int32`` of one image, all with number 0."""
        return self._classes.train_to_category[read_png(self._folder / f"{image_id}.png")] * np.int32(INSTANCE_DIVISOR)


def read_set(folder: Path, classes: ClassTable) -> SemanticSet:
    """The labels in a folder."""
    return SemanticSet(folder, classes)
