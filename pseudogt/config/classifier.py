"""Section ``classifier``: the network that learns from tags where each class is."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pseudogt.config.augmentation import AugmentationSettings
from pseudogt.config.training import FreezingSettings


class ClassifierSettings(FreezingSettings, AugmentationSettings):
    """How the tag classifier is trained."""

    samples: Literal["image", "crop"] = Field(
        "image",
        description="A sample is a window of an image, whose crops are all pooled from one score map, or a single "
        "crop, as in the paper. The first computes what overlapping crops share only once.",
    )
    steps: int = Field(900, ge=1, description="Optimiser steps; training time is proportional to it.")
    batch_size: int = Field(8, ge=1, description="Images (or crops) per optimiser step, over all devices.")
    levels: int = Field(
        2,
        ge=1,
        le=4,
        description="Number of backbone levels that the scores use (strides 4, 8, 16, 32); fewer give better borders, "
        "more give more context.",
    )
    decoder_channels: int = Field(64, ge=8, description="Width of the decoder; wider is better and slower.")
    sharpness: float = Field(
        1.0,
        gt=0,
        description="How much the pooled score of a crop follows its highest score instead of its mean; raise it for "
        "small classes.",
    )
    presence_weight: float = Field(
        0.5,
        ge=0,
        description="Weight of the loss that makes each tagged class win some pixels of its crop or box; it helps "
        "small classes.",
    )
    candidate_weight: float = Field(
        1.0,
        ge=0,
        description="Weight of the loss that gives each pixel one of the classes that all its crops and boxes allow.",
    )
    point_weight: float = Field(
        1.0, ge=0, description="Weight of the loss that gives each pixel of a point, scribble or mask its class."
    )
    point_region_scale: float = Field(
        50.0,
        ge=0,
        description="Points, scribbles and masks also label the rest of large regions of even colour of this scale; 0 "
        "only what they mark. It teaches where classes end.",
    )
    ring_weight: float = Field(
        3.0,
        ge=0,
        description="Weight of the loss that keeps narrow classes out of a ring around their points, scribbles and "
        "masks, where their segments should have ended; with it, a disc around each point and scribble is labelled, "
        "too. It teaches how narrow poles and signs are; 0 if narrow segments of a class lie side by side.",
    )
    scale: float = Field(
        1.0,
        gt=0,
        le=2,
        description="Factor by which images are resized for the network; large images need less than 1.",
    )
    zoom_min: float = Field(1.0, gt=0, description="Augmentation: minimum random enlargement.")
    zoom_max: float = Field(1.2, gt=0, description="Augmentation: maximum random enlargement.")
    colour: float = Field(
        0.2, ge=0, lt=1, description="Augmentation: maximum change of brightness, contrast and saturation."
    )

    @property
    def zoom(self) -> tuple[float, float]:
        """Range of random enlargement."""
        return self.zoom_min, self.zoom_max

    @model_validator(mode="after")
    def _check_zoom(self) -> ClassifierSettings:
        if self.zoom_min > self.zoom_max:
            raise ValueError(f"zoom_min {self.zoom_min} is larger than zoom_max {self.zoom_max}")
        return self
