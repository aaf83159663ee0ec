"""A training step of JTSM: propose, select targets for each head, fetch evidence, compute the losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.jtsm.masks import choose_mask_targets, complete_masks, compute_mask_losses, move_mask, sample_masks
from models.jtsm.mining import Mined, compute_mining_loss
from models.jtsm.network import JtsmNetwork, Proposed
from models.jtsm.refinement import (
    Assignment,
    PseudoBoxes,
    assign_proposals,
    compute_refinement_losses,
    decode_boxes,
    find_pseudo_boxes,
)
from models.jtsm.samples import Placement, count_proposals, get_members, get_placements
from models.jtsm.semantic import compute_semantic_loss, label_superpixels, paint_stuff
from models.training import Batch
from pseudogt.classes import IGNORE_LABEL
from pseudogt.evidence.grabcut import BoxMask
from pseudogt.proposals.members import Members
from pseudogt.pseudo_labels.class_order import THINGS, ClassOrder

FindMasks = Callable[[Sequence[tuple[int, int]]], list[BoxMask]]
"""From (number of an image, row of a proposal) to masks in the image."""


class Evidence(NamedTuple):
    """Where the targets of masks and stuff come from.

    Attributes
    ----------
    find_masks : callable
        Masks of proposals, for the mask branch.
    find_stuff : callable, optional
        Masks of the boxes of proposals, painted for the semantic branch; None spreads the mining
        head's classes of proposals over their superpixels instead.
    """

    find_masks: FindMasks
    find_stuff: FindMasks | None = None


class RefinementTargets(NamedTuple):
    """Targets of a head for an image, from the stage before: its best proposals, and the class of all by overlap."""

    pseudo: PseudoBoxes
    assigned: Assignment


class BatchMaskTargets(NamedTuple):
    """Targets of the mask branch in a batch.

    Attributes
    ----------
    boxes_xyxy : (P, 4)
        Proposals, in the views.
    batch_index : (P,) int64
        Image of each.
    labels : (P,) int64
        Thing class of each.
    masks : (P, 28, 28) bool
        On the CPU.
    """

    boxes_xyxy: Tensor
    batch_index: Tensor
    labels: Tensor
    masks: Tensor


class MiningStep(nn.Module):
    """A whole step in one call, so that DistributedDataParallel can wrap it.

    The targets depend on what the network proposes, and evidence for them comes from images on the CPU.
    The network itself sees tensors only.

    Parameters
    ----------
    network : JtsmNetwork
    evidence : Evidence
    top_k : int
        Proposals near each pseudo box in whose boxes evidence is looked for.
    mask_limit : int or None
        Maximum number of proposals per image that learn masks.
    polygons : bool
        Whether masks are learned as the polygons of the paper's code: see
        :func:`models.jtsm.masks.complete_masks` and :func:`models.jtsm.masks.find_follower_targets`.
    """

    def __init__(
        self,
        network: JtsmNetwork,
        evidence: Evidence,
        *,
        top_k: int,
        mask_limit: int | None,
        polygons: bool = True,
    ) -> None:
        super().__init__()
        self.network = network
        self.evidence, self.top_k, self.mask_limit, self.polygons = evidence, top_k, mask_limit, polygons

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Losses by name of a batch of :func:`models.jtsm.samples.collate`; their sum is what training lowers."""
        network = self.network
        proposed: Proposed = network(batch)
        losses = {"mining": compute_mining_loss(proposed.mined.presence, batch["tags"], batch["known"])}
        refinement_losses, targets = refine(proposed, batch, network.order)
        losses |= refinement_losses
        if network.mask_heads:
            chosen = self._find_mask_targets(batch, targets)
            first, second = network.predict_masks(proposed.features, chosen.boxes_xyxy, chosen.batch_index)
            wanted = chosen.masks.to(first.device)
            losses["masks"], losses["masks_refined"] = compute_mask_losses(
                first, second, chosen.labels, wanted, chosen.boxes_xyxy, polygons=self.polygons
            )
        if network.semantic is not None:
            logits = network.semantic(proposed.features)
            tag_probabilities = find_tag_probabilities(network, proposed, batch)
            find_stuff = self.evidence.find_stuff
            labels = label_stuff(proposed.mined, batch, network.order, find_stuff, tag_probabilities)
            losses["semantic"] = compute_semantic_loss(logits, labels.to(logits.device))
        return losses

    def _find_mask_targets(self, batch: Batch, targets: Sequence[RefinementTargets]) -> BatchMaskTargets:
        """Select the proposals that learn masks, and fetch the masks."""
        counts, things = count_proposals(batch), self.network.order.things
        boxes, rows = batch["boxes"].split(counts), batch["rows"].split(counts)
        chosen = [
            choose_mask_targets(own, assigned.labels, pseudo, things=things, top_k=self.top_k, limit=self.mask_limit)
            for own, (pseudo, assigned) in zip(boxes, targets, strict=True)
        ]
        masks = []
        for b, (target, placement) in enumerate(zip(chosen, get_placements(batch), strict=True)):
            number = int(batch["numbers"][b])
            found = self.evidence.find_masks([(number, row) for row in rows[b][target.evidence_rows].tolist()])
            if self.polygons:
                found = complete_masks(found, placement.to_image(boxes[b][target.evidence_rows].cpu().numpy()))
            own = boxes[b][target.rows].cpu().numpy()
            masks.append(sample_masks(found, target.near.tolist(), own, placement))
        return BatchMaskTargets(
            torch.cat([own[target.rows] for own, target in zip(boxes, chosen, strict=True)]),
            torch.cat([target.rows.new_full(target.rows.shape, b) for b, target in enumerate(chosen)]),
            torch.cat([target.labels for target in chosen]),
            torch.from_numpy(np.concatenate(masks)),
        )


def refine(proposed: Proposed, batch: Batch, order: ClassOrder) -> tuple[dict[str, Tensor], list[RefinementTargets]]:
    """Losses of the refinement heads, each of which learns from the one before.

    Parameters
    ----------
    proposed : Proposed
    batch : mapping
        As made by :func:`models.jtsm.samples.collate`.
    order : ClassOrder

    Returns
    -------
    (dict, list of RefinementTargets)
        Losses by name, and the targets that follow from the last head, for each image.
    """
    boxes, counts = batch["boxes"], count_proposals(batch)
    losses: dict[str, Tensor] = {}
    shares = proposed.mined.shares.detach()[:, order.of_things]
    targets = find_refinement_targets(shares, boxes, proposed.mined, batch, order)
    for stage, (logits, deltas) in enumerate(zip(proposed.logits, proposed.deltas, strict=True)):
        matched = [
            pseudo.boxes_xyxy[assigned.matches] if len(pseudo.classes) else own
            for own, (pseudo, assigned) in zip(boxes.split(counts), targets, strict=True)
        ]
        labels = torch.cat([each.assigned.labels for each in targets])
        weights = torch.cat([each.assigned.weights for each in targets])
        classes, moves = compute_refinement_losses(logits, deltas, boxes, torch.cat(matched), labels, weights)
        losses[f"classes_{stage}"], losses[f"boxes_{stage}"] = classes, moves
        scores = logits.detach().softmax(1)[:, order.of_things]
        targets = find_refinement_targets(scores, decode_boxes(deltas.detach(), boxes), proposed.mined, batch, order)
    return losses, targets


def find_refinement_targets(
    scores: Tensor, boxes_xyxy: Tensor, mined: Mined, batch: Batch, order: ClassOrder
) -> list[RefinementTargets]:
    """Targets for the next stage from a stage's scores ``(R, K)`` and boxes ``(R, 4)`` or ``(R, K, 4)``, by image."""
    counts = count_proposals(batch)
    tags, presence = batch["tags"][:, order.of_things] > 0, mined.presence.detach()[:, order.of_things]
    parts = zip(scores.split(counts), boxes_xyxy.split(counts), tags, presence, strict=True)
    pseudo = [find_pseudo_boxes(*part) for part in parts]
    own_boxes = batch["boxes"].split(counts)
    assigned = [assign_proposals(own, p, order.things) for own, p in zip(own_boxes, pseudo, strict=True)]
    return list(map(RefinementTargets, pseudo, assigned))


def find_tag_probabilities(network: JtsmNetwork, proposed: Proposed, batch: Batch) -> NDArray[np.float32] | None:
    """Probabilities ``(B, S, C)`` by the tag classifier for the superpixels of a batch, if the network holds it."""
    with torch.no_grad():
        logits = network.classify_superpixels(proposed.features, batch, int(batch["superpixels"].max()) + 1)
    return None if logits is None else logits.softmax(2).cpu().numpy()


def label_stuff(
    mined: Mined,
    batch: Batch,
    order: ClassOrder,
    find_stuff: FindMasks | None,
    tag_probabilities: NDArray[np.float32] | None = None,
) -> Tensor:
    """Semantic labels ``(B, H, W) uint8`` that the semantic branch learns from a batch; the padding is ignored.

    Parameters
    ----------
    mined : Mined
    batch : mapping
        As made by :func:`models.jtsm.samples.collate`.
    order : ClassOrder
    find_stuff : callable or None
        See :class:`Evidence`.
    tag_probabilities : (B, S, C) float32, optional
        See :func:`find_tag_probabilities`; they count where labels come from the classes of proposals.
    """
    superpixels, tags = batch["superpixels"].cpu().numpy(), batch["tags"].cpu().numpy() > 0
    shares, classes = mined.shares.detach().cpu().numpy(), mined.classes.detach().cpu().numpy()
    members = Members(*(tensor.cpu().numpy() for tensor in get_members(batch)))
    labels = np.full(superpixels.shape, IGNORE_LABEL, np.uint8)
    ends = np.cumsum([0, *count_proposals(batch)])
    for b, placement in enumerate(get_placements(batch)):
        height, width = placement.size
        # Proposals of this image among those of the batch.
        own = slice(ends[b], ends[b + 1])
        if find_stuff is None:
            seen = superpixels[b, :height, :width]
            held = members.take(np.arange(own.start, own.stop))
            areas = np.bincount(seen.ravel())
            known = None if tag_probabilities is None else tag_probabilities[b, : len(areas)]
            found = label_superpixels(classes[own], held, areas, tags[b], order.labels, known)[seen]
        else:
            number, rows = int(batch["numbers"][b]), batch["rows"][own].tolist()
            found = paint_best_stuff(
                shares[own], tags[b], order, placement, [(number, row) for row in rows], find_stuff
            )
        labels[b, :height, :width] = found
    return torch.from_numpy(labels)


def paint_best_stuff(
    shares: NDArray[np.float32],
    tags: NDArray[np.bool_],
    order: ClassOrder,
    placement: Placement,
    keys: Sequence[tuple[int, int]],
    find_stuff: FindMasks,
) -> NDArray[np.uint8]:
    """Semantic labels ``(h, w)`` of a view: for each tagged stuff class, evidence in the box of its best proposal.

    Parameters
    ----------
    shares : (R, C) float32
        See :class:`models.jtsm.mining.Mined`.
    tags : (C,) bool
    order : ClassOrder
    placement : Placement
        Placement of the view.
    keys : sequence of (int, int)
        Number of the image and row there, of each of the R proposals.
    find_stuff : callable
    """
    labels = order.labels
    stuff = [position for position in np.flatnonzero(tags).tolist() if labels[position] != THINGS]
    best = [int(shares[:, position].argmax()) for position in stuff]
    masks = [move_mask(mask, placement) for mask in find_stuff([keys[row] for row in best])]
    scores = [float(shares[row, position]) for row, position in zip(best, stuff, strict=True)]
    return paint_stuff(masks, labels[stuff].tolist(), scores, placement.size)
