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
    """Which weak labels an annotator is assumed to have given."""

    tags: Literal["crop", "image"] = Field(
        "crop", description="Tags of fixed crops, or only of the whole image (cheaper to label, weaker)."
    )
    crop_height_fraction: float = Field(
        CROP_HEIGHT_FRACTION,
        gt=0,
        le=1,
        description="Height of a crop, relative to the image; 400/1024 in the paper gives 3 rows. 1 gives one row.",
    )
    crop_width_fraction: float = Field(
        CROP_WIDTH_FRACTION,
        gt=0,
        le=1,
        description="Width of a crop, relative to the image; 500/2048 in the paper gives 5 columns. 1 gives one.",
    )
    group_boxes: bool = Field(
        True, description="Give groups of a thing class (crowds) one box around all of them, marked iscrowd."
    )
    group_tags: bool = Field(
        True, description="Tag a thing class of which there are only groups; false in the paper of JTSM."
    )
    boxes: bool = Field(
        True,
        description="Give each thing a box; false for tags alone, from which `method: jtsm` learns.",
    )
    thing_tags: bool = Field(True, description="Also tag thing classes; false if your annotators tag only stuff.")
    points: Literal["stuff", "things", "all"] | None = Field(
        None,
        description="Points like people's clicks in each segment of stuff, of things, or of both, away from its "
        "border; groups get none. Null for none.",
    )
    points_per_segment: int = Field(
        1, ge=1, description="Points in each of these segments; the further ones in parts that have none yet."
    )
    scribbles: Literal["stuff", "things", "all"] | None = Field(
        None,
        description="Strokes like those of people, one along the middle of the largest part of each segment of stuff, "
        "of things, or of both; groups get none. Null for none.",
    )
    point_radius_px: float = Field(
        2.0,
        ge=0,
        description="Radius in pixels around a point, and to both sides of a stroke, within which pixels are assumed "
        "to have its class; smaller for strokes in thin segments.",
    )
    points_seed: int = Field(0, ge=0, description="Seed of the positions of points and strokes in their segments.")
