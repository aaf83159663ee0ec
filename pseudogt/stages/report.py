"""Make the report: figures, tables and one HTML page.

The folder holds ``train_examples.png``, ``val_examples.png``, ``worst_examples.png`` (with ``--scores``),
``rounds.png``, ``stages.png``, ``ratios.csv``, ``supervision.csv`` (what was known about each training image) and
``index.html``, which embeds all figures. A figure of a split without images is left out.
"""

from __future__ import annotations

import csv
import io
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from tqdm import tqdm

from pseudogt.classes import INSTANCE_DIVISOR, ClassTable
from pseudogt.config.report import ReportSettings
from pseudogt.files.images import read_image, write_png
from pseudogt.files.index import ImageRecord, read_shards
from pseudogt.files.io import read_json, replace_atomically
from pseudogt.files.labels import LabelFolder, read_label_folders
from pseudogt.files.scores import ScoreFile, read_score_files
from pseudogt.reporting.overlays import draw_grid, draw_legend, draw_panoptic, resize_to_width
from pseudogt.reporting.report import (
    choose_evenly,
    describe_supervision,
    draw_rounds,
    draw_stages,
    find_worst,
    render_page,
    tabulate_ratios,
)
from pseudogt.weak_labels.records import read_weak_labels
from pseudogt.weak_labels.supervision import count_images, describe_images
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser

Source = Mapping[str, LabelFolder | ScoreFile]

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
    """Run the stage."""
    arguments = _parse_arguments(argv)
    settings = parse_settings(ReportSettings, arguments.settings)
    summary = read_json(arguments.summary)
    with replace_atomically(arguments.out) as folder:
        folder.mkdir()
        supervision = _read_supervision(arguments)
        titles = _write_examples(folder, arguments, settings, supervision)
        if summary["rounds"]:  # there are none without ground truth to score against
            for name, draw in (("rounds.png", draw_rounds), ("stages.png", draw_stages)):
                _save_figure(folder / name, draw(summary))
            titles |= {"rounds.png": "Rounds", "stages.png": "Quality of the labels"}
        _write_table(folder / "ratios.csv", ["metric", "weak", "full", "ratio"], tabulate_ratios(summary))
        rows = [{"image_id": image_id, "supervision": what} for image_id, what in supervision.items()]
        _write_table(folder / "supervision.csv", ["image_id", "supervision"], rows)
        note = f"Supervision: {' and '.join(describe_supervision(summary['supervision']))}."
        figures = [
            {"name": name, "title": title, "caption": f"{CAPTIONS[name]} {note}", "image": read_image(folder / name)}
            for name, title in titles.items()
        ]
        (folder / "index.html").write_text(render_page(summary, figures, count_images(supervision)), encoding="utf-8")


def _parse_arguments(argv: Sequence[str] | None) -> Namespace:
    parser = stage_parser(__doc__)
    parser.add_argument("--summary", required=True, type=Path, help="evaluation/summary.json")
    parser.add_argument("--scores", type=Path, help="scores of the last model on val; adds the figure of the worst")
    parser.add_argument(
        "--shards", required=True, nargs="+", type=Path, help="train-*.json and val-*.json of the index"
    )
    parser.add_argument("--weak-labels", required=True, nargs="+", type=Path, help="of train")
    for name in (
        "full-labels",
        "ground-truth",
        "cams",
        "box-masks",
        "mined",
        "labels-first",
        "labels-last",
        "predictions",
        "reference-predictions",
    ):
        parser.add_argument(f"--{name}", nargs="*", default=[], type=Path)
    parser.add_argument("--out", required=True, type=Path, help="folder of the report")
    return parser.parse_args(argv)


def _read_supervision(arguments: Namespace) -> dict[str, str]:
    """What was known about each training image."""
    weak_labels, _ = read_weak_labels(arguments.weak_labels)
    return describe_images(weak_labels, read_label_folders(arguments.full_labels))


def _write_examples(
    folder: Path, arguments: Namespace, settings: ReportSettings, supervision: Mapping[str, str]
) -> dict[str, str]:
    """Write the figures of examples; return their titles by file name."""
    truth = read_label_folders(arguments.ground_truth)
    predictions = read_label_folders(arguments.predictions)
    mined = read_label_folders(arguments.mined)
    train_columns: dict[str, Source] = {
        "ground truth": truth,
        "CAM labels": read_score_files(arguments.cams),
        "box masks": read_label_folders(arguments.box_masks),
        "mined labels": mined,
        "labels of round 0": read_label_folders(arguments.labels_first),
        "last labels": read_label_folders(arguments.labels_last),
        "prediction": predictions,
    }
    val_columns: dict[str, Source] = {
        "ground truth": truth,
        "mining": mined,
        "weak labels: prediction": predictions,
        "full labels: prediction": read_label_folders(arguments.reference_predictions),
    }
    _, classes = read_shards(arguments.shards)
    train, val = (_read_split(arguments.shards, split) for split in ("train", "val"))
    per_image = read_json(arguments.scores)["per_image"] if arguments.scores else {}
    plans = [
        ("train_examples.png", "Train", train, choose_evenly(list(train), settings.examples), train_columns),
        ("val_examples.png", "Val", val, choose_evenly(list(val), settings.examples), val_columns),
        ("worst_examples.png", "Worst of val", val, find_worst(per_image, settings.worst), val_columns),
    ]
    titles = {}
    for name, title, records, chosen, columns in plans:
        if chosen:
            captions = [_describe_image(i, supervision.get(i), per_image.get(i, {}).get("pq")) for i in chosen]
            grid = _draw_examples([records[i] for i in chosen], captions, columns, classes, settings)
            write_png(folder / name, grid)
            titles[name] = title
    return titles


def _read_split(shards: Sequence[Path], split: str) -> dict[str, ImageRecord]:
    """Read the records, by image id, of the shards ``<split>-<number>.json``."""
    of_split = [path for path in shards if path.stem.rpartition("-")[0] == split]
    return {r.image_id: r for r in read_shards(of_split)[0]} if of_split else {}


def _describe_image(image_id: str, supervision: str | None, pq: float | None) -> str:
    parts = [image_id, *([f"PQ {pq:.2f}"] if pq is not None else []), *([supervision] if supervision else [])]
    return "   ".join(parts)


def _draw_examples(
    records: Sequence[ImageRecord],
    captions: Sequence[str],
    columns: Mapping[str, Source],
    classes: ClassTable,
    settings: ReportSettings,
) -> NDArray[np.uint8]:
    """Grid with a row per image: the image, then the label in each column's source."""
    filled = {title: source for title, source in columns.items() if any(r.image_id in source for r in records)}
    present: set[int] = set()
    rows = []
    for record in tqdm(records, desc="report", unit="image"):
        image = resize_to_width(read_image(record.image), settings.panel_width_px)
        row: list[NDArray[np.uint8] | None] = [image]
        for source in filled.values():
            panoptic_id = _read_label(source, record.image_id, classes)
            if panoptic_id is None:
                row.append(None)
                continue
            small = resize_to_width(panoptic_id, settings.panel_width_px)
            present.update(classes.category_to_train[np.unique(small) // INSTANCE_DIVISOR].tolist())
            row.append(draw_panoptic(image, small, classes))
        rows.append(row)
    shown = sorted(i for i in present if i < len(classes))
    width = (len(filled) + 1) * (settings.panel_width_px + 4)
    return draw_grid(rows, ["image", *filled], captions, draw_legend(classes, shown, width))


def _read_label(source: Source, image_id: str, classes: ClassTable) -> NDArray[np.int32] | None:
    """Panoptic ids ``(H, W) int32`` of an image; None if the source doesn't hold it."""
    if image_id not in source:
        return None
    found = source[image_id]
    if isinstance(found, LabelFolder):
        return found.read(image_id)
    return classes.train_to_category[found.read_label(image_id)[0]] * np.int32(INSTANCE_DIVISOR)


def _save_figure(path: Path, figure: Figure) -> None:
    buffer = io.BytesIO()
    # Without the version of the library in the file, equal figures are equal bytes.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    path.write_bytes(buffer.getvalue())


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    run_stage(main)
