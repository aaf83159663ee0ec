"""The official COCO layout: ``<split>/`` with images and ``annotations/`` with panoptic labels.

A split is ``train2017`` or ``val2017``. Labels are ``annotations/panoptic_<split>/<id>.png`` (RGB, segment id =
R + 256 G + 65536 B) and ``annotations/panoptic_<split>.json`` with the class of each segment.
"""

from __future__ import annotations

from pathlib import Path

from pseudogt.datasets import images
from pseudogt.datasets.source import SourceFiles, path_if_there

list_split = images.list_split


def locate(root: Path, split: str, image_id: str) -> SourceFiles:
    """Files of one image."""
    labels = root / "annotations"
    return SourceFiles(
        image=images.locate(root, split, image_id).image,
        semantic=path_if_there(labels / f"panoptic_{split}" / f"{image_id}.png"),
        instances=None,
        segments=path_if_there(labels / f"panoptic_{split}.json"),
    )
