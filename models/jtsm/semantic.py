"""The semantic branch: which stuff is where, learnt from what the mining head says of proposals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from pseudogt.classes import IGNORE_LABEL

THINGS = 0
"""Semantic label of all things; stuff class s has label s + 1."""


class SemanticHead(nn.Module):
    """A convolution at the stride of the features, normalised, and a prediction at stride 4.

    Parameters
    ----------
    channels_in : int
        Of the backbone.
    channels : int
        Of the head; 128 in the paper.
    labels : int
        Stuff classes and one for all things, S.
    stride : int
        Of the features, 4 or 8.
    """

    def __init__(self, *, channels_in: int, channels: int, labels: int, stride: int = 8) -> None:
        super().__init__()
        self.enlargement = stride // 4
        self.conv = nn.Conv2d(channels_in, channels, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(math.gcd(32, channels), channels)
        self.predict = nn.Conv2d(channels, labels, 1)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.predict.weight, std=0.01)

    def forward(self, features: Tensor) -> Tensor:
        """Logits ``(B, S, H / 4, W / 4)`` of features ``(B, C, H / stride, W / stride)``."""
        hidden = F.relu(self.norm(self.conv(features)))
        if self.enlargement > 1:
            hidden = F.interpolate(hidden, scale_factor=self.enlargement, mode="bilinear", align_corners=False)
        return self.predict(hidden)


def compute_semantic_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of logits ``(B, S, H / 4, W / 4)`` with labels ``(B, H, W)``, ``IGNORE_LABEL`` left out."""
    full_size = F.interpolate(logits.float(), scale_factor=4, mode="bilinear", align_corners=False)
    known = (labels != IGNORE_LABEL).sum().clamp(min=1)
    loss = F.cross_entropy(full_size, labels.long(), ignore_index=IGNORE_LABEL, reduction="sum")
    return loss / known


def score_segments(
    probabilities: NDArray[np.float32], members: NDArray[np.bool_], areas: NDArray[np.integer]
) -> NDArray[np.float32]:
    """Score of each class on each superpixel by the proposals that hold it.

    It is the class's mean probability over these proposals, each weighted by one over its area: a
    small one says more about its pixels.

    Differs from the paper's code, in which shares (probabilities times the softmax over proposals)
    are added: they are large for one proposal of each class and say nothing of the others.

    Parameters
    ----------
    probabilities : (R, C) float32
        Of the mining head, for each proposal by itself.
    members : (R, S) bool
    areas : (S,) int
        Pixels of the superpixels.

    Returns
    -------
    (C, S) float32
        0 where no proposal is.
    """
    weights = (members / np.maximum(members @ areas, 1)[:, None]).astype(np.float32)
    return (probabilities.T @ weights) / np.maximum(weights.sum(0), np.float32(1e-12))


def label_superpixels(
    probabilities: NDArray[np.float32],
    members: NDArray[np.bool_],
    areas: NDArray[np.integer],
    tags: NDArray[np.bool_],
    things: int,
) -> NDArray[np.uint8]:
    """Semantic label of each superpixel: the tagged class with the highest of :func:`score_segments`.

    Parameters
    ----------
    probabilities : (R, C) float32
    members : (R, S) bool
    areas : (S,) int
    tags : (C,) bool
    things : int
        The first K classes are things.

    Returns
    -------
    (S,) uint8
        ``IGNORE_LABEL`` where no proposal is.
    """
    present = np.flatnonzero(tags)
    if not len(present):
        return np.full(members.shape[1], IGNORE_LABEL, np.uint8)
    scores = score_segments(probabilities[:, present], members, areas)
    labels = np.where(present < things, THINGS, present - things + 1)[scores.argmax(0)].astype(np.uint8)
    labels[~members.any(0)] = IGNORE_LABEL
    return labels


def paint_stuff(
    masks: Sequence[NDArray[np.bool_]], stuff: Sequence[int], scores: Sequence[float], shape: tuple[int, int]
) -> NDArray[np.uint8]:
    """Semantic map ``(H, W)`` of the masks of stuff classes, the surest on top; ``THINGS`` where there is none.

    A class that others cover completely is painted once more at the end.
    """
    label = np.full(shape, THINGS, np.uint8)
    order = np.argsort(scores, kind="stable")
    for index in order:
        label[masks[index]] = stuff[index] + 1
    for index in order:
        if not (label == stuff[index] + 1).any():
            label[masks[index]] = stuff[index] + 1
    return label
