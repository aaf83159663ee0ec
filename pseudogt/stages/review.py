"""List the images and boxes whose labels are trusted least, for a person to correct.

``merge`` writes ``images.csv`` and ``segments.csv`` (the queue, all images), ``images.txt`` (ids of its head) and
``index.html`` with ``pictures/``. Images with full labels are not in the queue. No ground truth is read. Without
``--scores`` only boxes are reviewed, by their masks and the agreement of the box segmenters.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
from tqdm import tqdm

from pseudogt.box_masks.consensus import find_agreement
from pseudogt.classes import ClassTable
from pseudogt.config.review import ReviewSettings
from pseudogt.files.images import read_image, write_encoded
from pseudogt.files.index import ImageRecord
from pseudogt.files.io import read_json, replace_atomically, write_json
from pseudogt.files.labels import LabelFolder, read_label_folders
from pseudogt.files.scores import ScoreFile
from pseudogt.parsing.tables import write_table
from pseudogt.pseudo_labels.confidence import find_seen_share
from pseudogt.reporting.overlays import draw_panoptic
from pseudogt.reporting.review_page import PICTURE_WIDTH_PX, draw_suspects, render_queue
from pseudogt.reporting.review_queue import (
    IMAGE_COLUMNS,
    SEGMENT_COLUMNS,
    Suspect,
    list_segment_rows,
    make_image_row,
    measure_certainty,
    measure_coverage,
    rank_images,
    review_image,
)
from pseudogt.workflow.cli import parse_settings, run_stage
from pseudogt.workflow.stage import Shard


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    part = commands.add_parser("shard", help="trust in the labels of one shard")
    part.add_argument("--shard", required=True, type=Path, help="index/<shard>.json")
    part.add_argument("--weak-labels", required=True, type=Path)
    part.add_argument("--labels", required=True, type=Path, help="label folder")
    part.add_argument("--scores", type=Path, help="score file that the labels were made from")
    part.add_argument("--box-masks", type=Path, help="label folder, whose scores tell the agreement")
    part.add_argument("--full-labels", type=Path, help="label folder of images that need no review")
    part.add_argument("--out", required=True, type=Path)
    part.set_defaults(run=review_shard)
    merge = commands.add_parser("merge", help="the queue of all shards")
    merge.add_argument("--shards", required=True, nargs="+", type=Path)
    merge.add_argument("--reviewed", required=True, nargs="+", type=Path, help="--out of all shards")
    merge.add_argument("--labels", required=True, nargs="+", type=Path, help="label folders, for the pictures")
    merge.add_argument("--out", required=True, type=Path, help="folder of the queue")
    merge.add_argument("--settings", default="{}", help="the config section `review` as JSON")
    merge.set_defaults(run=merge_queue)
    arguments = vars(parser.parse_args(argv))
    arguments.pop("run")(**arguments)


def review_shard(
    shard: Path,
    weak_labels: Path,
    labels: Path,
    scores: Path | None,
    box_masks: Path | None,
    full_labels: Path | None,
    out: Path,
) -> None:
    """Write how far each box and tagged class of a shard is trusted."""
    opened = Shard.open(shard, weak_labels=weak_labels)
    label_folder, score_file = LabelFolder(labels), ScoreFile(scores) if scores else None
    masks = LabelFolder(box_masks) if box_masks else None
    full = LabelFolder(full_labels) if full_labels else None
    reviewed: dict[str, Any] = {}
    for image in opened.images("review"):
        image_id = image.image_id
        if full is not None and image_id in full:
            continue
        panoptic_id = label_folder.read(image_id)
        trusted = masks.scores(image_id) if masks else {}
        confidence = label_folder.scores(image_id) if score_file else {}
        suspects = review_image(
            image.weak,
            panoptic_id,
            {i: find_seen_share(value, trusted[i]) if i in trusted else value for i, value in confidence.items()},
            {i: find_agreement(value) for i, value in trusted.items()} if masks else None,
            measure_certainty(score_file.read(image_id)[0]) if score_file else None,
            opened.classes,
        )
        reviewed[image_id] = {"coverage": measure_coverage(panoptic_id), "suspects": list(map(asdict, suspects))}
    write_json(out, reviewed, indent=None)


def merge_queue(
    shards: Sequence[Path], reviewed: Sequence[Path], labels: Sequence[Path], out: Path, settings: str
) -> None:
    """Write the queue."""
    section = parse_settings(ReviewSettings, settings)
    shard = Shard.open(shards)
    by_id = {image.image_id: image.record for image in shard}
    coverage: dict[str, float] = {}
    suspects: dict[str, list[Suspect]] = {}
    for path in reviewed:
        for image_id, found in read_json(path).items():
            coverage[image_id], suspects[image_id] = found["coverage"], [Suspect(**each) for each in found["suspects"]]
    priority = rank_images(suspects)
    head = list(priority)[: section.images]
    rows = [
        make_image_row(rank, i, by_id[i].image, priority[i], suspects[i], coverage[i])
        for rank, i in enumerate(priority, 1)
    ]
    with replace_atomically(out) as folder:
        (folder / "pictures").mkdir(parents=True)
        write_table(folder / "images.csv", IMAGE_COLUMNS, rows)
        write_table(folder / "segments.csv", SEGMENT_COLUMNS, list_segment_rows(priority, suspects))
        (folder / "images.txt").write_text("".join(f"{image_id}\n" for image_id in head), encoding="utf-8")
        folders = read_label_folders(labels)
        for rank, image_id in enumerate(tqdm(head, desc="review", unit="picture", mininterval=5), 1):
            write_picture(
                folder / "pictures" / f"{rank:04d}.jpg",
                by_id[image_id],
                folders[image_id],
                suspects[image_id],
                shard.classes,
                PICTURE_WIDTH_PX,
            )
        page = render_queue(rows[: section.images], [suspects[i] for i in head], len(priority))
        (folder / "index.html").write_text(page, encoding="utf-8")


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
    write_encoded(path, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    run_stage(main)
