"""Section ``segmenter``: the panoptic network and its training, in every round and for the reference."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from pseudogt.config.augmentation import AugmentationSettings
from pseudogt.config.base import listed_in
from pseudogt.config.training import FreezingSettings

NETWORK_TABLE = "models.segmenter.networks"
"""Table of networks."""

QUERY_NETWORKS = ("mask_transformer", "eomt")
"""Those that predict a class and a mask with each of their queries; they need the extra `transformers`."""

READ_BY = {
    ("bottom_up",): ("decoder_channels", "centre_weight", "centre_sigma", "offset_weight"),
    ("mask_transformer",): ("query_channels", "encoder_layers"),
    QUERY_NETWORKS: (
        "queries",
        "query_layers",
        "query_weight",
        "mask_weight",
        "dice_weight",
        "nothing_weight",
        "mask_points",
    ),
}
"""Settings that only some networks read."""


class SegmenterSettings(FreezingSettings, AugmentationSettings):
    """How the panoptic network is trained; the reference uses the same values."""

    network: Annotated[str, listed_in(NETWORK_TABLE)] = Field(
        "bottom_up",
        description="`bottom_up` predicts classes of pixels, centres and offsets; `mask_transformer` (Mask2Former) and "
        "`eomt` predict a class and a mask with each of their queries (docs/segmenters.md).",
    )
    decoder_channels: int = Field(48, ge=8, description="Width of the decoder; wider is better and slower.")
    scale: float = Field(
        1.0,
        gt=0,
        le=2,
        description="Factor by which images are resized for the network; small objects need 1, large images 0.5 or "
        "less to be affordable.",
    )
    zoom_min: float = Field(
        0.75,
        gt=0,
        description="Augmentation: minimum random enlargement; below 1, objects are also seen smaller than they are.",
    )
    zoom_max: float = Field(
        1.5,
        gt=0,
        description="Augmentation: maximum random enlargement; raise it if objects of a class differ much in size.",
    )
    class_balance: float = Field(
        0.5,
        ge=0,
        le=1,
        description="How strongly rare classes are weighted: 0 weights all pixels equally, 1 all classes. Raise it for "
        "small classes, at some cost in precision.",
    )
    candidate_weight: float = Field(
        0.3,
        ge=0,
        description="Weight of the loss that gives unlabelled pixels one of the classes that their tags and boxes "
        "allow; 0 turns it off.",
    )
    full_share: float = Field(
        0.33,
        ge=0,
        lt=1,
        description="Least share of training samples that are images with full labels, if only some images have one "
        "(docs/mixed.md); 0 draws all images equally often.",
    )
    centre_weight: float = Field(
        50.0, ge=0, description="Weight of the squared error of the centre heatmaps; 200 in Panoptic-DeepLab."
    )
    centre_sigma: float | None = Field(
        None,
        gt=0,
        le=0.5,
        description="Width of the Gaussian around a centre, relative to the size of its object and without an upper "
        "limit: 0.15 if single objects fill an image. null: 0.08, and at most 8 px, for scenes with many objects.",
    )
    offset_weight: float = Field(0.01, ge=0, description="Weight of the absolute error of the offsets, in pixels.")

    queries: int = Field(
        50,
        ge=1,
        description="mask_transformer, eomt: segments that can be found in an image; 100 in Mask2Former, 200 for "
        "crowded scenes.",
    )
    query_channels: int = Field(
        128,
        ge=64,  # features are normalised in 32 groups, and one channel alone of an image of 32x32 is one value
        multiple_of=32,
        description="mask_transformer: width of queries and features, a multiple of 32; 256 in Mask2Former. Lower it "
        "if memory runs out.",
    )
    encoder_layers: int = Field(
        1, ge=1, description="mask_transformer: layers of attention between features; 6 in Mask2Former."
    )
    query_layers: int = Field(
        3, ge=1, description="mask_transformer, eomt: layers of queries; 9 in Mask2Former, 4 in EoMT."
    )
    query_weight: float = Field(
        2.0, ge=0, description="mask_transformer, eomt: weight of the classes of queries, as in Mask2Former."
    )
    mask_weight: float = Field(
        5.0, ge=0, description="mask_transformer, eomt: weight of the cross-entropy of masks, as in Mask2Former."
    )
    dice_weight: float = Field(
        5.0, ge=0, description="mask_transformer, eomt: weight of the overlap (dice) of masks, as in Mask2Former."
    )
    nothing_weight: float = Field(
        0.1, gt=0, description="mask_transformer, eomt: weight of a query that finds nothing, as in Mask2Former."
    )
    mask_points: int = Field(
        1024,
        ge=1,
        description="mask_transformer, eomt: pixels at which masks and segments are compared; 12544 in Mask2Former.",
    )

    @property
    def zoom(self) -> tuple[float, float]:
        """Range of random enlargement."""
        return self.zoom_min, self.zoom_max

    @model_validator(mode="after")
    def _check_network(self) -> SegmenterSettings:
        if self.network == "eomt" and "/" not in self.backbone:
            raise ValueError(
                f"network eomt needs a plain vision transformer of timm; set backbone {self.backbone} to one such as "
                "timm/vit_small_patch16_224"
            )
        for networks, names in READ_BY.items():
            changed = [name for name in names if getattr(self, name) != type(self).model_fields[name].default]
            if self.network not in networks and changed:
                defaults = ", ".join(f"{name}: {type(self).model_fields[name].default}" for name in changed)
                raise ValueError(
                    f"network: {self.network} does not read {', '.join(changed)}, which "
                    f"{'is' if len(changed) == 1 else 'are'} for {' and '.join(networks)}; leave out what you set, or "
                    f"set {defaults}"
                )
        return self

    @model_validator(mode="after")
    def _check_zoom(self) -> SegmenterSettings:
        if self.zoom_min > self.zoom_max:
            raise ValueError(f"zoom_min {self.zoom_min} is larger than zoom_max {self.zoom_max}")
        return self
