"""The official Cityscapes layout: ``leftImg8bit/<split>/<city>/`` and ``gtFine/<split>/<city>/``.

An image id is ``<city>_<sequence>_<frame>``. Images are ``<id>_leftImg8bit.png`` or ``.jpg``, labels
``<id>_gtFine_labelIds.png`` (8 bit) and ``<id>_gtFine_instanceIds.png`` (16 bit).
"""

from __future__ import annotations

from pathlib import Path

from pseudogt.datasets.source import SourceFiles, find_image, path_if_there

IMAGE_FOLDER = "leftImg8bit"
LABEL_FOLDER = "gtFine"
IMAGE_ENDING = "_leftImg8bit"


def list_split(root: Path, split: str) -> list[str]:
    """Ids of the images below ``leftImg8bit/<split>/``, sorted."""
    folder = root / IMAGE_FOLDER / split
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; data_root must hold {IMAGE_FOLDER}/ and {LABEL_FOLDER}/")
    stems = {path.stem for path in folder.glob(f"*/*{IMAGE_ENDING}.*")}
    return sorted(stem.removesuffix(IMAGE_ENDING) for stem in stems)


def locate(root: Path, split: str, image_id: str) -> SourceFiles:
    """Files of one image; its city is the id up to the first underscore."""
    city = image_id.partition("_")[0]
    labels = root / LABEL_FOLDER / split / city
    return SourceFiles(
        image=find_image(root / IMAGE_FOLDER / split / city, f"{image_id}{IMAGE_ENDING}"),
        semantic=path_if_there(labels / f"{image_id}_{LABEL_FOLDER}_labelIds.png"),
        instances=path_if_there(labels / f"{image_id}_{LABEL_FOLDER}_instanceIds.png"),
    )
