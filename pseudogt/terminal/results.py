"""The results of a run: the scores in its summary, and the path of its report."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pseudogt.files.io import read_json

DETECTIONS = {"box_ap": "box AP", "voc_ap": "AP of VOC 2007", "corloc": "CorLoc"}
"""Scores of detections that are shown."""

LOST = 0.25
"""A class of which fewer of its images have labels is worth a warning."""


def describe_results(results: Path, made: Mapping[str, int]) -> list[str]:
    """Lines with the scores and the report of a run.

    Parameters
    ----------
    results : Path
        Folder of the run.
    made : mapping
        Number of jobs of each rule in this run; results that it did not make are left out.
    """
    lines = []
    summary, page = results / "evaluation" / "summary.json", results / "report" / "index.html"
    if made.get("evaluation") and summary.is_file():
        lines += describe_scores(read_json(summary))
        lines.append(f"Scores:  {summary}")
    if made.get("report") and page.is_file():
        lines.append(f"Report:  {page}")
        lines += find_lost(page.with_name("labels.csv"))
    return lines


def find_lost(path: Path) -> list[str]:
    """Warn of each class that most of its images have no label of, from the report's counts; none without the file."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        f"warning: class {row['name']!r} is in {row['images']} training images, but in the labels of "
        f"{row['labelled_images']} of them; give it more or better weak labels, such as points; if it has tags alone, "
        "raise cams.min_share"
        for row in rows
        if int(row["labelled_images"]) < LOST * int(row["images"])
    ]


def describe_scores(summary: Mapping[str, Any]) -> list[str]:
    """Panoptic quality of each round's labels and model and of the reference, and scores of detections.

    Parameters
    ----------
    summary : mapping
        Content of ``evaluation/summary.json``.
    """
    lines = []
    for entry in summary["rounds"]:
        labels, model = entry["labels"]["train"]["pq"], entry["model"]["val"]["pq"]
        scores = [f"{name} {value:.1%}" for name, value in (("labels", labels), ("model", model)) if value is not None]
        if scores:
            lines.append(f"PQ of round {entry['round']}: {', '.join(scores)}")
    reference = (summary["reference"]["val"] or {}).get("pq")
    if reference is not None:
        ratio = summary["ratio"]["pq"]
        lines.append(f"PQ with full labels: {reference:.1%}{f'; ratio {ratio:.2f}' if ratio is not None else ''}")
    measures = {name: scores or {} for name, scores in summary.get("detections", {}).items()}
    values = {key: value for scores in measures.values() for key, value in scores.items() if key in DETECTIONS}
    found = [f"{DETECTIONS[key]} {value:.1%}" for key, value in values.items() if value is not None]
    lines += [f"Detections: {', '.join(found)}"] if found else []
    return lines or ["No scores: there is no ground truth to compare with."]
