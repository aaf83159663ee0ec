"""The tag classifier: a map of class scores that is learned from tags of crops and from boxes."""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from models.backbones import Backbone, build_backbone
from models.backbones.layers import ConvNorm

STRIDE = 4
"""Pixels per cell of the score map."""

SMALLEST_MEAN = 1e-30
"""Keeps the logarithm of a class that has vanished from a region finite."""


class TagClassifier(nn.Module):
    """A fully convolutional classifier; its logits are class activation maps in closed form.

    Parameters
    ----------
    backbone : Backbone
        Returns at least ``levels`` features, see :func:`models.backbones.build_backbone`.
    class_count : int
    levels : int
        Features used, 1 to 4. Fewer see a smaller context: better borders, worse recognition.
    channels : int
        Width of the decoder.
    """

    def __init__(self, backbone: Backbone, *, class_count: int, levels: int, channels: int) -> None:
        super().__init__()
        self.backbone = backbone
        widths = backbone.channels[:levels]
        self.lateral = nn.ModuleList(ConvNorm(width, channels, kernel_size=1) for width in widths)
        self.fuse = nn.ModuleList(ConvNorm(channels, channels, kernel_size=3) for _ in widths[1:])
        self.classify = nn.Conv2d(channels, class_count, kernel_size=1)
        nn.init.normal_(self.classify.weight, std=0.01)
        nn.init.constant_(self.classify.bias, 0)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, C, H / 4, W / 4)`` (rounded up) of images ``(B, 3, H, W)`` in 0..255."""
        return self.classify(self.decode(images))

    def decode(self, images: Tensor) -> Tensor:
        """Features ``(B, channels, H / 4, W / 4)``, of which the logits are a linear function."""
        return self.decode_normalised(self.backbone.normalise(images))

    def decode_normalised(self, images: Tensor) -> Tensor:
        """:meth:`decode` of images ``(B, 3, H, W)`` that the backbone has normalised."""
        features = self.backbone(images)[: len(self.lateral)]
        decoded = F.relu(self.lateral[-1](features[-1]))
        # From coarse to fine: enlarge, add the finer features, and fuse.
        for level in reversed(range(len(self.fuse))):
            finer = self.lateral[level](features[level])
            decoded = F.interpolate(decoded, size=finer.shape[-2:], mode="bilinear", align_corners=False)
            decoded = F.relu(self.fuse[level](F.relu(decoded + finer)))
        return decoded


def build_tag_classifier(
    *, backbone: str, class_count: int, levels: int, channels: int, weights: str | None = None
) -> TagClassifier:
    """Build a classifier on a backbone of :func:`models.backbones.build_backbone`."""
    body = build_backbone(backbone, weights=weights, levels=levels)
    return TagClassifier(body, class_count=class_count, levels=levels, channels=channels)


def pool_regions(logits: Tensor, rows: Tensor, columns: Tensor, sharpness: float) -> Tensor:
    """Pool the score of each class over each region: log-mean-exp, a smooth maximum (Pinheiro and Collobert, 2015).

    Parameters
    ----------
    logits : (B, C, h, w)
    rows, columns : (B, G, h) and (B, G, w) bool
        A region is their outer product.
    sharpness : float
        Above 0. Near 0 it is the mean, which asks a class to fill its regions; the larger, the
        nearer to the maximum, which a single cell satisfies.

    Returns
    -------
    (B, G, C)
        Finite, meaningless for an empty region.
    """
    down, across = rows.float(), columns.float()
    scaled = logits.float() * sharpness
    # Subtract the largest logit so that no power overflows, and add the powers over each region: (B, G, C).
    largest = scaled.detach().amax((-2, -1), keepdim=True)
    total = torch.einsum("bchw,bgh,bgw->bgc", (scaled - largest).exp(), down, across)
    area = (down.sum(-1) * across.sum(-1)).clamp(min=1)
    mean = (total / area[..., None]).clamp(min=SMALLEST_MEAN)
    return (mean.log() + largest[:, None, :, 0, 0]) / sharpness


def resize_for_classifier(image: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """Resize an image ``(H, W, 3)`` to the multiple of ``STRIDE`` nearest to its scaled size, so that cells align."""
    height, width = (max(1, round(extent * scale / STRIDE)) * STRIDE for extent in image.shape[:2])
    if (height, width) == image.shape[:2]:
        return image
    enlarged = height > image.shape[0]
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR if enlarged else cv2.INTER_AREA)
    return resized.astype(np.uint8, copy=False)
