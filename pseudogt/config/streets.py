"""Section ``streets``: the generated street scenes of the embedded default."""

from __future__ import annotations

from pydantic import Field

from pseudogt.config.base import Section


class StreetsSettings(Section):
    """Size and seed of the generated set."""

    train_images: int = Field(
        120, ge=1, description="Number of training images; more give a better model and take longer."
    )
    val_images: int = Field(40, ge=0, description="Number of validation images.")
    height: int = Field(128, ge=64, description="Image height in pixels; objects scale with it.")
    width: int = Field(256, ge=64, description="Image width in pixels.")
    seed: int = Field(0, ge=0, description="Seed of all scenes; change it for another set of the same kind.")
    missing: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Probability that a scene lacks its cars, its persons or its bicycles, each drawn separately. At 0 "
        "every road has cars and nearly every sidewalk persons, which boxes can tell apart but tags alone cannot.",
    )
