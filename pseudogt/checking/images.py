"""Check whether one image and its label files are there, can be read and fit together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pseudogt.classes import IGNORE_LABEL, INSTANCE_DIVISOR, ClassTable, panoptic_to_semantic
from pseudogt.config.dataset import DatasetSettings
from pseudogt.config.weak_labels import WeakLabelsSettings
from pseudogt.datasets import DatasetImages
from pseudogt.datasets.ground_truth import choose_masks, read_panoptic
from pseudogt.datasets.source import SourceFiles
from pseudogt.files.headers import open_image, read_header
from pseudogt.files.images import read_image
from pseudogt.files.index import ImageRecord
from pseudogt.parsing.contents import describe_missing
from pseudogt.weak_labels.from_masks import derive_weak_labels
from pseudogt.weak_labels.records import ImageWeakLabels

LABEL_MODES = ("1", "L", "P", "I", "I;16", "I;16B")
"""Pillow's names for one channel of whole numbers."""

COLOUR_MODES = ("RGB", "RGBA", "P")
"""Modes of files whose colours are read; alpha must be full."""

IMAGE_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")
"""Images of which reading loses only transparency."""

REFUSED_MODES = {"F": "float", "I": "integer, of 32 bits or with a sign"}
"""Images that are not read, and the type of their pixels."""


@dataclass(frozen=True)
class ImageFindings:
    """What was found about one image.

    Attributes
    ----------
    split, image_id : str
    problems, warnings : tuple of str
    record : ImageRecord or None
        Path and size as the workflow sees them; None if the image can't be opened.
    file_bytes : int
    present : frozenset of int
        Train ids in the ground truth; empty unless pixels were decoded.
    instances : tuple of int
        Train id of each thing segment; empty unless pixels were decoded.
    derived : ImageWeakLabels or None
        Weak labels that a run derives from the ground truth.
    """

    split: str
    image_id: str
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    record: ImageRecord | None = None
    file_bytes: int = 0
    present: frozenset[int] = frozenset()
    instances: tuple[int, ...] = ()
    derived: ImageWeakLabels | None = None


def check_image(
    images: DatasetImages,
    settings: DatasetSettings,
    split: str,
    image_id: str,
    classes: ClassTable,
    *,
    decode: bool,
    derived: WeakLabelsSettings | None = None,
) -> ImageFindings:
    """Problems of one image and of its label files; with ``derived``, also the weak labels that a run derives."""
    try:
        files = images.locate(image_id)
    except ValueError as error:
        return ImageFindings(split, image_id, (str(error),))
    files = choose_masks(files, settings) if settings.has_ground_truth else SourceFiles(files.image, None, None)
    record, problems, warnings = read_headers(files, image_id)
    if settings.has_ground_truth:
        problems += find_missing(files, classes)
    file_bytes = files.image.stat().st_size if record is not None else 0
    found = {"record": record, "file_bytes": file_bytes, "warnings": tuple(warnings)}
    if problems or not decode:
        return ImageFindings(split, image_id, tuple(problems), **found)  # type: ignore[arg-type]
    weak = None
    try:
        read_image(files.image)
        segments, crowd_ids = np.zeros((0, 0), np.int32), list[int]()
        if settings.has_ground_truth:
            segments, crowd_ids = read_panoptic(files, settings, classes)
        ids = np.unique(segments)
        train_ids = panoptic_to_semantic(ids, classes)
        if derived is not None:
            weak = derive_weak_labels(image_id, segments, crowd_ids, classes, derived)
    except ValueError as error:
        return ImageFindings(split, image_id, (str(error),), **found)  # type: ignore[arg-type]
    single = np.isin(train_ids, classes.thing_ids) & (ids % INSTANCE_DIVISOR > 0)
    present = frozenset(train_ids.tolist()) - {IGNORE_LABEL}
    return ImageFindings(
        split, image_id, present=present, instances=tuple(train_ids[single].tolist()), derived=weak, **found  # type: ignore[arg-type]
    )  # fmt: skip


def find_missing(files: SourceFiles, classes: ClassTable) -> list[str]:
    """Label files that should be there."""
    missing = ["semantic"] if files.semantic is None else []
    if "segments" in files.wanted:
        missing += ["segments"] if files.segments is None else []
    elif files.instances is None and len(classes.thing_ids):
        missing.append("instances")
    places = {kind: f" ({path}: {describe_missing(path)})" for kind, path in files.wanted.items() if kind in missing}
    return [
        f"{files.image}: its {kind} file is missing{places.get(kind, '')}; add it or take the image off the list"
        for kind in missing
    ]


def read_headers(files: SourceFiles, image_id: str) -> tuple[ImageRecord | None, list[str], list[str]]:
    """Size of an image, and problems and warnings about it and its label files, from their first bytes."""
    problems: list[str] = []
    warnings: list[str] = []
    try:
        header = read_header(files.image)
    except ValueError as error:
        return None, [str(error)], warnings
    if header.orientation != 1:
        warnings.append(
            f"{files.image}: is stored turned (EXIF orientation {header.orientation}) and read upright; boxes and "
            "label files must be upright, too"
        )
    if ";16" in header.mode:
        warnings.append(
            f"{files.image}: has 16-bit pixels; of the bits in use (8, 10, 12, 14 or 16, by its largest value) the "
            "upper 8 are read"
        )
    elif header.mode in REFUSED_MODES:
        problems.append(
            f"{files.image}: has pixels of type {REFUSED_MODES[header.mode]}; convert it to 8 bits, or to 16 bits "
            "without sign"
        )
    elif header.mode not in IMAGE_MODES:
        warnings.append(f"{files.image}: has {header.mode} pixels, which are converted to 8-bit RGB")
    if header.is_animated:
        warnings.append(f"{files.image}: holds several pictures, of which the first is read")
    for path in (files.semantic, files.instances):
        if path is not None and path.suffix != ".mat":
            problems += check_label_header(path, (header.width, header.height), is_rgb="segments" in files.wanted)
    record = ImageRecord(image_id, str(files.image), header.height, header.width, "", header.orientation)
    return record, problems, warnings


def check_label_header(path: Path, expected: tuple[int, int], *, is_rgb: bool) -> list[str]:
    """Problems with kind and size of a label file."""
    try:
        with open_image(path) as image:
            size, mode, kind = image.size, image.mode, image.format
    except ValueError as error:
        return [str(error)]
    problems = []
    if kind == "JPEG":
        problems.append(f"{path}: is a JPEG, which changes values, whatever its name says; save the labels as PNG")
    if is_rgb and mode not in COLOUR_MODES:
        problems.append(f"{path}: has {mode} pixels; segments are identified by RGB colours, so save it as 8-bit RGB")
    if not is_rgb and mode not in LABEL_MODES:
        problems.append(f"{path}: has {mode} pixels, a picture in place of a map; values must be grey or a palette's")
    if size == expected[::-1] and size != expected:
        upright = f"{expected[0]}x{expected[1]}"
        problems.append(f"{path}: is {size[0]}x{size[1]}, its upright image {upright}; turn it as its image is shown")
    elif size != expected:
        problems.append(f"{path}: is {size[0]}x{size[1]}, its image {expected[0]}x{expected[1]}; make them one size")
    return problems
