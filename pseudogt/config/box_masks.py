"""Config section ``box_masks``: what is thing and what is not in each box."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from pseudogt.config.base import Section


class BoxMasksSettings(Section):
    """Which segmenters must agree, and who owns what several boxes claim."""

    segmenters: tuple[Literal["grabcut", "hierarchy", "ellipse"], ...] = Field(
        ("grabcut", "hierarchy"),
        min_length=2,
        description="Two or more independent segmenters; a pixel counts only where all of them agree. Add ellipse for "
        "fewer, surer pixels.",
    )
    overlap: Literal["nearest", "smaller", "none"] = Field(
        "nearest",
        description="Which instance owns pixels that several boxes of one class claim: the box whose centre is nearest "
        "relative to its size, the smaller box (as if in front), or none (class without instance).",
    )
    seed: int = Field(0, ge=0, description="Seed of GrabCut's colour clustering; set anew before every box.")

    @field_validator("segmenters")
    @classmethod
    def _check_distinct(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError(f"each segmenter counts once, got {list(names)}")
        return names
