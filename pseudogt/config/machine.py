"""Section ``machine``: where and how networks compute. Every stage that runs a network inherits from it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pseudogt.config.base import Section


class ComputingSettings(Section):
    """Settings that all stages inherit that train or apply a network."""

    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="Floating-point type in the forward pass; auto uses bf16 if the processor supports it."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where networks compute; auto uses a GPU if there is one."
    )
    torch_threads: int = Field(
        2,
        ge=1,
        description="Threads of torch on the CPU, at most the cores of a job; results are only reproducible with the "
        "same number.",
    )


UNRECORDED = {"loader_workers"}
"""Settings that change no result: neither models nor the names of checkpoints contain them."""


class MachineSettings(ComputingSettings):
    """Where and how networks compute.

    The stages that run a network (classifier, cams, mining, mined, box_masks with the segmenter sam, segmenter,
    predictions) inherit these settings. To override one, give a value in the stage's own section. To inherit it, leave
    it out there; null is an error.
    """

    loader_workers: Annotated[int, Field(ge=0)] | Literal["auto"] = Field(
        "auto",
        description="Processes per GPU that load batches; auto uses the job's cores per GPU minus one, and none on a "
        "CPU, where a thread loads. Results do not depend on it.",
    )
    checkpoint_every_s: float = Field(
        120,
        ge=0,
        description="Seconds between checkpoints, from which an interrupted training resumes; raise it if the disk is "
        "slow.",
    )
