"""Section ``segmenter``: the panoptic network and its training, in every round and for the reference."""

from __future__ import annotations

from pydantic import Field, model_validator

from pseudogt.config.augmentation import AugmentationSettings
from pseudogt.config.training import FreezingSettings


class SegmenterSettings(FreezingSettings, AugmentationSettings):
    """How the panoptic network is trained; the reference uses the same values."""

    decoder_channels: int = Field(48, ge=8, description="Width of the decoder; more is better and slower.")
    scale: float = Field(
        1.0,
        gt=0,
        le=2,
        description="Images are resized by this factor before the network sees them; small objects need 1, "
        "large images take 0.5 or less to be affordable.",
    )
    zoom_min: float = Field(0.75, gt=0, description="Augmentation: the smallest random enlargement.")
    zoom_max: float = Field(1.5, gt=0, description="Augmentation: the largest random enlargement.")
    class_balance: float = Field(
        0.5,
        ge=0,
        le=1,
        description="How far rare classes are weighted up: 0 treats all pixels alike, 1 all classes. Helps small "
        "classes, at some cost in precision.",
    )
    candidate_weight: float = Field(
        0.3,
        ge=0,
        description="Weight of the loss that asks unlabelled pixels for any class their tags and boxes allow; 0 = off.",
    )
    centre_weight: float = Field(
        50.0, ge=0, description="Weight of the squared error of the centre heatmaps; 200 in Panoptic-DeepLab."
    )
    centre_sigma: float | None = Field(
        None,
        gt=0,
        le=0.5,
        description="Width of the Gaussian around a centre over the size of its object, without an upper limit: 0.15 "
        "where single objects fill an image. null: 0.08, and 8 px at most, for scenes of many objects.",
    )
    offset_weight: float = Field(0.01, ge=0, description="Weight of the offsets' absolute error in pixels.")

    @model_validator(mode="after")
    def _check_zoom(self) -> SegmenterSettings:
        if self.zoom_min > self.zoom_max:
            raise ValueError(f"zoom_min {self.zoom_min} is larger than zoom_max {self.zoom_max}")
        return self
