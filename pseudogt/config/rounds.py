"""Section ``rounds``: how often labels are remade from the model trained on them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pseudogt.config.base import Section


class RoundsSettings(Section):
    """When the train-predict-refine loop stops."""

    max: int = Field(
        2, ge=1, le=50, description="Maximum number of rounds. Each round is a training, and adds jobs as well as time."
    )
    min: int = Field(
        1, ge=1, description="Minimum number of rounds, whatever the loss; set it to `max` if runs are to be compared."
    )
    min_improvement: float = Field(
        0.01,
        ge=0,
        description="A round is an improvement if the loss on the fixed training subset falls by this share.",
    )
    patience: int = Field(
        1,
        ge=1,
        description="Stop after this many rounds in a row without an improvement; raise it if the loss varies from "
        "round to round.",
    )
    init: Literal["previous", "scratch"] = Field(
        "previous",
        description="Whether a round starts from the weights of the round before or from the initial weights.",
    )
    box_mask_rounds: int = Field(
        5,
        ge=0,
        description="Number of rounds whose labels are merged with box masks; later rounds use the model only.",
    )

    @model_validator(mode="after")
    def _check_order(self) -> RoundsSettings:
        if self.min > self.max:
            raise ValueError(f"rounds.min ({self.min}) is larger than rounds.max ({self.max})")
        return self
