"""The panoptic mining head: which proposal is what, learnt from the tags of images (WSDDN for things and stuff)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Mined(NamedTuple):
    """What the head says.

    Attributes
    ----------
    shares : (R, C) float32
        Of each class, how much each proposal adds to its presence: ``x`` in the paper.
    presence : (B, C) float32
        Sum of the shares over the proposals of an image, in (0, 1): ``phi``.
    classes : (R, C) float32
        Probability of each class for each proposal by itself, the first factor of the shares.
    """

    shares: Tensor
    presence: Tensor
    classes: Tensor


class MiningHead(nn.Module):
    """Two linear layers: what each proposal is, and which proposal each class is in.

    Parameters
    ----------
    channels : int
        Of the neck.
    classes : int
        Things and stuff, C.
    """

    def __init__(self, *, channels: int, classes: int) -> None:
        super().__init__()
        self.classify = nn.Linear(channels, classes)
        self.detect = nn.Linear(channels, classes)
        for layer in (self.classify, self.detect):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, feature: Tensor, counts: list[int]) -> Mined:
        """Of features ``(R, channels)`` of the proposals of B images, which have ``counts`` of them.

        ``x = softmax over classes * softmax over the image's proposals``; ``phi = sum of x``, clamped.
        """
        of_classes = self.classify(feature).float().softmax(1)
        of_proposals = torch.cat([part.softmax(0) for part in self.detect(feature).float().split(counts)])
        shares = of_classes * of_proposals
        presence = torch.stack([part.sum(0) for part in shares.split(counts)]).clamp(1e-6, 1 - 1e-6)
        return Mined(shares, presence, of_classes)


def compute_mining_loss(presence: Tensor, tags: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy of presence ``(B, C)`` and tags ``(B, C)`` in {0, 1}, mean over what is known.

    Presence lies in (0, 1). PyTorch's own function for it refuses to run under CUDA's autocast.
    """
    loss = -(tags * presence.log() + (1 - tags) * (-presence).log1p())
    return (loss * known).sum() / known.sum().clamp(min=1)
