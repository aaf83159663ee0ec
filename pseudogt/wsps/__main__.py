"""Make boxes and clean labels in the layout of the WSPS authors, or import such a folder tree into the workflow.

python -m pseudogt.wsps boxes|clean --root ROOT --split SPLIT [--list LIST] [--options FILE.json] [--workers N]
python -m pseudogt.wsps import --root ROOT --split SPLIT [--list LIST] [--options FILE.json] --out DIR

ROOT holds data/Cityscapes and results. The options of FILE.json are those of the authors, with
their defaults; one file can serve all commands. docs/wsps.md lists them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pseudogt.workflow.cli import run_stage
from pseudogt.wsps.clean_labels import run_clean
from pseudogt.wsps.import_tree import add_import_arguments, run_import
from pseudogt.wsps.make_boxes import run_boxes
from pseudogt.wsps.processing import add_workers_argument
from pseudogt.wsps.tree import add_tree_arguments


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command."""
    parser = argparse.ArgumentParser(
        prog="python -m pseudogt.wsps", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    boxes = commands.add_parser("boxes", help="boxes from the instance ids of the ground truth")
    add_tree_arguments(boxes)
    add_workers_argument(boxes)
    boxes.set_defaults(run=run_boxes)

    clean = commands.add_parser("clean", help="semantic and instance labels from predictions and weak labels")
    add_tree_arguments(clean)
    add_workers_argument(clean)
    clean.set_defaults(run=run_clean)

    importing = commands.add_parser("import", help="what `clean` would read, as inputs of the workflow")
    add_tree_arguments(importing)
    add_import_arguments(importing)
    importing.set_defaults(run=run_import)

    arguments = vars(parser.parse_args(argv))
    arguments.pop("run")(**arguments)


if __name__ == "__main__":
    run_stage(main)
