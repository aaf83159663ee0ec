"""What the sections of trained networks share."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from pseudogt.config.base import listed_in
from pseudogt.config.machine import MachineSettings
from pseudogt.config.optimisation import OptimisationSettings


class TrainingSettings(MachineSettings, OptimisationSettings):
    """A network and its training."""

    backbone: Annotated[str, listed_in("models.backbones.names")] = Field(
        "small", description="Image backbone; `small` was made for CPUs, the ResNets are torchvision's."
    )
    weights: str | None = Field(
        None,
        description="Initial weights of the backbone: a torchvision name such as IMAGENET1K_V1 (downloaded once), "
        "the path of a local state dict, or null for random ones.",
    )
    steps: int = Field(1200, ge=1, description="Optimiser steps; training time is proportional to it.")

    @model_validator(mode="after")
    def _check_accumulation(self) -> TrainingSettings:
        if self.batch_size % self.accumulation:
            raise ValueError(f"batch_size {self.batch_size} is not a multiple of accumulation {self.accumulation}")
        return self
