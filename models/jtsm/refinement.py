"""Refinement heads: each classifies and moves proposals as the stage before it would (OICR with box regression)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import box_iou

MIN_IOU = 0.5
"""Proposals that overlap a pseudo box by this much are of its class, all others background."""

DELTA_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
MAX_LOG_GROWTH = math.log(1000 / 16)
"""Factors of the moves of a box's centre and of the logarithms of its growth; the limit of the latter (Detectron)."""


class RefinementHead(nn.Module):
    """Scores of things and background, and a box for each thing class.

    Parameters
    ----------
    channels : int
        Channels of the neck.
    things : int
        Thing classes, K.
    """

    def __init__(self, *, channels: int, things: int) -> None:
        super().__init__()
        self.classify = nn.Linear(channels, things + 1)
        self.move = nn.Linear(channels, 4 * things)
        for layer, deviation in ((self.classify, 0.01), (self.move, 0.001)):
            nn.init.normal_(layer.weight, std=deviation)
            nn.init.zeros_(layer.bias)

    def forward(self, feature: Tensor, odds: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits ``(R, K + 1)``, background last, and deltas ``(R, K, 4)`` of features ``(R, channels)``.

        Logits ``odds (R, K)`` of things against background, if given, are added; the paper has none.
        """
        logits = self.classify(feature).float()
        if odds is not None:
            logits = logits + F.pad(odds, (0, 1))
        return logits, self.move(feature).float().unflatten(1, (-1, 4))


class PseudoBoxes(NamedTuple):
    """The best proposal of each thing that an image is tagged with.

    Attributes
    ----------
    classes : (T,) int64
    boxes_xyxy : (T, 4)
    weights : (T,)
        How sure the image is of the class.
    rows : (T,) int64
        The proposals.
    """

    classes: Tensor
    boxes_xyxy: Tensor
    weights: Tensor
    rows: Tensor


class Assignment(NamedTuple):
    """Targets of each proposal of an image in a stage.

    Attributes
    ----------
    labels : (R,) int64
        Thing class, K for background.
    matches : (R,) int64
        The pseudo box that overlaps most.
    weights : (R,)
        That of the pseudo box, for background too.
    """

    labels: Tensor
    matches: Tensor
    weights: Tensor


def find_pseudo_boxes(scores: Tensor, boxes_xyxy: Tensor, tags: Tensor, presence: Tensor) -> PseudoBoxes:
    """Best proposal of each tagged thing of one image.

    Parameters
    ----------
    scores : (R, K)
        Scores of the stage before.
    boxes_xyxy : (R, 4) or (R, K, 4)
        The proposals, or the boxes of each class of the stage before.
    tags, presence : (K,)
    """
    classes = tags.nonzero()[:, 0]
    rows = scores[:, classes].argmax(0)
    boxes = boxes_xyxy[rows] if boxes_xyxy.ndim == 2 else boxes_xyxy[rows, classes]
    return PseudoBoxes(classes, boxes, presence[classes], rows)


def assign_proposals(boxes_xyxy: Tensor, pseudo: PseudoBoxes, things: int) -> Assignment:
    """Class of each proposal ``(R, 4)`` by its overlap with pseudo boxes.

    Without pseudo boxes all weights are 0: nothing is known of the image's things.
    """
    count = len(boxes_xyxy)
    if not len(pseudo.classes):
        nowhere = torch.zeros(count, dtype=torch.long, device=boxes_xyxy.device)
        return Assignment(nowhere + things, nowhere, boxes_xyxy.new_zeros(count))
    overlap, matches = box_iou(boxes_xyxy, pseudo.boxes_xyxy).max(1)
    labels = torch.where(overlap >= MIN_IOU, pseudo.classes[matches], things)
    return Assignment(labels, matches, pseudo.weights[matches])


def compute_refinement_losses(
    logits: Tensor, deltas: Tensor, boxes_xyxy: Tensor, targets_xyxy: Tensor, labels: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """Losses of classes and of boxes over all proposals of a batch.

    Parameters
    ----------
    logits : (R, K + 1)
    deltas : (R, K, 4)
    boxes_xyxy, targets_xyxy : (R, 4)
        Proposals, and the pseudo box of each.
    labels : (R,) int64
        K for background.
    weights : (R,)

    Returns
    -------
    (Tensor, Tensor)
        ``sum w * cross-entropy / #(w > 0)`` and ``sum over things w * |t - delta| / R``.
    """
    things = deltas.shape[1]
    counted = (weights > 1e-12).sum().clamp(min=1)
    classification = (weights * F.cross_entropy(logits, labels, reduction="none")).sum() / counted
    # Proposals of things learn the deltas of their class (L1); the sum is divided by all proposals.
    moved = (labels < things).nonzero()[:, 0]
    wanted = encode_boxes(targets_xyxy[moved], boxes_xyxy[moved])
    error = (deltas[moved, labels[moved]] - wanted).abs().sum(1)
    return classification, (weights[moved] * error).sum() / max(len(labels), 1)


def encode_boxes(targets_xyxy: Tensor, boxes_xyxy: Tensor) -> Tensor:
    """Deltas ``(N, 4)`` that move boxes ``(N, 4)`` to targets: shifts and log growths, weighted."""
    centres, sizes = _split(boxes_xyxy)
    target_centres, target_sizes = _split(targets_xyxy)
    raw = torch.cat([(target_centres - centres) / sizes, (target_sizes / sizes).log()], dim=-1)
    return raw * raw.new_tensor(DELTA_WEIGHTS)


def decode_boxes(deltas: Tensor, boxes_xyxy: Tensor) -> Tensor:
    """Boxes ``(R, K, 4)`` that deltas ``(R, K, 4)`` move proposals ``(R, 4)`` to; they may leave the image."""
    centres, sizes = (part[:, None] for part in _split(boxes_xyxy))
    raw = deltas / deltas.new_tensor(DELTA_WEIGHTS)
    moved = centres + raw[..., :2] * sizes
    half = sizes * raw[..., 2:].clamp(max=MAX_LOG_GROWTH).exp() / 2
    return torch.cat([moved - half, moved + half], dim=-1)


def _split(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Centres and sizes ``(..., 2)``; sizes at least a thousandth of a pixel, so that logarithms exist."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return (low + high) / 2, (high - low).clamp(min=1e-3)
