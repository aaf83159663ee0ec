"""A trained JTSM network in a file, with everything needed to apply it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.checkpoints import load_checkpoint, save_checkpoint
from models.jtsm.network import JtsmNetwork, build_jtsm_network
from pseudogt.classes import ClassTable

MODEL_KIND = "jtsm model"


@dataclass(frozen=True)
class JtsmModel:
    """A network, how it was built, and what it knows.

    Attributes
    ----------
    network : JtsmNetwork
    architecture : dict
        Keywords of :func:`models.jtsm.network.build_jtsm_network`, but for ``init`` and ``weights``.
    classes : ClassTable
    max_proposals : int
        Proposals of an image that it was trained with, at most.
    settings : dict
        The settings of its training.
    """

    network: JtsmNetwork
    architecture: dict[str, Any]
    classes: ClassTable
    max_proposals: int
    settings: dict[str, Any]

    @property
    def order(self) -> NDArray[np.uint8]:
        """Train ids ``(C,)`` in the order of the network: things first."""
        return self.classes.things_first

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
        network = build_jtsm_network(**state["architecture"], init="scratch", weights=None)
        network.load_state_dict(state["network"])
        return cls(
            network=network.eval(),
            architecture=state["architecture"],
            classes=ClassTable.from_categories(state["categories"]),
            max_proposals=state["max_proposals"],
            settings=state["settings"],
        )
