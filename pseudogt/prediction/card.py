"""What has to be known of a model besides its weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from pseudogt.classes import ClassTable
from pseudogt.prediction.decoding import Decoding
from pseudogt.prediction.maps import OUTPUT_STRIDE, SIZE_MULTIPLE, RunNetwork

BOTTOM_UP = "bottom_up"
"""The kind of network whose maps :mod:`pseudogt.prediction.decoding` decodes."""

CARD_VERSION = 1
"""Of the text that :meth:`ModelCard.to_text` writes."""

STRIDES = {"semantic": OUTPUT_STRIDE // 2, "centre": OUTPUT_STRIDE, "offset": OUTPUT_STRIDE}
"""Pixels per cell of the outputs of the bottom-up network, in their order."""


@dataclass(frozen=True)
class ModelCard:
    """A trained network without its weights.

    Attributes
    ----------
    network : str
        Kind of network: ``BOTTOM_UP``.
    architecture : dict
        Arguments that built it.
    classes : ClassTable
    scale : float
        Images are resized by it, to a multiple of ``SIZE_MULTIPLE``.
    """

    network: str
    architecture: dict[str, Any]
    classes: ClassTable
    scale: float

    def to_text(self, decoding: Decoding) -> str:
        """JSON with all that a program needs to apply an exported network, and to decode its outputs."""
        return json.dumps(
            {
                "version": CARD_VERSION,
                "network": self.network,
                "architecture": self.architecture,
                "categories": self.classes.to_categories(),
                "scale": self.scale,
                "input": {"name": "images", "layout": "BCHW", "type": "uint8 RGB", "size_multiple": SIZE_MULTIPLE},
                "output_strides": STRIDES,
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
        if version != CARD_VERSION or network != BOTTOM_UP or values["output_strides"] != STRIDES:
            raise ValueError(
                f"was exported by another version of the workflow (version {version} of a {network!r} network; known "
                f"is version {CARD_VERSION} of {BOTTOM_UP!r}); export the model again with this one"
            )
        classes = ClassTable.from_categories(values["categories"])
        card = cls(network, values["architecture"], classes, float(values["scale"]))
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
