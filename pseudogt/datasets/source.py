"""The files of one image of a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".JPG", ".JPEG", ".PNG")


@dataclass(frozen=True)
class SourceFiles:
    """Paths of an image and of its ground truth; None where there is none."""

    image: Path
    semantic: Path | None
    instances: Path | None


def find_image(folder: Path, stem: str) -> Path:
    """Return the image ``stem`` with any known suffix; ``ValueError`` if there is none or more than one."""
    found = [path for path in (folder / f"{stem}{suffix}" for suffix in IMAGE_SUFFIXES) if path.is_file()]
    if not found:
        raise ValueError(f"{folder / stem}: no image of that name (.jpg, .png, ...); add it or take it off the list")
    if len({path.stat().st_ino for path in found}) > 1:
        raise ValueError(f"{found[0]} and {found[1]}: two files for one image id; remove one")
    return found[0]


def path_if_there(path: Path) -> Path | None:
    """Return the path, or None if no such file exists."""
    return path if path.is_file() else None
