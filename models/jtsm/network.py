"""The JTSM network: things and stuff from the tags of images and their segment proposals (Shen et al., CVPR 2021)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from models.jtsm.backbones import DecodedBackbone, JtsmBackbone, build_jtsm_backbone
from models.jtsm.masks import MaskHead, choose_mask_targets, compute_mask_losses, pool_boxes, sample_masks
from models.jtsm.members import Members
from models.jtsm.mining import Mined, MiningHead, average_over_segments, compute_mining_loss
from models.jtsm.moi_pool import moi_pool, scale_pooled
from models.jtsm.neck import Neck, build_neck
from models.jtsm.refinement import (
    Assignment,
    PseudoBoxes,
    RefinementHead,
    assign_proposals,
    compute_refinement_losses,
    decode_boxes,
    find_pseudo_boxes,
)
from models.jtsm.samples import Placement, get_members, get_placements
from models.jtsm.semantic import SemanticHead, compute_semantic_loss, label_superpixels, paint_stuff
from pseudogt.box_masks.evidence import BoxMask
from pseudogt.classes import IGNORE_LABEL

SEMANTIC_CHANNELS = 128
"""Width of the semantic branch in the paper."""

Batch = Mapping[str, Tensor]
FindMasks = Callable[[Sequence[tuple[int, int]]], list[BoxMask]]
"""From (number of an image, row of a proposal) to masks in the image: the evidence that the mask branch learns from."""


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


class Proposed(NamedTuple):
    """What the network says of the proposals of a batch.

    Attributes
    ----------
    features : (B, C, H / stride, W / stride)
        Of the backbone.
    mined : Mined
    logits : list of (R, K + 1)
        Of each refinement head.
    deltas : list of (R, K, 4)
    """

    features: Tensor
    mined: Mined
    logits: list[Tensor]
    deltas: list[Tensor]


class JtsmNetwork(nn.Module):
    """Backbone, MoIPool, neck and heads.

    Parameters
    ----------
    backbone : JtsmBackbone
    neck : Neck
    things, stuff : int
        Classes, K and S - 1.
    refinements : int
        Refinement heads.
    mask_channels : int
        Width of the mask heads; 0 for none.
    semantic_channels : int
        Width of the semantic head; 0 for none: what is no thing is then the one class of stuff.
    top_k : int
        Proposals near each pseudo box in whose boxes evidence is looked for.
    mask_limit : int or None
        Proposals of an image that learn masks, at most.
    """

    def __init__(
        self,
        *,
        backbone: JtsmBackbone,
        neck: Neck,
        things: int,
        stuff: int,
        refinements: int = 4,
        mask_channels: int = 256,
        semantic_channels: int = SEMANTIC_CHANNELS,
        top_k: int = 10,
        mask_limit: int | None = None,
    ) -> None:
        super().__init__()
        if mask_channels and not refinements:
            raise ValueError("the mask branch learns from the last refinement head; give it one, or leave masks out")
        if not semantic_channels and stuff > 1:
            raise ValueError(f"{stuff} classes of stuff need the semantic branch; only one can be told without it")
        self.backbone, self.neck = backbone, neck
        self.things, self.stuff, self.top_k, self.mask_limit = things, stuff, top_k, mask_limit
        width = neck.channels
        self.mining = MiningHead(channels=width, classes=things + stuff, corrects=isinstance(backbone, DecodedBackbone))
        self.refinements = nn.ModuleList(
            RefinementHead(channels=width, things=things) for _ in range(refinements if things else 0)
        )
        has_masks = bool(mask_channels and things)
        mask = {"channels_in": backbone.channels, "channels": mask_channels, "things": things}
        self.mask_heads = nn.ModuleList(MaskHead(**mask) for _ in range(2 if has_masks else 0))
        self.semantic = (
            SemanticHead(
                channels_in=backbone.channels, channels=semantic_channels, labels=stuff + 1, stride=backbone.stride
            )
            if semantic_channels and stuff
            else None
        )

    def propose(self, batch: Batch) -> Proposed:
        """Apply all heads but those of masks and stuff to a batch of :func:`models.jtsm.samples.collate`."""
        images = self.backbone.normalise(batch["images"])
        inside = [
            torch.arange(n, device=images.device) < batch["sizes"][:, axis, None]
            for axis, n in enumerate(images.shape[2:])
        ]
        images = images * (inside[0][:, None, :, None] & inside[1][:, None, None, :])
        features = self.backbone(images.contiguous(memory_format=torch.channels_last))
        pooled = moi_pool(
            features.float(),
            batch["boxes"],
            batch["batch_index"],
            get_members(batch),
            batch["superpixels"],
            spatial_scale=1 / self.backbone.stride,
        )
        feature = self.neck(scale_pooled(pooled.features, pooled.filled, batch["scores"]))
        told = self._classify_segments(features, batch, get_members(batch), batch["batch_index"])
        mined = self.mining(feature, count_proposals(batch), told)
        refined = [head(feature) for head in self.refinements]
        return Proposed(features, mined, [logits for logits, _ in refined], [deltas for _, deltas in refined])

    def classify_superpixels(self, features: Tensor, batch: Batch, count: int) -> Tensor | None:
        """Logits ``(count, C)`` of the tag classifier for the superpixels of a batch of one image."""
        numbers = torch.arange(count + 1, device=features.device)
        return self._classify_segments(
            features, batch, Members(numbers[:-1].int(), numbers), torch.zeros_like(numbers[1:])
        )

    def _classify_segments(
        self, features: Tensor, batch: Batch, members: Members, batch_index: Tensor
    ) -> Tensor | None:
        """Logits ``(R, C)`` of the tag classifier for segments, if it is part of the network."""
        if not isinstance(self.backbone, DecodedBackbone):
            return None
        logits = self.backbone.classify(features).float()
        full_size = F.interpolate(logits, scale_factor=self.backbone.stride, mode="bilinear", align_corners=False)
        return average_over_segments(full_size, batch["superpixels"], members, batch_index)

    def forward(self, batch: Batch, evidence: Evidence) -> dict[str, Tensor]:
        """Losses of a batch by name; their sum is what training lowers."""
        proposed = self.propose(batch)
        mined, tags = proposed.mined, batch["tags"]
        losses = {"mining": compute_mining_loss(mined.presence, tags, batch["known"])}
        pseudo, assigned = self._refine(proposed, batch, losses)
        if self.mask_heads:
            self._learn_masks(proposed.features, batch, pseudo, assigned, evidence.find_masks, losses)
        if self.semantic is not None:
            logits = self.semantic(proposed.features)
            labels = self._label_stuff(mined, batch, evidence.find_stuff)
            losses["semantic"] = compute_semantic_loss(logits, labels.to(logits.device))
        return losses

    def _refine(
        self, proposed: Proposed, batch: Batch, losses: dict[str, Tensor]
    ) -> tuple[list[PseudoBoxes], list[Assignment]]:
        """Add the losses of the refinement heads; return what the last one would teach, by image."""
        boxes, mined = batch["boxes"], proposed.mined
        pseudo, assigned = self._teach(mined.shares.detach()[:, : self.things], boxes, mined, batch)
        for stage, (logits, deltas) in enumerate(zip(proposed.logits, proposed.deltas, strict=True)):
            own_boxes = boxes.split(count_proposals(batch))
            targets = [
                each.boxes_xyxy[a.matches] if len(each.classes) else own
                for own, each, a in zip(own_boxes, pseudo, assigned, strict=True)
            ]
            labels, weights = torch.cat([a.labels for a in assigned]), torch.cat([a.weights for a in assigned])
            classes, moves = compute_refinement_losses(logits, deltas, boxes, torch.cat(targets), labels, weights)
            losses[f"classes_{stage}"], losses[f"boxes_{stage}"] = classes, moves
            scores = logits.detach().softmax(1)[:, : self.things]
            pseudo, assigned = self._teach(scores, decode_boxes(deltas.detach(), boxes), mined, batch)
        return pseudo, assigned

    def _teach(
        self, scores: Tensor, boxes_xyxy: Tensor, mined: Mined, batch: Batch
    ) -> tuple[list[PseudoBoxes], list[Assignment]]:
        """What scores ``(R, K)`` and boxes ``(R, 4)`` or ``(R, K, 4)`` of a stage teach the next, by image."""
        counts, things = count_proposals(batch), self.things
        tags, presence = batch["tags"][:, :things] > 0, mined.presence.detach()[:, :things]
        parts = zip(scores.split(counts), boxes_xyxy.split(counts), tags, presence, strict=True)
        pseudo = [find_pseudo_boxes(*part) for part in parts]
        own_boxes = batch["boxes"].split(counts)
        return pseudo, [assign_proposals(own, each, things) for own, each in zip(own_boxes, pseudo, strict=True)]

    def _learn_masks(
        self,
        features: Tensor,
        batch: Batch,
        pseudo: list[PseudoBoxes],
        assigned: list[Assignment],
        find_masks: FindMasks,
        losses: dict[str, Tensor],
    ) -> None:
        counts = count_proposals(batch)
        boxes, rows = batch["boxes"].split(counts), batch["rows"].split(counts)
        chosen = [
            choose_mask_targets(own, a.labels, each, things=self.things, top_k=self.top_k, limit=self.mask_limit)
            for own, a, each in zip(boxes, assigned, pseudo, strict=True)
        ]
        targets = []
        for b, (target, placement) in enumerate(zip(chosen, get_placements(batch), strict=True)):
            keys = [(int(batch["numbers"][b]), row) for row in rows[b][target.evidence_rows].tolist()]
            masks = find_masks(keys)
            own = boxes[b][target.rows].cpu().numpy()
            targets.append(sample_masks(masks, target.near.tolist(), own, placement))
        learning = torch.cat([own[target.rows] for own, target in zip(boxes, chosen, strict=True)])
        index = torch.cat([target.rows.new_full(target.rows.shape, b) for b, target in enumerate(chosen)])
        labels = torch.cat([target.labels for target in chosen])
        pooled = pool_boxes(features.float(), learning, index, self.backbone.stride)
        first, second = (head(pooled) for head in self.mask_heads)
        wanted = torch.from_numpy(np.concatenate(targets)).to(first.device)
        losses["masks"], losses["masks_refined"] = compute_mask_losses(first, second, labels, wanted)

    def _label_stuff(self, mined: Mined, batch: Batch, find_stuff: FindMasks | None) -> Tensor:
        """Semantic labels ``(B, H, W) uint8`` of a batch."""
        superpixels = batch["superpixels"].cpu().numpy()
        labels = np.full(superpixels.shape, IGNORE_LABEL, np.uint8)
        counts, tags = count_proposals(batch), batch["tags"].cpu().numpy() > 0
        shares, classes = (
            [part.detach().cpu().numpy() for part in values.split(counts)] for values in (mined.shares, mined.classes)
        )
        first = np.concatenate([[0], np.cumsum(counts)])
        for b, placement in enumerate(get_placements(batch)):
            height, width = placement.size
            if find_stuff is None:
                seen = superpixels[b, :height, :width]
                areas = np.bincount(seen.ravel())
                members = make_dense(batch, first[b], first[b + 1], len(areas))
                labels[b, :height, :width] = label_superpixels(classes[b], members, areas, tags[b], self.things)[seen]
            else:
                stuff = [s for s in range(self.stuff) if tags[b, self.things + s]]
                best = [int(shares[b][:, self.things + s].argmax()) for s in stuff]
                rows = batch["rows"][first[b] : first[b + 1]].tolist()
                masks = find_stuff([(int(batch["numbers"][b]), rows[r]) for r in best])
                moved = [move_mask(mask, placement) for mask in masks]
                scores = [float(shares[b][r, self.things + s]) for r, s in zip(best, stuff, strict=True)]
                labels[b, :height, :width] = paint_stuff(moved, stuff, scores, (height, width))
        return torch.from_numpy(labels)


def count_proposals(batch: Batch) -> list[int]:
    """Proposals of each image of a batch."""
    return torch.bincount(batch["batch_index"], minlength=len(batch["images"])).tolist()


def make_dense(batch: Batch, first: int, last: int, count: int) -> NDArray[np.bool_]:
    """Superpixels ``(R, S) bool`` of some proposals of a batch; those that the view lost are left out."""
    starts = batch["starts"][first : last + 1].cpu().numpy()
    indices = batch["indices"][int(starts[0]) : int(starts[-1])].cpu().numpy()
    rows = np.repeat(np.arange(last - first), np.diff(starts))
    members = np.zeros((last - first, count), bool)
    seen = indices < count
    members[rows[seen], indices[seen]] = True
    return members


def move_mask(mask: BoxMask, placement: Placement) -> NDArray[np.bool_]:
    """A mask of an image in a view ``(h, w) bool``, nearest pixel."""
    x0, y0, x1, y1 = placement.window_xyxy
    height, width = placement.size
    x = x0 + ((np.arange(width) + 0.5) * (x1 - x0) / width).astype(int) - mask.origin_xy[0]
    y = y0 + ((np.arange(height) + 0.5) * (y1 - y0) / height).astype(int) - mask.origin_xy[1]
    if placement.flipped:
        x = x[::-1]
    rows, columns = mask.mask.shape
    inside = ((y >= 0) & (y < rows))[:, None] & ((x >= 0) & (x < columns))
    return mask.mask[y.clip(0, rows - 1)[:, None], x.clip(0, columns - 1)] & inside


def build_jtsm_network(
    *,
    backbone: str,
    init: str,
    weights: str | Path | None,
    levels: int,
    decoder_channels: int = 0,
    freeze: str,
    neck_widths: tuple[int, int] | None,
    dropout: float,
    things: int,
    stuff: int,
    refinements: int,
    mask_channels: int,
    semantic_channels: int,
    top_k: int,
    mask_limit: int | None,
) -> JtsmNetwork:
    """Build the network; see :func:`models.jtsm.backbones.build_jtsm_backbone` and :class:`JtsmNetwork`.

    A ResNet-WS starts with the neck that its weight file holds.
    """
    body = build_jtsm_backbone(
        backbone,
        init=init,
        weights=weights,
        levels=levels,
        decoder_channels=decoder_channels,
        class_count=things + stuff,
        freeze=freeze,
    )
    holds_neck = init == "weights" and backbone.startswith("resnet_ws")
    return JtsmNetwork(
        backbone=body,
        neck=build_neck(body, widths=neck_widths, dropout=dropout, weights=weights if holds_neck else None),
        things=things,
        stuff=stuff,
        refinements=refinements,
        mask_channels=mask_channels,
        semantic_channels=semantic_channels,
        top_k=top_k,
        mask_limit=mask_limit,
    )
