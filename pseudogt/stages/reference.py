"""Train the segmenter's network on full labels, for as many steps as the scored model's weights have seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pseudogt.config.rounds import RoundsSettings
from pseudogt.config.segmenter import SegmenterSettings
from pseudogt.files.io import read_json
from pseudogt.stages.segmenter import train_segmenter, training_parser
from pseudogt.workflow.cli import parse_settings, run_stage


def main(argv: Sequence[str] | None = None) -> None:
    """Train the reference."""
    parser = training_parser(__doc__)
    parser.add_argument("--records", type=Path, nargs="+", required=True, help="record.json of the segmenter's rounds")
    arguments = parser.parse_args(argv)
    rounds = parse_settings(RoundsSettings, arguments.rounds)
    settings = parse_settings(SegmenterSettings, arguments.settings)
    steps = count_steps([read_json(path) for path in arguments.records], rounds)
    train_segmenter(arguments, settings, steps=steps, init=None, facts={"subject": "reference"})


def count_steps(records: Sequence[Mapping[str, Any]], rounds: RoundsSettings) -> int:
    """Optimiser steps in the last model's weights: of all trained rounds, or of the last if each starts anew."""
    trained = [int(record["steps"]) for record in records if not record["linked"]]
    return sum(trained) if rounds.init == "previous" else trained[-1]


if __name__ == "__main__":
    run_stage(main)
