"""Section ``segmenter``: the panoptic network and its training, in every round and for the reference."""

from __future__ import annotations

from pydantic import Field, model_validator

from pseudogt.config.augmentation import AugmentationSettings
from pseudogt.config.training import FreezingSettings


class SegmenterSettings(FreezingSettings, AugmentationSettings):
    """How the panoptic network is trained; the reference uses the same values."""

    decoder_channels: int = Field(48, ge=8, description="Width of the decoder; wider is better and slower.")
    scale: float = Field(
        1.0,
        gt=0,
        le=2,
        description="Factor by which images are resized for the network; small objects need 1, large images 0.5 or "
        "less to be affordable.",
    )
    zoom_min: float = Field(0.75, gt=0, description="Augmentation: minimum random enlargement.")
    zoom_max: float = Field(1.5, gt=0, description="Augmentation: maximum random enlargement.")
    class_balance: float = Field(
        0.5,
        ge=0,
        le=1,
        description="How strongly rare classes are weighted: 0 weights all pixels equally, 1 all classes. Raise it for "
        "small classes, at some cost in precision.",
    )
    candidate_weight: float = Field(
        0.3,
        ge=0,
        description="Weight of the loss that gives unlabelled pixels one of the classes that their tags and boxes "
        "allow; 0 turns it off.",
    )
    centre_weight: float = Field(
        50.0, ge=0, description="Weight of the squared error of the centre heatmaps; 200 in Panoptic-DeepLab."
    )
    centre_sigma: float | None = Field(
        None,
        gt=0,
        le=0.5,
        description="Width of the Gaussian around a centre, relative to the size of its object and without an upper "
        "limit: 0.15 if single objects fill an image. null: 0.08, and at most 8 px, for scenes with many objects.",
    )
    offset_weight: float = Field(0.01, ge=0, description="Weight of the absolute error of the offsets, in pixels.")

    @model_validator(mode="after")
    def _check_zoom(self) -> SegmenterSettings:
        if self.zoom_min > self.zoom_max:
            raise ValueError(f"zoom_min {self.zoom_min} is larger than zoom_max {self.zoom_max}")
        return self
