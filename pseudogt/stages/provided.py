"""Give a shard its part of results that were brought along, in place of the stage that would compute them.

python -m pseudogt.stages.provided --kind weak_labels|cams|box_masks --shard S.json --out OUT --settings JSON

The settings name one file or folder of each kind for all images; images that are not in the shard are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from pseudogt.classes import IGNORE_LABEL, ClassTable, panoptic_to_semantic
from pseudogt.config.provided import ProvidedSettings
from pseudogt.files.hdf5 import write_hdf5
from pseudogt.files.index import ImageRecord, read_shard
from pseudogt.files.io import read_json
from pseudogt.files.labels import PANOPTIC_JSON, LabelFolder, write_labels
from pseudogt.files.scores import ScoreFile
from pseudogt.weak_labels.records import read_weak_labels, write_weak_labels
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser


def main(argv: Sequence[str] | None = None) -> None:
    """Write one file or folder of a shard."""
    parser = stage_parser(__doc__)
    parser.add_argument("--kind", choices=list(PROVIDERS), required=True)
    parser.add_argument("--shard", type=Path, required=True, help="index/<shard>.json")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--may-miss", action="store_true", help="images without weak labels have full ones")
    args = parser.parse_args(argv)
    path = getattr(parse_settings(ProvidedSettings, args.settings), args.kind)
    if path is None:
        raise ValueError(f"provided.{args.kind} is not set")
    records, classes = read_shard(args.shard)
    if args.may_miss:
        listed = {str(image["id"]) for image in read_json(path)["images"]}
        records = [record for record in records if record.image_id in listed]
    PROVIDERS[args.kind](Path(path), records, classes, args.out)


def provide_weak_labels(path: Path, records: Sequence[ImageRecord], classes: ClassTable, out: Path) -> None:
    """Write the shard's part of a weak-label file."""
    weak_labels, found = read_weak_labels([path])
    _check_classes(found, classes, path)
    _check_images([r.image_id for r in records if r.image_id not in weak_labels], path)
    chosen = [weak_labels[r.image_id] for r in records]
    for record, weak in zip(records, chosen, strict=True):
        _check_size((weak.height, weak.width), record, path)
    write_weak_labels(out, chosen, classes)


def provide_cams(path: Path, records: Sequence[ImageRecord], classes: ClassTable, out: Path) -> None:
    """Write the shard's part of a score file."""
    scores = ScoreFile(path)
    _check_images([r.image_id for r in records if r.image_id not in scores], path)
    with h5py.File(path, "r") as source, write_hdf5(out) as target:
        for record in records:
            label, _ = scores.read_label(record.image_id)
            _check_size(label.shape, record, path)
            highest = int(label[label != IGNORE_LABEL].max(initial=0))
            if highest >= len(classes):
                raise ValueError(
                    f"{path}: image {record.image_id!r} has train id {highest}, the class table {len(classes)} classes"
                )
            source.copy(record.image_id, target)


def provide_box_masks(path: Path, records: Sequence[ImageRecord], classes: ClassTable, out: Path) -> None:
    """Write the shard's part of a folder of box masks."""
    masks = LabelFolder(path)
    categories = read_json(path / PANOPTIC_JSON)["categories"]
    own = [c for c in categories if c["id"] != classes.background_category_id]
    _check_classes(ClassTable.from_categories(own), classes, path)
    _check_images([r.image_id for r in records if r.image_id not in masks], path)
    with write_labels(out, classes) as labels:
        for record in records:
            panoptic_id = masks.read(record.image_id)
            _check_size(panoptic_id.shape, record, path)
            _check_things_only(panoptic_id, classes, record, path)
            labels.add(record.image_id, panoptic_id)


PROVIDERS = {"weak_labels": provide_weak_labels, "cams": provide_cams, "box_masks": provide_box_masks}


def _check_images(missing: list[str], path: Path) -> None:
    if missing:
        raise ValueError(f"{path}: image {missing[0]!r} (and {len(missing) - 1} more) of the dataset is not in it")


def _check_classes(found: ClassTable, classes: ClassTable, path: Path) -> None:
    if (found.names, found.category_ids, found.isthing) != (classes.names, classes.category_ids, classes.isthing):
        raise ValueError(
            f"{path}: its categories differ from dataset.classes; names, ids, order and isthing must agree"
        )


def _check_size(size: tuple[int, ...], record: ImageRecord, path: Path) -> None:
    if size != (record.height, record.width):
        raise ValueError(
            f"{path}: image {record.image_id!r} is {size[1]}x{size[0]} there, the file {record.image} "
            f"{record.width}x{record.height}; they must have one size"
        )


def _check_things_only(panoptic_id: NDArray[np.int32], classes: ClassTable, record: ImageRecord, path: Path) -> None:
    stuff = np.intersect1d(panoptic_to_semantic(panoptic_id, classes), classes.stuff_ids)
    if len(stuff):
        raise ValueError(
            f"{path}: the box masks of {record.image_id!r} hold the stuff class {classes.names[stuff[0]]!r}"
        )


if __name__ == "__main__":
    run_stage(main)
