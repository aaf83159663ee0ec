"""Which image of the dataset a name in an annotation file means.

Names come from other machines: with folders of theirs, Windows separators, URLs, upload prefixes,
umlauts in another normal form. They are compared, never opened.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from pseudogt.files.listing import FOLDER_SEPARATOR

UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-(?=.)")
"""Label Studio puts the start of a UUID before the names of uploaded files."""

LABEL_SUFFIXES = (".txt", ".xml", ".XML", ".TXT")
MIRRORED = 2
"""Folders above an image that a folder of labels may mirror, besides those in its id."""

SUFFIX = re.compile(r"\.([A-Za-z]{3,4}|jp2)$", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Matches:
    """What names mean.

    Attributes
    ----------
    by_image : mapping
        Positions of the names by image id.
    strangers : list of str
        Names that mean no image.
    ambiguous : mapping
        Ids of the images that a name may mean, by name.
    """

    by_image: Mapping[str, list[int]]
    strangers: list[str]
    ambiguous: Mapping[str, list[str]]


def match_names(names: Iterable[str], images: Mapping[str, str]) -> Matches:
    """Find the image of each name.

    Parameters
    ----------
    names : iterable of str
        As an annotation file has them.
    images : mapping
        Image id -> path of the file. An id is the file's name without suffix, or has folders before it, see
        :func:`pseudogt.files.listing.name_images`.

    Returns
    -------
    Matches
        An image has several positions only if none of them names its folder better than the others.
    """
    by_name = group_by_name(images)
    by_upload: dict[str, list[str]] = {}
    for name, owners in by_name.items():
        by_upload.setdefault(make_upload_name(name), []).extend(owners)
    found: dict[str, list[tuple[int, int]]] = {}
    strangers, ambiguous = [], {}
    for position, name in enumerate(names):
        path = find_path(name)
        stem = SUFFIX.sub("", path.name)
        bare = UPLOAD_PREFIX.sub("", stem)
        owners = by_name.get(path.name) or by_name.get(stem) or by_name.get(bare) or by_upload.get(bare) or []
        shared = {image_id: count_common_folders(path, images[image_id]) for image_id in owners}
        nearest = [image_id for image_id, common in shared.items() if common == max(shared.values())]
        if not nearest:
            strangers.append(name)
        elif len(nearest) > 1:
            ambiguous[name] = nearest
        else:
            found.setdefault(nearest[0], []).append((shared[nearest[0]], position))
    by_image = {
        image_id: [position for common, position in places if common == max(places)[0]]
        for image_id, places in found.items()
    }
    return Matches(by_image, strangers, ambiguous)


def group_by_name(images: Mapping[str, str]) -> dict[str, list[str]]:
    """Ids of the images that have a name, as their id or as that of their file without suffix."""
    owners: dict[str, list[str]] = {}
    for image_id, path in images.items():
        for name in {normalise(image_id), normalise(Path(path).stem)}:
            owners.setdefault(name, []).append(image_id)
    return owners


def describe_ambiguous(ambiguous: Mapping[str, list[str]]) -> list[str]:
    """Say that names mean several images, at most one problem."""
    if not ambiguous:
        return []
    name, owners = next(iter(ambiguous.items()))
    return [
        f"{len(ambiguous)} names in the annotations fit several images alike: {name!r} may be "
        f"{', '.join(map(repr, owners))}; put the folders before the names, as in 'folder/{PurePosixPath(name).name}'"
    ]


def choose_label_name(folder: Path, image_id: str, image: str) -> str:
    """Name of an image's label file in a folder, without suffix: its own, or with as many folders as the id has.

    Below a folder of labels, folders may mirror those of the images.
    """
    parts = Path(image).with_suffix("").parts
    qualified = [n for n in range(2, len(parts) + 1) if FOLDER_SEPARATOR.join(parts[-n:]) == image_id]
    shortest = qualified[0] if qualified else 2
    nested = ["/".join(parts[-n:]) for n in range(shortest, min(shortest + MIRRORED, len(parts)) + 1)]
    names = nested if qualified else [image_id, *nested]
    return next((n for n in names if any((folder / f"{n}{s}").is_file() for s in LABEL_SUFFIXES)), names[0])


def find_path(name: str) -> PurePosixPath:
    """Return the path in a name: of a URL the path or its ``d`` parameter, of a Windows path the same with slashes."""
    name = name.replace("\\", "/")
    if "://" in name or name.startswith("/data/"):
        try:
            parts = urlsplit(name)
        except ValueError:
            return PurePosixPath(normalise(name))
        local = parse_qs(parts.query).get("d")
        name = local[0] if local else unquote(parts.path)
    return PurePosixPath(normalise(name))


def normalise(name: str) -> str:
    """Umlauts as one character each: file systems and zip programs of Apple write two."""
    return unicodedata.normalize("NFC", name)


def make_upload_name(stem: str) -> str:
    """Return what a file is called after an upload to Label Studio: blanks become underscores, marks are dropped."""
    return re.sub(r"[^-\w.]", "", stem.strip().replace(" ", "_"))


def count_common_folders(path: PurePosixPath, image: str) -> int:
    """How many folders above the file have one name in both paths, counted from the file."""
    ours, theirs = PurePosixPath(normalise(image)).parent.parts[::-1], path.parent.parts[::-1]
    return next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))


def match_label_names(names: Sequence[str], files: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Image id -> name in a folder of labels, which is an image's id or that of its file.

    Parameters
    ----------
    names : sequence of str
        In the folder.
    files : mapping
        Image id -> path of the image.
    folder : Path
        For messages.

    Raises
    ------
    ValueError
        If a name means no image, or two mean the same.
    """
    matches = match_names(names, files)
    if matches.ambiguous:
        raise ValueError(f"{folder}: {describe_ambiguous(matches.ambiguous)[0]}, or name labels by the ids of images")
    if matches.strangers:
        raise ValueError(
            f"{folder}: {matches.strangers[0]!r} (and {len(matches.strangers) - 1} more) is no image of the dataset; "
            "labels must have the names of their images"
        )
    found: dict[str, str] = {}
    for image_id, positions in matches.by_image.items():
        for name in (names[position] for position in positions):
            if image_id in found:
                raise ValueError(f"{folder}: {found[image_id]!r} and {name!r} label one image; remove one")
            found[image_id] = name
    return found
