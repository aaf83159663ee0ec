"""A JTSM network in a file, with all that is needed to apply it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from models.checkpoints import explain_other_version, load_checkpoint, save_checkpoint
from models.jtsm.network import JtsmNetwork, build_jtsm_network
from pseudogt.classes import ClassTable

MODEL_KIND = "jtsm model"

TRAINING_ONLY = ("top_k", "mask_limit")
"""Entries of the architecture in files of earlier versions that no network needs."""


@dataclass(frozen=True)
class JtsmArchitecture:
    """Structure of a network; see :func:`models.jtsm.network.build_jtsm_network`.

    Attributes
    ----------
    backbone, freeze : str
    levels, refinements, mask_channels, semantic_channels, decoder_channels : int
    neck_widths : (int, int)
    dropout : float
    semantic_start : str
    padding : bool
    overlap_power : float
    """

    backbone: str
    levels: int
    freeze: str
    dropout: float
    refinements: int
    mask_channels: int
    semantic_channels: int
    decoder_channels: int
    neck_widths: tuple[int, int]
    semantic_start: str = "he"
    padding: bool = True
    overlap_power: float = 0.0


@dataclass(frozen=True)
class JtsmModel:
    """A network, how it was built, and its class table.

    Attributes
    ----------
    network : JtsmNetwork
        Its classes are in the order of ``classes.things_first``.
    architecture : dict
        Keywords of :func:`models.jtsm.network.build_jtsm_network`, except ``init`` and ``weights``.
    classes : ClassTable
    max_proposals : int
        Maximum number of proposals per image in its training.
    settings : dict
        The settings of its training.
    """

    network: JtsmNetwork
    architecture: dict[str, Any]
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
        keywords = {**asdict(architecture), "things": len(classes.thing_ids), "stuff": len(classes.stuff_ids)}
        network = build_jtsm_network(**keywords, init=init, weights=weights)
        # A classifier brings its own levels and the width of its decoder.
        found = network.backbone.architecture
        keywords |= {"levels": found["levels"], "decoder_channels": found.get("decoder_channels", 0)}
        return cls(network, keywords, classes, max_proposals, settings)

    def save(self, path: Path) -> None:
        """Write a self-contained model file."""
        state = {
            "kind": MODEL_KIND,
            "architecture": self.architecture,
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
            architecture = {name: value for name, value in state["architecture"].items() if name not in TRAINING_ONLY}
            network = build_jtsm_network(**architecture, init="scratch", weights=None)
            network.load_state_dict(state["network"])
            return cls(
                network=network.eval(),
                architecture=architecture,
                classes=ClassTable.from_categories(state["categories"]),
                max_proposals=state["max_proposals"],
                settings=state["settings"],
            )
