"""What has to be known of a model besides its weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from pseudogt.classes import ClassTable
from pseudogt.prediction.decoding import Decoding
from pseudogt.prediction.kinds import KINDS, NetworkKind
from pseudogt.prediction.maps import SIZE_MULTIPLE, RunNetwork

CARD_VERSION = 1
"""Of the text that :meth:`ModelCard.to_text` writes."""


@dataclass(frozen=True)
class ModelCard:
    """A trained network without its weights.

    Attributes
    ----------
    network : str
        Its kind, a key of :data:`pseudogt.prediction.kinds.KINDS`.
    architecture : dict
        Arguments that built it.
    classes : ClassTable
    scale : float
        Images are resized by it, to a multiple of ``SIZE_MULTIPLE``.
    only_px : int or None
        Side of the square images that an exported network takes if it takes no others.
    """

    network: str
    architecture: dict[str, Any]
    classes: ClassTable
    scale: float
    only_px: int | None = None

    @property
    def kind(self) -> NetworkKind:
        """What is done with the outputs of the network."""
        return KINDS[self.network]

    def to_text(self, decoding: Decoding) -> str:
        """JSON with all that a program needs to apply an exported network, and to decode its outputs."""
        return json.dumps(
            {
                "version": CARD_VERSION,
                "network": self.network,
                "architecture": self.architecture,
                "categories": self.classes.to_categories(),
                "scale": self.scale,
                "input": {
                    "name": "images",
                    "layout": "BCHW",
                    "type": "uint8 RGB",
                    "size_multiple": SIZE_MULTIPLE,
                    "only_px": self.only_px,
                },
                "output_strides": dict(self.kind.strides),
                "decoding": asdict(decoding),
            }
        )

    @classmethod
    def from_text(cls, text: str) -> tuple[ModelCard, Decoding]:
        """Inverse of :meth:`to_text`.

        Raises
        ------
        ValueError
            If the text is of another version, or its network is none that is decoded here.
        """
        values = json.loads(text)
        version, network = values.get("version"), values.get("network")
        known = version == CARD_VERSION and network in KINDS
        if not known or values["output_strides"] != dict(KINDS[network].strides):
            raise ValueError(
                f"was exported by another version of the workflow (version {version} of a {network!r} network; known "
                f"is version {CARD_VERSION} of {', '.join(KINDS)}); export the model again with this one"
            )
        classes = ClassTable.from_categories(values["categories"])
        only_px = values["input"].get("only_px")
        card = cls(network, values["architecture"], classes, float(values["scale"]), only_px)
        return card, Decoding(**values["decoding"])


class LoadedModel(NamedTuple):
    """A model that is ready to be applied.

    Attributes
    ----------
    card : ModelCard
    run : callable
        Applies the network to a batch.
    free_bytes : float or None
        Free memory where it computes; None if that is not known.
    """

    card: ModelCard
    run: RunNetwork
    free_bytes: float | None
