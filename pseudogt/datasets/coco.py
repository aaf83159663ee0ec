"""The official COCO layout: ``<split>/`` with images and ``annotations/`` with panoptic labels.

A split is ``train2017`` or ``val2017``. Labels are ``annotations/panoptic_<split>/<id>.png`` (RGB, segment id =
R + 256 G + 65536 B) and ``annotations/panoptic_<split>.json`` with the class of each segment.
"""

from __future__ import annotations

from pathlib import Path

from pseudogt.datasets import images
from pseudogt.datasets.source import ImageFolders, ListedImage, SourceFiles, find_labels

list_split = images.list_split


def find_splits(root: Path) -> list[str]:
    """Names of the splits that have images and panoptic labels."""
    documents = sorted((root / "annotations").glob("panoptic_*.json"))
    names = [path.stem.removeprefix("panoptic_") for path in documents]
    return [name for name in names if (root / name).is_dir()]


def locate(root: Path, image: ListedImage, folders: ImageFolders) -> SourceFiles:
    """Files of one image."""
    labels = root / "annotations"
    inside = Path(image.folder).relative_to(image.split)
    wanted = {
        "semantic": labels / f"panoptic_{image.split}" / inside / f"{image.name}.png",
        "segments": labels / f"panoptic_{image.split}.json",
    }
    return find_labels(folders.find(root, image), wanted)
