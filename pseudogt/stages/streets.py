"""Generate the street scenes of the embedded default, in Cityscapes' own layout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pseudogt.config.streets import StreetsSettings
from pseudogt.datasets.streets.scenes import write_street_dataset
from pseudogt.files.io import replace_atomically
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser


def main(argv: Sequence[str] | None = None) -> None:
    """Write ``--out``/leftImg8bit and ``--out``/gtFine; the folder appears only when it is complete."""
    parser = stage_parser(__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write, the data_root of format streets")
    arguments = parser.parse_args(argv)
    settings = parse_settings(StreetsSettings, arguments.settings)
    with replace_atomically(arguments.out) as temporary:
        temporary.mkdir()
        write_street_dataset(temporary, settings)


if __name__ == "__main__":
    run_stage(main)
