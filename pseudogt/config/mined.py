"""Section ``mined``: how the mined model is applied, and how its detections become panoptic labels."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pseudogt.config.machine import ComputingSettings


class MinedSettings(ComputingSettings):
    """How the mined network is applied, and how its detections become panoptic labels."""

    short_sides_px: tuple[int, ...] = Field(
        (256,),
        min_length=1,
        description="Sizes of the shorter side at which an image is seen, averaged; 480 to 1152 in the paper.",
    )
    long_side_px: int = Field(2048, ge=32, description="The longer side at most; 4000 in the paper.")
    flip: bool = Field(True, description="Average with the mirror image: slightly better, twice the time.")
    images_per_pass: int = Field(
        1,
        ge=1,
        description="Images of one size that go through the network together, each in all its views of one size. More "
        "keep a large GPU busy; their features are in memory at the same time.",
    )
    min_score: float = Field(
        1e-5, ge=0, le=1, description="Boxes of a lower score are dropped before overlapping ones are."
    )
    nms_overlap: float = Field(
        0.3, ge=0, le=1, description="Of two boxes of a class that overlap (IoU) by more, the better one stays."
    )
    max_detections: int = Field(
        100, ge=1, description="Boxes of an image at most, best first: what AP and CorLoc are measured on."
    )
    min_instance_score: float = Field(
        0.5, ge=0, le=1, description="Instances of a lower score do not enter the panoptic label."
    )
    masks: Literal["branch", "segments"] = Field(
        "branch",
        description="Masks of instances: those of the mask branch, or the segments of the proposals that were found, "
        "which are sharper where things are a few pixels wide.",
    )
    stuff: Literal["branch", "segments"] = Field(
        "branch",
        description="What says which stuff is where: the semantic branch, or classes of the proposals spread over "
        "their superpixels, which is what the branch learns from.",
    )
    semantic_mean: Literal["probabilities", "logits"] = Field(
        "probabilities",
        description="What the semantic maps of several views are averaged as; logits as in the paper, resized by "
        "nearest pixel.",
    )
    things: Literal["detections", "components"] = Field(
        "detections",
        description="What instances are: what is detected; or also connected parts of thing pixels, by the segments "
        "that say where stuff is, that no detection has.",
    )
    max_overlap: float = Field(
        0.5, ge=0, le=1, description="An instance of which better ones cover a larger share is dropped."
    )
    min_stuff_area_px: int = Field(
        4096, ge=0, description="Stuff of fewer free pixels becomes void; 4096 in the paper suits images of 640x480."
    )

    @model_validator(mode="after")
    def _check_things(self) -> MinedSettings:
        """The semantic branch does not tell one class of things from another."""
        if self.things == "components" and self.stuff == "branch":
            raise ValueError(
                "things: components with stuff: branch, which tells no classes of things; set stuff: segments"
            )
        return self
