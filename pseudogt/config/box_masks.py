"""Section ``box_masks``: which pixels of each box belong to the thing."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from pseudogt.config.base import PathText, listed_in
from pseudogt.config.machine import ComputingSettings

Segmenter = Annotated[str, listed_in("models.pretrained.box_segmenters")]


class BoxMasksSettings(ComputingSettings):
    """Which segmenters must agree, and which instance owns pixels that several boxes claim."""

    segmenters: tuple[Segmenter, ...] = Field(
        ("network",),
        min_length=1,
        description="A pixel counts only where all of these agree. network: trained without classes on drawn segments "
        "(BSDS500) and on the masks of 100 images of COCO train; grabcut; hierarchy: regions of a contour hierarchy; "
        "proposal: the best of the stage `proposals`; sam: your own Segment Anything model; ellipse; fill.",
    )
    sure: float = Field(
        0.7,
        ge=0.5,
        lt=1,
        description="Segmenters with probabilities (network, sam): a pixel belongs to the thing above this value, and "
        "does not below one minus this value. Raise it for fewer, more reliable pixels.",
    )
    smoothness: Literal["colour", "gradient", "learned"] = Field(
        "colour",
        description="Where GrabCut prefers to cut: along any difference of colour, or along region contours, by "
        "gradients or by the contour network.",
    )
    restarts: int = Field(
        1,
        ge=1,
        description="Number of GrabCut runs from different starting points, of which the majority counts; an odd "
        "number. More give steadier masks and take proportionally longer.",
    )
    cam_prior: bool = Field(
        False,
        description="Start GrabCut from the pixels where the CAMs show the class of the box; needs useful CAMs of "
        "things.",
    )
    sam_model: PathText | None = Field(
        None,
        description="Segment Anything model of Hugging Face transformers (SAM, SAM-HQ, SAM 2, SAM 3), needed by sam: "
        "its folder, or its name if it is in the local cache (`hf download NAME`).",
    )
    overlap: Literal["nearest", "smaller", "none"] = Field(
        "nearest",
        description="Which instance owns pixels that several boxes of one class claim: the box whose centre is nearest "
        "relative to its size, the smaller box (as if in front), or none (class without instance).",
    )

    @field_validator("segmenters")
    @classmethod
    def _check_distinct(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError(f"each segmenter counts once, got {list(names)}")
        return names

    @model_validator(mode="after")
    def check_sam(self) -> Self:
        """SAM has no weights of its own here."""
        if "sam" in self.segmenters and self.sam_model is None:
            raise ValueError("segmenters: sam needs sam_model, the folder or name of a downloaded model")
        return self
