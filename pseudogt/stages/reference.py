"""Train the segmenter's network on full labels, for as many steps as the scored model's weights have seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pseudogt.config.rounds import RoundsSettings
from pseudogt.config.segmenter import SegmenterSettings
from pseudogt.files.io import read_json
from pseudogt.pseudo_labels.rounds import count_steps
from pseudogt.stages.segmenter import SegmenterInputs, segmenter_parser, train_segmenter
from pseudogt.workflow.cli import parse_settings, run_stage


def main(argv: Sequence[str] | None = None) -> None:
    """Train the reference."""
    parser = segmenter_parser(__doc__)
    parser.add_argument("--records", type=Path, nargs="+", required=True, help="record.json of the segmenter's rounds")
    arguments = parser.parse_args(argv)
    rounds = parse_settings(RoundsSettings, arguments.rounds)
    train_segmenter(
        SegmenterInputs(arguments.shards, arguments.weak_labels, arguments.labels),
        parse_settings(SegmenterSettings, arguments.settings),
        steps=count_steps([read_json(path) for path in arguments.records], init=rounds.init),
        facts={"subject": "reference"},
        out=arguments.out,
        scratch=arguments.scratch,
        cores=arguments.cores,
    )


if __name__ == "__main__":
    run_stage(main)
