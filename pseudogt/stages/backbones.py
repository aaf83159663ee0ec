"""Build the backbone that a section names, so that wrong names and weights stop a run before hours are spent.

python -m pseudogt.stages.backbones --section NAME --backbone NAME [--weights NAME_OR_FILE] [--levels N] [--dense] --out F

Weights that have to be downloaded are then in the cache.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from models.backbones import build_backbone
from pseudogt.files.io import write_json
from pseudogt.workflow.cli import run_stage
from pseudogt.workflow.provenance import compute_input_digest


def main(argv: Sequence[str] | None = None) -> None:
    """Build it once and write down its size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--section", required=True, help="section of the settings, for messages")
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--weights", help="name of weights, or a file; without them, random ones")
    parser.add_argument("--levels", type=int, default=4, help="features used")
    parser.add_argument("--dense", action="store_true", help="with dilation in place of the later strides")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(argv)
    name, weights = arguments.backbone, arguments.weights
    try:
        backbone = build_backbone(name, weights=weights, levels=arguments.levels, dense=arguments.dense)
    except (ValueError, OSError) as error:
        raise ValueError(f"{arguments.section}.backbone: {error}") from error
    count = sum(parameter.numel() for parameter in backbone.parameters())
    # The digest of a file tells the trainings that depend on these facts when it was replaced.
    file = [Path(weights)] if weights and Path(weights).is_file() else []
    facts = {"backbone": name, "weights": weights, "digest": compute_input_digest([], file)}
    write_json(arguments.out, {**facts, "channels": backbone.channels, "parameters": count})


if __name__ == "__main__":
    run_stage(main)
