"""Section ``cams``: first class scores, by activation maps or by a model of concepts, and the label made from them."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from pseudogt.config.base import PathText
from pseudogt.config.machine import ComputingSettings


class CamsSettings(ComputingSettings):
    """How the classifier's maps, or what a model of concepts finds, become scores and a label."""

    method: Literal["probability", "gradcam", "concepts"] = Field(
        "probability",
        description="`probability`: softmax over the possible classes of the classifier's score map (its activation "
        "map in closed form); `gradcam`: Grad-CAM of `layer`; `concepts`: no classifier, `concept_model` finds the "
        "tagged classes by their prompts (docs/your-data.md).",
    )
    concept_model: PathText | None = Field(
        None,
        description="Model of Hugging Face transformers that finds what words name (SAM 3, CLIPSeg), needed by "
        "concepts: its folder, or its name if it is in the local cache (`hf download NAME`).",
    )
    min_probability: float = Field(
        0.5,
        ge=0,
        le=1,
        description="concepts: pixels and instances with a lower probability are not found; lower it if much stays "
        "without label.",
    )
    layer: str = Field(
        "backbone.stages.1", description="Module of the classifier that Grad-CAM explains; used by gradcam only."
    )
    view: Literal["image", "crops"] = Field(
        "image",
        description="Apply the classifier to the whole image, or to each crop and stitch the maps, as in the paper.",
    )
    scales: tuple[float, ...] = Field(
        (1.0,), min_length=1, description="Further scaling of the image; the maps of several scales are averaged."
    )
    things_in_boxes: bool = Field(
        True, description="Allow a thing only inside its boxes; set it to false if boxes are incomplete."
    )
    region_scale: float = Field(
        50.0,
        ge=0,
        description="Average scores over regions of even colour; a larger value gives larger regions, 0 turns it off.",
    )
    min_confidence: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Pixels whose best score is lower get no label; raise it for fewer, more reliable labels.",
    )
    point_spread: float = Field(
        0.9,
        ge=0,
        le=1,
        description="Minimum score of a class in a region of even colour whose points, scribbles or masks all have "
        "this class; 0 labels only the marked pixels.",
    )
    width_exponent: float = Field(
        1.5,
        ge=0,
        le=2,
        description="Correct scores by the width of the segments that points, scribbles and masks are in: a class of "
        "thin segments has fewer pixels than its marks suggest. 1 if segments are stripes, 2 if they are as long as "
        "wide, 0 turns it off.",
    )
    min_share: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="Minimum share of an image's pixels that a class wins, in every round, if it has a tag and no box "
        "there, so that frequent classes don't take all pixels of a rare one that always occurs beside them. For "
        "images with a few large classes, 0.15; 0 turns it off, as thin classes need.",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "fp32", description="Floating-point type in the forward pass; auto takes bf16 where the processor supports it."
    )

    @model_validator(mode="after")
    def check_concepts(self) -> Self:
        """No model of concepts comes with the workflow, and one that is named is meant to be used."""
        if self.method == "concepts" and self.concept_model is None:
            raise ValueError("method: concepts needs concept_model, the folder or name of a downloaded model")
        if self.method != "concepts" and self.concept_model is not None:
            raise ValueError(
                f"method: {self.method} does not use concept_model: {self.concept_model}; set method to concepts, or "
                "concept_model to null"
            )
        return self
