"""Make the report: one HTML page with pictures to compare, figures and tables.

The folder holds ``index.html``, which needs no other file, ``train_examples.png``, ``val_examples.png``,
``worst_examples.png`` (with ``--scores``), ``rounds.png``, ``stages.png``, ``ratios.csv``, ``labels.csv`` (what the
labels hold of each class) and ``supervision.csv`` (what was known about each training image). A figure of a split
without images is left out.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from pseudogt.config.report import ReportSettings
from pseudogt.files.images import read_image, write_png
from pseudogt.files.io import read_json, replace_atomically
from pseudogt.files.labels import read_label_folders
from pseudogt.files.scores import read_score_files
from pseudogt.parsing.tables import write_table
from pseudogt.reporting.class_counts import COLUMNS, count_labels
from pseudogt.reporting.examples import ExampleImage, Examples, ImageScores, Sources, embed_examples
from pseudogt.reporting.page import name_views, render_page
from pseudogt.reporting.report import (
    draw_rounds,
    draw_stages,
    make_tables,
    tabulate_ratios,
)
from pseudogt.reporting.sample import choose_evenly, find_worst
from pseudogt.weak_labels.files import read_weak_labels
from pseudogt.weak_labels.supervision import count_images, count_marks, describe_images
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser
from pseudogt.workflow.shards import split_of_shard
from pseudogt.workflow.stage import Shard

SCORE_SOURCES = ("cams",)
LABEL_SOURCES = ("ground-truth", "box-masks", "mined", "predictions", "reference-predictions")
CAPTIONS = {
    "rounds.png": "Scores by round, and of the labels that the last model gives. The line is the same network trained "
    "as long on full labels.",
    "stages.png": "Share of the pixels that have a label, share of those that are right, and mIoU, in which a pixel "
    "without label is a miss.",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Write the folder of the report."""
    arguments = parse_arguments(argv)
    settings = parse_settings(ReportSettings, arguments.settings)
    summary = read_json(arguments.summary)
    scores = {"train": read_image_scores(arguments.label_scores), "val": read_image_scores(arguments.scores)}
    weak_labels, _ = read_weak_labels(arguments.weak_labels)
    supervision = describe_images(weak_labels, read_label_folders(arguments.full_labels))
    rounds = {f"labels-{number}": read_label_folders(folders) for number, *folders in arguments.labels}
    sources = open_sources(vars(arguments)) | rounds
    judged = {"train": list(rounds)[-1], "val": "predictions"}
    shards, width_px = open_splits(arguments.shards), settings.panel_width_px
    classes = next(iter(shards.values())).classes
    counts = count_labels(weak_labels, rounds[judged["train"]], classes)
    images = {split: {image.image_id: image for image in shard} for split, shard in shards.items()}
    examples = {
        split: Examples(split, shard.classes, sources, list(rounds), judged[split], weak_labels, supervision, width_px)
        for split, shard in shards.items()
    }
    with replace_atomically(arguments.out) as folder:
        folder.mkdir()
        write_examples(folder, examples, images, scores["val"], settings)
        titles = write_charts(folder, summary)
        write_table(folder / "ratios.csv", ["metric", "weak", "full", "ratio"], tabulate_ratios(summary))
        write_table(folder / "labels.csv", COLUMNS, counts)
        rows = [{"image_id": image_id, "supervision": what} for image_id, what in supervision.items()]
        write_table(folder / "supervision.csv", ["image_id", "supervision"], rows)
        entries, rules = embed_examples(examples, images, scores, worst=settings.worst, drawn=settings.examples)
        figures = [
            {"title": title, "caption": CAPTIONS[name], "image": read_image(folder / name)}
            for name, title in titles.items()
        ]
        marks, networks = count_marks(weak_labels.values()), json.loads(arguments.networks)
        page = render_page(
            summary,
            classes,
            entries,
            titles=name_views(list(rounds), entries),
            rounds=list(rounds),
            rules=rules,
            figures=figures,
            tables=make_tables(summary, count_images(supervision), marks, counts, networks),
        )
        (folder / "index.html").write_text(page, encoding="utf-8")


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = stage_parser(__doc__)
    parser.add_argument("--summary", required=True, type=Path, help="evaluation/summary.json")
    parser.add_argument("--scores", type=Path, help="scores of the last model on val; adds the figure of the worst")
    parser.add_argument("--label-scores", type=Path, help="scores of the last labels on train")
    parser.add_argument("--shards", required=True, nargs="+", type=Path, help="train-*.json and val-*.json")
    parser.add_argument("--weak-labels", required=True, nargs="+", type=Path, help="of train")
    parser.add_argument("--full-labels", nargs="*", default=[], type=Path)
    parser.add_argument(
        "--labels", required=True, nargs="+", action="append", metavar=("ROUND", "FOLDER"),
        help="number of a round and the folders of its labels; once for each round, in their order",
    )  # fmt: skip
    for name in (*SCORE_SOURCES, *LABEL_SOURCES):
        parser.add_argument(f"--{name}", nargs="*", default=[], type=Path)
    parser.add_argument("--networks", default="[]", help="JSON list: what networks with weights have seen")
    parser.add_argument("--out", required=True, type=Path, help="folder of the report")
    return parser.parse_args(argv)


def read_image_scores(path: Path | None) -> ImageScores:
    """Scores of each image from the file of a subject; none without a file."""
    return read_json(path)["per_image"] if path else {}


def open_sources(options: Mapping[str, Any]) -> Sources:
    """Open what the options for labels name, by the name of the option; labels of rounds are opened elsewhere."""
    files = {name.replace("_", "-"): paths for name, paths in options.items()}
    sources: Sources = {name: read_score_files(files[name]) for name in SCORE_SOURCES}
    return sources | {name: read_label_folders(files[name]) for name in LABEL_SOURCES}


def open_splits(shards: Sequence[Path]) -> dict[str, Shard]:
    """Open the shards of train and those of val; a split without shards is left out."""
    by_split = {split: [p for p in shards if split_of_shard(p.stem) == split] for split in ("train", "val")}
    return {split: Shard.open(paths) for split, paths in by_split.items() if paths}


def write_examples(
    folder: Path,
    examples: Mapping[str, Examples],
    images: Mapping[str, Mapping[str, ExampleImage]],
    val_scores: ImageScores,
    settings: ReportSettings,
) -> None:
    """Write the figures of examples."""
    evenly = {split: choose_evenly(list(each), settings.examples) for split, each in images.items()}
    plans = [
        ("train_examples.png", "train", evenly.get("train", [])),
        ("val_examples.png", "val", evenly.get("val", [])),
        ("worst_examples.png", "val", find_worst(val_scores, settings.worst)),
    ]
    for name, split, chosen in plans:
        if chosen:
            write_png(folder / name, examples[split].draw([images[split][i] for i in chosen], val_scores))


def write_charts(folder: Path, summary: Mapping[str, Any]) -> dict[str, str]:
    """Write the figures of scores; return their titles by file name."""
    if not summary["rounds"]:  # there are none without ground truth to score against
        return {}
    for name, draw in (("rounds.png", draw_rounds), ("stages.png", draw_stages)):
        save_figure(folder / name, draw(summary))
    return {"rounds.png": "Rounds", "stages.png": "Quality of the labels"}


def save_figure(path: Path, figure: Figure) -> None:
    """Write a figure as PNG; without the version of the library in it, equal figures are equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    path.write_bytes(buffer.getvalue())


if __name__ == "__main__":
    run_stage(main)
