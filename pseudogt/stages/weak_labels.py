"""Derive the weak labels of a shard from its ground truth, or merge those of all shards into one file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pseudogt.config.weak_labels import WeakLabelsSettings
from pseudogt.files.labels import LabelFolder
from pseudogt.weak_labels.from_masks import derive_weak_labels
from pseudogt.weak_labels.gaps import find_gaps
from pseudogt.weak_labels.records import read_weak_labels, write_weak_labels
from pseudogt.workflow.cli import parse_settings, run_stage
from pseudogt.workflow.stage import Shard


def main(argv: Sequence[str] | None = None) -> None:
    """Write one weak-label file."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    derive = commands.add_parser("derive", help="weak labels of one shard")
    derive.add_argument("--shard", type=Path, required=True, help="index/<shard>.json")
    derive.add_argument("--ground-truth", type=Path, required=True, help="label folder of the shard")
    derive.add_argument("--settings", required=True, help="the config section `weak_labels` as JSON")
    merge = commands.add_parser("merge", help="one file of all shards")
    merge.add_argument("--weak-labels", type=Path, nargs="+", required=True, help="files of all shards")
    for command in (derive, merge):
        command.add_argument("--out", type=Path, required=True, help="weak-label file to write")
    arguments = parser.parse_args(argv)
    if arguments.command == "merge":
        merge_shards(arguments.weak_labels, arguments.out)
    else:
        settings = parse_settings(WeakLabelsSettings, arguments.settings)
        derive_shard(arguments.shard, arguments.ground_truth, settings, arguments.out)


def derive_shard(path: Path, ground_truth: Path, settings: WeakLabelsSettings, out: Path) -> None:
    """Write the weak labels of all images of a shard, in its order."""
    shard = Shard.open(path)
    labels = LabelFolder(ground_truth)
    derived = [
        derive_weak_labels(
            image.image_id, labels.read(image.image_id), labels.crowd_ids(image.image_id), shard.classes, settings
        )
        for image in shard.images("weak labels")
    ]
    write_weak_labels(out, derived, shard.classes)


def merge_shards(paths: Sequence[Path], out: Path) -> None:
    """Write the weak labels of all shards into one file, and say what is odd about them."""
    images, classes = read_weak_labels(paths)
    for gap in find_gaps(list(images.values()), classes) if images else []:
        print(f"warning: {gap}", file=sys.stderr)
    write_weak_labels(out, images.values(), classes)


if __name__ == "__main__":
    run_stage(main)
