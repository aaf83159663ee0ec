"""Make weak labels of all training images from boxes and tags that other tools wrote, one file per shard.

python -m pseudogt.stages.annotations --shards index/train-*.json --data-root R --out-dir weak_labels --settings JSON
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pseudogt.annotations import convert_annotations
from pseudogt.config.annotations import AnnotationsSettings
from pseudogt.files.index import read_shard
from pseudogt.weak_labels.records import write_weak_labels
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser

SHOWN = 20
"""Problems that the error spells out; `snakemake check` lists all."""


def main(argv: Sequence[str] | None = None) -> None:
    """Write the weak-label files; none if there is any problem."""
    parser = stage_parser(__doc__)
    parser.add_argument("--shards", type=Path, nargs="+", required=True, help="index/<shard>.json of the images")
    parser.add_argument("--data-root", type=Path, required=True, help="folder in which relative paths start")
    parser.add_argument("--out-dir", type=Path, required=True, help="folder for <shard>.json")
    args = parser.parse_args(argv)
    settings = parse_settings(AnnotationsSettings, args.settings)
    shards = {path: read_shard(path) for path in args.shards}
    records = [record for found, _ in shards.values() for record in found]
    classes = shards[args.shards[-1]][1]
    result = convert_annotations(settings, args.data_root, records, classes)
    for warning in result.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if result.problems:
        hidden = len(result.problems) - SHOWN
        more = [f"and {hidden} more; snakemake check lists them all"] if hidden > 0 else []
        raise ValueError("\n".join(["the annotations have problems:", *result.problems[:SHOWN], *more]))
    images = {image.image_id: image for image in result.images}
    for path, (found, _) in shards.items():
        of_shard = [images[record.image_id] for record in found]
        write_weak_labels(args.out_dir / f"{path.stem}.json", of_shard, classes)


if __name__ == "__main__":
    run_stage(main)
