"""Losses of the panoptic network; a pixel without a label adds exactly nothing to value or gradient."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pseudogt.classes import IGNORE_LABEL

MAX_CLASS_WEIGHT = 10.0
"""A class of a few pixels in the whole set must not rule the gradient."""


def compute_class_weights(pixels: Tensor, balance: float) -> Tensor:
    """Weigh rare classes higher.

    Parameters
    ----------
    pixels : (C,)
        Labelled pixels of each class in the training set.
    balance : float
        0 weighs all pixels alike, 1 all classes alike.

    Returns
    -------
    (C,) float32
        ``(mean pixels / pixels) ** balance``, at most ``MAX_CLASS_WEIGHT``; means are over the classes that occur.
    """
    occurring = pixels[pixels > 0].float()
    weights = (occurring.mean() / pixels.float().clamp(min=1)) ** balance
    return weights.clamp(max=MAX_CLASS_WEIGHT)


def semantic_loss(logits: Tensor, semantic: Tensor, class_weights: Tensor) -> Tensor:
    """Cross-entropy, weighted mean over the labelled pixels; 0 if there is none.

    Parameters
    ----------
    logits : (B, C, H, W)
    semantic : (B, H, W) int64
        Train ids, ``IGNORE_LABEL`` where nothing is known.
    class_weights : (C,)
        Weights of the pixels of each class.
    """
    known = semantic != IGNORE_LABEL
    total = F.cross_entropy(logits.float(), semantic, weight=class_weights, ignore_index=IGNORE_LABEL, reduction="sum")
    return total / class_weights[semantic[known]].sum().clamp(min=torch.finfo(torch.float32).tiny)


def candidate_loss(logits: Tensor, semantic: Tensor, candidate_set: Tensor, candidates: Tensor) -> Tensor:
    """``-log`` of the probability of all candidate classes together, mean over the unlabelled pixels it applies to.

    Parameters
    ----------
    logits : (B, C, H, W)
    semantic : (B, H, W) int64
        Only pixels of ``IGNORE_LABEL`` count.
    candidate_set : (B, H, W) int64
        Row of ``candidates`` of each pixel.
    candidates : (B, S, C) bool
        Classes that are possible. A set of no class or of all says nothing and is left out.
    """
    count = candidates.sum(-1)
    informative = (count > 0) & (count < candidates.shape[-1])
    # Image of each pixel, to look up the row of candidates that the pixel refers to.
    image = torch.arange(len(logits), device=logits.device)[:, None, None].expand_as(candidate_set)
    chosen = (semantic == IGNORE_LABEL) & informative[image, candidate_set]
    allowed = candidates[image[chosen], candidate_set[chosen]]
    rows = logits.permute(0, 2, 3, 1)[chosen].float()
    # -log of the candidates' share of the softmax, for the chosen pixels only: (P,).
    loss = rows.logsumexp(1) - rows.masked_fill(~allowed, -torch.inf).logsumexp(1)
    return loss.sum() / chosen.sum().clamp(min=1)


def centre_loss(heatmap: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Squared error of centre heatmaps ``(B, 1, h, w)``, mean over the cells of ``weight`` 1 ``(B, 1, h, w)``."""
    return (weight * (heatmap.float() - target) ** 2).sum() / weight.sum().clamp(min=1)


def offset_loss(offset: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Absolute error of offsets ``(B, 2, h, w)`` in px, mean over the cells of ``weight`` 1 ``(B, 1, h, w)``."""
    return (weight * (offset.float() - target).abs()).sum() / weight.sum().clamp(min=1)
