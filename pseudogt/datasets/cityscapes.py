"""The official Cityscapes layout: ``leftImg8bit/<split>/<city>/``, ``gtFine/<split>/<city>/`` and ``gtCoarse``.

Images are ``<id>_leftImg8bit.png`` or ``.jpg``, labels ``<id>_gtFine_labelIds.png`` (8 bit) and
``<id>_gtFine_instanceIds.png`` (16 bit). An id is ``<city>_<sequence>_<frame>`` in the official set; any name will do,
and the city is the folder it lies in. The split ``train_extra`` has coarse labels only, ``<id>_gtCoarse_...``.
"""

from __future__ import annotations

from pathlib import Path

from pseudogt.datasets.source import ImageFolders, ListedImage, Listing, SourceFiles, find_labels
from pseudogt.files.listing import describe_passed_over, scan_folder

IMAGE_FOLDER = "leftImg8bit"
LABEL_FOLDER = "gtFine"
COARSE_FOLDER = "gtCoarse"
COARSE_SPLIT = "train_extra"
IMAGE_ENDING = "_leftImg8bit"


def find_splits(root: Path) -> list[str]:
    """Names of the splits that have images and labels."""
    names = scan_folder(root / IMAGE_FOLDER).subfolders if (root / IMAGE_FOLDER).is_dir() else []
    return [name for name in names if (root / label_folder(name) / name).is_dir()]


def list_split(root: Path, split: str) -> Listing:
    """Images of all cities below ``leftImg8bit/<split>/``, sorted by name."""
    folder = root / IMAGE_FOLDER / split
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; data_root must hold {IMAGE_FOLDER}/ and {label_folder(split)}/")
    listing = Listing([])
    top = scan_folder(folder)
    listing.passed_over += describe_passed_over(folder, top)
    if top.images:
        listing.passed_over.append(f"{folder}: {len(top.images)} images beside the cities are passed over")
    for city in top.subfolders:
        content = scan_folder(folder / city, IMAGE_ENDING)
        listing.passed_over += describe_passed_over(folder / city, content)
        place = f"{IMAGE_FOLDER}/{split}/{city}"
        listing.images += [
            ListedImage(split, place, name, f"{root}/{place}/{file}") for name, file in content.images.items()
        ]
    listing.images.sort(key=lambda image: image.name)
    return listing


def locate(root: Path, image: ListedImage, folders: ImageFolders) -> SourceFiles:
    """Files of one image; its labels lie in a folder of the same city."""
    kind = label_folder(image.split)
    labels = root / kind / image.split / Path(image.folder).name
    wanted = {
        "semantic": labels / f"{image.name}_{kind}_labelIds.png",
        "instances": labels / f"{image.name}_{kind}_instanceIds.png",
    }
    return find_labels(folders.find(root, image), wanted)


def label_folder(split: str) -> str:
    """Folder of a split's labels."""
    return COARSE_FOLDER if split == COARSE_SPLIT else LABEL_FOLDER
