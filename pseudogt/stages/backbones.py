"""Build the backbone that a section names, so that wrong names, weights and libraries stop a run early.

Weights that must be downloaded are then in the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models.backbones import build_backbone
from pseudogt.config.training import InitialNetwork
from pseudogt.files.io import write_json
from pseudogt.files.model_folders import require_transformers
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser
from pseudogt.workflow.provenance import compute_input_digest


def main(argv: Sequence[str] | None = None) -> None:
    """Build it once and write down its size."""
    parser = stage_parser(__doc__)
    parser.add_argument("--section", required=True, help="section of the settings, for messages")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(argv)
    network = parse_settings(InitialNetwork, arguments.settings)
    if network.network:
        require_transformers(f"segmenter.network: {network.network}")
    try:
        backbone = build_backbone(network.backbone, weights=network.weights, levels=network.levels, dense=network.dense)
    except (ValueError, OSError) as error:
        raise ValueError(f"{arguments.section}.backbone: {error}") from error
    # The digest of a file tells the trainings, which depend on these facts, that it was replaced.
    file = [Path(network.weights)] if network.weights and Path(network.weights).is_file() else []
    facts = {"channels": backbone.channels, "parameters": sum(weight.numel() for weight in backbone.parameters())}
    write_json(arguments.out, {**network.model_dump(), **facts, "digest": compute_input_digest([], file)})


if __name__ == "__main__":
    run_stage(main)
