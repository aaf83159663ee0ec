"""Reading a dataset's semantic and instance files into panoptic ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pseudogt.config.dataset import DatasetSettings
from pseudogt.datasets.source import SourceFiles
from pseudogt.io import read_png
from pseudogt.labels import IGNORE_LABEL, INSTANCE_DIVISOR, ClassTable, combine_semantic_and_instances


def read_panoptic(
    files: SourceFiles, settings: DatasetSettings, classes: ClassTable
) -> tuple[NDArray[np.int32], list[int]]:
    """Panoptic ids of one image and the ids among them that are crowds.

    Thing pixels without an instance number form one segment of their class with k = 0, a crowd. An
    instances file must be there if there are thing classes: without one every object would be part
    of a crowd, and there would be no box to learn from.

    Returns
    -------
    panoptic_id : (H, W) int32
    crowd_ids : list of int
        Ascending.

    Raises
    ------
    ValueError
        If a file is missing or unreadable, the two differ in size or in the class of an instance,
        or a value is neither in the class table nor among the void values.
    """
    if files.semantic is None:
        raise ValueError(f"{files.image}: its semantic label file is missing; add it or take the image off the list")
    semantic = map_to_train_ids(read_png(files.semantic), settings, files.semantic)
    instances = np.zeros(semantic.shape, np.int32)
    if len(classes.thing_ids):
        if files.instances is None:
            raise ValueError(
                f"{files.image}: its instances file is missing; add it, or declare all classes as stuff (isthing: 0)"
            )
        instances = read_instances(files.instances, semantic, settings)
    panoptic_id = combine_semantic_and_instances(semantic, instances, classes)
    return panoptic_id, find_crowds(panoptic_id, classes)


def map_to_train_ids(values: NDArray[Any], settings: DatasetSettings, path: Path) -> NDArray[np.uint8]:
    """Train ids ``(H, W) uint8`` of the values of a semantic file; void becomes ``IGNORE_LABEL``."""
    unlisted = -1
    lookup = np.full(65536, unlisted, np.int16)
    lookup[[v for v in settings.void_values if 0 <= v < len(lookup)]] = IGNORE_LABEL
    lookup[[entry.source_id for entry in settings.classes]] = np.arange(len(settings.classes))
    train_ids = lookup[values]
    if (train_ids == unlisted).any():
        found = np.unique(values[train_ids == unlisted]).tolist()
        raise ValueError(
            f"{path}: values {found} are neither in the class table nor in void_values; add them to one of the two"
        )
    return train_ids.astype(np.uint8)


def read_instances(path: Path, semantic: NDArray[np.uint8], settings: DatasetSettings) -> NDArray[np.int32]:
    """Instance values ``(H, W) int32``, distinct between instances, 0 where a pixel has none."""
    values = read_png(path).astype(np.int32)
    if values.shape != semantic.shape:
        raise ValueError(f"{path}: instances {values.shape} and semantic label {semantic.shape} differ in size")
    if settings.instance_divisor is None:
        return values
    numbered = np.where(values >= settings.instance_divisor, values, 0)
    _check_instance_classes(numbered // settings.instance_divisor, semantic, settings, path)
    return numbered


def find_crowds(panoptic_id: NDArray[np.int32], classes: ClassTable) -> list[int]:
    """Ids of the thing segments without an instance number, ascending."""
    things = np.array(classes.category_ids, np.int32)[classes.thing_ids]
    return np.intersect1d(np.unique(panoptic_id), things * INSTANCE_DIVISOR).tolist()


def _check_instance_classes(
    source: NDArray[np.int32], semantic: NDArray[np.uint8], settings: DatasetSettings, path: Path
) -> None:
    for train_id, entry in enumerate(settings.classes):
        if not entry.isthing:
            continue
        wrong = (semantic == train_id) & (source != 0) & (source != entry.source_id)
        if wrong.any():
            y, x = np.argwhere(wrong)[0]
            raise ValueError(
                f"{path}: at x={x}, y={y} (and {wrong.sum() - 1} more pixels) the instance is of class {source[y, x]}, "
                f"the semantic label of class {entry.source_id} ({entry.name}); make the two files agree"
            )
