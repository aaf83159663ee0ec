"""The files of one image of a dataset."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pseudogt.files.io import IMAGE_SUFFIXES

FILE_SUFFIXES = (*IMAGE_SUFFIXES, *(suffix.upper() for suffix in IMAGE_SUFFIXES))


@dataclass(frozen=True)
class SourceFiles:
    """Paths of an image and of its ground truth; None where there is none.

    Attributes
    ----------
    image : Path
    semantic, instances : Path or None
        Values of classes and of instances.
    segments : Path or None
        JSON with the class of each segment of ``semantic``, which then holds segments (COCO).
    other_semantic, other_instances : Path or None
        A second annotation of the image (SBD beside VOC).
    """

    image: Path
    semantic: Path | None
    instances: Path | None
    segments: Path | None = None
    other_semantic: Path | None = None
    other_instances: Path | None = None


def find_image(folder: Path, stem: str) -> Path:
    """Return the image ``stem`` with any known suffix; ``ValueError`` if there is none or more than one."""
    start = str(folder / stem)
    found = [Path(start + suffix) for suffix in FILE_SUFFIXES if os.path.isfile(start + suffix)]
    if not found:
        raise ValueError(f"{folder / stem}: no image of that name (.jpg, .png, ...); add it or take it off the list")
    if len({path.stat().st_ino for path in found}) > 1:
        raise ValueError(f"{found[0]} and {found[1]}: two files for one image id; remove one")
    return found[0]


def path_if_there(path: Path) -> Path | None:
    """Return the path, or None if no such file exists."""
    return path if path.is_file() else None
