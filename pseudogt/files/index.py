"""The index of a dataset: its images, their files and their shards."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from pseudogt.classes import ClassTable
from pseudogt.files.io import read_json, write_json


@dataclass(frozen=True)
class ImageRecord:
    """One image of a dataset.

    Attributes
    ----------
    image_id : str
    image : str
        Path, absolute or relative to the working folder.
    height, width : int
        Size of the upright image.
    checksum : str
    orientation : int
        EXIF orientation in which the file is stored; 1 is upright.
    """

    image_id: str
    image: str
    height: int
    width: int
    checksum: str
    orientation: int = 1


def write_shard(path: Path | str, records: Iterable[ImageRecord], classes: ClassTable) -> None:
    """Write the records of one shard."""
    document = {"categories": classes.to_categories(), "images": [asdict(r) for r in records]}
    write_json(path, document, checksum=True)


def read_shard(path: Path | str) -> tuple[list[ImageRecord], ClassTable]:
    """Records and class table of one shard."""
    document = read_json(path)
    return [ImageRecord(**r) for r in document["images"]], ClassTable.from_categories(document["categories"])
