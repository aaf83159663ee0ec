"""The manifest of an exported set: where the labels come from, what is in them, the checksum of every file."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pseudogt.classes import INSTANCE_DIVISOR, VOID, ClassTable
from pseudogt.files.io import read_json

MANIFEST_JSON = "manifest.json"
SNAKEMAKE_MARK = ".snakemake_timestamp"
"""A file that Snakemake puts into each folder it was promised."""


def measure_image(panoptic_id: NDArray[np.int32], scores: Mapping[int, float], classes: ClassTable) -> dict[str, Any]:
    """Counts of an image for the manifest.

    Parameters
    ----------
    panoptic_id : (H, W) int32
    scores : mapping
        Confidence by panoptic id.
    classes : ClassTable

    Returns
    -------
    dict
        ``pixels``; ``labelled`` pixels; ``scored`` pixels and the sum of their ``confidence``; for each class
        that occurs its ``segments`` (instances of things, without those that have no instance) and ``pixels``.
    """
    ids, areas = np.unique(panoptic_id, return_counts=True)
    found = {i: a for i, a in zip(ids.tolist(), areas.tolist(), strict=True) if i != VOID}
    names = dict(zip(classes.category_ids, zip(classes.names, classes.isthing, strict=True), strict=True))
    per_class: dict[str, dict[str, int]] = {}
    for segment_id, area in found.items():
        name, isthing = names[segment_id // INSTANCE_DIVISOR]
        counts = per_class.setdefault(name, {"segments": 0, "pixels": 0})
        counts["segments"] += int(not isthing or segment_id % INSTANCE_DIVISOR > 0)
        counts["pixels"] += area
    return {
        "pixels": panoptic_id.size,
        "labelled": sum(found.values()),
        "scored": sum(area for i, area in found.items() if i in scores),
        "confidence": sum(area * scores[i] for i, area in found.items() if i in scores),
        "classes": per_class,
    }


def summarise_set(measured: Iterable[Mapping[str, Any]], classes: ClassTable) -> dict[str, Any]:
    """Counts of a set from those of :func:`measure_image`: images, classes, coverage, mean confidence."""
    totals: Counter[str] = Counter()
    per_class = {name: {"images": 0, "segments": 0, "pixels": 0} for name in classes.names}
    for image in measured:
        totals.update({"images": 1, **{key: image[key] for key in ("pixels", "labelled", "scored", "confidence")}})
        for name, counts in image["classes"].items():
            per_class[name]["images"] += 1
            for key, value in counts.items():
                per_class[name][key] += value
    return {
        "images": totals["images"],
        "classes": per_class,
        "coverage": totals["labelled"] / totals["pixels"] if totals["pixels"] else None,
        "mean_confidence": totals["confidence"] / totals["scored"] if totals["scored"] else None,
    }


def compute_checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def list_files(folder: Path) -> list[str]:
    """All files below a folder but its manifest, as relative paths with ``/``, sorted."""
    found = (p for p in folder.rglob("*") if p.is_symlink() or not p.is_dir())
    own = {folder / MANIFEST_JSON, folder / SNAKEMAKE_MARK}
    return sorted(p.relative_to(folder).as_posix() for p in found if p not in own)


def verify(folder: Path) -> list[str]:
    """Compare a folder with its manifest.

    Returns
    -------
    list of str
        One line for each file that differs, is missing or is extra; empty if the set is what was exported.

    Raises
    ------
    ValueError
        If the manifest is missing or is not one.
    """
    path = folder / MANIFEST_JSON
    document = read_json(path)
    files = document.get("files") if isinstance(document, dict) else None
    if not isinstance(files, dict):
        raise ValueError(f"{path}: no list 'files' in it; export the set again")
    escaping = [name for name in files if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts]
    if escaping:
        raise ValueError(f"{path}: {escaping[0]!r} lies outside the set; the manifest was tampered with")
    return [*_compare(folder, files), *(f"extra: {name}" for name in list_files(folder) if name not in files)]


def _compare(folder: Path, files: Mapping[str, str]) -> Iterator[str]:
    for name, checksum in tqdm(files.items(), desc="verify", unit="file", mininterval=2):
        path = folder / name
        if not path.is_file():
            yield f"missing: {name}"
        elif compute_checksum(path) != checksum:
            yield f"differs: {name}"


def build_manifest(
    provenance: Mapping[str, Any],
    summary: Mapping[str, Any],
    checksums: Iterable[tuple[str, str]],
) -> dict[str, Any]:
    """Put the manifest together; ``checksums`` are pairs of relative path and SHA-256."""
    return {**provenance, **summary, "files": dict(sorted(checksums))}
