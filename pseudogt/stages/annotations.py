"""Make weak labels of all training images from the boxes and tags of other tools, one file per shard."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from pseudogt.annotations import convert_annotations
from pseudogt.config.annotations import AnnotationsSettings
from pseudogt.weak_labels.files import write_weak_labels
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser
from pseudogt.workflow.stage import Shard

SHOWN = 20
"""Problems that the error spells out; `snakemake check` lists all."""


def main(argv: Sequence[str] | None = None) -> None:
    """Write the weak-label files; none if there is any problem."""
    parser = stage_parser(__doc__)
    parser.add_argument("--shards", type=Path, nargs="+", required=True, help="index/<shard>.json of the images")
    parser.add_argument("--data-root", type=Path, required=True, help="folder in which relative paths start")
    parser.add_argument("--out-dir", type=Path, required=True, help="folder for <shard>.json")
    arguments = parser.parse_args(argv)
    settings = parse_settings(AnnotationsSettings, arguments.settings)
    shards = [Shard.open(path) for path in arguments.shards]
    everything = Shard.open(arguments.shards)
    result = convert_annotations(settings, arguments.data_root, everything.records, everything.classes)
    for warning in result.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if result.problems:
        hidden = len(result.problems) - SHOWN
        more = [f"and {hidden} more; snakemake check lists them all"] if hidden > 0 else []
        raise ValueError("\n".join(["the annotations have problems:", *result.problems[:SHOWN], *more]))
    images = {image.image_id: image for image in result.images}
    for shard in shards:
        of_shard = [images[image.image_id] for image in shard]
        write_weak_labels(arguments.out_dir / f"{shard.name}.json", of_shard, shard.classes)


if __name__ == "__main__":
    run_stage(main)
