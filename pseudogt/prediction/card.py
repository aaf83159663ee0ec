"""What has to be known of a model besides its weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, NamedTuple

from pseudogt.classes import ClassTable
from pseudogt.prediction.decoding import Decoding
from pseudogt.prediction.kinds import KINDS, NetworkKind
from pseudogt.prediction.maps import SIZE_MULTIPLE, RunNetwork

ANOTHER_SIZE = 1.5
"""Images that are larger or smaller than those of the training by this factor are worth a warning."""

CARD_VERSION = 1
"""Version of the text that :meth:`ModelCard.to_text` writes."""


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
    usual_px : int or None
        Median of the longer sides of the training images; None if that is not known.
    """

    network: str
    architecture: dict[str, Any]
    classes: ClassTable
    scale: float
    only_px: int | None = None
    usual_px: int | None = None

    @property
    def kind(self) -> NetworkKind:
        """What is done with the outputs of the network."""
        return KINDS[self.network]

    def describe_sizes(self, sizes: Sequence[tuple[int, int]]) -> list[str]:
        """Say if images of the given sizes (H, W) are far larger or smaller than those that the model learned from."""
        side = round(median(max(size) for size in sizes))
        if self.usual_px is None or 1 / ANOTHER_SIZE < side / self.usual_px < ANOTHER_SIZE:
            return []
        return [
            f"the longer side of these images is {side} pixels and was {self.usual_px} in training, so that everything "
            f"looks {side / self.usual_px:.2g} times as large to the model; if they show the same, resize them to "
            f"{self.usual_px}"
        ]

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
                    "usual_px": self.usual_px,
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
            If the text is of another version, or its network is not one that is decoded here.
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
        sides = {name: values["input"].get(name) for name in ("only_px", "usual_px")}
        card = cls(network, values["architecture"], classes, float(values["scale"]), **sides)
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
