"""List the images and boxes whose labels are trusted least, for a person to correct.

python -m pseudogt.stages.review shard --shard S.json --weak-labels F.json --labels DIR --scores X.h5
    [--box-masks DIR] [--full-labels DIR] --out R.json
python -m pseudogt.stages.review merge --shards S.json.. --reviewed R.json.. --weak-labels F.json.. --labels DIR..
    --out DIR --settings JSON

``merge`` writes ``images.csv`` and ``segments.csv`` (the queue, all images), ``images.txt`` (ids of its head) and
``index.html`` with ``pictures/``. Images with full labels are not in the queue. No ground truth is read.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
from tqdm import tqdm

from pseudogt.classes import ClassTable
from pseudogt.config.review import ReviewSettings
from pseudogt.files.images import read_image
from pseudogt.files.index import ImageRecord, read_shard, read_shards
from pseudogt.files.io import read_json, replace_atomically, write_json
from pseudogt.files.labels import LabelFolder, read_label_folders
from pseudogt.files.scores import ScoreFile
from pseudogt.reporting.overlays import draw_panoptic
from pseudogt.reporting.review_page import PICTURE_WIDTH_PX, draw_suspects, render_queue
from pseudogt.reporting.review_queue import (
    SIGNALS,
    Suspect,
    from_json,
    measure_certainty,
    measure_coverage,
    rank_images,
    review_image,
    summarise_suspects,
    to_json,
)
from pseudogt.weak_labels.records import read_weak_labels
from pseudogt.workflow.cli import parse_settings, run_stage

IMAGE_COLUMNS = ("rank", "image_id", "image", "priority", "trust", "coverage", "masks", "reasons")
SEGMENT_COLUMNS = ("rank", "image_id", "kind", "class", "x0", "y0", "x1", "y1", "pixels", "trust", *SIGNALS, "reasons")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage."""
    arguments = _parse_arguments(argv)
    arguments.run(arguments)


def _parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    shard = commands.add_parser("shard", help="trust in the labels of one shard")
    shard.add_argument("--shard", required=True, type=Path, help="index/<shard>.json")
    shard.add_argument("--weak-labels", required=True, type=Path)
    shard.add_argument("--labels", required=True, type=Path, help="label folder")
    shard.add_argument("--scores", required=True, type=Path, help="score file that the labels were made from")
    shard.add_argument("--box-masks", type=Path, help="label folder; its scores are the agreement of the segmenters")
    shard.add_argument("--full-labels", type=Path, help="label folder of images that need no review")
    shard.add_argument("--out", required=True, type=Path)
    shard.set_defaults(run=review_shard)
    merge = commands.add_parser("merge", help="the queue of all shards")
    merge.add_argument("--shards", required=True, nargs="+", type=Path)
    merge.add_argument("--reviewed", required=True, nargs="+", type=Path, help="--out of all shards")
    merge.add_argument("--labels", required=True, nargs="+", type=Path, help="label folders, for the pictures")
    merge.add_argument("--out", required=True, type=Path, help="folder of the queue")
    merge.add_argument("--settings", default="{}", help="the config section `review` as JSON")
    merge.set_defaults(run=merge_shards)
    return parser.parse_args(argv)


def review_shard(arguments: argparse.Namespace) -> None:
    """Write how far each box and tagged class of a shard is trusted."""
    records, classes = read_shard(arguments.shard)
    weak_labels, _ = read_weak_labels([arguments.weak_labels])
    labels, scores = LabelFolder(arguments.labels), ScoreFile(arguments.scores)
    box_masks = LabelFolder(arguments.box_masks) if arguments.box_masks else None
    full = LabelFolder(arguments.full_labels) if arguments.full_labels else None
    reviewed: dict[str, Any] = {}
    for record in tqdm(records, desc=f"review {arguments.shard.stem}", unit="image", mininterval=5):
        image_id = record.image_id
        if full is not None and image_id in full:
            continue
        panoptic_id = labels.read(image_id)
        suspects = review_image(
            weak_labels[image_id],
            panoptic_id,
            read_segment_scores(labels, image_id),
            None if box_masks is None else read_segment_scores(box_masks, image_id),
            measure_certainty(scores.read(image_id)[0]),
            classes,
        )
        reviewed[image_id] = {"coverage": measure_coverage(panoptic_id), "suspects": to_json(suspects)}
    write_json(arguments.out, reviewed, indent=None)


def read_segment_scores(labels: LabelFolder, image_id: str) -> dict[int, float]:
    """Scores of the segments that have one, by panoptic id."""
    return {s["id"]: s["score"] for s in labels.segments(image_id) if "score" in s}


def merge_shards(arguments: argparse.Namespace) -> None:
    """Write the queue."""
    settings = parse_settings(ReviewSettings, arguments.settings)
    records, classes = read_shards(arguments.shards)
    by_id = {record.image_id: record for record in records}
    coverage: dict[str, float] = {}
    suspects: dict[str, list[Suspect]] = {}
    for path in arguments.reviewed:
        for image_id, found in read_json(path).items():
            coverage[image_id], suspects[image_id] = found["coverage"], from_json(found["suspects"])
    priority = rank_images(suspects)
    head = list(priority)[: settings.images]
    rows = [make_image_row(rank, by_id[i], priority[i], suspects[i], coverage[i]) for rank, i in enumerate(priority, 1)]
    with replace_atomically(arguments.out) as folder:
        (folder / "pictures").mkdir(parents=True)
        write_table(folder / "images.csv", IMAGE_COLUMNS, rows)
        write_table(folder / "segments.csv", SEGMENT_COLUMNS, list_segment_rows(priority, suspects))
        (folder / "images.txt").write_text("".join(f"{image_id}\n" for image_id in head), encoding="utf-8")
        labels = read_label_folders(arguments.labels)
        for rank, image_id in enumerate(tqdm(head, desc="review", unit="picture", mininterval=5), 1):
            write_picture(
                folder / "pictures" / f"{rank:04d}.jpg",
                by_id[image_id],
                labels[image_id],
                suspects[image_id],
                classes,
                PICTURE_WIDTH_PX,
            )
        page = render_queue(rows[: settings.images], [suspects[i] for i in head], len(priority))
        (folder / "index.html").write_text(page, encoding="utf-8")


def make_image_row(
    rank: int, record: ImageRecord, priority: float, suspects: Sequence[Suspect], coverage: float
) -> dict[str, Any]:
    """One row of ``images.csv``."""
    trust = sum(s.trust for s in suspects) / len(suspects) if suspects else None
    return {
        "rank": rank,
        "image_id": record.image_id,
        "image": record.image,
        "priority": f"{priority:.4f}",
        "trust": "" if trust is None else f"{trust:.3f}",
        "coverage": f"{coverage:.3f}",
        "masks": len(suspects),
        "reasons": summarise_suspects(suspects),
    }


def list_segment_rows(ranked: Iterable[str], suspects: Mapping[str, Sequence[Suspect]]) -> Iterable[dict[str, Any]]:
    """Rows of ``segments.csv``: images in the order of the queue, least trusted segments first."""
    for rank, image_id in enumerate(ranked, 1):
        for suspect in sorted(suspects[image_id], key=lambda s: s.trust):
            corners: Sequence[int | str] = suspect.box_xyxy or [""] * 4
            yield {
                "rank": rank,
                "image_id": image_id,
                "kind": suspect.kind,
                "class": suspect.name,
                **dict(zip(("x0", "y0", "x1", "y1"), corners, strict=True)),
                "pixels": suspect.pixels,
                "trust": f"{suspect.trust:.3f}",
                **{name: f"{value:.3f}" for name, value in suspect.signals.items()},
                "reasons": "; ".join(suspect.reasons),
            }


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write CSV; what a row lacks stays empty."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_picture(
    path: Path,
    record: ImageRecord,
    labels: LabelFolder,
    suspects: Sequence[Suspect],
    classes: ClassTable,
    width_px: int,
) -> None:
    """Write image and label side by side, with the boxes in the colour of their trust."""
    image = read_image(record.image)
    overlay = draw_panoptic(image, labels.read(record.image_id), classes)
    picture = draw_suspects(image, overlay, suspects, width_px)
    if not cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88]):
        raise OSError(f"{path}: could not be written")


if __name__ == "__main__":
    run_stage(main)
