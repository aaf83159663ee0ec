"""A folder of images and nothing else: a split is a folder below ``data_root``, an image id a file name without suffix.

Boxes and tags come from section ``annotations``; there is no ground truth to score against.
"""

from __future__ import annotations

from pathlib import Path

from pseudogt.datasets.source import FILE_SUFFIXES, SourceFiles, find_image


def list_split(root: Path, split: str) -> list[str]:
    """Ids of the images in ``<root>/<split>/``, sorted; other files are passed over."""
    folder = root / split
    if not folder.is_dir():
        raise ValueError(
            f"{folder}: no such folder; dataset.train_split must name the folder of the images in data_root"
        )
    return sorted(path.stem for path in folder.iterdir() if is_image(path))


def locate(root: Path, split: str, image_id: str) -> SourceFiles:
    """Find the image; it has no label files."""
    return SourceFiles(find_image(root / split, image_id), semantic=None, instances=None)


def is_image(path: Path) -> bool:
    """Whether a file's name is that of an image; hidden files are not."""
    return path.suffix in FILE_SUFFIXES and not path.name.startswith(".")
