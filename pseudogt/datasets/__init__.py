"""Datasets: which images there are, where their files lie, what their ground truth is.

Listing and locating touch file names only and import nothing heavy: the workflow does both while it
is parsed.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pseudogt.config.dataset import DatasetSettings
from pseudogt.config.registry import Registry
from pseudogt.config.streets import StreetsSettings
from pseudogt.datasets.source import SourceFiles
from pseudogt.datasets.streets.names import list_street_ids

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pseudogt.classes import ClassTable

__all__ = ["SourceFiles", "class_table", "list_image_ids", "locate", "read_ground_truth"]


class Layout(Protocol):
    """Where the images of a split and their label files lie; a module or an object."""

    def list_split(self, root: Path, split: str) -> list[str]:
        """Ids of the images of a split."""

    def locate(self, root: Path, split: str, image_id: str) -> SourceFiles:
        """Files of one image."""


LAYOUTS = Registry("pseudogt.datasets.layouts", "dataset format")
SPLIT_SEPARATOR = "+"
"""Joins splits that are used as one: ``train+sbd``."""


def list_image_ids(
    settings: DatasetSettings, data_root: Path | str, streets: StreetsSettings | None = None
) -> dict[str, list[str]]:
    """Image ids of the splits ``train`` and ``val``, in the order of the lists.

    Parameters
    ----------
    settings : DatasetSettings
    data_root : path
        Folder of the dataset.
    streets : StreetsSettings, optional
        With the format ``streets``: name the images the generator will write instead of looking for
        them, which works before it has run.

    Returns
    -------
    dict
        ``{"train": [...], "val": [...]}``; ``val`` may be empty.

    Raises
    ------
    ValueError
        If the folder or a list is missing, an id is listed twice, or no image is left to train on.
    """
    if settings.format == "streets" and streets is not None:
        return list_street_ids(streets)
    root = Path(data_root)
    if not root.is_dir():
        raise ValueError(f"data_root {root}: no such folder; give yours with --config data_root=...")
    train, val = (_list_splits(settings, root, name) for name in (settings.train_split, settings.val_split))
    _check_unique(train + val, root)
    if settings.val_fraction is not None:
        train, val = _split_off(train, settings.val_fraction, settings.split_seed)
    if not train:
        raise ValueError(f"{root}: split {settings.train_split!r} leaves no image to train on")
    return {"train": train, "val": val}


def find_layout(settings: DatasetSettings) -> Layout:
    """The layout of the settings' format."""
    layout: Layout = LAYOUTS.load(settings.format)
    return layout


def locate(settings: DatasetSettings, data_root: Path | str, split: str, image_id: str) -> SourceFiles:
    """Files of one image; ``split`` is ``train`` or ``val``.

    Raises
    ------
    ValueError
        If there is no image file of that id, or more than one.
    """
    is_own_split = split == "val" and settings.val_split is not None
    name = settings.val_split if is_own_split else settings.train_split
    layout, parts = find_layout(settings), (name or "").split(SPLIT_SEPARATOR)
    for part in parts[:-1]:
        try:
            return layout.locate(Path(data_root), part, image_id)
        except ValueError:  # not in this split: the last one tells
            continue
    return layout.locate(Path(data_root), parts[-1], image_id)


def class_table(settings: DatasetSettings) -> ClassTable:
    """Make the class table of the settings; train ids follow the order of the entries."""
    from pseudogt.classes import ClassTable

    return ClassTable.from_categories([entry.model_dump(exclude={"source_id"}) for entry in settings.classes])


def read_ground_truth(
    settings: DatasetSettings, data_root: Path | str, split: str, image_id: str, classes: ClassTable
) -> tuple[NDArray[np.int32], list[int]]:
    """Panoptic ids ``(H, W) int32`` of one image and the ids among them that are crowds.

    See :func:`pseudogt.datasets.ground_truth.read_panoptic`.
    """
    from pseudogt.datasets.ground_truth import read_panoptic

    return read_panoptic(locate(settings, data_root, split, image_id), settings, classes)


def _list_splits(settings: DatasetSettings, root: Path, name: str | None) -> list[str]:
    layout, parts = find_layout(settings), name.split(SPLIT_SEPARATOR) if name else []
    return [image_id for part in parts for image_id in layout.list_split(root, part)]


def _check_unique(image_ids: list[str], root: Path) -> None:
    seen: set[str] = set()
    for image_id in image_ids:
        if image_id in seen:
            raise ValueError(f"{root}: image {image_id!r} is listed twice (in one split or in both); remove one")
        seen.add(image_id)


def _split_off(image_ids: list[str], fraction: float, seed: int) -> tuple[list[str], list[str]]:
    """Split by a hash of seed and id: no library's random numbers, and one more image moves at most one other."""
    count = round(len(image_ids) * fraction)
    by_hash = sorted(image_ids, key=lambda image_id: hashlib.sha256(f"{seed}:{image_id}".encode()).digest())
    val = set(by_hash[:count])
    return [i for i in image_ids if i not in val], [i for i in image_ids if i in val]
