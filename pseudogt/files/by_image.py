"""Find which of several files, one for each shard, holds an image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar


class HoldsImages(Protocol):
    """A file or folder with the labels, scores or proposals of the images of one shard.

    Attributes
    ----------
    path : Path
    """

    path: Path

    @property
    def image_ids(self) -> Sequence[str]:
        """Images in it."""


File = TypeVar("File", bound=HoldsImages)


def map_images(files: Iterable[File]) -> dict[str, File]:
    """Map each image id to the file that holds the image; an id in two files is an error."""
    by_image: dict[str, File] = {}
    for file in files:
        for image_id in file.image_ids:
            if image_id in by_image:
                raise ValueError(f"image {image_id!r} is in {by_image[image_id].path} and in {file.path}")
            by_image[image_id] = file
    return by_image
