"""Proposals from other programs: MCG's files, one per image, or the JTSM authors' conversion of these.

The authors' converter writes one pickle per image with ``superpixels (H, W) int16`` from 0,
``oh_labels (N, S) bool``, ``scores (N,)`` and ``boxes (N, 4)`` with inclusive corners.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pseudogt.files.pickles import read_foreign_pickle
from pseudogt.parsing.problems import SHOWN
from pseudogt.proposals.files import read_mcg
from pseudogt.proposals.generation import Proposals
from pseudogt.proposals.members import Members

CONVERTED_ENTRIES = {"superpixels": 2, "oh_labels": 2, "scores": 1, "boxes": 2}
"""Arrays of a converted file that are read, and their dimensions."""


def find_proposal_files(folders: Sequence[Path | str], suffix: str, image_ids: Iterable[str]) -> dict[str, Path]:
    """Find the file of each image: the one of its name, else the one whose name ends with the same number.

    The second rule is for COCO, whose archives are named after the images of 2014
    (``COCO_train2014_000000000009``) and whose images of 2017 have the number alone. An image takes its file from the
    first folder that has one: of two archives that hold files of one name, put the one that is to count first.

    Raises
    ------
    ValueError
        If a folder is missing, an image has no file in any, or two files of a folder end with its number.
    """
    searched = [_list_proposal_files(Path(folder), suffix) for folder in folders]
    found: dict[str, Path] = {}
    missing = []
    for image_id in image_ids:
        candidates = next(filter(None, (_find_candidates(image_id, *listed) for listed in searched)), [])
        if len(candidates) > 1:
            raise ValueError(f"{candidates[0]} and {candidates[1]}: both are of image {image_id!r}; keep one of them")
        if candidates:
            found[image_id] = candidates[0]
        else:
            missing.append(image_id)
    if missing:
        named = ", ".join(missing[:SHOWN]) + (", ..." if len(missing) > SHOWN else "")
        raise ValueError(
            f"{' and '.join(map(str, folders))}: no file {missing[0]}{suffix}; {len(missing)} images lack proposals "
            f"({named}). Unpack all parts of the archive there, or take these images out of the split list"
        )
    return found


def _list_proposal_files(folder: Path, suffix: str) -> tuple[dict[str, Path], dict[int, list[Path]]]:
    """Files of a folder by name without suffix, and by the number at the end of the name."""
    if not folder.is_dir():
        raise ValueError(f"proposals.folder {folder}: no such folder")
    by_name = {path.stem: path for path in sorted(folder.glob(f"*{suffix}"))}
    by_number: dict[int, list[Path]] = {}
    for name, path in by_name.items():
        number = _last_number(name)
        if number is not None:
            by_number.setdefault(number, []).append(path)
    return by_name, by_number


def _find_candidates(image_id: str, by_name: Mapping[str, Path], by_number: Mapping[int, list[Path]]) -> list[Path]:
    if image_id in by_name:
        return [by_name[image_id]]
    return by_number.get(int(image_id), []) if image_id.isdecimal() else []


def read_converted(path: Path | str) -> Proposals:
    """Proposals of one image from a file of the authors' converter; nothing in it is run.

    Raises
    ------
    ValueError
        If the file is missing, cut short, holds anything but arrays, or its arrays do not fit together; the
        message names it.
    """
    content = read_foreign_pickle(path)
    arrays = _check_entries(content, path)
    superpixels, dense, boxes = arrays["superpixels"], arrays["oh_labels"].astype(bool), arrays["boxes"]
    lengths = {len(dense), len(boxes), len(arrays["scores"])}
    if len(lengths) > 1 or boxes.shape[1:] != (4,):
        raise ValueError(
            f"{path}: oh_labels {dense.shape}, boxes {boxes.shape} and scores {arrays['scores'].shape} must have "
            "one row per proposal; convert the archive again"
        )
    if not superpixels.size or superpixels.min() < 0:
        raise ValueError(f"{path}: superpixels must be numbers from 0, found {superpixels.shape}; convert it again")
    count = int(superpixels.max()) + 1
    members = Members.from_dense(dense)
    unknown = members.indices[members.indices >= count]
    if len(unknown):
        raise ValueError(
            f"{path}: oh_labels name superpixel {unknown.min()}, the map ends at {count - 1}; convert the archive again"
        )
    half_open = boxes.astype(np.int32) + np.array([0, 0, 1, 1], np.int32)
    return Proposals(superpixels.astype(np.int32), members, arrays["scores"], half_open)


FOREIGN_SOURCES: dict[str, tuple[str, Callable[[Path], Proposals]]] = {
    "mcg": (".mat", read_mcg),
    "converted": (".pkl", read_converted),
}
"""Suffix and reader by the setting ``proposals.source``."""


def _last_number(name: str) -> int | None:
    match = re.search(r"(\d+)$", name)
    return int(match[1]) if match else None


def _check_entries(content: Any, path: Path | str) -> dict[str, NDArray[Any]]:
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a dict of arrays, found {type(content).__name__}")
    for name, dimensions in CONVERTED_ENTRIES.items():
        value = content.get(name)
        if not isinstance(value, np.ndarray) or value.ndim != dimensions:
            found = value.shape if isinstance(value, np.ndarray) else type(value).__name__
            raise ValueError(f"{path}: expected an array of {dimensions} dimensions in {name!r}, found {found}")
    return {name: content[name] for name in CONVERTED_ENTRIES}
