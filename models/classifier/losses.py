"""Losses of the tag classifier: of tags, boxes and marks. What is not known adds nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.augmentation import jitter_colours
from models.classifier.network import pool_regions
from pseudogt.classes import IGNORE_LABEL

PRESENCE_SHARPNESS = 4.0
"""Exponent of the generalised mean over a region that measures whether a class wins pixels there."""

RING_SHARE = 0.1
"""Share of a ring that may have the class of the mark inside."""

MIN_RING_CELLS = 20
"""Cells of a ring that a window must show, so that their mean says something."""


@dataclass(frozen=True)
class ClassifierLoss:
    """The weighted losses of a batch.

    Attributes
    ----------
    sharpness : float
        See :func:`models.classifier.network.pool_regions`.
    candidate_weight, presence_weight, point_weight, ring_weight : float
        Weights relative to the loss of the tags.
    narrowness : tuple of float
        One value for each class, see :func:`pseudogt.weak_labels.widths.find_narrowness`.
    """

    sharpness: float
    candidate_weight: float
    presence_weight: float
    point_weight: float
    ring_weight: float
    narrowness: tuple[float, ...]

    def __call__(self, network: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Losses by name of a batch of :func:`models.classifier.batches.make_tag_batch`."""
        logits = network(jitter_colours(batch["images"], batch["colour_factors"]))
        scores = pool_regions(logits, batch["rows"], batch["columns"], self.sharpness)
        log_probabilities = logits.float().log_softmax(1)
        candidates = batch["candidates"]
        presence = pool_regions(
            keep_candidates(log_probabilities, candidates), batch["rows"], batch["columns"], PRESENCE_SHARPNESS
        )
        losses = {
            "regions": region_tag_loss(scores, batch["tags"], batch["known"]),
            "candidates": self.candidate_weight * candidate_map_loss(log_probabilities, candidates),
            "presence": self.presence_weight * presence_loss(presence, batch["tags"]),
        }
        if "marked" in batch:
            losses["points"] = self.point_weight * marked_cell_loss(log_probabilities, batch["marked"])
            narrowness = logits.new_tensor(self.narrowness, dtype=torch.float32)
            losses["rings"] = self.ring_weight * ring_loss(log_probabilities, batch["rings"], narrowness)
        return losses


def region_tag_loss(scores: Tensor, tags: Tensor, known: Tensor) -> Tensor:
    """Binary cross-entropy of pooled scores, in which presence and absence of each class weigh the same.

    Parameters
    ----------
    scores : (B, G, C)
        Logits.
    tags : (B, G, C) bool
    known : (B, G, C) bool
        Where ``tags`` says something; a box does so about its own class only, padding about none.

    Returns
    -------
    scalar
        Mean over classes of the mean over regions with, and that over regions without the tag; 0 if
        nothing is known.
    """
    terms = []
    # softplus(-x) is -log of the probability of presence, softplus(x) of that of absence.
    for chosen, loss in ((known & tags, F.softplus(-scores)), (known & ~tags, F.softplus(scores))):
        # Mean over the regions of each class, then over the classes that have any.
        count = chosen.sum((0, 1))
        mean = (loss * chosen).sum((0, 1)) / count.clamp(min=1)
        terms.append(mean.sum() / (count > 0).sum().clamp(min=1))
    return (terms[0] + terms[1]) / 2


def candidate_map_loss(log_probabilities: Tensor, candidates: Tensor) -> Tensor:
    """Negative log of the probability of all candidates together, mean over the cells that have any.

    Parameters
    ----------
    log_probabilities : (B, C, h, w)
    candidates : (B, C, h, w) bool
    """
    possible = candidates.any(1)
    # Log of the summed probability of the candidates: (B, h, w).
    together = keep_candidates(log_probabilities, candidates).logsumexp(1)
    return -(together * possible).sum() / possible.sum().clamp(min=1)


def keep_candidates(log_probabilities: Tensor, candidates: Tensor) -> Tensor:
    """Log probabilities; those of classes that are not candidates are very low but finite, so that no gradient is NaN.

    Both have one shape, ``(B, C, h, w)``.
    """
    return log_probabilities.masked_fill(~candidates, -30.0)


def presence_loss(log_presence: Tensor, tags: Tensor) -> Tensor:
    """Negative log of the pooled probabilities ``(B, G, C)`` of the tagged classes, their mean; 0 without tags."""
    return -(log_presence * tags).sum() / tags.sum().clamp(min=1)


def marked_cell_loss(log_probabilities: Tensor, marked: Tensor) -> Tensor:
    """Cross-entropy of the cells that marks label: mean over the classes of the mean over the cells of each; 0 without.

    Parameters
    ----------
    log_probabilities : (B, C, h, w)
    marked : (B, h, w) uint8
        Train ids, ``IGNORE_LABEL`` where no mark is.
    """
    inside = marked != IGNORE_LABEL
    targets = torch.where(inside, marked, 0).long()
    loss = -log_probabilities.gather(1, targets[:, None])[:, 0] * inside
    # Sum and number of cells of each class: a click counts as much as a mask.
    one_hot = F.one_hot(targets, log_probabilities.shape[1]) * inside[..., None]
    count = one_hot.sum((0, 1, 2))
    mean = torch.einsum("bhw,bhwc->c", loss, one_hot.to(loss.dtype)) / count.clamp(min=1)
    return mean.sum() / (count > 0).sum().clamp(min=1)


def ring_loss(log_probabilities: Tensor, rings: Tensor, weights: Tensor) -> Tensor:
    """Relative entropy by which the mean probability of a class in its rings exceeds ``RING_SHARE``; else 0.

    Parameters
    ----------
    log_probabilities : (B, C, h, w)
    rings : (B, h, w) uint8
        Train id of the class whose ring a cell lies in, ``IGNORE_LABEL`` elsewhere.
    weights : (C,)
        In [0, 1]; 0 for a class that rings say nothing of.

    Returns
    -------
    scalar
        Weighted sum over the rings of each image and class that have ``MIN_RING_CELLS``, divided by their number.
    """
    inside = rings != IGNORE_LABEL
    targets = torch.where(inside, rings, 0).long()
    probability = log_probabilities.gather(1, targets[:, None])[:, 0].exp() * inside
    # Sum of the probabilities and number of cells of each class in each image: (B, C).
    flat = targets.flatten(1)
    empty = log_probabilities.new_zeros(log_probabilities.shape[:2])
    total = empty.scatter_add(1, flat, probability.flatten(1))
    count = empty.scatter_add(1, flat, inside.flatten(1).to(empty.dtype))
    share = (total / count.clamp(min=1)).clamp(RING_SHARE, 1 - 1e-6)
    # Kullback-Leibler divergence of a coin with the mean probability from one with the allowed share.
    excess = RING_SHARE * (RING_SHARE / share).log() + (1 - RING_SHARE) * ((1 - RING_SHARE) / (1 - share)).log()
    counted = (count >= MIN_RING_CELLS) & (weights > 0)
    return (excess * counted * weights).sum() / counted.sum().clamp(min=1)
