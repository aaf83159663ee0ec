"""The folder layout: ``images/``, ``semantic/``, ``instances/`` and one text file per split.

``images/<id>`` has any image suffix, ``semantic/<id>.png`` 8 or 16 bit class values,
``instances/<id>.png`` 8 or 16 bit instance values; ``<split>.txt`` lists ids, one on each line.
"""

from __future__ import annotations

from pathlib import Path

from pseudogt.datasets.source import SourceFiles, find_image, path_if_there
from pseudogt.files.parsing import read_id_list


def list_split(root: Path, split: str) -> list[str]:
    """Ids in ``<root>/<split>.txt``, blank lines left out."""
    return read_id_list(root / f"{split}.txt")


def locate(root: Path, split: str, image_id: str) -> SourceFiles:
    """Files of one image; all splits share the three folders."""
    return SourceFiles(
        image=find_image(root / "images", image_id),
        semantic=path_if_there(root / "semantic" / f"{image_id}.png"),
        instances=path_if_there(root / "instances" / f"{image_id}.png"),
    )
