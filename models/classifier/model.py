"""A tag classifier in a file, with all that is needed to apply it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from models.backbones import NOTHING_FROZEN, Freeze
from models.classifier.network import TagClassifier, build_tag_classifier
from models.trained_model import TrainedModel
from pseudogt.classes import ClassTable


@dataclass(frozen=True)
class ClassifierModel(TrainedModel):
    """A trained classifier and everything needed to apply it.

    Attributes
    ----------
    network : TagClassifier
    architecture : dict
        Keywords of :func:`build_tag_classifier`.
    classes : ClassTable
    scale : float
        Images are resized by this factor first.
    sharpness : float
        Sharpness of the pooling, see :func:`pool_regions`.
    widths : tuple of float
        Half width of the marked segments of each class, see :func:`pseudogt.weak_labels.widths.measure_class_widths`;
        empty if there were no marks.
    """

    KIND: ClassVar[str] = "tag classifier"
    PLACE: ClassVar[str] = "classifier/model.pt"

    network: TagClassifier
    architecture: dict[str, Any]
    scale: float
    sharpness: float
    widths: tuple[float, ...] = ()

    @classmethod
    def build(
        cls,
        classes: ClassTable,
        *,
        backbone: str,
        weights: str | None,
        levels: int,
        channels: int,
        scale: float,
        sharpness: float,
        seed: int,
        settings: dict[str, Any],
        freeze: Freeze = NOTHING_FROZEN,
    ) -> ClassifierModel:
        """Build an untrained classifier; see :func:`build_tag_classifier`."""
        torch.manual_seed(seed)
        architecture: dict[str, Any] = {
            "backbone": backbone,
            "class_count": len(classes),
            "levels": levels,
            "channels": channels,
        }
        network = build_tag_classifier(**architecture, weights=weights)
        network.backbone.set_freeze(freeze)
        return cls(network, architecture, classes, settings, scale, sharpness)

    @classmethod
    def build_network(cls, architecture: dict[str, Any]) -> TagClassifier:
        """Build the network of a file, without its weights."""
        return build_tag_classifier(**architecture)
