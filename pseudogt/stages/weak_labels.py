"""Derive the weak labels of a shard from its ground truth, or merge those of all shards into one file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pseudogt.config.weak_labels import WeakLabelsSettings
from pseudogt.files.labels import LabelFolder
from pseudogt.weak_labels.files import read_weak_labels, write_weak_labels
from pseudogt.weak_labels.from_masks import derive_weak_labels
from pseudogt.weak_labels.gaps import describe_nothing, describe_unlocated, find_gaps
from pseudogt.workflow.cli import parse_settings, run_stage
from pseudogt.workflow.stage import Shard


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    derive = commands.add_parser("derive", help="weak labels of one shard")
    derive.add_argument("--shard", type=Path, required=True, help="index/<shard>.json")
    derive.add_argument("--ground-truth", type=Path, required=True, help="label folder of the shard")
    derive.add_argument("--settings", required=True, help="the config section `weak_labels` as JSON")
    derive.set_defaults(run=derive_shard)
    merge = commands.add_parser("merge", help="one file of all shards")
    merge.add_argument("--weak-labels", type=Path, nargs="+", required=True, help="files of all shards")
    merge.add_argument("--locate-things", action="store_true", help="refuse things that are only tagged")
    merge.set_defaults(run=merge_shards)
    for command in (derive, merge):
        command.add_argument("--out", type=Path, required=True, help="weak-label file to write")
    arguments = vars(parser.parse_args(argv))
    arguments.pop("run")(**arguments)


def derive_shard(shard: Path, ground_truth: Path, settings: str, out: Path) -> None:
    """Write the weak labels of all images of a shard, in its order."""
    section = parse_settings(WeakLabelsSettings, settings)
    opened, labels = Shard.open(shard), LabelFolder(ground_truth)
    derived = []
    for image_id in (image.image_id for image in opened.images("weak labels")):
        truth, crowd_ids = labels.read(image_id), labels.crowd_ids(image_id)
        unknown = labels.unknown_categories(image_id)
        derived.append(derive_weak_labels(image_id, truth, crowd_ids, opened.classes, section, unknown))
    write_weak_labels(out, derived, opened.classes)


def merge_shards(weak_labels: Sequence[Path], out: Path, *, locate_things: bool = False) -> None:
    """Write the weak labels of all shards into one file, and warn about what is unusual in them."""
    images, classes = read_weak_labels(weak_labels)
    merged = list(images.values())
    problems = describe_nothing(merged) or (describe_unlocated(merged, classes) if locate_things else [])
    if problems:
        raise ValueError("; ".join(problems))
    for gap in find_gaps(merged, classes):
        print(f"warning: {gap}", file=sys.stderr)
    write_weak_labels(out, images.values(), classes)


if __name__ == "__main__":
    run_stage(main)
