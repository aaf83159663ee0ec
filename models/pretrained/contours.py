"""A small network that predicts where people draw the borders of segments.

It is class-agnostic; :mod:`models.pretraining.contours` trains it from random weights on human
segmentations.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from models.backbones import normalise_images
from models.backbones.layers import ConvNorm, fuse_norms
from models.backbones.small import ResidualBlock
from models.checkpoints import load_checkpoint, save_checkpoint

MODEL_KIND = "contours"
STRIDE = 32
"""Sides of the network's input are multiples of this."""

WIDTHS = (32, 48, 96, 128, 160)


class ContourNetwork(nn.Module):
    """An encoder of residual blocks at strides 2 to 32, and a decoder that adds them up again.

    Parameters
    ----------
    widths
        Channels at strides 2, 4, 8, 16 and 32.
    channels_in : int
        Channels of the input.
    """

    def __init__(self, *, widths: Sequence[int] = WIDTHS, channels_in: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvNorm(channels_in, widths[0], kernel_size=3, stride=2), nn.ReLU(inplace=True))
        self.first = ResidualBlock(widths[0], widths[0], stride=1)
        self.stages = nn.ModuleList(
            nn.Sequential(ResidualBlock(a, b, stride=2), ResidualBlock(b, b, stride=1)) for a, b in pairwise(widths)
        )
        self.narrow = nn.ModuleList(ConvNorm(b, a, kernel_size=1) for a, b in pairwise(widths))
        self.merge = nn.ModuleList(
            nn.Sequential(ConvNorm(a, a, kernel_size=3), nn.ReLU(inplace=True)) for a in widths[:-1]
        )
        self.head = nn.Conv2d(widths[0], 4, kernel_size=3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, H, W)`` of a border, for normalised images ``(B, 3, H, W)`` whose sides divide by ``STRIDE``."""
        features = [self.first(self.stem(images))]
        for stage in self.stages:
            features.append(stage(features[-1]))

        merged = features[-1]
        for level in reversed(range(len(self.stages))):
            coarse = F.interpolate(self.narrow[level](merged), scale_factor=2.0, mode="bilinear", align_corners=False)
            merged = self.merge[level](torch.relu(features[level] + coarse))
        # The four channels of a cell at stride 2 are its four pixels.
        return F.pixel_shuffle(self.head(merged), 2)[:, 0]


def compute_contour_loss(logits: Tensor, votes: Tensor, *, positive_weight: float = 3.0) -> Tensor:
    """Cross-entropy with the share of people who drew a border.

    Parameters
    ----------
    logits, votes : (B, H, W)
        ``votes`` in [0, 1]; negative where nothing is known.
    positive_weight : float
        How much more a pixel with all votes weighs than one with none.
    """
    known = votes >= 0
    target = votes.clamp(min=0)
    weight = known * (1 + positive_weight * target)
    return (F.binary_cross_entropy_with_logits(logits.float(), target, reduction="none") * weight).sum() / weight.sum()


class ContourModel:
    """The network with its weights, applied to one image at a time.

    Parameters
    ----------
    network : ContourNetwork
    """

    def __init__(self, network: ContourNetwork) -> None:
        self.network = fuse_norms(network).to(memory_format=torch.channels_last)

    @classmethod
    def load(cls, path: Path | str) -> ContourModel:
        """Read a model file; errors as of :func:`read_contours`."""
        return cls(read_contours(path))

    @torch.inference_mode()
    def find_contours(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probability ``(H, W) float32`` of a border at each pixel of an image ``(H, W, 3) uint8 RGB`` of any size."""
        height, width = image.shape[:2]
        # Mirror-pad to a multiple of the stride, so that the image's edge is not taken for a contour.
        rows, columns = _mirror(height), _mirror(width)
        tensor = torch.from_numpy(np.ascontiguousarray(image[rows][:, columns].transpose(2, 0, 1)))[None]
        logits = self.network(normalise_images(tensor).contiguous(memory_format=torch.channels_last))
        return torch.sigmoid(logits[0, :height, :width]).numpy()


def read_contours(path: Path | str) -> ContourNetwork:
    """Read the network of a model file.

    Raises
    ------
    ValueError
        If the file is missing, broken or holds something else.
    """
    state = load_checkpoint(path, kind=MODEL_KIND)
    network = ContourNetwork(widths=state["widths"])
    network.load_state_dict({name: value.float() for name, value in state["network"].items()})
    return network


def save_contours(path: Path | str, network: ContourNetwork, widths: Sequence[int] = WIDTHS) -> None:
    """Write a model file: float16 weights, about 5 MB."""
    state = {name: value.half() if value.is_floating_point() else value for name, value in network.state_dict().items()}
    save_checkpoint(path, {"kind": MODEL_KIND, "widths": list(widths), "network": state})


def _mirror(length: int) -> NDArray[np.intp]:
    """Positions that extend 0..length-1 to a multiple of the stride by reflection."""
    padded = -(-length // STRIDE) * STRIDE
    # Positions run from 0 to the end and back, over and over.
    period = max(2 * length - 2, 1)
    position = np.arange(padded) % period
    return np.minimum(position, period - position) if length > 1 else np.zeros(padded, np.intp)
