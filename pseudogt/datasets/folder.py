"""The folder layout: ``images/``, ``semantic/``, ``instances/`` and one text file per split.

``images/<id>`` has any image suffix, ``semantic/<id>.png`` 8 or 16 bit class values,
``instances/<id>.png`` 8 or 16 bit instance values; ``<split>.txt`` lists names, one on each line. All three may
have the same subfolders, which the lists then name: ``cam1/0001``.
"""

from __future__ import annotations

from pathlib import Path

from pseudogt.datasets.source import ImageFolders, ListedImage, Listing, SourceFiles, find_labels
from pseudogt.parsing.image_lists import read_image_list

IMAGE_FOLDER = "images"


def find_splits(root: Path) -> list[str]:
    """Names of the lists beside the folders of images and labels."""
    if not (root / IMAGE_FOLDER).is_dir() or not (root / "semantic").is_dir():
        return []
    return sorted(path.stem for path in root.glob("*.txt") if not path.name.startswith("."))


def list_split(root: Path, split: str) -> Listing:
    """Images in ``<root>/<split>.txt``, blank lines left out."""
    listed = read_image_list(root / f"{split}.txt")
    return Listing([ListedImage(split, str(Path(IMAGE_FOLDER, folder)), name) for folder, name in listed])


def locate(root: Path, image: ListedImage, folders: ImageFolders) -> SourceFiles:
    """Files of one image; all splits share the three folders."""
    inside = Path(image.folder).relative_to(IMAGE_FOLDER)
    wanted = {kind: root / kind / inside / f"{image.name}.png" for kind in ("semantic", "instances")}
    return find_labels(folders.find(root, image), wanted)
