"""Make the report: one HTML page with pictures to compare, figures and tables.

The folder holds ``index.html``, which needs no other file, ``train_examples.png``, ``val_examples.png``,
``worst_examples.png`` (with ``--scores``), ``rounds.png``, ``stages.png``, ``ratios.csv`` and ``supervision.csv`` (what
was known about each training image). A figure of a split without images is left out.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from tqdm import tqdm

from pseudogt.classes import INSTANCE_DIVISOR, ClassTable
from pseudogt.config.report import ReportSettings
from pseudogt.files.images import read_image, write_png
from pseudogt.files.io import read_json, replace_atomically
from pseudogt.files.labels import LabelFolder, read_label_folders
from pseudogt.files.scores import ScoreFile, read_score_files
from pseudogt.files.tables import write_table
from pseudogt.reporting.overlays import draw_grid, draw_legend, draw_marks, draw_panoptic, resize_to_width
from pseudogt.reporting.page import GROUP_NAMES, describe_sample, name_views, render_page
from pseudogt.reporting.pictures import embed_image
from pseudogt.reporting.report import (
    choose_evenly,
    describe_example,
    draw_rounds,
    draw_stages,
    find_worst,
    make_tables,
    tabulate_ratios,
)
from pseudogt.reporting.sample import average, choose_sample, find_classes, trust_segments
from pseudogt.weak_labels.records import ImageWeakLabels, read_weak_labels
from pseudogt.weak_labels.supervision import count_images, count_marks, describe_images
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser
from pseudogt.workflow.shards import split_of_shard
from pseudogt.workflow.stage import Shard, ShardImage

Source = Mapping[str, LabelFolder | ScoreFile]
Sources = dict[str, Source]
ImageScores = Mapping[str, Mapping[str, float | None]]

SCORE_SOURCES = ("cams",)
LABEL_SOURCES = ("ground-truth", "box-masks", "mined", "predictions", "reference-predictions")
COLUMNS = {
    "train": {
        "ground-truth": "ground truth",
        "cams": "CAM labels",
        "box-masks": "box masks",
        "mined": "mined labels",
        "labels-first": "labels of round 0",
        "labels-last": "last labels",
        "predictions": "prediction",
    },
    "val": {
        "ground-truth": "ground truth",
        "mined": "mining",
        "predictions": "weak labels: prediction",
        "reference-predictions": "full labels: prediction",
    },
}
"""Titles of the columns by the option that names their files, for the figures of each split."""

ENDS = {"first": 0, "last": -1}
"""Positions of the rounds that the figures show."""

PAGE_BYTES = 12_000_000
"""Bytes of all pictures of images in the page; each image has an equal share."""

MAX_PICTURE_PX = 2048

CAPTIONS = {
    "rounds.png": "Scores by round. The line is the same network trained as long on full labels.",
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
    examples = {
        split: Examples(split, shard, sources, list(rounds), judged[split], weak_labels, supervision, settings)
        for split, shard in open_splits(arguments.shards).items()
    }
    with replace_atomically(arguments.out) as folder:
        folder.mkdir()
        write_examples(folder, examples, scores["val"], settings)
        titles = write_charts(folder, summary)
        write_table(folder / "ratios.csv", ["metric", "weak", "full", "ratio"], tabulate_ratios(summary))
        rows = [{"image_id": image_id, "supervision": what} for image_id, what in supervision.items()]
        write_table(folder / "supervision.csv", ["image_id", "supervision"], rows)
        images, rules = embed_examples(examples, scores, settings)
        page = render_page(
            summary,
            next(iter(examples.values())).shard.classes,
            images,
            name_views(list(rounds), images),
            list(rounds),
            rules,
            [
                {"title": title, "caption": CAPTIONS[name], "image": read_image(folder / name)}
                for name, title in titles.items()
            ],
            make_tables(
                summary,
                count_images(supervision),
                count_marks(weak_labels.values()),
                json.loads(arguments.networks),
            ),
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
    """Open what the options for labels name, but for the labels of rounds, by the name of the option."""
    files = {name.replace("_", "-"): paths for name, paths in options.items()}
    sources: Sources = {name: read_score_files(files[name]) for name in SCORE_SOURCES}
    return sources | {name: read_label_folders(files[name]) for name in LABEL_SOURCES}


def open_splits(shards: Sequence[Path]) -> dict[str, Shard]:
    """Open the shards of train and those of val; a split without shards is left out."""
    by_split = {split: [p for p in shards if split_of_shard(p.stem) == split] for split in ("train", "val")}
    return {split: Shard.open(paths) for split, paths in by_split.items() if paths}


def write_examples(
    folder: Path, examples: Mapping[str, Examples], val_scores: ImageScores, settings: ReportSettings
) -> None:
    """Write the figures of examples."""
    evenly = {split: choose_evenly(each.shard.image_ids, settings.examples) for split, each in examples.items()}
    plans = [
        ("train_examples.png", "train", evenly.get("train", [])),
        ("val_examples.png", "val", evenly.get("val", [])),
        ("worst_examples.png", "val", find_worst(val_scores, settings.worst)),
    ]
    for name, split, chosen in plans:
        if chosen:
            write_png(folder / name, examples[split].draw(chosen, val_scores))


def write_charts(folder: Path, summary: Mapping[str, Any]) -> dict[str, str]:
    """Write the figures of scores; return their titles by file name."""
    if not summary["rounds"]:  # there are none without ground truth to score against
        return {}
    for name, draw in (("rounds.png", draw_rounds), ("stages.png", draw_stages)):
        save_figure(folder / name, draw(summary))
    return {"rounds.png": "Rounds", "stages.png": "Quality of the labels"}


def embed_examples(
    examples: Mapping[str, Examples], scores: Mapping[str, ImageScores], settings: ReportSettings
) -> tuple[list[dict[str, Any]], list[str]]:
    """Choose the images of the page; return what it holds of each, and how they were chosen."""
    samples, rules = {}, []
    for split, each in examples.items():
        values = {image_id: scores[split].get(image_id, {}).get("pq") for image_id in each.shard.image_ids}
        is_scored = any(value is not None for value in values.values())
        if not is_scored:
            values = {image_id: average(trust_segments(each.sources, each.judged, image_id)) for image_id in values}
        samples[split] = choose_sample(values, settings.worst, settings.examples)
        rules.append(describe_sample(split, len(values), samples[split], "PQ" if is_scored else "trust"))
    limit_bytes = PAGE_BYTES // max(1, sum(map(len, samples.values())))
    found = {}
    for split, groups in samples.items():
        for image in tqdm(examples[split].shard.take(groups), desc=f"page {split}", unit="image"):
            score = scores[split].get(image.image_id, {}).get("pq")
            found[split, image.image_id] = {
                "group": groups[image.image_id],
                "score": score,
                **examples[split].embed(image, limit_bytes),
            }
    order = [(group, split, i) for split, groups in samples.items() for i, group in groups.items()]
    order.sort(key=lambda entry: list(GROUP_NAMES).index(entry[0]))
    return [found[split, image_id] for _, split, image_id in order], rules


@dataclass(frozen=True)
class Examples:
    """Images of a split beside their labels in several sources.

    Attributes
    ----------
    split : str
    shard : Shard
    sources : mapping
        Labels by the name of the source.
    rounds : list of str
        Names of the sources that are labels of a round, in their order.
    judged : str
        Name of the source that is scored and trusted: the last labels, or predictions on val.
    weak_labels : mapping
        Their boxes and marks are drawn on the images.
    supervision : mapping
        What was known of training images, in words.
    settings : ReportSettings
    """

    split: str
    shard: Shard
    sources: Sources
    rounds: Sequence[str]
    judged: str
    weak_labels: Mapping[str, ImageWeakLabels]
    supervision: Mapping[str, str]
    settings: ReportSettings

    def draw(self, chosen: Sequence[str], scores: ImageScores) -> NDArray[np.uint8]:
        """Read the chosen images and draw a grid with a row for each: the image, then its labels."""
        classes, width = self.shard.classes, self.settings.panel_width_px
        images = {image.image_id: image for image in self.shard.take(chosen)}
        by_column = self.sources | {f"labels-{name}": self.sources[self.rounds[i]] for name, i in ENDS.items()}
        # A column none of whose images is shown is left out.
        filled = {name: by_column[name] for name in COLUMNS[self.split] if any(i in by_column[name] for i in chosen)}
        present: set[int] = set()
        rows = []
        for image_id in tqdm(chosen, desc="report", unit="image"):
            image = resize_to_width(images[image_id].read(), width)
            weak = self.weak_labels.get(image_id)
            row: list[NDArray[np.uint8] | None] = [image if weak is None else draw_marks(image, weak, classes)]
            present.update(weak.marks.classes.tolist() if weak else ())
            for source in filled.values():
                panoptic_id = read_panoptic_label(source, image_id, classes)
                if panoptic_id is None:
                    row.append(None)
                    continue
                small = resize_to_width(panoptic_id, width)
                present.update(classes.category_to_train[np.unique(small) // INSTANCE_DIVISOR].tolist())
                row.append(draw_panoptic(image, small, classes))
            rows.append(row)
        legend = draw_legend(classes, sorted(i for i in present if i < len(classes)), (len(filled) + 1) * (width + 4))
        captions = [describe_example(i, self.supervision.get(i), scores.get(i, {}).get("pq")) for i in chosen]
        return draw_grid(rows, ["image", *(COLUMNS[self.split][name] for name in filled)], captions, legend)

    def embed(self, image: ShardImage, limit_bytes: int) -> dict[str, Any]:
        """What the page holds of an image, with pictures in no more than a number of bytes."""
        image_id, classes = image.image_id, self.shard.classes
        weak = self.weak_labels.get(image_id)
        trust = trust_segments(self.sources, self.judged, image_id)
        found = {name: read_panoptic_label(source, image_id, classes) for name, source in self.sources.items()}
        labels = {name: label for name, label in found.items() if label is not None}
        label_ids, true_ids = (
            np.unique(labels[name]).tolist() if name in labels else [] for name in (self.judged, "ground-truth")
        )
        height, width = image.size
        panel_px = self.settings.panel_width_px
        # Neither side may pass the limit; small images are enlarged to the width of a panel.
        width_px = min(max(width, panel_px), 2 * panel_px, MAX_PICTURE_PX, MAX_PICTURE_PX * width // height)
        pictures = embed_image(image.read(), labels, weak, classes, width_px=width_px, limit_bytes=limit_bytes)
        return {
            "id": image_id,
            "split": self.split,
            "trust": average(trust),
            "classes": find_classes(label_ids, true_ids, trust, classes),
            "known": self.supervision.get(image_id),
            "tags": [] if weak is None else [classes.names[i] for i in np.flatnonzero(weak.tags)],
            **asdict(pictures),
        }


def read_panoptic_label(source: Source, image_id: str, classes: ClassTable) -> NDArray[np.int32] | None:
    """Panoptic ids ``(H, W) int32`` of an image; None if the source doesn't hold it."""
    if image_id not in source:
        return None
    found = source[image_id]
    if isinstance(found, LabelFolder):
        return found.read(image_id)
    return classes.train_to_category[found.read_label(image_id)[0]] * np.int32(INSTANCE_DIVISOR)


def save_figure(path: Path, figure: Figure) -> None:
    """Write a figure as PNG; without the version of the library in it, equal figures are equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    path.write_bytes(buffer.getvalue())


if __name__ == "__main__":
    run_stage(main)
