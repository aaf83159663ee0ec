"""The panoptic mining head: learns the classes of proposals from image tags (WSDDN for things and stuff)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.jtsm.incidence import MemberTensors

MIN_OVERLAP = 1e-3
"""Keeps logarithms of overlaps finite: a smaller one says as little."""


class Mined(NamedTuple):
    """Output of the head.

    Attributes
    ----------
    shares : (R, C) float32
        For each class, how much each proposal adds to its presence: ``x`` in the paper.
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
        Channels of the neck.
    classes : int
        Things and stuff, C.
    corrects : bool
        Whether it receives the tag classifier's scores of each proposal. It then only learns corrections to
        these, and starts from no correction.
    overlap_power : float
        With ``corrects``: a proposal is preferred by its overlap with the classifier's map of a class to this
        power; corrections of that start at none, too. 0 leaves to learning where each class is, as in the paper.
    """

    def __init__(self, *, channels: int, classes: int, corrects: bool = False, overlap_power: float = 0.0) -> None:
        super().__init__()
        self.overlap_power = overlap_power
        self.classify = nn.Linear(channels, classes)
        self.detect = nn.Linear(channels, classes)
        for layer in (self.classify, self.detect):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        if corrects:
            nn.init.zeros_(self.classify.weight)
        if overlap_power:
            nn.init.zeros_(self.detect.weight)

    def forward(
        self, feature: Tensor, counts: list[int], tag_logits: Tensor | None = None, overlaps: Tensor | None = None
    ) -> Mined:
        """Of features ``(R, channels)`` of the proposals of B images, which have ``counts`` of them.

        ``x = softmax over classes * softmax over the image's proposals``; ``phi = sum of x``, clamped.
        Logits ``tag_logits (R, C)`` of the tag classifier, if given, are added before the softmax over
        classes, and logarithms of ``overlaps (R, C)``, see :func:`measure_overlaps`, before that over proposals;
        the paper has neither.
        """
        of_classes = self.classify(feature).float()
        of_classes = (of_classes if tag_logits is None else of_classes + tag_logits).softmax(1)
        located = self.detect(feature).float()
        if overlaps is not None:
            located = located + self.overlap_power * overlaps.clamp(min=MIN_OVERLAP).log()
        of_proposals = torch.cat([part.softmax(0) for part in located.split(counts)])
        shares = of_classes * of_proposals
        presence = torch.stack([part.sum(0) for part in shares.split(counts)]).clamp(1e-6, 1 - 1e-6)
        return Mined(shares, presence, of_classes)


def average_over_segments(maps: Tensor, superpixels: Tensor, members: MemberTensors, batch_index: Tensor) -> Tensor:
    """Mean of maps over the pixels of each proposal.

    Parameters
    ----------
    maps : (B, C, H, W) float32
    superpixels : (B, H, W) int32
        Negative where there is none.
    members : (indices, starts)
        Superpixels of R proposals.
    batch_index : (R,) int64

    Returns
    -------
    (R, C) float32
        0 for a proposal without a pixel.
    """
    total, areas = _sum_over_segments(maps, superpixels, members, batch_index)
    return total / areas.clamp(min=1)[:, None]


def measure_overlaps(maps: Tensor, superpixels: Tensor, members: MemberTensors, batch_index: Tensor) -> Tensor:
    """Soft intersection over union ``(R, C)`` of each proposal and each class: high for all of an object and no more.

    ``sum of p in the segment / (pixels of the segment + sum of p outside it)``. The mean of p over a segment is
    highest in some part of an object.

    Parameters
    ----------
    maps : (B, C, H, W) float32
        Probabilities p of each class.
    superpixels, members, batch_index
        As for :func:`average_over_segments`.
    """
    inside, areas = _sum_over_segments(maps, superpixels, members, batch_index)
    everywhere = (maps * (superpixels >= 0)[:, None]).sum((2, 3))[batch_index]
    return inside / (areas[:, None] + everywhere - inside).clamp(min=1)


def _sum_over_segments(
    maps: Tensor, superpixels: Tensor, members: MemberTensors, batch_index: Tensor
) -> tuple[Tensor, Tensor]:
    """Sums ``(R, C)`` of maps over the pixels of each proposal, and their number ``(R,)``."""
    indices, starts = members
    count = int(torch.cat([superpixels.flatten(), indices, indices.new_zeros(1)]).max()) + 1
    image = torch.arange(len(superpixels), device=maps.device)[:, None, None]
    inside = superpixels >= 0
    # Number superpixels through all images, and add up values and pixels by number: (B * count, C).
    position = (image * count + superpixels)[inside]
    values = maps.permute(0, 2, 3, 1)[inside]
    sums = maps.new_zeros(len(maps) * count, maps.shape[1]).index_add(0, position, values)
    areas = torch.bincount(position, minlength=len(sums)).to(maps.dtype)
    # Add up the superpixels of each proposal, and divide by its pixels.
    row = torch.repeat_interleave(starts.diff())
    member = batch_index[row] * count + indices
    total = maps.new_zeros(len(batch_index), maps.shape[1]).index_add(0, row, sums[member])
    return total, areas.new_zeros(len(batch_index)).index_add(0, row, areas[member])


def compute_mining_loss(presence: Tensor, tags: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy of presence ``(B, C)`` and tags ``(B, C)`` in {0, 1}, mean over what is known.

    Presence lies in (0, 1). PyTorch's own function for it refuses to run under CUDA's autocast.
    """
    loss = -(tags * presence.log() + (1 - tags) * (-presence).log1p())
    return (loss * known).sum() / known.sum().clamp(min=1)
