"""Export a trained model to ONNX, or by torch.export, and compare the file with the network."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from models.segmenter.export import TOLERANCE, export_model
from models.segmenter.model import PanopticModel
from pseudogt.config.predictions import PredictionsSettings
from pseudogt.prediction.decoding import Decoding
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser


def main(argv: Sequence[str] | None = None) -> None:
    """Write the file that ``predict --onnx`` and other programs read."""
    parser = stage_parser(__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="file that ends in .onnx or .pt2")
    arguments = parser.parse_args(argv)
    settings = parse_settings(PredictionsSettings, arguments.settings)
    model, decoding = PanopticModel.load(arguments.model), settings.fill(Decoding)
    difference = export_model(model, decoding, arguments.out, tile_px=settings.fixed_tile_px)
    print(f"{arguments.out}: within {difference:.1g} of the network (tolerance {TOLERANCE:g})", file=sys.stderr)


if __name__ == "__main__":
    run_stage(main)
