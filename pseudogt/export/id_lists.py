"""Lists of image ids: text files with one id on each line."""

from __future__ import annotations

from pathlib import Path


def read_id_list(path: Path) -> list[str]:
    """Ids in file order, blank lines left out.

    Raises
    ------
    ValueError
        If there is no such file, or an id is listed twice.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no such list; write one image id on each line, without suffix") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8; save the file as UTF-8") from error
    image_ids = [line.strip() for line in lines if line.strip()]
    seen: set[str] = set()
    for image_id in image_ids:
        if image_id in seen:
            raise ValueError(f"{path}: image {image_id!r} is listed twice; remove one")
        seen.add(image_id)
    return image_ids
