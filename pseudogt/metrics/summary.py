"""The public result of a run, ``evaluation/summary.json``; docs/summary.md describes its schema."""

from __future__ import annotations

import csv
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pseudogt.metrics.detection_scores import MEASURE_KEYS
from pseudogt.metrics.panoptic_quality import SCORE_KEYS

RATIO_KEYS = ("pq", "pq_th", "pq_st", "miou", "ap")
PANOPTIC_KEYS = ("pq", "sq", "rq", "pq_th", "pq_st", "miou")
"""Scores of panoptic maps in the tables of papers."""

PACKAGES = (
    "numpy",
    "opencv-python",
    "opencv-python-headless",
    "higra",
    "torch",
    "torchvision",
    "hotcoco",
    "pycocotools",
    "snakemake",
)


def build_summary(
    *,
    dataset: str,
    supervision: str,
    label_scores: Sequence[Mapping[str, Any]],
    model_scores: Sequence[Mapping[str, Any]],
    linked: Sequence[bool],
    stage_scores: Mapping[str, Mapping[str, Any]],
    reference_scores: Mapping[str, Any] | None,
    detection_scores: Mapping[str, Mapping[str, Any]],
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """Put the scores of a run together.

    Parameters
    ----------
    dataset, supervision : str
        Names as shown in the report; the supervision joins its parts by ``+``: ``crop_tags+boxes``.
    label_scores, model_scores, linked : sequence
        One entry per round, first round first: the scores of the labels on train, of the model
        trained on them on val, and whether the round was not trained but linked to the one before.
    stage_scores : mapping
        Scores on train of the stages before the first round.
    reference_scores : mapping or None
        The scores on val of the model trained on full labels.
    detection_scores : mapping
        Scores of detections by measure, AP of val and CorLoc of train, as far as there are any.
    seconds : mapping
        Seconds by stage.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        If the sequences differ in length.
    """
    if not len(label_scores) == len(model_scores) == len(linked):
        raise ValueError(
            f"{len(label_scores)} scores of labels, {len(model_scores)} of models and {len(linked)} records; "
            "give one of each per round"
        )
    rounds = [
        {"round": r, "labels": {"train": _select_scores(labels)}, "model": {"val": _select_scores(model)}}
        for r, (labels, model, is_linked) in enumerate(zip(label_scores, model_scores, linked, strict=True))
        if not is_linked
    ]
    scored = [*label_scores, *model_scores, *stage_scores.values(), *detection_scores.values()]
    reference = _select_scores(reference_scores) if reference_scores is not None else None
    trained = [model for model, is_linked in zip(model_scores, linked, strict=True) if not is_linked]
    last = trained[-1] if trained else {}
    return {
        "dataset": dataset,
        "supervision": supervision,
        "categories": next((s["categories"] for s in scored if s["categories"]), []),
        "rounds": rounds,
        "stages": {name: _select_scores(scores) for name, scores in stage_scores.items()},
        "reference": {"val": reference},
        "detections": {
            "val": _select_measure(detection_scores, "ap"),
            "train": _select_measure(detection_scores, "corloc"),
        },
        "ratio": {key: compute_ratio(last.get(key), (reference or {}).get(key)) for key in RATIO_KEYS},
        "seconds": dict(seconds),
        "versions": find_versions(),
    }


def build_protocol(
    dataset: str, panoptic: Mapping[str, Any] | None, detection_scores: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The scores of the tables of a paper: of panoptic maps and of detections.

    Parameters
    ----------
    dataset : str
    panoptic : mapping or None
        Scores of the mined network on val; None without panoptic ground truth.
    detection_scores : mapping
        Scores of detections by measure.

    Returns
    -------
    dict
        ``dataset``, ``PANOPTIC_KEYS`` and all ``MEASURE_KEYS``; None where nothing applies.
    """
    table: dict[str, Any] = {"dataset": dataset, **{key: (panoptic or {}).get(key) for key in PANOPTIC_KEYS}}
    for measure, keys in MEASURE_KEYS.items():
        found = detection_scores.get(measure, {})
        table |= {key: found.get(key) for key in keys}
    return table


def _select_measure(detection_scores: Mapping[str, Mapping[str, Any]], measure: str) -> dict[str, Any] | None:
    """The scores of a measure without the class table; None if there are none."""
    if measure not in detection_scores:
        return None
    keys = (*MEASURE_KEYS[measure], "per_class", "images", "objects")
    return {key: detection_scores[measure][key] for key in keys}


def _select_scores(scores: Mapping[str, Any]) -> dict[str, Any]:
    return {key: scores[key] for key in SCORE_KEYS}


def compute_ratio(score: float | None, reference: float | None) -> float | None:
    """``score / reference``; None if one is missing or the reference is 0."""
    return None if score is None or not reference else score / reference


def sum_seconds(benchmarks: Path) -> dict[str, float]:
    """Seconds by stage from Snakemake's benchmark files: column ``s``, added over all jobs of a stage.

    Parameters
    ----------
    benchmarks : Path
        Folder of ``<stage>.tsv`` and ``<stage>/**/*.tsv``.

    Raises
    ------
    ValueError
        If a file has no column ``s`` or no number in it; the message names it.
    """
    seconds: dict[str, float] = {}
    for path in sorted(benchmarks.rglob("*.tsv")):
        stage = path.relative_to(benchmarks).parts[0].removesuffix(".tsv")
        seconds[stage] = seconds.get(stage, 0.0) + _read_seconds(path)
    return {stage: round(total, 3) for stage, total in seconds.items()}


def _read_seconds(path: Path) -> float:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return sum(float(row["s"]) for row in csv.DictReader(file, delimiter="\t"))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: no seconds in column 's'; remove the file, and Snakemake rewrites it") from error


def find_versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Versions of Python and of those packages that are installed."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
