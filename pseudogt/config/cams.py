"""Section ``cams``: class activation maps and the label made from them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pseudogt.config.machine import ComputingSettings


class CamsSettings(ComputingSettings):
    """How the classifier's maps become scores and a label."""

    method: Literal["probability", "gradcam"] = Field(
        "probability",
        description="Softmax over the possible classes of the classifier's score map (its activation map in closed "
        "form), or Grad-CAM of `layer`.",
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
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "fp32", description="Floating-point type in the forward pass; auto takes bf16 where the processor supports it."
    )
