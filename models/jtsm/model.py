"""A JTSM network in a file, with all that is needed to apply it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch

from models.jtsm.network import JtsmArchitecture, JtsmNetwork, build_jtsm_network
from models.trained_model import TrainedModel
from pseudogt.classes import ClassTable

TRAINING_ONLY = ("top_k", "mask_limit")
"""Entries of the architecture in files of earlier versions that no network needs."""


@dataclass(frozen=True)
class JtsmModel(TrainedModel):
    """A network, how it was built, and its class table.

    Attributes
    ----------
    network : JtsmNetwork
        Its classes are in the order of ``classes.things_first``.
    architecture : JtsmArchitecture
    classes : ClassTable
    max_proposals : int
        Maximum number of proposals per image in its training.
    """

    KIND: ClassVar[str] = "jtsm model"
    PLACE: ClassVar[str] = "mining/model.pt"

    network: JtsmNetwork
    architecture: JtsmArchitecture
    max_proposals: int

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
        return cls(network, built, classes, settings, max_proposals)

    @classmethod
    def build_network(cls, architecture: JtsmArchitecture) -> JtsmNetwork:
        """Build the network of a file, without its weights."""
        return build_jtsm_network(architecture)

    @classmethod
    def parse_architecture(cls, saved: dict[str, Any]) -> JtsmArchitecture:
        """Turn the plain values of a file into the architecture."""
        return JtsmArchitecture(**{name: value for name, value in saved.items() if name not in TRAINING_ONLY})
