"""Section ``mining``: the network that learns the classes of segment proposals from tags (JTSM)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pseudogt.config.augmentation import AppearanceSettings
from pseudogt.config.base import listed_in
from pseudogt.config.training import BACKBONE_TABLE, FAMILY_TABLE, TrainingSettings

RESNET_WS = ("resnet_ws18", "resnet_ws50", "resnet_ws101")
"""Backbones that only mining has."""

DENSE_LEVELS = 2
"""Levels of a backbone that mining takes as they are; after them, dilation replaces strides."""


class MiningSettings(TrainingSettings, AppearanceSettings):
    """How the JTSM network is built and trained; used by `method: jtsm` only."""

    samples: Literal["image", "crop"] = Field(
        "image",
        description="A sample is an image with its tags, or a tagged crop as an image of its own, for scenes in which "
        "nearly every class is in every image.",
    )
    needs_things: bool = Field(
        False, description="Leave images without a tagged thing out of the training, as in the paper."
    )
    backbone: Annotated[str, listed_in(BACKBONE_TABLE, FAMILY_TABLE, RESNET_WS)] = Field(
        "small",
        description="Image backbone, changed to stride 8: that of the tag classifier, torchvision's ResNets, "
        "timm/<name> for a network that timm can dilate, or the paper's ResNet-WS.",
    )
    init: Literal["classifier", "weights", "scratch"] = Field(
        "classifier",
        description="Initial weights of the backbone: those of this workflow's tag classifier, which is trained first "
        "and must have the same backbone; the file or name in `weights`; or random ones.",
    )
    freeze: Literal["all", "norm", "none"] = Field(
        "norm",
        description="Backbone weights that are not trained: all, as in the paper; those of its normalisation layers; "
        "none.",
    )
    levels: int = Field(
        4,
        ge=1,
        le=4,
        description="Number of backbone stages used, at stride 8 (1: stride 4); a classifier determines its own "
        "number. Fewer see less context, which is better if things are small and often occur together.",
    )
    padding: bool = Field(
        True,
        description="Pad images to multiples of 8 pixels; ResNet-WS works without, as in the paper on VOC 2007.",
    )
    decoder: bool = Field(
        False,
        description="Use the features of the classifier's decoder, at stride 4 and from all its levels, instead of its "
        "last stage.",
    )
    overlap_power: float = Field(
        0.0,
        ge=0,
        description="With `decoder`: how strongly mining and refinement heads prefer proposals that overlap the "
        "classifier's map of a class. 4 finds whole things; 0 leaves it to learning, as in the paper, which often "
        "finds parts of things.",
    )
    neck_widths: tuple[int, int] = Field(
        (512, 512), description="Widths of the two layers over the pooled features; 4096 and 4096 in the paper."
    )
    dropout: float = Field(0.5, ge=0, lt=1, description="Share of the neck's values that is dropped in training.")
    refinements: int = Field(
        4,
        ge=0,
        description="Refinement heads, each learning from the one before; 0 leaves boxes unrefined. 4 in the paper.",
    )
    masks: bool = Field(True, description="Train a mask branch; without it, masks are those of the proposals.")
    mask_evidence: Literal["grabcut", "segments"] = Field(
        "grabcut",
        description="Training masks of the mask branch: GrabCut in the boxes of proposals, as in the paper, or the "
        "proposals' own segments.",
    )
    mask_channels: int = Field(64, ge=8, description="Width of the mask branch; 256 in the paper.")
    polygons: bool = Field(
        False,
        description="Train the mask branch on masks as polygons, as in the paper: without holes, and the whole box if "
        "a mask has no pixel.",
    )
    mask_limit: int | None = Field(
        16, ge=1, description="Maximum number of proposals per image that learn masks; null for all, as in the paper."
    )
    semantic: bool = Field(
        True,
        description="Train a branch for stuff. Without it, pixels without an instance are background: for class tables "
        "with one stuff class, as in VOC.",
    )
    semantic_start: Literal["small", "he"] = Field(
        "small",
        description="Initial weights of the semantic branch's last layer: small ones, with which all classes start "
        "about equally likely, or He initialisation for its outputs, as in the paper.",
    )
    evidence: Literal["segments", "grabcut"] = Field(
        "segments",
        description="Training labels of the semantic branch: scores of the proposals spread over their superpixels, or "
        "GrabCut in the box of the best proposal of each tag, as in the paper.",
    )
    top_k: int = Field(
        3,
        ge=1,
        description="Number of proposals near each pseudo box in whose boxes GrabCut makes a mask; 10 in the paper.",
    )
    max_proposals: int = Field(
        300,
        ge=1,
        description="Maximum number of proposals per image; 4000 in the paper. Training time is proportional to it.",
    )
    short_sides_px: tuple[int, ...] = Field(
        (192, 224, 256, 288, 320),
        min_length=1,
        description="Augmentation: the shorter side of an image, one of these at random; 480 to 1216 in the paper.",
    )
    long_side_px: int = Field(1024, ge=32, description="Maximum length of the longer side; 2000 in the paper.")
    crop_fraction: float = Field(
        0.9,
        gt=0,
        le=1,
        description="Augmentation: minimum height and width of a random window, relative to the image.",
    )
    whole_pixels: bool = Field(
        False,
        description="Cut the boxes of proposals to whole pixels in resized images, as in the paper.",
    )
    steps: int = Field(2000, ge=1, description="Optimiser steps; training time is proportional to it.")
    optimiser: Literal["adamw", "sgd"] = Field(
        "sgd", description="`sgd`, as in the paper, or `adamw` (faster from scratch)."
    )
    learning_rate: float = Field(
        0.01, gt=0, description="Maximum learning rate; lower it if the loss is not finite, or to fine-tune weights."
    )
    weight_decay: float = Field(5e-4, ge=0, description="Weight decay.")
    schedule: Literal["one_cycle", "poly", "step"] = Field(  # type: ignore[assignment]
        "one_cycle",
        description="How the learning rate falls: along a cosine to zero, by (1 - t) ** 0.9, or to a tenth at each of "
        "`drops`.",
    )
    drops: tuple[float, ...] = Field(
        (0.7,), description="Shares of the steps after which the schedule `step` divides the learning rate by ten."
    )
    bias_rate: float = Field(2.0, gt=0, description="Learning rate of biases, relative to that of all other weights.")
    norm_bias_rate: float = Field(2.0, gt=0, description="The same for biases of normalisation layers; 1 in the paper.")

    @model_validator(mode="after")
    def _check_init(self) -> MiningSettings:
        """Missing weights are an error, never silently random numbers."""
        if (self.init == "weights") != (self.weights is not None):
            raise ValueError(
                f"init: {self.init} with weights: {self.weights!r}; name a file in weights for init: weights, else null"
            )
        if self.backbone.startswith("resnet_ws") and self.init == "classifier":
            raise ValueError(
                f"init: classifier has no {self.backbone}; choose a backbone of the tag classifier, or init: weights"
            )
        if self.decoder and self.init != "classifier":
            raise ValueError(f"decoder: true with init: {self.init}; only init: classifier brings a decoder")
        if self.overlap_power and not self.decoder:
            raise ValueError(
                f"overlap_power: {self.overlap_power:g} with decoder: false; set decoder to true, or overlap_power to 0"
            )
        return self

    @model_validator(mode="after")
    def _check_padding(self) -> MiningSettings:
        """Only pooling copes with parts of cells."""
        if not self.padding and (self.semantic or not self.backbone.startswith("resnet_ws")):
            raise ValueError(
                f"padding: false with backbone: {self.backbone} and semantic: {self.semantic}; it takes one of "
                f"{', '.join(RESNET_WS)} and semantic: false"
            )
        return self
