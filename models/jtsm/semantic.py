"""The semantic branch: it segments stuff, trained on the mining head's scores of proposals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from pseudogt.classes import IGNORE_LABEL
from pseudogt.proposals.members import Members
from pseudogt.pseudo_labels.class_order import THINGS
from pseudogt.pseudo_labels.mined import score_superpixels


class SemanticHead(nn.Module):
    """A convolution at the stride of the features, normalised, and a prediction at stride 4.

    Parameters
    ----------
    channels_in : int
        Channels of the backbone.
    channels : int
        Channels of the head; 128 in the paper.
    labels : int
        Stuff classes and one for all things, S.
    stride : int
        Stride of the features, 4 or 8.
    start : {"he", "small"}
        First weights of the prediction: those of He for its outputs with biases of 0, as in the paper's code, or
        a deviation of 0.01 with PyTorch's biases, at which all labels are about as likely.
    """

    def __init__(self, *, channels_in: int, channels: int, labels: int, stride: int = 8, start: str = "he") -> None:
        super().__init__()
        self.enlargement = stride // 4
        self.conv = nn.Conv2d(channels_in, channels, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(math.gcd(32, channels), channels)
        self.predict = nn.Conv2d(channels, labels, 1)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        if start == "he":
            nn.init.kaiming_normal_(self.predict.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(self.predict.bias)  # type: ignore[arg-type]
        else:
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


def label_superpixels(
    probabilities: NDArray[np.float32],
    members: Members,
    areas: NDArray[np.integer],
    tags: NDArray[np.bool_],
    labels: NDArray[np.uint8],
    tag_probabilities: NDArray[np.float32] | None = None,
) -> NDArray[np.uint8]:
    """Semantic label of each superpixel: that of the tagged class with the highest score there.

    Parameters
    ----------
    probabilities : (R, C) float32
    members : Members
        Members of the R proposals.
    areas : (S,) int
        Pixels of the superpixels; see :func:`pseudogt.pseudo_labels.mined.score_superpixels`.
    tags : (C,) bool
    labels : (C,) uint8
        Semantic label of each class.
    tag_probabilities : (S, C) float32, optional
        Probability of each class for each superpixel by the tag classifier, by which the others are multiplied.

    Returns
    -------
    (S,) uint8
        ``IGNORE_LABEL`` where no proposal is.
    """
    found = np.full(len(areas), IGNORE_LABEL, np.uint8)
    present = np.flatnonzero(tags)
    if len(present):
        scores = score_superpixels(probabilities[:, present], members, areas)
        best = (scores if tag_probabilities is None else scores * tag_probabilities[:, present].T).argmax(0)
        # Superpixels that no proposal holds keep IGNORE_LABEL.
        held = np.unique(members.indices[members.indices < len(areas)])
        found[held] = labels[present[best[held]]]
    return found


def paint_stuff(
    masks: Sequence[NDArray[np.bool_]], labels: Sequence[int], scores: Sequence[float], shape: tuple[int, int]
) -> NDArray[np.uint8]:
    """Semantic map ``(H, W)`` of masks of stuff with their labels, the surest on top; ``THINGS`` where there is none.

    Labels that others cover completely are painted again at the end, in their own order.
    """
    painted = np.full(shape, THINGS, np.uint8)
    for index in np.argsort(scores, kind="stable"):
        painted[masks[index]] = labels[index]
    for index in np.argsort(labels, kind="stable"):
        if not (painted == labels[index]).any():
            painted[masks[index]] = labels[index]
    return painted
