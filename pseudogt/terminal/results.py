"""What a run has led to: scores of its summary, and where its report is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pseudogt.files.io import read_json


def describe_results(results: Path, made: Mapping[str, int]) -> list[str]:
    """Lines with the scores and the report of a run.

    Parameters
    ----------
    results : Path
        Folder of the run.
    made : mapping
        Rules of which the run had jobs; what it has not made is not told of.
    """
    lines = []
    summary, page = results / "evaluation" / "summary.json", results / "report" / "index.html"
    if made.get("evaluation") and summary.is_file():
        lines += describe_scores(read_json(summary))
        lines.append(f"Scores:  {summary}")
    if made.get("report") and page.is_file():
        lines.append(f"Report:  {page}")
    return lines


def describe_scores(summary: Mapping[str, Any]) -> list[str]:
    """Panoptic quality of each round's labels and model, and of the reference.

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
    return lines or ["No scores: there is no ground truth to compare with."]
