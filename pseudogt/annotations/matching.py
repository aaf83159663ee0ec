"""Match names in annotation files with images of the dataset.

Names come from other machines: they may have foreign folders, Windows separators, URLs, upload prefixes,
or umlauts in another normal form. They are compared, never opened.
"""

from __future__ import annotations

import base64
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from pseudogt.annotations.form import ImageAnnotations, Reading
from pseudogt.files.index import ImageRecord
from pseudogt.parsing.problems import shorten_names

UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-(?=.)")
"""Label Studio puts the start of a UUID before the names of uploaded files."""

SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{2,3}$")


@dataclass
class MatchedAnnotations:
    """Annotations by image id, and what is to be said about them."""

    annotations: dict[str, ImageAnnotations]
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def find_annotations(reading: Reading, records: Sequence[ImageRecord]) -> MatchedAnnotations:
    """Find the entry of each image in a source."""
    matches = match_names((image.file_name for image in reading.images), {r.image_id: r.image for r in records})
    result = MatchedAnnotations({i: reading.images[positions[0]] for i, positions in matches.by_image.items()})
    if matches.unmatched:
        text = (
            f"{len(matches.unmatched)} annotated images are not among those to train on: "
            f"{shorten_names(matches.unmatched)}"
            f"{explain_case_difference(matches.unmatched, [r.image for r in records])}"
        )
        (result.warnings if matches.by_image else result.problems).append(text)
    if matches.ambiguous:
        result.problems.append(
            f"{len(matches.ambiguous)} annotated images may be any of several of their name: "
            f"{shorten_names(matches.ambiguous)}; write the folder of the image before its name"
        )
    for image_id, positions in matches.by_image.items():
        if len(positions) > 1:
            names = shorten_names([reading.images[p].file_name for p in positions])
            result.problems.append(
                f"image {image_id!r} is annotated {len(positions)} times ({names}); remove all but one"
            )
    return result


@dataclass(frozen=True)
class Matches:
    """Positions of the named files by image id, names that mean no image, and those that may mean several."""

    by_image: Mapping[str, list[int]]
    unmatched: list[str]
    ambiguous: list[str]


def match_names(names: Iterable[str], images: Mapping[str, str]) -> Matches:
    """Find the image of each name.

    Parameters
    ----------
    names : iterable of str
        As an annotation file has them.
    images : mapping
        Image id -> path of the file. An id is the file's name without suffix, with folders before it where images of
        several folders have one name.

    Returns
    -------
    Matches
        An image has several positions only if none of them names its folder better than the others. Where some names
        hold the folder of their image, those that hold only others are unmatched.
    """
    names, by_name = list(names), index_names(images)
    by_upload = {make_upload_name(name): image_ids for name, image_ids in by_name.items()}
    found: dict[str, list[tuple[int, int]]] = {}
    unmatched, ambiguous = [], []
    for position, name in enumerate(names):
        path = find_path(name)
        stem = SUFFIX.sub("", path.name)
        bare = UPLOAD_PREFIX.sub("", stem)
        candidates = by_name.get(path.name) or by_name.get(stem) or by_name.get(bare) or by_upload.get(bare)
        # Some tools write the part of a URL that is the name.
        candidates = candidates or by_name.get(normalise(unquote(stem)))
        if candidates is None:
            unmatched.append(name)
            continue
        if len(candidates) == 1:
            common = count_common_folders(path, images[candidates[0]])
            found.setdefault(candidates[0], []).append((common, position))
            continue
        shared = [count_common_folders(path, images[image_id]) for image_id in candidates]
        most = max(shared)
        if shared.count(most) > 1:
            ambiguous.append(name)
        else:
            found.setdefault(candidates[shared.index(most)], []).append((most, position))
    best = {image_id: max(places)[0] for image_id, places in found.items()}
    # Where names hold the folders of images, one with another folder means another image of that name.
    elsewhere = {i for i, common in best.items() if not common} if any(best.values()) else set()
    of_others = {
        position
        for image_id in elsewhere
        for _, position in found[image_id]
        if len(find_path(names[position]).parts) > 1
    }
    unmatched += [names[position] for position in sorted(of_others)]
    kept = {
        image_id: [position for common, position in places if common == best[image_id] and position not in of_others]
        for image_id, places in found.items()
    }
    return Matches({image_id: positions for image_id, positions in kept.items() if positions}, unmatched, ambiguous)


def index_names(images: Mapping[str, str]) -> dict[str, list[str]]:
    """Ids of the images that a name without suffix may mean: the one of that id, or else those of that file name."""
    by_name = {normalise(image_id): [image_id] for image_id in images}
    by_stem: dict[str, list[str]] = {}
    for image_id, path in images.items():
        if f"/{image_id}." in path:  # the usual case: the id is the name
            continue
        by_stem.setdefault(normalise(os.path.splitext(os.path.basename(path))[0]), []).append(image_id)
    return by_stem | by_name


def find_path(name: str) -> PurePosixPath:
    """Return the path in a name: of a URL its path, its ``d`` or its ``fileuri``; of a Windows path one with slashes.

    Examples
    --------
    >>> str(find_path("/data/local-files/?d=set/cam1/a%20b.jpg"))
    'set/cam1/a b.jpg'
    """
    name = name.replace("\\", "/")
    if "://" in name or name.startswith(("/data/", "/tasks/")):
        try:
            parts = urlsplit(name)
        except ValueError:
            return PurePosixPath(normalise(name))
        query = parse_qs(parts.query)
        local = query.get("d") or [decode_uri(text) for text in query.get("fileuri", [])]
        name = (local[0] if local else unquote(parts.path)).replace("\\", "/")
    return PurePosixPath(normalise(name))


def decode_uri(text: str) -> str:
    """Address in base 64, as Label Studio writes one of a cloud storage; any other text is returned unchanged.

    Examples
    --------
    >>> decode_uri("czM6Ly9idWNrZXQvYS5qcGc=")
    's3://bucket/a.jpg'
    """
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError:
        return text


def normalise(name: str) -> str:
    """Umlauts as one character each: file systems and zip programs of Apple write two."""
    return unicodedata.normalize("NFC", name)


def make_upload_name(stem: str) -> str:
    """Return what a file is called after an upload to Label Studio: blanks become underscores, marks are dropped.

    Examples
    --------
    >>> make_upload_name("my photo (1)")
    'my_photo_1'
    """
    return re.sub(r"[^-\w.]", "", stem.strip().replace(" ", "_"))


def count_common_folders(path: PurePosixPath, image: str) -> int:
    """How many folders above the file have one name in both paths, counted from the file."""
    ours, theirs = PurePosixPath(normalise(image)).parent.parts[::-1], path.parent.parts[::-1]
    return next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))


def explain_case_difference(unmatched: Iterable[str], images: Iterable[str]) -> str:
    """Sentence on the first unmatched name that differs from an image's only in case; empty if there is none."""
    known = {normalise(Path(image).stem).casefold(): image for image in images}
    for name in unmatched:
        image = known.get(find_path(name).stem.casefold())
        if image is not None:
            return f"; {name!r} differs from {Path(image).name!r} only in case: give both the same name"
    return ""


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
    by_stem = {Path(path).stem: image_id for image_id, path in files.items()}
    image_ids = by_stem | {image_id: image_id for image_id in files}
    matches = match_names(names, {key: files[image_id] for key, image_id in image_ids.items()})
    unclear = [*matches.unmatched, *matches.ambiguous]
    if unclear:
        raise ValueError(
            f"{folder}: {unclear[0]!r} (and {len(unclear) - 1} more) is not an image of the dataset, or may be "
            "several; labels must have the names of their images, or their ids"
        )
    found: dict[str, str] = {}
    for key, positions in matches.by_image.items():
        for name in (names[position] for position in positions):
            if image_ids[key] in found:
                raise ValueError(f"{folder}: {found[image_ids[key]]!r} and {name!r} label one image; remove one")
            found[image_ids[key]] = name
    return found
