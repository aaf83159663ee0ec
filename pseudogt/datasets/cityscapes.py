"""The official Cityscapes layout: ``leftImg8bit/<split>/<city>/``, ``gtFine/<split>/<city>/`` and ``gtCoarse``.

An image id is ``<city>_<sequence>_<frame>``. Images are ``<id>_leftImg8bit.png`` or ``.jpg``, labels
``<id>_gtFine_labelIds.png`` (8 bit) and ``<id>_gtFine_instanceIds.png`` (16 bit). The split ``train_extra``
has coarse labels only, ``<id>_gtCoarse_...``.
"""

from __future__ import annotations

from pathlib import Path

from pseudogt.datasets.source import SourceFiles, find_image, path_if_there

IMAGE_FOLDER = "leftImg8bit"
LABEL_FOLDER = "gtFine"
COARSE_FOLDER = "gtCoarse"
COARSE_SPLIT = "train_extra"
IMAGE_ENDING = "_leftImg8bit"


def list_split(root: Path, split: str) -> list[str]:
    """Ids of the images below ``leftImg8bit/<split>/``, sorted."""
    folder = root / IMAGE_FOLDER / split
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; data_root must hold {IMAGE_FOLDER}/ and {label_folder(split)}/")
    stems = {path.stem for path in folder.glob(f"*/*{IMAGE_ENDING}.*")}
    return sorted(stem.removesuffix(IMAGE_ENDING) for stem in stems)


def locate(root: Path, split: str, image_id: str) -> SourceFiles:
    """Files of one image; its city is the id up to the first underscore."""
    city = image_id.partition("_")[0]
    kind = label_folder(split)
    labels = root / kind / split / city
    return SourceFiles(
        image=find_image(root / IMAGE_FOLDER / split / city, f"{image_id}{IMAGE_ENDING}"),
        semantic=path_if_there(labels / f"{image_id}_{kind}_labelIds.png"),
        instances=path_if_there(labels / f"{image_id}_{kind}_instanceIds.png"),
    )


def label_folder(split: str) -> str:
    """Folder of a split's labels."""
    return COARSE_FOLDER if split == COARSE_SPLIT else LABEL_FOLDER
