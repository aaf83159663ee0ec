"""Losses of a mask transformer: queries are matched to segments, and masks are compared at sampled pixels.

After Mask2Former (Cheng et al., CVPR 2022). What is not known is left out as in the bottom-up network's losses: a pixel
without a label, or of a thing whose instance is not known, is never sampled, and a query that lies on such pixels need
not predict nothing. Classes of pixels, whose instance may be unknown, and candidate classes train the score map.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from models.augmentation import jitter_colours
from models.segmenter.losses import candidate_loss, semantic_loss
from models.segmenter.mask_output import MaskOutput
from pseudogt.classes import IGNORE_LABEL

OVERSAMPLING = 3
"""Pixels that are drawn for each that is used, to choose the least certain of them."""

UNCERTAIN_SHARE = 0.75
"""Share of the pixels that are chosen so; the others are random."""

INSTANCE_KEYS = 2**15
"""More than any number of an instance."""


class KnownSegments(NamedTuple):
    """The known segments of an image.

    Attributes
    ----------
    rows : (H, W) int64
        Row of ``classes`` of each pixel; -1 where the segment is not known.
    classes : (M,) int64
        Train ids.
    """

    rows: Tensor
    classes: Tensor


class QueryMatches(NamedTuple):
    """Pairs of a query and a segment of one image, ``(M,) int64`` each; queries without a segment are left out."""

    queries: Tensor
    segments: Tensor


def number_known_segments(semantic: Tensor, instance: Tensor) -> KnownSegments:
    """Number stuff classes and instances of an image.

    Parameters
    ----------
    semantic : (H, W) int64
        Train ids or ``IGNORE_LABEL``.
    instance : (H, W) integer
        0 on stuff, positive on instances; pixels of -1 belong to an unknown instance, and so to no segment.
    """
    known = (semantic != IGNORE_LABEL) & (instance >= 0)
    keys, inverse = torch.unique(semantic[known] * INSTANCE_KEYS + instance[known].long(), return_inverse=True)
    rows = torch.full_like(semantic, -1)
    rows[known] = inverse
    return KnownSegments(rows, keys // INSTANCE_KEYS)


@dataclass(frozen=True)
class MaskLoss:
    """The weighted losses of a batch.

    Attributes
    ----------
    class_weights : (C,)
        Weight of the pixels of each class, see :func:`models.segmenter.losses.compute_class_weights`.
    candidate_weight : float
        As for the bottom-up network.
    query_weight, mask_weight, dice_weight : float
        Weights of the class of a query, of the cross-entropy of its mask and of the overlap of its mask; the costs of
        matching have the same.
    nothing_weight : float
        Weight of a query that matches no segment, next to one that does.
    mask_points : int
        Pixels at which a mask is compared.
    """

    class_weights: Tensor
    candidate_weight: float
    query_weight: float
    mask_weight: float
    dice_weight: float
    nothing_weight: float
    mask_points: int

    def __call__(self, network: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Losses by name of a batch of :func:`models.segmenter.batches.make_batch`."""
        output = network(jitter_colours(batch["images"], batch["colour_factors"]))
        return self.compare(output, batch, sample=network.training)

    def compare(self, output: MaskOutput, batch: Mapping[str, Tensor], *, sample: bool) -> dict[str, Tensor]:
        """Losses by name of an output.

        Parameters
        ----------
        output : MaskOutput
        batch : mapping
        sample : bool
            Whether pixels are drawn from torch's random numbers; otherwise they are spaced evenly.
        """
        semantic = batch["semantic"].long()
        scores = F.interpolate(output.semantic.float(), size=semantic.shape[1:], mode="bilinear", align_corners=False)
        losses = {"semantic": semantic_loss(scores, semantic, self.class_weights.to(scores.device))}
        if self.candidate_weight:
            possible = candidate_loss(scores, semantic, batch["candidate_set"].long(), batch["candidates"])
            losses["candidates"] = self.candidate_weight * possible
        segments = [number_known_segments(*maps) for maps in zip(semantic, batch["instance"], strict=True)]
        # Sums over thousands of pixels need more digits than bfloat16 has.
        with torch.autocast(scores.device.type, enabled=False):
            return losses | self._compare_queries(output.classes.float(), output.masks.float(), segments, sample)

    def _compare_queries(
        self, classes: Tensor, masks: Tensor, segments: list[KnownSegments], sample: bool
    ) -> dict[str, Tensor]:
        """Losses of the queries of all layers ``(B, L, Q, ...)``: sums over layers of means over the batch."""
        parts = []
        # Unbound at once: the gradient of a single element would be as large as all of them.
        predictions = zip(classes.unbind(), masks.unbind(), strict=True)
        for target, (image_classes, image_masks) in zip(segments, predictions, strict=True):
            pixels = torch.nonzero(target.rows.flatten() >= 0)[:, 0]
            shared = choose_pixels(pixels, (self.mask_points,), sample=sample)
            for logits, mask in zip(image_classes.unbind(), image_masks.unbind(), strict=True):
                matches = self.match(logits, mask, target, shared)
                values, inside = self.sample_matched(mask[matches.queries], matches, target, pixels, sample)
                errors = F.binary_cross_entropy_with_logits(values, inside, reduction="none")
                named = self._compare_classes(logits, mask, target, matches)
                parts.append(torch.stack([*named, errors.mean(1).sum(), dice_loss(values, inside).sum()]))
        # Added up over the images: (L,) each.
        entropy, weights, binary, dice = torch.stack(parts).unflatten(0, classes.shape[:2]).sum(0).unbind(1)
        count = max(sum(len(target.classes) for target in segments), 1)
        return {
            "query": self.query_weight * (entropy / weights.clamp(min=torch.finfo(torch.float32).tiny)).sum(),
            "mask": self.mask_weight * binary.sum() / count,
            "dice": self.dice_weight * dice.sum() / count,
        }

    def _compare_classes(
        self, classes: Tensor, masks: Tensor, target: KnownSegments, matches: QueryMatches
    ) -> tuple[Tensor, Tensor]:
        """Weighted cross-entropy of the classes of all queries, and the sum of their weights."""
        weights = self.weigh_queries(masks, target, matches)
        truth = torch.full_like(weights, classes.shape[1] - 1, dtype=torch.int64)
        truth[matches.queries] = target.classes[matches.segments]
        return (weights * F.cross_entropy(classes, truth, reduction="none")).sum(), weights.sum()

    @torch.no_grad()
    def match(self, classes: Tensor, masks: Tensor, target: KnownSegments, pixels: Tensor) -> QueryMatches:
        """Assign each segment the query that fits it best, one to one, at the least total cost.

        Parameters
        ----------
        classes : (Q, C + 1)
            Logits.
        masks : (Q, h, w)
            Logits.
        target : KnownSegments
        pixels : (K,) int64
            Flat positions at which masks are compared.

        Returns
        -------
        QueryMatches
            In the order of the segments.
        """
        if not len(target.classes) or not len(pixels):
            return QueryMatches(*(pixels.new_zeros(0) for _ in QueryMatches._fields))
        values = sample_logits(masks[None], pixels[None], target.rows.shape)[0]  # (Q, K)
        inside = F.one_hot(target.rows.flatten()[pixels], len(target.classes)).float()  # (K, M)
        # Cross-entropy of each query with each segment: softplus(-x) where the segment is, softplus(x) elsewhere.
        entropy = (F.softplus(-values) @ inside + F.softplus(values) @ (1 - inside)) / len(pixels)
        probabilities = values.sigmoid()
        overlap = 2 * probabilities @ inside + 1
        dice = 1 - overlap / (probabilities.sum(1)[:, None] + inside.sum(0)[None] + 1)
        named = classes.softmax(1)[:, target.classes]
        cost = self.mask_weight * entropy + self.dice_weight * dice - self.query_weight * named
        # If the training has diverged, any assignment will do: the loss reports it.
        queries, rows = linear_sum_assignment(cost.nan_to_num().cpu().numpy())
        order = rows.argsort()
        return QueryMatches(*(torch.from_numpy(found[order]).to(pixels.device) for found in (queries, rows)))

    @torch.no_grad()
    def weigh_queries(self, masks: Tensor, target: KnownSegments, matches: QueryMatches) -> Tensor:
        """Weights ``(Q,)`` of the classes of queries: 1 if matched, else less, by the known share of the mask."""
        known = F.interpolate((target.rows >= 0).float()[None, None], size=masks.shape[1:], mode="area")[0, 0]
        areas = masks.sigmoid()
        weights = self.nothing_weight * (areas * known).sum((1, 2)) / areas.sum((1, 2)).clamp(min=1e-6)
        weights[matches.queries] = 1.0
        return weights

    def sample_matched(
        self, masks: Tensor, matches: QueryMatches, target: KnownSegments, pixels: Tensor, sample: bool
    ) -> tuple[Tensor, Tensor]:
        """Logits of matched masks ``(M, h, w)`` at known pixels, and whether these are in the segments: ``(M, K)``."""
        size = target.rows.shape
        if sample and len(pixels):
            drawn = choose_pixels(pixels, (len(masks), OVERSAMPLING * self.mask_points), sample=True)
            with torch.no_grad():
                certainty = sample_logits(masks[:, None], drawn, size)[:, 0].abs()
            uncertain = int(UNCERTAIN_SHARE * self.mask_points)
            least = certainty.topk(uncertain, dim=1, largest=False).indices
            others = choose_pixels(pixels, (len(masks), self.mask_points - uncertain), sample=True)
            chosen = torch.cat([drawn.gather(1, least), others], dim=1)
        else:
            chosen = choose_pixels(pixels, (self.mask_points,), sample=False).expand(len(masks), -1)
        values = sample_logits(masks[:, None], chosen, size)[:, 0]
        return values, (target.rows.flatten()[chosen] == matches.segments[:, None]).float()


def choose_pixels(pixels: Tensor, shape: tuple[int, ...], *, sample: bool) -> Tensor:
    """Choose from ``pixels (P,)``, with replacement, or evenly spaced along the last axis; nothing if P is 0."""
    if not len(pixels):
        return pixels.new_zeros(*shape[:-1], 0)
    if sample:
        return pixels[torch.randint(len(pixels), shape, device=pixels.device)]
    spaced = torch.linspace(0, len(pixels) - 1, shape[-1], device=pixels.device).long()
    return pixels[spaced].expand(shape)


def sample_logits(masks: Tensor, pixels: Tensor, size: tuple[int, ...]) -> Tensor:
    """Interpolate masks at pixels of the image.

    Parameters
    ----------
    masks : (N, C, h, w) float
    pixels : (N, K) int64
        Flat positions in an image of ``size``.
    size : tuple of int
        Height and width of the image, which the masks cover.

    Returns
    -------
    (N, C, K) float
    """
    height, width = size
    # From -1 to 1 between the outer edges of the image, as grid_sample counts.
    x = (2 * (pixels % width) + 1) / width - 1
    y = (2 * (pixels // width) + 1) / height - 1
    grid = torch.stack([x, y], dim=-1)[:, None].to(masks.dtype)
    return F.grid_sample(masks, grid, mode="bilinear", padding_mode="border", align_corners=False)[:, :, 0]


def dice_loss(logits: Tensor, inside: Tensor) -> Tensor:
    """One minus the overlap of masks ``(M, K)`` with what they should cover, each ``(M,)``; 0 without any pixel."""
    probabilities = logits.sigmoid()
    return 1 - (2 * (probabilities * inside).sum(1) + 1) / (probabilities.sum(1) + inside.sum(1) + 1)
