"""Section ``optimisation``: how networks are trained. Every training inherits from it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pseudogt.config.base import Section


class OptimisationSettings(Section):
    """How networks are trained.

    The trainings (classifier, mining, segmenter) inherit these settings. A training overrides one by a value in its
    own section; to inherit, leave the setting out there: null is no value.
    """

    batch_size: int = Field(4, ge=1, description="Images (or crops) per optimiser step, over all devices.")
    images_per_pass: int = Field(
        0,
        ge=0,
        description="Images (or crops) that a device computes at once, at most; the gradients of several passes are "
        "summed. 0 for all of its share of the batch; set it when memory runs out.",
    )
    optimiser: Literal["adamw", "sgd"] = Field("adamw", description="AdamW, which is faster from scratch, or SGD.")
    learning_rate: float = Field(
        3e-3, gt=0, description="Highest learning rate; lower it if the loss is not finite, or to refine weights."
    )
    weight_decay: float = Field(0.05, ge=0, description="Decay of the weights; 1e-4 suits SGD.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of SGD; AdamW has its own.")
    nesterov: bool = Field(True, description="Whether the momentum of SGD is Nesterov's; plain in the paper of JTSM.")
    schedule: Literal["one_cycle", "poly"] = Field(
        "one_cycle", description="How the learning rate falls to zero: along a cosine, or by (1 - t) ** 0.9."
    )
    warmup: float = Field(0.1, ge=0, lt=1, description="Share of the steps in which the learning rate rises.")
    clip_norm: float = Field(5.0, gt=0, description="Longest gradient of a step; longer ones are shortened to it.")
    seed: int = Field(0, ge=0, description="Seed of initial weights, sample order and augmentation.")
