"""Make boxes and clean labels in the layout of the weak panoptic authors.

python -m pseudogt.wsps boxes|clean --root ROOT --split SPLIT [--list LIST] [--options FILE.json] [--workers N]

ROOT holds data/Cityscapes and results. The options of FILE.json are those of the authors, with
their defaults; one file may serve both commands. docs/wsps.md lists them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pseudogt.cli import run_stage
from pseudogt.wsps.clean_labels import run_clean
from pseudogt.wsps.make_boxes import run_boxes
from pseudogt.wsps.tree import add_tree_arguments


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command."""
    parser = argparse.ArgumentParser(
        prog="python -m pseudogt.wsps", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    boxes = commands.add_parser("boxes", help="boxes from the instance ids of the ground truth")
    add_tree_arguments(boxes)
    boxes.set_defaults(run=run_boxes)

    clean = commands.add_parser("clean", help="semantic and instance labels from predictions and weak labels")
    add_tree_arguments(clean)
    clean.set_defaults(run=run_clean)

    arguments = parser.parse_args(argv)
    arguments.run(arguments)


if __name__ == "__main__":
    run_stage(main)
