"""What the sections of trained networks share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pseudogt.config.base import Section, listed_in


class TrainingSettings(Section):
    """Network, optimiser, precision and devices."""

    backbone: Annotated[str, listed_in("models.backbones.names")] = Field(
        "small", description="Image backbone; `small` was made for CPUs, the ResNets are torchvision's."
    )
    weights: str | None = Field(
        None,
        description="Initial weights of the backbone: a torchvision name such as IMAGENET1K_V1 (downloaded once), "
        "the path of a local state dict, or null for random ones.",
    )
    steps: int = Field(1200, ge=1, description="Optimiser steps; training time is proportional to it.")
    batch_size: int = Field(4, ge=1, description="Images (or crops) per optimiser step, over all devices.")
    accumulation: int = Field(
        1,
        ge=1,
        description="Parts into which a batch is split, one after the other; raise it when memory runs out.",
    )
    optimiser: Literal["adamw", "sgd"] = Field("adamw", description="AdamW learns faster from scratch.")
    learning_rate: float = Field(
        3e-3, gt=0, description="Highest learning rate; lower it if the loss is not finite, or to refine weights."
    )
    weight_decay: float = Field(0.05, ge=0, description="Decay of the weights; 1e-4 suits SGD.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of SGD; AdamW has its own.")
    schedule: Literal["one_cycle", "poly"] = Field(
        "one_cycle", description="How the learning rate falls to zero: along a cosine, or by (1 - t) ** 0.9."
    )
    warmup: float = Field(0.1, ge=0, lt=1, description="Share of the steps in which the learning rate rises.")
    clip_norm: float = Field(5.0, gt=0, description="Longest gradient of a step; longer ones are shortened to it.")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="Numbers in the forward pass; auto takes bf16 where the processor computes in it."
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where to train; auto takes a GPU if there is.")
    torch_threads: int = Field(
        2, ge=1, description="Threads of torch on the CPU; results are equal only for equal values."
    )
    seed: int = Field(0, ge=0, description="Seed of initial weights, sample order and augmentation.")
    checkpoint_every_s: float = Field(
        120, ge=0, description="Seconds between checkpoints from which a stopped training goes on."
    )

    @model_validator(mode="after")
    def _check_accumulation(self) -> TrainingSettings:
        if self.batch_size % self.accumulation:
            raise ValueError(f"batch_size {self.batch_size} is not a multiple of accumulation {self.accumulation}")
        return self
