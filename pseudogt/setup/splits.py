"""Choose training and validation folders by their names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from pseudogt.datasets import SPLIT_SEPARATOR
from pseudogt.files.flatness import is_label_map
from pseudogt.files.listing import list_tree, scan_folder
from pseudogt.parsing.contents import ARCHIVE_SUFFIXES
from pseudogt.parsing.problems import shorten_list

ROLES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Words in names of folders that tell what their images are for."""

MAP_WORDS = frozenset(("mask", "masks", "semantic", "instances", "segmentation", "panoptic", "overlays"))
"""Words in names of folders whose images are label maps."""

LABEL_WORDS = frozenset(("label", "labels", "annotation", "annotations", "annot", "ann", "gt", "groundtruth"))
LABEL_WORDS |= {"thumb", "thumbs", "thumbnail", "thumbnails", "depth", "disparity"}
"""Words in names of folders whose images are no photos if they are named like the images of another folder."""

SAMPLED = 3
"""Images of a folder of which the pixels are looked at."""


class Splits(NamedTuple):
    """Splits of a dataset of the layout ``images``.

    Attributes
    ----------
    train : str
    val : str or None
    others : sequence of str
        Folders with images that are in neither.
    maps : sequence of str
        Those of them that hold label maps.
    """

    train: str
    val: str | None
    others: Sequence[str] = ()
    maps: Sequence[str] = ()


def choose_splits(root: Path, folders: Iterable[str]) -> Splits:
    """Choose splits among folders of images.

    Folders named like train are trained on, those named like val, or else test, are scored; without names, all are
    trained on. Folders of label maps, as :func:`list_photo_folders` knows them, are in neither.

    Parameters
    ----------
    root : Path
    folders : iterable of str
        Those with images, relative to ``root``.

    Raises
    ------
    ValueError
        If no folder is left.
    """
    folders = list(folders)
    photos = list_photo_folders(root, folders)
    by_role: dict[str, list[str]] = {}
    for folder in photos:
        by_role.setdefault(find_role(folder), []).append(folder)
    train = by_role.get("train") or by_role.get("") or photos
    val = [folder for folder in by_role.get("val") or by_role.get("test") or [] if folder not in train]
    others = [folder for folder in folders if folder not in (*train, *val)]
    maps = [folder for folder in others if folder not in photos]
    return Splits(join_folders(root, train), join_folders(root, val) if val else None, others, maps)


def list_photo_folders(root: Path, folders: Iterable[str]) -> list[str]:
    """Folders of images but those of label maps.

    These are known by words in their names, by such words and images of the same names elsewhere, and by flat colours
    while other folders hold photos.

    Raises
    ------
    ValueError
        If no folder is left.
    """
    folders = list(folders)
    # What all paths have in common tells no folder from another.
    above = os.path.commonpath([Path("x", folder).parent for folder in folders]) if folders else "x"
    words = {folder: set(_list_words(os.path.relpath(Path("x", folder), above))) for folder in folders}
    unmarked = [folder for folder, found in words.items() if not found & MAP_WORDS]
    labelled = {folder for folder in unmarked if words[folder] & LABEL_WORDS}
    # Folders may be large, so they are listed only where names are to be compared.
    others = [folder for folder in unmarked if labelled and folder not in labelled]
    named = {name for folder in others for name in scan_folder(root / folder).images}
    likely = [f for f in unmarked if f not in labelled or named.isdisjoint(scan_folder(root / f).images)]
    if not likely:
        raise ValueError(f"{root}: {_describe_no_photos(root, folders)}")
    return [folder for folder in likely if len(likely) == 1 or not _is_flat(root / folder)] or likely


def _describe_no_photos(root: Path, folders: Sequence[str]) -> str:
    """Say why there is no folder of photos, and what to do."""
    if folders:
        return (
            f"the names of all folders with images suggest label maps ({', '.join(shorten_list(folders))}); rename "
            "the folder that holds your photos, for example to photos"
        )
    packed = next((path for path in sorted(root.rglob("*")) if path.suffix.lower() in ARCHIVE_SUFFIXES), None)
    remedy = f"unpack {packed}" if packed else "name the folder that holds your images"
    return f"there is no image in this folder or below it; {remedy}"


def _is_flat(folder: Path) -> bool:
    """Whether the images of a folder are label maps by their pixels, as far as some of them show."""
    files = list(scan_folder(folder).images.values())
    return all(is_label_map(folder / file) for file in files[:: -(-len(files) // SAMPLED)])


def find_role(folder: str) -> str:
    """Return train, val or test by the name of a folder or of one above it; otherwise nothing.

    Examples
    --------
    >>> find_role("images/train2017"), find_role("valid/images"), find_role("images/cam1")
    ('train', 'val', '')
    """
    return next((ROLES[word] for word in _list_words(folder) if word in ROLES), "")


def _list_words(folder: str) -> list[str]:
    """Words in lower case, those of the innermost folder first: `PedMasks` holds ped, masks and pedmasks."""
    return [
        word.lower()
        for part in reversed(Path(folder).parts)
        for word in [*re.findall(r"[A-Z]?[a-z]+|[A-Z]+", part), *re.findall(r"[a-z]+", part.lower())]
    ]


def join_folders(root: Path, folders: Sequence[str]) -> str:
    """Name of the split that holds some folders: that of one above them if it holds no others, or all joined."""
    wanted = {str(root / folder) for folder in folders}
    above = [] if len(folders) == 1 else [path for path in Path(folders[0]).parents if str(path) != "."]
    for folder in above:
        if set(list_tree(root / folder)[0]) == wanted:
            return folder.as_posix()
    return SPLIT_SEPARATOR.join(folders)
