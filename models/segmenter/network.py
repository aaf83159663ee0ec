"""The bottom-up panoptic network: classes of pixels, centres of instances, offsets to the centres.

After Panoptic-DeepLab (Cheng et al., CVPR 2020), with one U-shaped decoder for all heads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.backbones import NOTHING_FROZEN, Backbone, Freeze, build_backbone
from models.backbones.layers import ConvNorm
from models.checkpoints import load_checkpoint, save_checkpoint
from pseudogt.classes import ClassTable
from pseudogt.config.registry import Registry
from pseudogt.prediction.card import ModelCard
from pseudogt.prediction.kinds import BOTTOM_UP
from pseudogt.prediction.maps import SIZE_MULTIPLE

MODEL_KIND = "panoptic model"


NETWORKS = Registry("models.segmenter.networks", "network of the segmenter")


class PanopticOutput(NamedTuple):
    """Output of the network, with (h, w) at stride 4: :class:`pseudogt.prediction.maps.PanopticMaps` as tensors.

    Attributes
    ----------
    semantic : (B, C, 2 h, 2 w)
        Logits of the classes.
    centre : (B, 1, h, w)
        Heatmap of instance centres, about 0 to 1.
    offset : (B, 2, h, w)
        From the pixel to its instance's centre, (y, x) in pixels of the network's input.
    """

    semantic: Tensor
    centre: Tensor
    offset: Tensor


class SegmenterNetwork(nn.Module, ABC):
    """A network of :mod:`models.segmenter.networks`."""

    backbone: Backbone

    @abstractmethod
    def forward(self, images: Tensor) -> Any:
        """Predict for images ``(B, 3, H, W)``: the outputs of its kind, see :mod:`pseudogt.prediction.kinds`."""


def build_from_architecture(architecture: Mapping[str, Any], *, weights: str | None = None) -> SegmenterNetwork:
    """Build any of the networks.

    Parameters
    ----------
    architecture : mapping
        ``network``, its name, which may be missing for ``BOTTOM_UP``; the other entries are arguments of its
        module's ``build_network``.
    weights : str, optional
        As in :func:`models.backbones.build_backbone`.
    """
    name = architecture.get("network", BOTTOM_UP)
    network: SegmenterNetwork = NETWORKS.load(name).build_network(
        **{key: value for key, value in architecture.items() if key != "network"}, weights=weights
    )
    return network


def build_panoptic_network(
    *, backbone: str, class_count: int, weights: str | None = None, decoder_channels: int = 64
) -> PanopticNetwork:
    """Build the network; ``backbone`` and ``weights`` as in :func:`models.backbones.build_backbone`."""
    return PanopticNetwork(
        backbone=build_backbone(backbone, weights=weights),
        class_count=class_count,
        decoder_channels=decoder_channels,
        offset_unit_px=32.0,
    )


@dataclass(frozen=True)
class PanopticModel:
    """A trained network and all that is needed to use it.

    Attributes
    ----------
    network : SegmenterNetwork
    architecture : dict
        As in :func:`build_from_architecture`.
    classes : ClassTable
    scale : float
        Images are resized by it, to a multiple of ``SIZE_MULTIPLE``.
    settings : dict
        The training's settings, for the record.
    """

    network: SegmenterNetwork
    architecture: dict[str, Any]
    classes: ClassTable
    scale: float
    settings: dict[str, Any]

    @classmethod
    def build(
        cls,
        classes: ClassTable,
        *,
        backbone: str,
        weights: str | None,
        scale: float,
        seed: int,
        settings: dict[str, Any],
        init: Path | None = None,
        freeze: Freeze = NOTHING_FROZEN,
        network: str = BOTTOM_UP,
        **shape: Any,
    ) -> PanopticModel:
        """Build an untrained model, or one with the weights of the model file ``init``; ``shape`` is the network's."""
        torch.manual_seed(seed)
        architecture: dict[str, Any] = {"backbone": backbone, "class_count": len(classes), **shape}
        if network != BOTTOM_UP:
            architecture["network"] = network
        built = build_from_architecture(architecture, weights=weights)
        if init is not None:
            first = cls.load(init)
            if first.architecture != architecture or first.classes != classes:
                raise ValueError(f"{init}: trained with another network or class table; start from scratch")
            built.load_state_dict(first.network.state_dict())
        built.backbone.set_freeze(freeze)
        return cls(built, architecture, classes, scale, settings)

    @property
    def card(self) -> ModelCard:
        """All but the weights and the record of the training."""
        return ModelCard(self.architecture.get("network", BOTTOM_UP), self.architecture, self.classes, self.scale)

    def save(self, path: Path | str) -> None:
        """Write a file that :meth:`load` reads."""
        state = {
            "kind": MODEL_KIND,
            "architecture": self.architecture,
            "categories": self.classes.to_categories(),
            "scale": self.scale,
            "settings": self.settings,
            "weights": {k: v.cpu().contiguous() for k, v in self.network.state_dict().items()},
        }
        save_checkpoint(path, state)

    @classmethod
    def load(cls, path: Path | str) -> PanopticModel:
        """Read a model file onto the CPU; a ``ValueError`` names a file that is missing or of another kind."""
        state = load_checkpoint(path, kind=MODEL_KIND)
        network = build_from_architecture(state["architecture"])
        network.load_state_dict(state["weights"])
        classes = ClassTable.from_categories(state["categories"])
        return cls(network, state["architecture"], classes, state["scale"], state["settings"])


def check_image_size(images: Tensor) -> None:
    """Raise a ``ValueError`` if images ``(B, 3, H, W)`` are not a multiple of ``SIZE_MULTIPLE`` high and wide."""
    if images.shape[-2] % SIZE_MULTIPLE or images.shape[-1] % SIZE_MULTIPLE:
        raise ValueError(f"images {tuple(images.shape)} are not a multiple of {SIZE_MULTIPLE} high and wide")


class PanopticNetwork(SegmenterNetwork):
    """Backbone, decoder and three heads.

    Parameters
    ----------
    backbone : Backbone
        Returns features at strides 4, 8, 16, 32.
    class_count : int
    decoder_channels : int
        Width of the decoder at stride 4; twice as wide at the others.
    offset_unit_px : float
        Pixels of one unit of the offset head, which keeps its weights at the scale of the others.
    """

    def __init__(self, *, backbone: Backbone, class_count: int, decoder_channels: int, offset_unit_px: float) -> None:
        super().__init__()
        self.backbone = backbone
        self.decoder = Decoder(backbone.channels, decoder_channels)
        self.semantic = FineHead(decoder_channels, decoder_channels // 2, class_count)
        self.instance = Head(decoder_channels, decoder_channels // 2, 3)
        self.offset_unit_px = offset_unit_px

    def forward(self, images: Tensor) -> PanopticOutput:
        """Predict for images ``(B, 3, H, W)``, RGB in 0..255; H and W are multiples of 32."""
        check_image_size(images)
        normalised = self.backbone.normalise(images).contiguous(memory_format=torch.channels_last)
        feature = self.decoder(self.backbone(normalised))
        instance = self.instance(feature)
        return PanopticOutput(
            semantic=self.semantic(feature, normalised),
            centre=instance[:, :1],
            offset=instance[:, 1:] * self.offset_unit_px,
        )


class Decoder(nn.Module):
    """From the coarsest feature up to stride 4, adding the finer ones on the way (Ronneberger et al., MICCAI 2015)."""

    def __init__(self, channels: tuple[int, ...], width: int) -> None:
        super().__init__()
        wide = 2 * width
        self.context = nn.Conv2d(channels[3], wide, kernel_size=1)
        self.lateral32 = ConvNorm(channels[3], wide, kernel_size=1)
        self.lateral16 = ConvNorm(channels[2], wide, kernel_size=1)
        self.lateral8 = ConvNorm(channels[1], wide, kernel_size=1)
        self.lateral4 = ConvNorm(channels[0], width, kernel_size=1)
        self.fuse16 = ConvNorm(wide, wide, kernel_size=3)
        self.fuse8 = ConvNorm(wide, width, kernel_size=3)
        self.fuse4 = ConvNorm(width, width, kernel_size=3)

    def forward(self, features: list[Tensor]) -> Tensor:
        """``(B, width, H / 4, W / 4)`` of the features at strides 4, 8, 16, 32."""
        at4, at8, at16, at32 = features
        whole_image = self.context(at32.mean((2, 3), keepdim=True))
        top = torch.relu(self.lateral32(at32) + whole_image)
        top = torch.relu(self.fuse16(torch.relu(self.lateral16(at16) + _double(top))))
        top = torch.relu(self.fuse8(torch.relu(self.lateral8(at8) + _double(top))))
        return torch.relu(self.fuse4(torch.relu(self.lateral4(at4) + _double(top))))


class Head(nn.Sequential):
    """A 3x3 convolution and the 1x1 convolution that predicts."""

    def __init__(self, channels_in: int, width: int, channels_out: int) -> None:
        predict = nn.Conv2d(width, channels_out, kernel_size=1)
        nn.init.normal_(predict.weight, std=0.01)
        super().__init__(ConvNorm(channels_in, width, kernel_size=3), nn.ReLU(inplace=True), predict)


class FineHead(nn.Module):
    """A head at stride 2 that sees the image once more: a pole or a walker is no wider than a cell of stride 4."""

    def __init__(self, channels_in: int, width: int, channels_out: int) -> None:
        super().__init__()
        self.reduce = ConvNorm(channels_in, width, kernel_size=3)
        self.detail = ConvNorm(3, width, kernel_size=3, stride=2)
        self.predict = nn.Conv2d(width, channels_out, kernel_size=3, padding=1)

    def forward(self, feature: Tensor, images: Tensor) -> Tensor:
        """``(B, channels_out, H / 2, W / 2)`` of features at stride 4 and normalised images ``(B, 3, H, W)``."""
        return self.predict(torch.relu(_double(self.reduce(feature)) + self.detail(images)))


def _double(feature: Tensor) -> Tensor:
    return F.interpolate(feature, scale_factor=2, mode="bilinear", align_corners=False)
