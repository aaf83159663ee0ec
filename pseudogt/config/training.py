"""Settings that the sections of trained networks share."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from pseudogt.config.base import Section, listed_in
from pseudogt.config.machine import MachineSettings
from pseudogt.config.optimisation import OptimisationSettings

BACKBONE_TABLE, FAMILY_TABLE = "models.backbones.names", "models.backbones.families"
"""Tables of backbones, and of families of them."""


class TrainingSettings(MachineSettings, OptimisationSettings):
    """A network and its training."""

    backbone: Annotated[str, listed_in(BACKBONE_TABLE, FAMILY_TABLE)] = Field(
        "small",
        description="Image backbone: `small`, made for CPUs; torchvision's resnet18, resnet50 and resnet101; or "
        "timm/<name> for a network of timm (docs/backbones.md).",
    )
    weights: str | None = Field(
        None,
        description="Initial weights of the backbone: a name of torchvision (IMAGENET1K_V1) or a pretrained tag of "
        "timm (a1_in1k), downloaded once; the path of a local state dict; or null for random ones.",
    )
    backbone_rate: float = Field(
        1.0,
        gt=0,
        description="Learning rate of the backbone, relative to that of the other weights; 0.1 is usual for pretrained "
        "weights.",
    )
    steps: int = Field(1200, ge=1, description="Optimiser steps; training time is proportional to it.")

    def find_pass_size(self, devices: int = 1) -> int:
        """Images that each of several devices computes at once."""
        share = max(self.batch_size // devices, 1)
        return min(self.images_per_pass or share, share)

    @model_validator(mode="after")
    def _check_images_per_pass(self) -> TrainingSettings:
        if self.batch_size % self.find_pass_size():
            raise ValueError(
                f"batch_size {self.batch_size} is not a multiple of images_per_pass {self.images_per_pass}"
            )
        return self


class FreezingSettings(TrainingSettings):
    """A training that may keep parts of its backbone unchanged."""

    frozen_stages: int = Field(
        0,
        ge=0,
        le=4,
        description="Number of backbone stages, counted from the image, that are not trained; 4 freezes the whole "
        "backbone.",
    )
    freeze_norms: bool = Field(
        False,
        description="Keep the statistics and weights of the backbone's batch normalisation: for pretrained weights and "
        "small batches.",
    )


class InitialNetwork(Section):
    """A backbone as a training starts with it.

    Attributes
    ----------
    backbone : str
    weights : str or None
    levels : int
    dense : bool
        Whether dilation replaces its later strides.
    network : str
        Network of the segmenter that has it, if it needs a library that may be missing; else empty.
    """

    backbone: str
    weights: str | None
    levels: int = 4
    dense: bool = False
    network: str = ""
