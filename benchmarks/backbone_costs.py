"""Measure what backbones cost per million pixels, for the table of pseudogt/costs/backbones.py.

    python benchmarks/backbone_costs.py [--json OUT] [NAME ...]

Networks are built on torch's meta device, which computes shapes and no numbers: it takes a second per network and no
memory. Prints one line of the table for each name; without names, for all that the table has.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from measurement import write_figures
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from models.backbones import build_backbone
from pseudogt.costs.backbones import MEASURED_SIDE_PX, TIMM_COSTS, BackboneCosts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(TIMM_COSTS))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    measured = {name: measure_costs(name) for name in arguments.names}
    for name, costs in measured.items():
        print(f'    "{name}": BackboneCosts({", ".join(map(str, costs))}),')
    if arguments.json:
        write_figures(
            arguments.json,
            {f"{name}.{key}": value for name, costs in measured.items() for key, value in costs._asdict().items()},
        )


def measure_costs(name: str) -> BackboneCosts:
    """Count products, bytes kept for the backward pass, weights and channels of a backbone."""
    with torch.device("meta"):
        backbone = build_backbone(name).train()
        images = torch.empty(1, 3, MEASURED_SIDE_PX, MEASURED_SIDE_PX)
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with FlopCounterMode(display=False) as counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
        backbone(images)
    weights = {parameter.untyped_storage()._cdata for parameter in backbone.parameters()}
    # Several tensors may share memory, which counts once.
    storages = {tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in kept}
    activations = sum(size for storage, size in storages.items() if storage not in weights)
    megapixels = MEASURED_SIDE_PX**2 / 1e6
    return BackboneCosts(
        gigaproducts=round(counter.get_total_flops() / 2 / 1e9 / megapixels, 1),
        activation_mb=round(activations / 1e6 / megapixels),
        million_weights=round(sum(parameter.numel() for parameter in backbone.parameters()) / 1e6, 1),
        channels=backbone.channels,
    )


if __name__ == "__main__":
    main()
