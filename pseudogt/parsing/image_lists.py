"""Lists of images: a text file with one id on each line."""

from __future__ import annotations

from pathlib import Path

from pseudogt.parsing.contents import describe_missing
from pseudogt.parsing.documents import read_text


def read_id_list(path: Path) -> list[str]:
    """Image ids of a list, one on each line, in file order; blank lines are left out.

    Raises
    ------
    ValueError
        If there is no such file, it is not UTF-8, or an id has a folder or is listed twice.
    """
    listed = read_image_list(path)
    with_folder = next((f"{folder}/{name}" for folder, name in listed if folder), None)
    if with_folder is not None:
        raise ValueError(f"{path}: {with_folder!r} is not an image id; list file names without folder and suffix")
    return [name for _, name in listed]


def read_image_list(path: Path) -> list[tuple[str, str]]:
    """Folder, empty if there is none, and name of each image of a list, in file order; blank lines are left out.

    Raises
    ------
    ValueError
        If there is no such file, it is not UTF-8, a name is hidden or leads out of the folder, or is listed twice.
    """
    if not path.is_file():
        raise ValueError(f"{path}: {describe_missing(path, 'list')}; write one image id per line, without suffix")
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    seen: set[str] = set()
    for line in lines:
        if "\\" in line or any(part.startswith(".") or not part for part in line.split("/")):
            raise ValueError(f"{path}: {line!r} is not an image id; list file names without suffix")
        if line in seen:
            raise ValueError(f"{path}: image {line!r} is listed twice; remove one")
        seen.add(line)
    return [(folder, name) for folder, _, name in (line.rpartition("/") for line in lines)]
