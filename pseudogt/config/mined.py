"""Section ``mined``: how to apply the mined model and turn its detections into panoptic labels."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pseudogt.config.machine import ComputingSettings


class MinedSettings(ComputingSettings):
    """How to apply the mined network and turn its detections into panoptic labels."""

    short_sides_px: tuple[int, ...] = Field(
        (256,),
        min_length=1,
        description="Lengths of the shorter side at which an image is processed; the results are averaged. 480 to 1152 "
        "in the paper.",
    )
    long_side_px: int = Field(2048, ge=32, description="Maximum length of the longer side; 4000 in the paper.")
    flip: bool = Field(True, description="Average with the mirror image: slightly better, twice the time.")
    images_per_pass: int = Field(
        1,
        ge=1,
        description="Images of one size that are processed together, each in all its views of one size. Raise it to "
        "keep a large GPU busy; it takes more memory.",
    )
    min_score: float = Field(
        1e-5, ge=0, le=1, description="Boxes with a lower score are dropped before non-maximum suppression."
    )
    nms_overlap: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Of two boxes of a class with a higher overlap (IoU), only the better one is kept. Lower it if "
        "one object is found twice, raise it if neighbours are lost.",
    )
    max_detections: int = Field(
        100, ge=1, description="Maximum number of boxes per image, best first; AP and CorLoc are computed from them."
    )
    min_instance_score: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Instances with a lower score do not enter the panoptic label; raise it if false instances appear.",
    )
    masks: Literal["branch", "segments"] = Field(
        "branch",
        description="Masks of instances: those of the mask branch, or the segments of the detected proposals, which "
        "are sharper for things a few pixels wide.",
    )
    stuff: Literal["branch", "segments"] = Field(
        "branch",
        description="Source of the stuff map: the semantic branch, or classes of the proposals spread over their "
        "superpixels, from which the branch learns.",
    )
    semantic_mean: Literal["probabilities", "logits"] = Field(
        "probabilities",
        description="Whether the semantic maps of several views are averaged as probabilities or as logits; logits as "
        "in the paper, resized by nearest pixel.",
    )
    things: Literal["detections", "components"] = Field(
        "detections",
        description="Instances are the detections; or also connected components of thing pixels without a detection, "
        "found by the segments that label stuff.",
    )
    max_overlap: float = Field(
        0.5, ge=0, le=1, description="Drop an instance if better ones cover more than this share of it."
    )
    min_stuff_area_px: int = Field(
        4096,
        ge=0,
        description="Stuff with fewer free pixels becomes void; 4096 in the paper suits images of 640x480, smaller "
        "ones need less.",
    )

    @model_validator(mode="after")
    def _check_things(self) -> MinedSettings:
        """The semantic branch does not tell one class of things from another."""
        if self.things == "components" and self.stuff == "branch":
            raise ValueError(
                "things: components with stuff: branch, which can't tell classes of things apart; set stuff: segments"
            )
        return self
