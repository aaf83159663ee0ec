"""Section ``weak_labels``: how weak labels are derived from ground truth for a benchmark."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pseudogt.config.base import Section

CROP_HEIGHT_FRACTION = 400 / 1024
"""Crop height over image height in Li et al., ECCV 2018: 400 of 1024 pixels."""

CROP_WIDTH_FRACTION = 500 / 2048
"""Crop width over image width in Li et al., ECCV 2018: 500 of 2048 pixels."""


class WeakLabelsSettings(Section):
    """What a labeller is taken to have marked."""

    tags: Literal["crop", "image"] = Field(
        "crop", description="Tags of the fixed crops, or of the whole image only (cheaper to label, weaker)."
    )
    crop_height_fraction: float = Field(
        CROP_HEIGHT_FRACTION,
        gt=0,
        le=1,
        description="Height of a crop over that of the image; 400/1024 in the paper gives 3 rows. 1 gives one row.",
    )
    crop_width_fraction: float = Field(
        CROP_WIDTH_FRACTION,
        gt=0,
        le=1,
        description="Width of a crop over that of the image; 500/2048 in the paper gives 5 columns. 1 gives one.",
    )
    group_boxes: bool = Field(
        True, description="Whether groups of a thing class (crowds) get one box around all of them, marked iscrowd."
    )
    group_tags: bool = Field(
        True, description="Whether a thing class of which there are only groups is tagged; false in the paper of JTSM."
    )
    boxes: bool = Field(
        True,
        description="Whether each thing gets a box; false for tags alone, which is what `method: jtsm` learns from.",
    )
    thing_tags: bool = Field(
        True, description="Whether thing classes are tagged too; false if your labellers tag stuff only."
    )
    points: Literal["stuff", "things", "all"] | None = Field(
        None,
        description="Points as people click them, one in each segment of stuff, of things, or of both, away from its "
        "border; groups get none. Null for none.",
    )
    scribbles: Literal["stuff", "things", "all"] | None = Field(
        None,
        description="Strokes as people draw them, one along the middle of the largest part of each segment of stuff, "
        "of things, or of both; groups get none. Null for none.",
    )
    point_radius_px: float = Field(
        2.0,
        ge=0,
        description="Pixels around a point that are taken to be its class, too; beside a stroke as many, or fewer in a "
        "thin segment.",
    )
    points_seed: int = Field(0, ge=0, description="Where in its segment each point and each stroke lies.")
