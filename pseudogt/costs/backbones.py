"""Costs of backbones per million pixels; ``benchmarks/backbone_costs.py`` prints the table of timm's."""

from __future__ import annotations

from typing import NamedTuple

from pseudogt.costs.assumptions import ACTIVATION_MB_PER_SECOND, GIGAPRODUCTS_PER_SECOND, GRADIENT_FACTOR

MEASURED_SIDE_PX = 512
"""Side of the image at which the table was measured: attention over all patches costs more per pixel of larger ones."""


class BackboneCosts(NamedTuple):
    """The costs of a backbone.

    Attributes
    ----------
    gigaproducts : float
        Multiplications with an addition in the forward pass, in 10**9 per million pixels.
    activation_mb : float
        What 32-bit training keeps for the backward pass, in MB per million pixels.
    million_weights : float
    channels : tuple of int
        Widths of the features at strides 4, 8, 16 and 32.
    """

    gigaproducts: float
    activation_mb: float
    million_weights: float
    channels: tuple[int, ...]


TIMM_COSTS: dict[str, BackboneCosts] = {
    "timm/resnet18": BackboneCosts(36.1, 442, 11.2, (64, 128, 256, 512)),
    "timm/resnet34": BackboneCosts(73.0, 643, 21.3, (64, 128, 256, 512)),
    "timm/resnet50": BackboneCosts(81.5, 1714, 23.5, (256, 512, 1024, 2048)),
    "timm/resnet50d": BackboneCosts(86.2, 1870, 23.5, (256, 512, 1024, 2048)),
    "timm/resnet101": BackboneCosts(155.4, 2531, 42.5, (256, 512, 1024, 2048)),
    "timm/wide_resnet50_2": BackboneCosts(227.1, 2238, 66.8, (256, 512, 1024, 2048)),
    "timm/resnext50_32x4d": BackboneCosts(84.3, 2238, 23.0, (256, 512, 1024, 2048)),
    "timm/regnety_032": BackboneCosts(63.2, 1988, 17.9, (72, 216, 576, 1512)),
    "timm/efficientnet_b0": BackboneCosts(7.3, 1746, 3.6, (24, 40, 112, 320)),
    "timm/efficientnet_b3": BackboneCosts(18.6, 3383, 10.1, (32, 48, 136, 384)),
    "timm/tf_efficientnet_lite0": BackboneCosts(7.3, 1567, 3.0, (24, 40, 112, 320)),
    "timm/tf_efficientnet_lite4": BackboneCosts(26.3, 3655, 11.1, (32, 56, 160, 448)),
    "timm/tf_efficientnetv2_s": BackboneCosts(56.4, 3062, 19.8, (48, 64, 160, 256)),
    "timm/mobilenetv3_large_100": BackboneCosts(4.2, 879, 3.0, (24, 40, 112, 960)),
    "timm/mobilenetv4_conv_medium": BackboneCosts(16.4, 939, 7.2, (48, 80, 160, 960)),
    "timm/convnext_atto": BackboneCosts(10.9, 630, 3.4, (40, 80, 160, 320)),
    "timm/convnext_nano": BackboneCosts(48.7, 1365, 15.0, (80, 160, 320, 640)),
    "timm/convnext_tiny": BackboneCosts(88.8, 2175, 27.8, (96, 192, 384, 768)),
    "timm/convnext_small": BackboneCosts(173.0, 3472, 49.5, (96, 192, 384, 768)),
    "timm/convnext_base": BackboneCosts(306.0, 4624, 87.6, (128, 256, 512, 1024)),
    "timm/convnextv2_tiny": BackboneCosts(88.8, 3373, 27.9, (96, 192, 384, 768)),
    "timm/swin_tiny_patch4_window7_224": BackboneCosts(97.3, 2253, 27.5, (96, 192, 384, 768)),
    "timm/swin_small_patch4_window7_224": BackboneCosts(187.8, 3609, 48.8, (96, 192, 384, 768)),
    "timm/swin_base_patch4_window7_224": BackboneCosts(331.3, 4807, 86.7, (128, 256, 512, 1024)),
    "timm/pvt_v2_b2": BackboneCosts(92.2, 3690, 24.8, (64, 128, 320, 512)),
    "timm/hrnet_w18": BackboneCosts(69.5, 2426, 10.9, (128, 256, 512, 1024)),
    "timm/hrnet_w48": BackboneCosts(328.4, 4394, 67.1, (128, 256, 512, 1024)),
    "timm/mambaout_tiny": BackboneCosts(89.0, 2835, 22.9, (96, 192, 384, 576)),
    "timm/vit_tiny_patch16_224": BackboneCosts(91.0, 1539, 8.2, (256, 256, 256, 256)),
    "timm/vit_small_patch16_224": BackboneCosts(176.3, 2809, 25.0, (256, 256, 256, 256)),
    "timm/vit_base_patch16_224": BackboneCosts(476.6, 5349, 91.4, (256, 256, 256, 256)),
    "timm/vit_small_patch14_dinov2": BackboneCosts(233.3, 4349, 25.4, (256, 256, 256, 256)),
    "timm/vit_base_patch14_dinov2": BackboneCosts(646.6, 8428, 92.1, (256, 256, 256, 256)),
    "timm/vit_large_patch14_dinov2": BackboneCosts(2014.3, 21785, 312.2, (256, 256, 256, 256)),
    "timm/vit_small_patch14_reg4_dinov2": BackboneCosts(234.0, 4367, 25.4, (256, 256, 256, 256)),
    "timm/vit_base_patch14_reg4_dinov2": BackboneCosts(648.6, 8463, 92.1, (256, 256, 256, 256)),
    "timm/vit_small_patch16_dinov3": BackboneCosts(176.9, 2970, 24.9, (256, 256, 256, 256)),
    "timm/vit_small_plus_patch16_dinov3": BackboneCosts(204.7, 3549, 32.0, (256, 256, 256, 256)),
    "timm/vit_base_patch16_dinov3": BackboneCosts(478.5, 5669, 91.2, (256, 256, 256, 256)),
    "timm/vit_large_patch16_dinov3": BackboneCosts(1468.0, 14430, 310.9, (256, 256, 256, 256)),
}
"""Costs of networks that are often used, by name."""

MEDIUM_COSTS = BackboneCosts(120.0, 3000, 60.0, (256, 512, 1024, 2048))
"""Assumed costs of a network that is not in the table: medium size. Estimates for larger ones are too low."""

CHANNELS = {
    "small": (32, 64, 128, 192),
    "resnet18": (64, 128, 256, 512),
    "resnet50": (256, 512, 1024, 2048),
    "resnet101": (256, 512, 1024, 2048),
    "resnet_ws18": (512, 512, 512, 512),
    "resnet_ws50": (2048, 2048, 2048, 2048),
    "resnet_ws101": (2048, 2048, 2048, 2048),
}
"""Width of a backbone's features by ``levels``."""

SMALL = BackboneCosts(14.0, 170, 1.9, CHANNELS["small"])
"""Costs of ``small``, in the units of the table for timm's networks."""

SECONDS_PER_MEGAPIXEL = {
    "small": 0.55,
    "resnet18": 1.3,
    "resnet50": 3.5,
    "resnet101": 6.0,
    "resnet_ws18": 9.0,
    "resnet_ws50": 25.0,
    "resnet_ws101": 43.0,
}
"""Seconds of a training step per million pixels of its batch: ``small`` as measured on CamVid, the others by their
operations."""

OTHER_SECONDS_PER_MEGAPIXEL = SECONDS_PER_MEGAPIXEL["resnet50"]
"""Assumed cost of a backbone that is not in this table; timm's networks have their own table."""

DECODER_SECONDS_PER_MEGAPIXEL = 0.25
"""Time of a training step outside a backbone of timm: decoder, heads, losses."""

DENSE_FACTOR = 7
"""Relative cost of a backbone whose later strides are replaced by dilation, as in ResNet-WS."""


def find_backbone_costs(backbone: str) -> BackboneCosts | None:
    """Costs of a member of a family; None for other backbones."""
    return TIMM_COSTS.get(backbone, MEDIUM_COSTS) if "/" in backbone else None


def find_network_size(backbone: str) -> BackboneCosts:
    """Weights of any backbone and the values that it keeps; torchvision's ResNets are those of timm."""
    return SMALL if backbone == "small" else TIMM_COSTS.get(f"timm/{backbone.removeprefix('timm/')}", MEDIUM_COSTS)


def find_seconds_per_megapixel(backbone: str, *, dilated: bool = False) -> float:
    """Seconds of a training step on two cores per million pixels of its batch, if no weight is frozen.

    Parameters
    ----------
    backbone : str
    dilated : bool
        Whether the later strides of a network of timm are replaced by dilation.
    """
    costs = find_backbone_costs(backbone)
    if costs is None:
        return SECONDS_PER_MEGAPIXEL.get(backbone, OTHER_SECONDS_PER_MEGAPIXEL)
    products = GRADIENT_FACTOR * costs.gigaproducts / GIGAPRODUCTS_PER_SECOND
    seconds = products + costs.activation_mb / ACTIVATION_MB_PER_SECOND
    return DECODER_SECONDS_PER_MEGAPIXEL + seconds * (DENSE_FACTOR if dilated else 1)
