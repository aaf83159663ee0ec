"""Section ``labels``: how scores, box masks and weak labels become the labels a round trains on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pseudogt.config.base import Section


class LabelsSettings(Section):
    """The cleaning steps and the instance step."""

    gate: Literal["crops", "tags", "none"] = Field(
        "crops",
        description="Which classes a pixel may take: those tagged in every crop that covers it (and, for things, with "
        "a box there); those tagged anywhere in the image; or all that have scores.",
    )
    region_scale: float = Field(
        0.0,
        ge=0,
        description="Average a model's scores over regions of even colour before the best class is taken; a larger "
        "value gives larger regions, 0 turns it off. CAM labels have their own setting.",
    )
    first_scores_weight: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Later rounds: weight of the CAMs' scores in a mean with the model's. The rounds amplify a model's "
        "errors, and the CAMs counteract this.",
    )
    min_confidence_first: float = Field(
        0.0, ge=0, le=1, description="Round 0: ignore pixels whose CAM label has a lower confidence."
    )
    min_confidence: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Later rounds: ignore pixels whose class has a lower share of the probability. The paper uses 0.99 "
        "and labels fewer pixels.",
    )
    check_crop_tags: bool = Field(
        True,
        description="Ignore pixels whose class lacks a tag in a crop that covers them; only has an effect with `gate: "
        "tags`.",
    )
    keep_unsure_things: bool = Field(
        True,
        description="Where the box segmenters disagree, keep the things that the scores show; the paper ignores them.",
    )
    box_prior: bool = Field(True, description="Ignore thing pixels outside the boxes of their class.")
    fill_below: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Fill a box with its class if the class covers less than this share of it; 0.5 in the paper, 0 "
        "never fills.",
    )
    overlap: Literal["nearest", "ignore"] = Field(
        "nearest",
        description="A pixel in several boxes of its class belongs to the box whose centre is nearest, measured in box "
        "sizes, or to none, as in the paper.",
    )
