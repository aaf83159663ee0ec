"""A panoptic network of any kind in a file, with all that is needed to apply it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from models.backbones import NOTHING_FROZEN, Backbone, Freeze
from models.trained_model import TrainedModel
from pseudogt.classes import ClassTable
from pseudogt.config.registry import Registry
from pseudogt.prediction.card import ModelCard
from pseudogt.prediction.kinds import BOTTOM_UP
from pseudogt.prediction.maps import SIZE_MULTIPLE

NETWORKS = Registry("models.segmenter.networks", "network of the segmenter")


class SegmenterNetwork(nn.Module, ABC):
    """A network of :mod:`models.segmenter.networks`."""

    backbone: Backbone

    @abstractmethod
    def forward(self, images: Tensor) -> Any:
        """Predict for images ``(B, 3, H, W)``: the outputs of its kind, see :mod:`pseudogt.prediction.kinds`."""


def build_from_architecture(architecture: Mapping[str, Any], *, weights: str | None = None) -> SegmenterNetwork:
    """Build any of the networks.

    Parameters
    ----------
    architecture : mapping
        ``network``, its name, which may be missing for ``BOTTOM_UP``; the other entries are arguments of its
        module's ``build_network``.
    weights : str, optional
        As in :func:`models.backbones.build_backbone`.
    """
    name = architecture.get("network", BOTTOM_UP)
    network: SegmenterNetwork = NETWORKS.load(name).build_network(
        **{key: value for key, value in architecture.items() if key != "network"}, weights=weights
    )
    return network


@dataclass(frozen=True)
class PanopticModel(TrainedModel):
    """A trained network and all that is needed to use it.

    Attributes
    ----------
    network : SegmenterNetwork
    architecture : dict
        As in :func:`build_from_architecture`.
    classes : ClassTable
    scale : float
        Images are resized by it, to a multiple of ``SIZE_MULTIPLE``.
    usual_px : int or None
        Median of the longer sides of the training images; None if that is not known.
    """

    KIND: ClassVar[str] = "panoptic model"
    PLACE: ClassVar[str] = "segmenter/<round>/model.pt"
    WEIGHTS: ClassVar[str] = "weights"

    network: SegmenterNetwork
    architecture: dict[str, Any]
    scale: float
    usual_px: int | None = None

    @classmethod
    def build(
        cls,
        classes: ClassTable,
        *,
        backbone: str,
        weights: str | None,
        scale: float,
        seed: int,
        settings: dict[str, Any],
        init: Path | None = None,
        freeze: Freeze = NOTHING_FROZEN,
        network: str = BOTTOM_UP,
        **shape: Any,
    ) -> PanopticModel:
        """Build an untrained model, or one with the weights of the model file ``init``; ``shape`` is the network's."""
        torch.manual_seed(seed)
        architecture: dict[str, Any] = {"backbone": backbone, "class_count": len(classes), **shape}
        if network != BOTTOM_UP:
            architecture["network"] = network
        built = build_from_architecture(architecture, weights=weights)
        if init is not None:
            first = cls.load(init)
            if first.architecture != architecture or first.classes != classes:
                raise ValueError(f"{init}: trained with another network or class table; start from scratch")
            built.load_state_dict(first.network.state_dict())
        built.backbone.set_freeze(freeze)
        return cls(built, architecture, classes, settings, scale)

    @property
    def card(self) -> ModelCard:
        """All but the weights and the record of the training."""
        network = self.architecture.get("network", BOTTOM_UP)
        return ModelCard(network, self.architecture, self.classes, self.scale, usual_px=self.usual_px)

    @classmethod
    def build_network(cls, architecture: Mapping[str, Any]) -> SegmenterNetwork:
        """Build the network of a file, without its weights."""
        return build_from_architecture(architecture)


def check_image_size(images: Tensor) -> None:
    """Raise a ``ValueError`` if images ``(B, 3, H, W)`` are not a multiple of ``SIZE_MULTIPLE`` high and wide."""
    if images.shape[-2] % SIZE_MULTIPLE or images.shape[-1] % SIZE_MULTIPLE:
        raise ValueError(f"images {tuple(images.shape)} are not a multiple of {SIZE_MULTIPLE} high and wide")
