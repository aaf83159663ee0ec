"""The folder layout: ``images/``, ``semantic/``, ``instances/`` and one text file per split.

``images/<id>`` has any image suffix, ``semantic/<id>.png`` 8 or 16 bit class values,
``instances/<id>.png`` 8 or 16 bit instance values; ``<split>.txt`` lists ids, one on each line.
"""

from __future__ import annotations

from pathlib import Path

from pseudogt.datasets.source import SourceFiles, find_image, path_if_there


def list_split(root: Path, split: str) -> list[str]:
    """Ids in ``<root>/<split>.txt``, blank lines left out."""
    path = root / f"{split}.txt"
    if not path.is_file():
        raise ValueError(f"{path}: no such list; write one image id on each line, without suffix")
    image_ids = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    for image_id in image_ids:
        if "/" in image_id or image_id.startswith("."):
            raise ValueError(f"{path}: {image_id!r} is no image id; list file names without folder and suffix")
    return image_ids


def locate(root: Path, split: str, image_id: str) -> SourceFiles:
    """Files of one image; all splits share the three folders."""
    return SourceFiles(
        image=find_image(root / "images", image_id),
        semantic=path_if_there(root / "semantic" / f"{image_id}.png"),
        instances=path_if_there(root / "instances" / f"{image_id}.png"),
    )
