"""Config section ``rounds``: how often labels are made anew from the model trained on them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pseudogt.config.base import Section


class RoundsSettings(Section):
    """When the train-predict-refine loop stops."""

    max: int = Field(
        2, ge=1, le=50, description="Rounds at most; every one is a training. More jobs, not only more time."
    )
    min: int = Field(1, ge=1, description="Rounds that are trained whatever the loss does.")
    min_improvement: float = Field(
        0.01,
        ge=0,
        description="A round counts as an improvement if the loss on the fixed training subset falls by this share.",
    )
    patience: int = Field(1, ge=1, description="Stop after this many rounds in a row without an improvement.")
    init: Literal["previous", "scratch"] = Field(
        "previous", description="Whether a round starts from the weights of the round before or from the first weights."
    )
    box_mask_rounds: int = Field(
        5,
        ge=0,
        description="Box masks are merged into the labels of this many rounds; later the model is trusted alone.",
    )

    @model_validator(mode="after")
    def _check_order(self) -> RoundsSettings:
        if self.min > self.max:
            raise ValueError(f"rounds.min ({self.min}) is larger than rounds.max ({self.max})")
        return self
