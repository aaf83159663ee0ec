"""Collect the scores of the paper's tables, and print them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pseudogt.files.io import read_json, write_json
from pseudogt.metrics.summary import build_protocol
from pseudogt.workflow.cli import run_stage


def main(argv: Sequence[str] | None = None) -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--panoptic", type=Path, help="scores of the mined network on val")
    parser.add_argument("--measures", required=True, nargs="+", type=Path, help="scores of detections")
    parser.add_argument("--out", required=True, type=Path)
    arguments = parser.parse_args(argv)
    panoptic = read_json(arguments.panoptic) if arguments.panoptic else None
    measures = {scores["measure"]: scores for scores in map(read_json, arguments.measures)}
    table = build_protocol(arguments.dataset, panoptic, measures)
    write_json(arguments.out, table)
    for key, value in table.items():
        if value is not None:
            print(f"{key:<10} {value if isinstance(value, str) else format(value, '.4f')}")


if __name__ == "__main__":
    run_stage(main)
