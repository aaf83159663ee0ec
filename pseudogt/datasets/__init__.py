"""Datasets: which images there are, where their files lie, what their ground truth is.

Listing and locating touch file names only and import nothing heavy: the workflow does both while it
is parsed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pseudogt.config.dataset import DatasetSettings
from pseudogt.config.registry import Registry
from pseudogt.config.streets import StreetsSettings
from pseudogt.datasets.source import ImageFolders, ListedImage, Listing, SourceFiles
from pseudogt.datasets.streets.names import list_street_ids
from pseudogt.files.listing import name_images
from pseudogt.parsing.contents import describe_missing
from pseudogt.parsing.problems import SHOWN

if TYPE_CHECKING:
    from pseudogt.classes import ClassTable

__all__ = ["DatasetImages", "SourceFiles", "class_table", "list_images"]


class Layout(Protocol):
    """Locations of a split's images and their label files; a module or an object."""

    def find_splits(self, root: Path) -> list[str]:
        """Names of the splits in a folder; empty if it is not of this layout."""

    def list_split(self, root: Path, split: str) -> Listing:
        """Images of a split."""

    def locate(self, root: Path, image: ListedImage, folders: ImageFolders) -> SourceFiles:
        """Files of one image."""


LAYOUTS = Registry("pseudogt.datasets.layouts", "dataset format")
SPLIT_SEPARATOR = "+"
"""Joins splits that are used as one: ``train+sbd``."""


@dataclass(frozen=True)
class DatasetImages:
    """The images of a dataset.

    Attributes
    ----------
    ids : mapping
        ``{"train": [...], "val": [...]}``, in the order of the lists; ``val`` may be empty. An id is the image's name,
        with its folder before it if several images have that name.
    passed_over : sequence of str
        What was found beside the images and is not used.
    """

    ids: Mapping[str, list[str]]
    passed_over: Sequence[str] = ()
    _layout: Layout | None = None
    _root: Path = Path()
    _listed: Mapping[str, ListedImage] = field(default_factory=dict)
    _folders: ImageFolders = field(default_factory=ImageFolders)

    def locate(self, image_id: str) -> SourceFiles:
        """Files of one image.

        Raises
        ------
        ValueError
            If there is no image of that id.
        """
        image = self._listed.get(image_id)
        if image is None or self._layout is None:
            raise ValueError(f"{self._root}: there is no image {image_id!r} any more; put it back, or run again")
        return self._layout.locate(self._root, image, self._folders)

    def list_part(self, split: str) -> list[str]:
        """Ids of the images that were listed in one of the splits that are joined by +."""
        return [image_id for image_id, image in self._listed.items() if image.split == split]


def list_images(
    settings: DatasetSettings, data_root: Path | str, streets: StreetsSettings | None = None
) -> DatasetImages:
    """List the images of the splits ``train`` and ``val``.

    Parameters
    ----------
    settings : DatasetSettings
    data_root : path
        Folder of the dataset.
    streets : StreetsSettings, optional
        With the format ``streets``: name the images the generator will write instead of looking for
        them, which works before it has run.

    Raises
    ------
    ValueError
        If the folder or a list is missing, an image is listed twice, or none is left to train on.
    """
    if settings.format == "streets" and streets is not None:
        return DatasetImages(list_street_ids(streets))
    root = Path(data_root)
    if not root.is_dir():
        raise ValueError(
            f"data_root {root}: {describe_missing(root, 'folder')}; give yours with --config data_root=..."
        )
    layout: Layout = LAYOUTS.load(settings.format)
    train, val = (_list_parts(layout, root, name) for name in (settings.train_split, settings.val_split))
    listed = [*train.images, *val.images]
    try:
        names = name_images((image.folder, image.name) for image in listed)
    except ValueError as error:
        raise ValueError(f"{root}: {error}") from error
    ids = {"train": names[: len(train.images)], "val": names[len(train.images) :]}
    if settings.val_fraction is not None:
        ids["train"], ids["val"] = _split_off(ids["train"], settings.val_fraction, settings.split_seed)
    passed_over = [*train.passed_over, *val.passed_over]
    if not ids["train"]:
        text = f"{root}: split {settings.train_split!r} leaves no image to train on"
        text += "; lower dataset.val_fraction" if ids["val"] and settings.val_fraction else ""
        raise ValueError("; ".join([text, *passed_over[:SHOWN]]))
    return DatasetImages(ids, passed_over, layout, root, dict(zip(names, listed, strict=True)))


def class_table(settings: DatasetSettings) -> ClassTable:
    """Make the class table of the settings; train ids follow the order of the entries."""
    from pseudogt.classes import ClassTable

    return ClassTable.from_categories([entry.model_dump(exclude={"source_id"}) for entry in settings.classes])


def _list_parts(layout: Layout, root: Path, name: str | None) -> Listing:
    """Images of all splits that a name joins."""
    parts = [layout.list_split(root, part) for part in name.split(SPLIT_SEPARATOR)] if name else []
    return Listing(
        [image for part in parts for image in part.images], [note for part in parts for note in part.passed_over]
    )


def _split_off(image_ids: list[str], fraction: float, seed: int) -> tuple[list[str], list[str]]:
    """Split by a hash of seed and id: no library's random numbers, and one more image moves at most one other."""
    count = round(len(image_ids) * fraction)
    by_hash = sorted(image_ids, key=lambda image_id: hashlib.sha256(f"{seed}:{image_id}".encode()).digest())
    val = set(by_hash[:count])
    return [i for i in image_ids if i not in val], [i for i in image_ids if i in val]
