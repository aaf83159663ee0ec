"""Section ``machine``: where and how networks compute. Every stage that runs a network inherits from it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pseudogt.config.base import Section


class ComputingSettings(Section):
    """What the stages inherit that train or apply a network."""

    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="Floating-point type in the forward pass; auto takes bf16 where the processor supports it."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where networks compute; auto takes a GPU if there is one."
    )
    torch_threads: int = Field(
        2, ge=1, description="Threads of torch on the CPU; results are equal only for equal values."
    )


class MachineSettings(ComputingSettings):
    """Where and how networks compute.

    The stages that run a network (classifier, cams, mining, mined, segmenter, predictions) inherit these settings. A
    stage overrides one by a value in its own section; to inherit, leave the setting out there: null is no value.
    """

    cache_gb: float = Field(
        4.0,
        ge=0,
        description="Memory of a training for prepared images; what does not fit is read again in every epoch.",
    )
    checkpoint_every_s: float = Field(
        120, ge=0, description="Seconds between checkpoints, from which an interrupted training resumes."
    )
