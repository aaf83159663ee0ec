"""Derive the weak labels of one shard from its ground truth, or merge those of all shards.

python -m pseudogt.stages.weak_labels --shard S.json --ground-truth DIR --out F.json --settings JSON
python -m pseudogt.stages.weak_labels --merge F1.json F2.json --out weak_labels.json
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from pseudogt.classes import ClassTable
from pseudogt.config.weak_labels import WeakLabelsSettings
from pseudogt.files.index import read_shard
from pseudogt.files.labels import LabelFolder
from pseudogt.weak_labels.from_masks import derive_weak_labels
from pseudogt.weak_labels.gaps import find_gaps
from pseudogt.weak_labels.records import ImageWeakLabels, read_weak_labels, write_weak_labels
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser


def main(argv: Sequence[str] | None = None) -> None:
    """Write one weak-label file."""
    parser = stage_parser(__doc__)
    parser.add_argument("--shard", type=Path, help="index/<shard>.json")
    parser.add_argument("--ground-truth", type=Path, help="label folder of the shard")
    parser.add_argument("--merge", type=Path, nargs="+", metavar="F", help="weak-label files to merge instead")
    parser.add_argument("--out", type=Path, required=True, help="weak-label file to write")
    args = parser.parse_args(argv)
    if args.merge:
        images, classes = read_weak_labels(args.merge)
        for gap in find_gaps(list(images.values()), classes) if images else []:
            print(f"warning: {gap}", file=sys.stderr)
        write_weak_labels(args.out, images.values(), classes)
        return
    if not (args.shard and args.ground_truth):
        parser.error("give --shard and --ground-truth, or --merge")
    settings = parse_settings(WeakLabelsSettings, args.settings)
    derived, classes = derive_shard(args.shard, args.ground_truth, settings)
    write_weak_labels(args.out, derived, classes)


def derive_shard(
    shard: Path, ground_truth: Path, settings: WeakLabelsSettings
) -> tuple[list[ImageWeakLabels], ClassTable]:
    """Weak labels of all images of a shard, in its order."""
    records, classes = read_shard(shard)
    labels = LabelFolder(ground_truth)
    derived = []
    for record in tqdm(records, desc=f"weak labels {shard.stem}", unit="image"):
        crowd_ids = {s["id"] for s in labels.segments(record.image_id) if s["iscrowd"]}
        panoptic_id = labels.read(record.image_id)
        derived.append(derive_weak_labels(record.image_id, panoptic_id, crowd_ids, classes, settings))
    return derived, classes


if __name__ == "__main__":
    run_stage(main)
