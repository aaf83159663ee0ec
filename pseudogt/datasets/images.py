"""A folder of images and nothing else: a split is a folder below ``data_root``, an image id a file name without suffix.

Of a folder without images of its own, those of its subfolders are taken. Boxes and tags come from section
``annotations``; there is no ground truth to score against.
"""

from __future__ import annotations

from pathlib import Path

from pseudogt.datasets.source import ImageFolders, ListedImage, Listing, SourceFiles
from pseudogt.files.listing import list_tree
from pseudogt.parsing.contents import describe_missing


def find_splits(root: Path) -> list[str]:
    """No names: any folder may hold images, and none is known by its name."""
    return []


def list_split(root: Path, split: str) -> Listing:
    """Images in ``<root>/<split>/``, sorted; other files are passed over."""
    folder = root / split
    if not folder.is_dir():
        raise ValueError(
            f"{folder}: {describe_missing(folder, 'folder')}; dataset.train_split must name the folder of the images "
            "in data_root, and dataset.val_split that of others, or be null"
        )
    found, passed_over = list_tree(folder)
    start = len(str(root)) + 1
    images = [
        ListedImage(split, place[start:], name, f"{place}/{file}")
        for place, files in found.items()
        for name, file in files.items()
    ]
    return Listing(images, passed_over)


def locate(root: Path, image: ListedImage, folders: ImageFolders) -> SourceFiles:
    """Find the image; it has no label files."""
    return SourceFiles(folders.find(root, image), semantic=None, instances=None)
