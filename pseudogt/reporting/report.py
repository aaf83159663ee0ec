"""Figures and tables of the report, made from a run's summary; knows no label files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from pseudogt.metrics.summary import RATIO_KEYS

METRIC_NAMES = {"pq": "PQ", "pq_th": "PQ things", "pq_st": "PQ stuff", "miou": "mIoU", "ap": "AP"}
QUALITY_NAMES = {"coverage": "coverage", "precision": "precision", "miou": "mIoU"}
SUPERVISION_NAMES = {
    "crop_tags": "tags of fixed crops of each image",
    "image_tags": "tags of each image",
    "boxes": "boxes around things",
    "points": "points and scribbles",
    "scribbles": "masks of some pixels",
    "points_of_stuff": "points in each stuff class of an image",
    "points_of_things": "points in each thing",
    "points_of_all": "points in each thing and in each stuff class of an image",
    "scribbles_of_stuff": "a scribble in each stuff class of an image",
    "scribbles_of_things": "a scribble in each thing",
    "scribbles_of_all": "a scribble in each thing and in each stuff class of an image",
    "provided": "weak labels from a file",
    "full": "full labels of some images",
}
DETECTION_NAMES = {
    "box_ap": "box AP",
    "box_ap50": "box AP50",
    "box_ap75": "box AP75",
    "mask_ap": "mask AP",
    "mask_ap50": "mask AP50",
    "mask_ap75": "mask AP75",
    "voc_ap": "AP of VOC 2007",
    "corloc": "CorLoc on train",
}
DPI = 110
MODEL_COLOR, LABEL_COLOR, REFERENCE_COLOR = "#1f6fb4", "#8a8a8a", "#c0392b"


def describe_supervision(supervision: str) -> list[str]:
    """Words for each part of a summary's ``supervision``; unknown parts stay as they are."""
    return [SUPERVISION_NAMES.get(part, part) for part in supervision.split("+")]


def draw_rounds(summary: Mapping[str, Any]) -> Figure:
    """PQ (all, things, stuff) and mIoU by round: model on val, its labels on train, the reference as a line.

    The last point is the labels that the model of the last round gives.
    """
    rounds = [r["round"] for r in summary["rounds"]]
    labelled = [r["labels"]["train"] for r in summary["rounds"]]
    labelled += [scores for name, scores in summary["stages"].items() if name.startswith("labels")]
    ticks = list(range(len(labelled)))
    reference = summary["reference"]["val"] or {}
    figure = Figure(figsize=(15, 3.6), layout="constrained", dpi=DPI)
    for axis, metric in zip(figure.subplots(1, 4), ("pq", "pq_th", "pq_st", "miou"), strict=True):
        models = _as_numbers(r["model"]["val"][metric] for r in summary["rounds"])
        labels = _as_numbers(scores[metric] for scores in labelled)
        axis.plot(rounds, models, "o-", color=MODEL_COLOR, label="model on val")
        axis.plot(ticks, labels, "s--", color=LABEL_COLOR, label="labels on train")
        if reference.get(metric) is not None:
            axis.axhline(reference[metric], color=REFERENCE_COLOR, label="full labels: model on val")
        axis.set(title=METRIC_NAMES[metric], xlabel="round", ylim=(0, 1), xticks=ticks)
        axis.grid(axis="y", alpha=0.3)
    figure.legend(*figure.axes[-1].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def draw_stages(summary: Mapping[str, Any]) -> Figure:
    """Bars of coverage, precision and mIoU of the labels on train after each stage."""
    stages = list_label_stages(summary)
    figure = Figure(figsize=(max(6.0, 1.7 * len(stages) + 2), 3.8), layout="constrained", dpi=DPI)
    axis = figure.subplots()
    colors = ("#8fb8de", "#f2b36b", "#6aa56a")
    for i, ((metric, name), color) in enumerate(zip(QUALITY_NAMES.items(), colors, strict=True)):
        heights = _as_numbers(scores[metric] for _, scores in stages)
        # The bars of a stage stand side by side around its tick.
        bars = axis.bar(np.arange(len(stages)) + (i - 1) * 0.27, heights, 0.25, label=name, color=color)
        axis.bar_label(bars, [f"{h:.2f}" if np.isfinite(h) else "" for h in heights], fontsize=8)
    axis.set_xticks(np.arange(len(stages)), [name for name, _ in stages])
    axis.set(ylim=(0, 1.08), title="Labels on train after each stage")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def list_label_stages(summary: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Names and scores of the labels in the order they are made: stages, labels of each round, last labels.

    ``mining`` is left out: it is a model, scored on val.
    """
    before = [(n, s) for n, s in summary["stages"].items() if not n.startswith("labels") and n != "mining"]
    after = [(n, s) for n, s in summary["stages"].items() if n.startswith("labels")]
    rounds = [(f"labels-{r['round']}", r["labels"]["train"]) for r in summary["rounds"]]
    return [
        (name.replace("_", " ").replace("-", " ") + ("\n(things only)" if scores["pq_st"] is None else ""), scores)
        for name, scores in [*before, *rounds, *after]
    ]


def _as_numbers(values: Any) -> list[float]:
    return [float("nan") if v is None else v for v in values]


def tabulate_ratios(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row per metric: ``metric``, ``weak`` (last round), ``full`` (reference) and ``ratio``."""
    weak = summary["rounds"][-1]["model"]["val"] if summary["rounds"] else {}
    full = summary["reference"]["val"] or {}
    return [
        {"metric": METRIC_NAMES[key], "weak": weak.get(key), "full": full.get(key), "ratio": summary["ratio"][key]}
        for key in RATIO_KEYS
    ]


def make_tables(
    summary: Mapping[str, Any],
    supervision: Mapping[str, int],
    marks: Mapping[str, int],
    counts: Sequence[Mapping[str, Any]],
    networks: Sequence[Mapping[str, str]] = (),
) -> list[dict[str, Any]]:
    """Tables of the page: ``title``, ``caption``, ``columns`` and ``rows`` of text; those without scores are left out.

    Parameters
    ----------
    summary : mapping
        As in ``evaluation/summary.json``.
    supervision : mapping
        How many training images had what.
    marks : mapping
        How many points, scribbles and masks they have; empty if none.
    counts : sequence of mapping
        As of :func:`pseudogt.reporting.class_counts.count_labels`.
    networks : sequence of mapping
        ``section``, ``model`` and ``has_seen`` of networks that took part in the labels.
    """
    is_scored = any(row[column] is not None for row in tabulate_ratios(summary) for column in ("weak", "full"))
    return [
        *([_make_ratio_table(summary), _make_class_table(summary)] if is_scored else []),
        *_make_detection_tables(summary),
        _make_count_table(counts),
        _make_supervision_table(supervision, marks),
        *([_make_network_table(networks)] if networks else []),
        _make_time_table(summary),
    ]


def _make_ratio_table(summary: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "title": "Weak against full labels",
        "caption": "The model of the last round and the same network trained as long on full labels, both on val.",
        "columns": ["", "weak labels", "full labels", "ratio"],
        "rows": [
            [row["metric"], *(_format_score(row[column]) for column in ("weak", "full", "ratio"))]
            for row in tabulate_ratios(summary)
        ],
    }


def _make_class_table(summary: Mapping[str, Any]) -> dict[str, Any]:
    weak = summary["rounds"][-1]["model"]["val"]["per_class"] if summary["rounds"] else {}
    full = (summary["reference"]["val"] or {}).get("per_class", {})
    return {
        "title": "Classes",
        "caption": "The same two models by class.",
        "columns": ["", "", "PQ weak", "PQ full", "IoU weak", "IoU full", "AP weak", "AP full"],
        "rows": [
            [c["name"], "thing" if c["isthing"] else "stuff"]
            + [
                _format_score(scores.get(c["name"], {}).get(metric))
                for metric in ("pq", "iou", "ap")
                for scores in (weak, full)
            ]
            for c in summary["categories"]
        ],
    }


def _make_detection_tables(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The table of detections, overall and by class; none if nothing was scored."""
    parts = [scores for scores in summary["detections"].values() if scores is not None]
    if not parts:
        return []
    overall = {key: value for scores in parts for key, value in scores.items()}
    names = dict.fromkeys(name for scores in parts for name in scores["per_class"])
    rows = {"all": overall}
    rows |= {name: {k: v for scores in parts for k, v in scores["per_class"].get(name, {}).items()} for name in names}
    table = {
        "title": "Detections",
        "caption": "Boxes and masks of the mined network, found without tags: AP on val, CorLoc on train.",
        "columns": ["", *DETECTION_NAMES.values()],
        "rows": [[name, *(_format_score(row.get(key)) for key in DETECTION_NAMES)] for name, row in rows.items()],
    }
    return [table]


def _make_count_table(counts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "title": "What the labels hold",
        "caption": "Labels of the last round, and the training images that have a class by their weak labels. Nothing "
        "else shows without ground truth that the labels have lost a class.",
        "columns": ["", "", "images", "labelled", "boxes", "instances", "share of pixels"],
        "rows": [
            [
                row["name"],
                "thing" if row["isthing"] else "stuff",
                str(row["images"]),
                str(row["labelled_images"]),
                *(str(row[key]) if row["isthing"] else "" for key in ("boxes", "instances")),
                f"{row['pixel_share']:.1%}",
            ]
            for row in counts
        ],
    }


def _make_supervision_table(supervision: Mapping[str, int], marks: Mapping[str, int]) -> dict[str, Any]:
    counted = " and ".join(f"{count} {kind}" for kind, count in marks.items())
    return {
        "title": "What was known of the training images",
        "caption": "The list of all images is supervision.csv, in the folder of this page."
        + (f" Together they have {counted}." if marks else ""),
        "columns": ["", "images"],
        "rows": [[what, str(count)] for what, count in supervision.items()],
    }


def _make_network_table(networks: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    return {
        "title": "What the mask networks have seen",
        "caption": "Networks with weights that took part in the labels of round 0, and labels of other images that "
        "these were trained on, as far as they are known.",
        "columns": ["section", "model", "has seen"],
        "rows": [[network["section"], network["model"], network["has_seen"]] for network in networks],
    }


def _make_time_table(summary: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "title": "Time",
        "caption": "Seconds in the jobs of each stage.",
        "columns": ["stage", "seconds"],
        "rows": [[stage, f"{seconds:.1f}"] for stage, seconds in summary["seconds"].items()],
    }


def _format_score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
