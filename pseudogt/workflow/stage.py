"""Shared steps of stages: open shards, iterate over images, and repeat the last round after the rounds end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pseudogt.classes import ClassTable
from pseudogt.files.images import read_image
from pseudogt.files.index import ImageRecord, read_shard
from pseudogt.files.io import link_atomically, read_json
from pseudogt.weak_labels.files import read_weak_labels
from pseudogt.weak_labels.records import ImageWeakLabels


@dataclass(frozen=True)
class ShardImage:
    """An image of a shard, with its weak labels if the shard was opened with them.

    Attributes
    ----------
    record : ImageRecord
    weak_labels : ImageWeakLabels or None
    """

    record: ImageRecord
    weak_labels: ImageWeakLabels | None

    @property
    def image_id(self) -> str:
        """Id of the image."""
        return self.record.image_id

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.record.height, self.record.width

    @property
    def weak(self) -> ImageWeakLabels:
        """Weak labels of the image, of a shard that was opened with them."""
        assert self.weak_labels is not None
        return self.weak_labels

    def read(self) -> NDArray[np.uint8]:
        """Pixels ``(H, W, 3) uint8 RGB``, of the size in the index."""
        image = read_image(self.record.image)
        if image.shape[:2] != self.size:
            raise ValueError(
                f"{self.record.image}: is {image.shape[1]}x{image.shape[0]}, but {self.record.width}x"
                f"{self.record.height} in the index; put the old file back, or remake the index (-R index_shard)"
            )
        return image

    def check_size(self, size: tuple[int, ...], source: Path | str) -> None:
        """Compare the size (H, W) of what belongs to this image; a difference is a ``ValueError``.

        ``source`` describes it and its location.
        """
        if tuple(size) != self.size:
            raise ValueError(
                f"{self.record.image} is {self.record.width}x{self.record.height}, but {source} is "
                f"{size[1]}x{size[0]}; they must have one size"
            )


@dataclass(frozen=True)
class Shard:
    """The images of one shard, or of several, and their class table.

    Attributes
    ----------
    name : str
        That of the first file, without suffix.
    path : Path
        The first file.
    records : list of ImageRecord
    classes : ClassTable
    weak_labels : mapping
        Weak labels by image id.
    """

    name: str
    path: Path
    records: list[ImageRecord]
    classes: ClassTable
    weak_labels: Mapping[str, ImageWeakLabels] = field(default_factory=dict)

    @classmethod
    def open(
        cls,
        shards: Path | Sequence[Path],
        *,
        weak_labels: Path | Sequence[Path] | None = None,
        may_miss: bool = False,
    ) -> Shard:
        """Read the records of a shard, or of several, and the weak labels of their images.

        Parameters
        ----------
        shards : Path or sequence of Path
            ``index/<shard>.json``.
        weak_labels : Path or sequence of Path, optional
            ``weak_labels/<shard>.json``.
        may_miss : bool
            Whether images may lack weak labels, as those may that have full ones.

        Raises
        ------
        ValueError
            If class tables differ, or an image has no weak labels.
        """
        paths = [shards] if isinstance(shards, Path) else list(shards)
        read = [read_shard(path) for path in paths]
        classes = read[0][1]
        shard = cls(paths[0].stem, paths[0], [record for records, _ in read for record in records], classes)
        for path, (_, found) in zip(paths, read, strict=True):
            shard.check_classes(found, path)
        if weak_labels is None:
            return shard
        sources = [weak_labels] if isinstance(weak_labels, Path) else list(weak_labels)
        weak, found = read_weak_labels(sources)
        shard.check_classes(found, sources[0])
        missing = [image_id for image_id in shard.image_ids if image_id not in weak]
        if missing and not may_miss:
            raise ValueError(f"{sources[0]}: no weak labels of image {missing[0]!r} and {len(missing) - 1} more")
        return replace(shard, weak_labels=weak)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> ShardImage:
        record = self.records[index]
        return ShardImage(record, self.weak_labels.get(record.image_id))

    def __iter__(self) -> Iterator[ShardImage]:
        return (self[index] for index in range(len(self)))

    def images(self, title: str) -> Iterator[ShardImage]:
        """Go through the images with a progress bar."""
        indices = tqdm(range(len(self)), desc=f"{title} {self.name}", unit="image", mininterval=5)
        return (self[index] for index in indices)

    def check_classes(self, found: ClassTable, source: Path) -> None:
        """Compare a class table that ``source`` holds with that of the shard; a difference is a ``ValueError``."""
        if found != self.classes:
            raise ValueError(f"{source}: has another class table than {self.path}; remake it")

    @property
    def image_ids(self) -> list[str]:
        """Ids of the images, in their order."""
        return [record.image_id for record in self.records]

    def take(self, image_ids: Iterable[str]) -> Shard:
        """The shard with those of its images alone that are among ``image_ids``."""
        chosen = set(image_ids)
        return replace(self, records=[record for record in self.records if record.image_id in chosen])

    def check_meanings(self, found: ClassTable, source: Path) -> None:
        """Compare a class table of another origin, whose colours may differ; a difference is a ``ValueError``."""
        own = self.classes
        if (found.names, found.category_ids, found.isthing) != (own.names, own.category_ids, own.isthing):
            raise ValueError(
                f"{source}: its categories differ from dataset.classes; names, ids, order and isthing must agree"
            )

    def check_names(self, found: Sequence[str] | None, source: Path) -> list[str]:
        """Compare the names of a file's train ids with the class table; a difference is a ``ValueError``.

        Returns
        -------
        list of str
            A warning if the file has no names.
        """
        if found is None:
            return [
                f"{source}: holds no class names, so its train ids count in the order of dataset.classes; store the "
                "names in attribute 'classes' of the file to have the order checked (docs/stages.md)"
            ]
        for train_id, (theirs, ours) in enumerate(zip_longest(found, self.classes.names)):
            if theirs != ours:
                raise ValueError(
                    f"{source}: train id {train_id} is {theirs or 'no class'} in it and {ours or 'no class'} in "
                    "dataset.classes; names and order must agree"
                )
        return []

    def check_images(self, found: Iterable[str], source: Path) -> None:
        """Raise a ``ValueError`` if an image of the shard is not among those found in ``source``."""
        known = set(found)
        missing = [image_id for image_id in self.image_ids if image_id not in known]
        if missing:
            raise ValueError(f"{source}: image {missing[0]!r} and {len(missing) - 1} more of the dataset are not in it")


def link_if_stopped(record: Path | None, previous: Sequence[Path], outputs: Sequence[Path]) -> bool:
    """Let the outputs of a round after the last be those of the round before; whether it is such a round.

    Parameters
    ----------
    record : Path or None
        ``record.json`` of the round's model; it says whether the model itself is linked.
    previous, outputs : sequence of Path
        Files or folders of the round before, and of this one.
    """
    if record is None or not read_json(record)["linked"]:
        return False
    for source, target in zip(previous, outputs, strict=True):
        link_atomically(source, target)
    return True
