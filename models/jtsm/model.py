"""A JTSM network in a file, with all that is needed to apply it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from models.checkpoints import explain_other_version, load_checkpoint, save_checkpoint
from models.jtsm.network import JtsmArchitecture, JtsmNetwork, build_jtsm_network
from pseudogt.classes import ClassTable

MODEL_KIND = "jtsm model"

TRAINING_ONLY = ("top_k", "mask_limit")
"""Entries of the architecture in files of earlier versions that no network needs."""


@dataclass(frozen=True)
class JtsmModel:
    """A network, how it was built, and its class table.

    Attributes
    ----------
    network : JtsmNetwork
        Its classes are in the order of ``classes.things_first``.
    architecture : JtsmArchitecture
    classes : ClassTable
    max_proposals : int
        Maximum number of proposals per image in its training.
    settings : dict
        The settings of its training.
    """

    network: JtsmNetwork
    architecture: JtsmArchitecture
    classes: ClassTable
    max_proposals: int
    settings: dict[str, Any]

    @classmethod
    def build(
        cls,
        classes: ClassTable,
        architecture: JtsmArchitecture,
        *,
        init: str,
        weights: str | Path | None,
        max_proposals: int,
        seed: int,
        settings: dict[str, Any],
    ) -> JtsmModel:
        """Build an untrained network; see :func:`models.jtsm.network.build_jtsm_network`."""
        torch.manual_seed(seed)
        network = build_jtsm_network(architecture, init=init, weights=weights)
        # A classifier brings its own levels and the width of its decoder.
        found = network.backbone.architecture
        built = replace(architecture, levels=found["levels"], decoder_channels=found.get("decoder_channels", 0))
        return cls(network, built, classes, max_proposals, settings)

    def save(self, path: Path) -> None:
        """Write a self-contained model file."""
        state = {
            "kind": MODEL_KIND,
            "architecture": asdict(self.architecture),
            "categories": self.classes.to_categories(),
            "max_proposals": self.max_proposals,
            "settings": self.settings,
            "network": self.network.state_dict(),
        }
        save_checkpoint(path, state)

    @classmethod
    def load(cls, path: Path) -> JtsmModel:
        """Read a model file onto the CPU, ready for inference."""
        state = load_checkpoint(path, kind=MODEL_KIND)
        with explain_other_version(path):
            architecture = JtsmArchitecture(
                **{name: value for name, value in state["architecture"].items() if name not in TRAINING_ONLY}
            )
            network = build_jtsm_network(architecture)
            network.load_state_dict(state["network"])
            return cls(
                network=network.eval(),
                architecture=architecture,
                classes=ClassTable.from_categories(state["categories"]),
                max_proposals=state["max_proposals"],
                settings=state["settings"],
            )
