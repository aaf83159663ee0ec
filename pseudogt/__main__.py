"""Commands around the workflow.

python -m pseudogt init FOLDER    write a configuration for a folder of images and annotations
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pseudogt.setup.command import write_configuration


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command; an error becomes one line, and exit code 1."""
    parser = argparse.ArgumentParser(
        prog="python -m pseudogt", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    init = commands.add_parser("init", help="write a configuration for a folder of images and annotations")
    init.add_argument("folder", type=Path, help="holds the images, and the files with boxes or tags")
    init.add_argument("--name", help="name of the run; default: that of the folder")
    init.add_argument("--out", type=Path, help="file to write; default: NAME.yaml")
    init.add_argument("--overwrite", action="store_true", help="replace the file if it is there")
    arguments = parser.parse_args(argv)
    try:
        write_configuration(arguments.folder, arguments.name, arguments.out, overwrite=arguments.overwrite)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
