"""Make the report: figures, tables and one HTML page.

The folder holds ``train_examples.png``, ``val_examples.png``, ``worst_examples.png`` (with ``--scores``),
``rounds.png``, ``stages.png``, ``ratios.csv``, ``supervision.csv`` (what was known about each training image) and
``index.html``, which embeds all figures. A figure of a split without images is left out.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

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
from pseudogt.reporting.report import (
    choose_evenly,
    describe_example,
    describe_supervision,
    draw_rounds,
    draw_stages,
    find_worst,
    render_page,
    tabulate_ratios,
)
from pseudogt.weak_labels.records import ImageWeakLabels, read_weak_labels
from pseudogt.weak_labels.supervision import count_images, count_marks, describe_images
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser
from pseudogt.workflow.shards import split_of_shard
from pseudogt.workflow.stage import Shard

Source = Mapping[str, LabelFolder | ScoreFile]
Sources = dict[str, Mapping[str, LabelFolder | ScoreFile]]

SCORE_COLUMNS = ("cams",)
LABEL_COLUMNS = (
    "ground-truth",
    "box-masks",
    "mined",
    "labels-first",
    "labels-last",
    "predictions",
    "reference-predictions",
)
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

CAPTIONS = {
    "train_examples.png": "Images of train, from weak labels to predictions. Hatched parts have no label; light grey "
    "is what box masks call background. White lines are the borders of segments, shades of a colour are instances.",
    "val_examples.png": "Images of val, which no training has seen.",
    "worst_examples.png": "The images of val with the lowest PQ in the last round.",
    "rounds.png": "Scores by round. The line is the same network trained as long on full labels.",
    "stages.png": "Share of the pixels that have a label, share of those that are right, and mIoU, in which a pixel "
    "without label is a miss.",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Write the folder of the report."""
    parser = stage_parser(__doc__)
    parser.add_argument("--summary", required=True, type=Path, help="evaluation/summary.json")
    parser.add_argument("--scores", type=Path, help="scores of the last model on val; adds the figure of the worst")
    parser.add_argument("--shards", required=True, nargs="+", type=Path, help="train-*.json and val-*.json")
    parser.add_argument("--weak-labels", required=True, nargs="+", type=Path, help="of train")
    parser.add_argument("--full-labels", nargs="*", default=[], type=Path)
    for name in (*SCORE_COLUMNS, *LABEL_COLUMNS):
        parser.add_argument(f"--{name}", nargs="*", default=[], type=Path)
    parser.add_argument("--out", required=True, type=Path, help="folder of the report")
    arguments = parser.parse_args(argv)
    settings = parse_settings(ReportSettings, arguments.settings)
    summary = read_json(arguments.summary)
    per_image = read_json(arguments.scores)["per_image"] if arguments.scores else {}
    weak_labels, _ = read_weak_labels(arguments.weak_labels)
    supervision = describe_images(weak_labels, read_label_folders(arguments.full_labels))
    files = {name.replace("_", "-"): paths for name, paths in vars(arguments).items()}
    sources: Sources = {name: read_score_files(files[name]) for name in SCORE_COLUMNS}
    sources |= {name: read_label_folders(files[name]) for name in LABEL_COLUMNS}
    examples = {
        split: Examples(shard, {name: sources[name] for name in COLUMNS[split]}, weak_labels, settings)
        for split, shard in open_splits(arguments.shards).items()
    }
    with replace_atomically(arguments.out) as folder:
        folder.mkdir()
        titles = write_examples(folder, examples, supervision, per_image, settings)
        if summary["rounds"]:  # there are none without ground truth to score against
            for name, draw in (("rounds.png", draw_rounds), ("stages.png", draw_stages)):
                save_figure(folder / name, draw(summary))
            titles |= {"rounds.png": "Rounds", "stages.png": "Quality of the labels"}
        write_table(folder / "ratios.csv", ["metric", "weak", "full", "ratio"], tabulate_ratios(summary))
        rows = [{"image_id": image_id, "supervision": what} for image_id, what in supervision.items()]
        write_table(folder / "supervision.csv", ["image_id", "supervision"], rows)
        note = f"Supervision: {' and '.join(describe_supervision(summary['supervision']))}."
        figures = [
            {"name": name, "title": title, "caption": f"{CAPTIONS[name]} {note}", "image": read_image(folder / name)}
            for name, title in titles.items()
        ]
        page = render_page(summary, figures, count_images(supervision), count_marks(weak_labels.values()))
        (folder / "index.html").write_text(page, encoding="utf-8")


def open_splits(shards: Sequence[Path]) -> dict[str, Shard]:
    """Open the shards of train and those of val; a split without shards is left out."""
    by_split = {split: [p for p in shards if split_of_shard(p.stem) == split] for split in ("train", "val")}
    return {split: Shard.open(paths) for split, paths in by_split.items() if paths}


def write_examples(
    folder: Path,
    examples: Mapping[str, Examples],
    supervision: Mapping[str, str],
    per_image: Mapping[str, Mapping[str, float | None]],
    settings: ReportSettings,
) -> dict[str, str]:
    """Write the figures of examples; return their titles by file name."""
    evenly = {split: choose_evenly(each.shard.image_ids, settings.examples) for split, each in examples.items()}
    plans = [
        ("train_examples.png", "Train", "train", evenly.get("train", [])),
        ("val_examples.png", "Val", "val", evenly.get("val", [])),
        ("worst_examples.png", "Worst of val", "val", find_worst(per_image, settings.worst)),
    ]
    titles = {}
    for name, title, split, chosen in plans:
        if chosen:
            captions = [describe_example(i, supervision.get(i), per_image.get(i, {}).get("pq")) for i in chosen]
            write_png(folder / name, examples[split].draw(chosen, captions))
            titles[name] = title
    return titles


@dataclass(frozen=True)
class Examples:
    """Images of a split beside their labels in several sources.

    Attributes
    ----------
    shard : Shard
    sources : mapping
        Labels of the columns by name; a column none of whose images is shown is left out.
    weak_labels : mapping
        Their marks are drawn on the images.
    settings : ReportSettings
    """

    shard: Shard
    sources: Sources
    weak_labels: Mapping[str, ImageWeakLabels]
    settings: ReportSettings

    def draw(self, chosen: Sequence[str], captions: Sequence[str]) -> NDArray[np.uint8]:
        """Read the chosen images and draw a grid with a row for each: the image, then its labels."""
        classes, width = self.shard.classes, self.settings.panel_width_px
        images = {image.image_id: image for image in self.shard.take(chosen)}
        filled = {name: source for name, source in self.sources.items() if any(i in source for i in chosen)}
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
        split = split_of_shard(self.shard.name)
        return draw_grid(rows, ["image", *(COLUMNS[split][name] for name in filled)], captions, legend)


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
