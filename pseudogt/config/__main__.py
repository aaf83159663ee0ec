"""Write ``config.yaml`` from the models.

python -m pseudogt.config write
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pseudogt.config.dataset import REPOSITORY
from pseudogt.config.document import render_config


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m pseudogt.config", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    write = commands.add_parser("write", help="write config.yaml from the models")
    write.add_argument("--out", type=Path, default=REPOSITORY / "config.yaml", help="default: that of the repository")
    arguments = parser.parse_args(argv)
    arguments.out.write_text(render_config(), encoding="utf-8")


if __name__ == "__main__":
    main()
