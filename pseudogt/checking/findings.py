"""What was found about a dataset, and its table for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

COUNTED = ("name", "isthing", "images", "unknown", "boxes")
"""What is always said of a class."""


@dataclass
class DatasetFindings:
    """What was found about a dataset.

    Attributes
    ----------
    images : dict
        Number by split.
    problems : list of dict
        ``split``, ``image_id`` (both may be empty) and ``problem``.
    warnings : list of str
    classes : list of dict
        ``name``, ``isthing``, ``images`` (that have it), ``unknown`` (for which the tags do not say) and
        ``boxes``; empty if neither weak labels nor pixels were read.
    estimate : str
        Time and disk space of a run.
    labelling : str
        What the labels have cost in hours of a person, and what the next hour buys; empty if nothing was counted.
    """

    images: dict[str, int] = field(default_factory=dict)
    problems: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    classes: list[dict[str, Any]] = field(default_factory=list)
    estimate: str = ""
    labelling: str = ""

    def add_problems(self, problems: Iterable[str], split: str = "", image_id: str = "") -> None:
        """Append problems of an image, or of the dataset as a whole."""
        self.problems += [{"split": split, "image_id": image_id, "problem": problem} for problem in problems]


def format_findings(findings: DatasetFindings, *, most: int = 40) -> str:
    """Make a table for the terminal; of many problems the first ``most``."""
    troubled = Counter(problem["split"] for problem in findings.problems)
    lines = [f"{'split':<10}{'images':>8}{'problems':>10}"]
    lines += [f"{split:<10}{count:>8}{troubled[split]:>10}" for split, count in findings.images.items()]
    lines += [f"{'the rest':<10}{'':>8}{troubled['']:>10}"] if troubled[""] else []
    lines += ["", *_format_classes(findings.classes)] if findings.classes else []
    lines += ["", findings.estimate] if findings.estimate else []
    lines += ["", findings.labelling] if findings.labelling else []
    lines += ["", *(f"warning: {warning}" for warning in findings.warnings[:most])]
    lines += [f"problem: {problem['problem']}" for problem in findings.problems[:most]]
    hidden = max(len(findings.problems) - most, 0) + max(len(findings.warnings) - most, 0)
    lines += [f"... and {hidden} more in the report"] if hidden else []
    return "\n".join(lines)


def _format_classes(rows: list[dict[str, Any]]) -> list[str]:
    """The head of the table of classes, and a line for each class."""
    marks = [kind for kind in rows[0] if kind not in COUNTED]
    head = f"{'class':<24}{'':<8}{'images':>8}{'unknown':>9}{'boxes':>9}" + "".join(f"{m:>11}" for m in marks)
    return [head] + [
        f"{row['name']:<24}{'thing' if row['isthing'] else 'stuff':<8}{row['images']:>8}{row['unknown']:>9}"
        f"{row['boxes'] if row['isthing'] else '-':>9}" + "".join(f"{row[kind]:>11}" for kind in marks)
        for row in rows
    ]
