"""The tables of docs/what-to-label.md, from the committed points of ``labelling.py``."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from labelling_forms import (
    BEST_WEAK,
    DATASETS,
    FIRST_FORMS,
    choose_best,
    find_frontier,
    find_reason,
    list_mixtures,
    read_classes,
)
from measurement import REPOSITORY

from pseudogt.checking.labelling import MEASURED, FormResult
from pseudogt.files.io import read_json
from pseudogt.weak_labels.seconds import PRICES, WHOLE_IMAGES, price_acts

PAGE = REPOSITORY / "docs" / "what-to-label.md"

HOURS = (1, 3, 10, 30, 100)
"""Budgets of the answer."""

CHANGED = {
    "tags": ("tag", "crop_tag"),
    "boxes": ("box",),
    "points": ("point", "further_point"),
    "scribbles": ("scribble",),
    "outlines": ("outline", "compact_outline"),
}
"""Acts whose seconds are halved and doubled together."""

COLUMNS = (
    "labels", "seconds an image", "hours for the set", "PQ", "of full", "PQ things", "PQ stuff", "mIoU",
    "PQ of labels on train",
)  # fmt: skip

NOT_MEASURED = "not measured"


def write_page(results: Sequence[FormResult]) -> None:
    """Replace the generated sections of the page."""
    sections = render_sections(results, read_costs())
    PAGE.write_text(replace_sections(PAGE.read_text(encoding="utf-8"), sections), encoding="utf-8")


def read_costs() -> dict[str, dict[str, Any]]:
    """Dataset -> what ``labelling_costs.py`` counted on it; datasets of which it counted nothing are left out."""
    return {name: read_json(MEASURED / f"{name}.json") for name in DATASETS if (MEASURED / f"{name}.json").is_file()}


def replace_sections(text: str, sections: Mapping[str, str]) -> str:
    """Put each section between its marks, ``<!-- name -->`` and ``<!-- end of name -->``.

    Raises
    ------
    ValueError
        If the text lacks the marks of a section.
    """
    for name, content in sections.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)"
        text, count = re.subn(pattern, lambda m, c=content: f"{m[1]}\n{c}\n\n{m[2]}", text, flags=re.DOTALL)
        if count != 1:
            raise ValueError(f"{PAGE}: has the marks of section {name!r} {count} times; they must be there once")
    return text


def render_sections(results: Sequence[FormResult], costs: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """All generated sections by name."""
    by_dataset = {name: [result for result in results if result.dataset == name] for name in DATASETS}
    curves = [f"### {name}\n\n{render_curve(name, found, costs.get(name))}" for name, found in by_dataset.items()]
    return {
        "answer": render_answer(by_dataset),
        "curves": "\n\n".join(curves),
        "other seconds": render_other_seconds(by_dataset),
        "seconds": render_prices(),
    }


def render_answer(by_dataset: Mapping[str, Sequence[FormResult]]) -> str:
    """The best form for each budget of hours, and how many forms it is chosen from."""
    if not any(by_dataset.values()):
        return (
            "**Not measured yet.** No point of the curve is committed, so this page recommends nothing. What each form "
            "costs is counted, and stands in the tables below."
        )
    lines = ["| hours in all | " + " | ".join(by_dataset) + " |", "|---" * (len(by_dataset) + 1) + "|"]
    for hours in HOURS:
        answers = [find_answer(results, hours) for results in by_dataset.values()]
        lines.append(f"| {hours} | {' | '.join(answers)} |")
    counts = [f"{len(results)} on {name}{describe_splits(results)}" for name, results in by_dataset.items()]
    return "\n".join(lines) + f"\n\nEach answer is the best of the forms that are measured: {', '.join(counts)}."


def describe_splits(results: Sequence[FormResult]) -> str:
    """The splits of a dataset that were measured, in brackets; nothing where it has only one."""
    names = sorted(set().union(*(result.splits for result in results)) - {""})
    return f" ({', '.join(names)})" if names else ""


def find_answer(results: Sequence[FormResult], hours: float) -> str:
    """The form with the best PQ among those that the hours suffice for, in words."""
    affordable = [result for result in results if result.seconds * result.images <= hours * 3600]
    if not affordable:
        return "nothing that was measured" if results else NOT_MEASURED
    best = max(affordable, key=lambda result: result.mean("pq"))
    return f"**{best.form}**, PQ {describe_score(best, 'pq')}"


def render_curve(name: str, results: Sequence[FormResult], costs: Mapping[str, Any] | None) -> str:
    """One row for each form: what it costs, what it gives, or why it is missing."""
    found = {result.form: result for result in results}
    best = choose_best(results)
    frontier, classes = find_frontier(results), read_classes(DATASETS[name].config)
    rows = [list(COLUMNS), ["---"] * len(COLUMNS)]
    for form in (*FIRST_FORMS, *list_mixtures(best)):
        reason = find_reason(form, classes)
        if form.name in found:
            shown = f"**{form.name}**" if form.name in frontier else form.name
            rows.append([shown, *describe_result(found[form.name], found.get("all full"))])
        elif reason:
            rows.append([form.name, f"makes no sense: {reason}"])
        else:
            acts = (costs or {"acts": {}})["acts"].get(form.name)
            cost = describe_cost(price_acts(acts), costs["images"]) if costs and acts else ["", ""]
            rows.append([form.name, *cost, NOT_MEASURED])
    if len(best) < BEST_WEAK:
        rows.append(["5% and 20% full, mixed with the two best weak forms", "", "", NOT_MEASURED])
    return "\n".join("| " + " | ".join([*row, *[""] * (len(COLUMNS) - len(row))]) + " |" for row in rows)


def describe_result(result: FormResult, full: FormResult | None) -> list[str]:
    """All columns of a form that was measured, but its name."""
    ratio = f"{result.mean('pq') / full.mean('pq'):.2f}" if full and full.mean("pq") else ""
    scores = [describe_score(result, score) for score in ("pq_th", "pq_st", "miou")]
    labels = f"{statistics.mean(result.label_scores['pq']):.3f}" if "pq" in result.label_scores else ""
    return [*describe_cost(result.seconds, result.images), describe_score(result, "pq"), ratio, *scores, labels]


def describe_cost(seconds: float, images: float) -> list[str]:
    """Seconds an image, and hours for all images."""
    return [f"{seconds:.0f}", f"{seconds * images / 3600:.1f}"]


def describe_score(result: FormResult, score: str) -> str:
    """Mean and standard error over seeds, or that there is one seed."""
    if score not in result.scores:
        return ""
    error = result.find_error(score)
    return f"{result.mean(score):.3f}" + (" (one seed)" if error is None else f" ± {error:.3f}")


def render_other_seconds(by_dataset: Mapping[str, Sequence[FormResult]]) -> str:
    """Forms on the frontier if the seconds of some acts are halved or doubled."""
    changes: dict[str, dict[str, float]] = {"as published": {}}
    for name, acts in CHANGED.items():
        for word, factor in (("half", 0.5), ("double", 2.0)):
            changes[f"{name} at {word}"] = {act: factor * PRICES[act].seconds for act in acts}
    drawn = PRICES["drawn_box"].seconds
    changes[f"boxes drawn by dragging, {drawn:g} s"] = {"box": drawn}
    lines = ["| seconds | " + " | ".join(by_dataset) + " |", "|---" * (len(by_dataset) + 1) + "|"]
    for name, seconds in changes.items():
        frontiers = ["; ".join(find_frontier(results, seconds)) or NOT_MEASURED for results in by_dataset.values()]
        lines.append(f"| {name} | " + " | ".join(frontiers) + " |")
    return "\n".join(lines)


def render_prices() -> str:
    """Seconds of each act with its source."""
    lines = ["| act | seconds | source | basis |", "|---|---|---|---|"]
    for price in (*PRICES.values(), *WHOLE_IMAGES.values()):
        lines.append(f"| {price.act} | {price.seconds:g} | {price.source} | {price.basis} |")
    return "\n".join(lines)
