"""List the images of a folder and their names, for all layouts. Opens no file.

Parsing the workflow needs it, so it imports nothing heavy.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from pseudogt.files.io import TIMESTAMP

IMAGE_SUFFIXES = (
    *(".bmp", ".dib", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".mpo"),
    *(".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
)
"""Suffixes of the images that are read, in lower case."""

FOLDER_SEPARATOR = "__"
"""Between the folders and the name in the id of an image whose name alone is not unique."""

PLACEHOLDER = ".icloud"
"""Suffix of the hidden file that macOS keeps where it has not fetched a photo from iCloud."""

IGNORED_FILES = frozenset({"thumbs.db", "desktop.ini"})
"""Files that file managers leave behind, besides hidden ones."""

DOCUMENTS = frozenset({".json", ".xml", ".csv", ".txt", ".yaml", ".yml"})
"""Suffixes of annotations, and of what tools write beside them."""

IGNORED_FOLDERS = frozenset({"__macosx", "@eadir"})
"""Folders that archives of macOS and network drives leave behind; the second holds thumbnails of the photos."""


@dataclass
class FolderContent:
    """The content of a folder.

    Attributes
    ----------
    images : dict
        Name without ending and suffix -> name of the file, sorted.
    passed_over : Counter
        Number of other files by suffix.
    examples : dict
        Name of one of them by suffix.
    subfolders : list of str
        Names, sorted.
    """

    images: dict[str, str] = field(default_factory=dict)
    passed_over: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    subfolders: list[str] = field(default_factory=list)


def scan_folder(folder: Path | str, ending: str = "") -> FolderContent:
    """List a folder once. Suffixes count in any case; hidden files, ``._`` copies of macOS among them, do not.

    Parameters
    ----------
    folder : path
    ending : str
        What the names of images end in before the suffix, left out of the names; others are passed over.

    Raises
    ------
    ValueError
        If there is no such folder, it can't be read, two images in it would have one name, or a name is not UTF-8.
    """
    content = FolderContent()
    try:
        with os.scandir(folder) as entries:
            is_folder = {entry.name: _is_folder(entry) for entry in entries}
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ValueError(f"{folder}: no such folder") from error
    except OSError as error:
        raise ValueError(f"{folder}: can't be read ({error.strerror})") from error
    for file in sorted(is_folder):
        if file[0] == ".":
            if file.endswith(PLACEHOLDER):
                content.passed_over[PLACEHOLDER] += 1
                content.examples.setdefault(PLACEHOLDER, file)
            continue
        if is_folder[file]:
            content.subfolders += [file] if file.lower() not in IGNORED_FOLDERS else []
            continue
        stem, dot, kind = file.rpartition(".")
        suffix = dot + kind
        if not dot or suffix.lower() not in IMAGE_SUFFIXES or not stem.endswith(ending):
            if file.lower() not in IGNORED_FILES:
                content.passed_over[suffix if dot else ""] += 1
                content.examples.setdefault(suffix if dot else "", file)
            continue
        # Python keeps bytes that are not UTF-8 as surrogates, which neither HDF5 nor OpenCV can store.
        if any("\ud800" <= letter <= "\udfff" for letter in file):
            raise ValueError(
                f"{folder}: the name of {file!a} is not UTF-8; rename it (convmv -f ENCODING -t utf8), or unpack "
                "its archive again with the encoding of its names (unzip -O ENCODING)"
            )
        name = stem.removesuffix(ending)
        if name in content.images:
            raise ValueError(
                f"{folder}: {content.images[name]} and {file} are two files for one image id; remove or rename one"
            )
        content.images[name] = file
    # By name, as a suffix may sort otherwise: `a b.png` is before `a.png`.
    content.images = {name: content.images[name] for name in sorted(content.images)}
    return content


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or a link to one; False for a link to itself."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def list_tree(folder: Path | str) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Images of a folder or, if none lies in it directly, of its subfolders, and what was passed over.

    Returns
    -------
    images : dict
        Folder -> name without suffix -> name of the file.
    notes : list of str

    Raises
    ------
    ValueError
        As :func:`scan_folder`.
    """
    images: dict[str, dict[str, str]] = {}
    notes: list[str] = []
    pending = [str(folder)]
    seen: set[str] = set()
    while pending:
        place = pending.pop()
        if (real := os.path.realpath(place)) in seen:
            notes.append(f"{place}: is a link to {real}, which is listed already, and is passed over")
            continue
        seen.add(real)
        content = scan_folder(place)
        if place != str(folder) and holds_results(place):
            notes.append(f"{place}: holds results of a run, not photos, and is passed over")
            continue
        notes += describe_passed_over(place, content)
        if not content.images:
            pending += [f"{place}/{name}" for name in reversed(content.subfolders)]
            continue
        images[place] = content.images
        others = [name for name in content.subfolders if not holds_results(f"{place}/{name}")]
        hidden = [name for name in others if holds_images(f"{place}/{name}")]
        if hidden:
            notes.append(
                f"{place}: images in its subfolders {', '.join(hidden[:5])}{' ...' if len(hidden) > 5 else ''} are "
                "passed over, as there are images beside them; name the subfolders in the split, joined by +, or run "
                "predict on each"
            )
    return images, notes


def holds_results(folder: Path | str) -> bool:
    """Whether a run made a folder: Snakemake dates those, and predictions have overlays beside their labels."""
    made = Path(folder, TIMESTAMP).is_file()
    return made or (Path(folder, "panoptic.json").is_file() and Path(folder, "overlays").is_dir())


def holds_images(folder: str) -> bool:
    """Whether there is an image in a folder or below it."""
    return any(
        name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")
        for _, _, files in os.walk(folder)
        for name in files
    )


def describe_passed_over(folder: Path | str, content: FolderContent) -> list[str]:
    """Say which files of a folder are not images of a kind that is read; nothing if there are none."""
    # Annotations often lie beside their images or above them; alone in a folder, they show that it is the wrong one.
    expected = DOCUMENTS if content.images or content.subfolders else ()
    found = {suffix: n for suffix, n in content.passed_over.most_common() if suffix.lower() not in expected}
    if not found:
        return []
    kinds = [f"{count} {suffix or 'without suffix'} ({content.examples[suffix]})" for suffix, count in found.items()]
    total = sum(found.values())
    return [f"{folder}: {total} files are passed over, as they are not read as images: {', '.join(kinds)}"]


def name_images(images: Iterable[tuple[str, str]]) -> list[str]:
    """Ids of images: their names, with as many folders before them as tell those of one name apart.

    Parameters
    ----------
    images : iterable of (folder, name)

    Raises
    ------
    ValueError
        If an image is there twice, or its id is the name of another.

    Examples
    --------
    >>> name_images([("cam1", "0001"), ("cam2", "0001"), ("cam2", "0002")])
    ['cam1__0001', 'cam2__0001', '0002']
    """
    pairs = list(images)
    ids = [name for _, name in pairs]
    if len(set(ids)) == len(ids):
        return ids
    by_name: dict[str, list[int]] = {}
    for position, (_, name) in enumerate(pairs):
        by_name.setdefault(name, []).append(position)
    for name, positions in by_name.items():
        if len(positions) > 1:
            folders = tell_apart([pairs[position][0] for position in positions], name)
            for position, folder in zip(positions, folders, strict=True):
                ids[position] = f"{folder}{FOLDER_SEPARATOR}{name}"
    if len(set(ids)) < len(ids):
        twice = next(image_id for image_id, count in Counter(ids).items() if count > 1)
        raise ValueError(f"two images would have the id {twice!r}; rename one of them")
    return ids


def tell_apart(folders: Sequence[str], name: str) -> list[str]:
    """Last parts of the paths of folders, as few as make them differ, joined by ``FOLDER_SEPARATOR``."""
    parts = [PurePath(folder).parts for folder in folders]
    for depth in range(1, max(map(len, parts)) + 1):
        short = [FOLDER_SEPARATOR.join(p[-depth:]) for p in parts]
        if len(set(short)) == len(short):
            return short
    folder = Counter(folders).most_common(1)[0][0]
    where = f" in {folder}" if folder else ""
    raise ValueError(f"image {name!r} is listed twice{where} (in one split or in both); remove one")


def find_images(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Map the id of each image in a folder to its path, and report ignored files.

    Raises
    ------
    ValueError
        If there is no such folder, or no image in it.
    """
    found, notes = list_tree(folder)
    if not found:
        kinds = ", ".join(IMAGE_SUFFIXES)
        raise ValueError("\n".join([f"{folder}: there is no image ({kinds}) in this folder or below it", *notes]))
    ids = name_images((place, name) for place, files in found.items() for name in files)
    paths = (Path(place, file) for place, files in found.items() for file in files.values())
    return dict(zip(ids, paths, strict=True)), notes
