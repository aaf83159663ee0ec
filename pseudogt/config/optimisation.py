"""Section ``optimisation``: how networks are trained. Every training inherits from it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pseudogt.config.base import Section


class OptimisationSettings(Section):
    """How networks are trained.

    The trainings (classifier, mining, segmenter) inherit these settings. To override one, give a value in the
    training's own section. To inherit it, leave it out there; null is an error.
    """

    batch_size: int = Field(
        4,
        ge=1,
        description="Images (or crops) per optimiser step, over all devices; raise it, and the learning rate with it, "
        "to fill a large GPU.",
    )
    images_per_pass: int = Field(
        0,
        ge=0,
        description="Maximum number of images (or crops) that a device processes at once; gradients of several passes "
        "are summed. 0 for its whole share of the batch; set it if memory runs out.",
    )
    optimiser: Literal["adamw", "sgd"] = Field("adamw", description="`adamw` (faster from scratch) or `sgd`.")
    learning_rate: float = Field(
        3e-3, gt=0, description="Maximum learning rate; lower it if the loss is not finite, or to fine-tune weights."
    )
    weight_decay: float = Field(0.05, ge=0, description="Weight decay; 1e-4 suits SGD.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of SGD; AdamW ignores it.")
    nesterov: bool = Field(True, description="Use Nesterov momentum with SGD; the paper of JTSM does not.")
    schedule: Literal["one_cycle", "poly"] = Field(
        "one_cycle", description="How the learning rate falls to zero: along a cosine, or by (1 - t) ** 0.9."
    )
    warmup: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of the steps during which the learning rate rises; raise it if the loss jumps in the first "
        "steps.",
    )
    clip_norm: float = Field(
        5.0,
        gt=0,
        description="Maximum norm of a step's gradient; longer gradients are scaled down to it. Lower it if the loss "
        "jumps later.",
    )
    seed: int = Field(
        0,
        ge=0,
        description="Seed of initial weights, sample order and augmentation; change it to see how far scores vary.",
    )
