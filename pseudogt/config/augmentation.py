"""Section ``augmentation``: random changes of training images. Every training inherits from it."""

from __future__ import annotations

from pydantic import Field

from pseudogt.config.base import Section


class AppearanceSettings(Section):
    """Settings that all trainings inherit."""

    flip: float = Field(0.5, ge=0, le=1, description="Probability of mirroring an image; 0 if left and right matter.")
    colour: float = Field(
        0.3,
        ge=0,
        lt=1,
        description="Maximum change of brightness, contrast (not in mining) and saturation; lower it if classes "
        "differ in little else.",
    )


class AugmentationSettings(AppearanceSettings):
    """Random changes of training images.

    The trainings inherit these settings (mining: flip and colour only). To override one, give a value in the
    training's own section. To inherit it, leave it out there; null is an error.
    """

    crop_height_px: int = Field(
        128,
        ge=32,
        multiple_of=32,
        description="Height of the training crops in pixels, after scaling; larger ones show more context and take "
        "more memory.",
    )
    crop_width_px: int = Field(
        256, ge=32, multiple_of=32, description="Width of the training crops in pixels, after scaling."
    )

    @property
    def crop_size(self) -> tuple[int, int]:
        """Height and width of the training crops."""
        return self.crop_height_px, self.crop_width_px
