"""The JTSM network: things and stuff from the tags of images and their segment proposals (Shen et al., CVPR 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.jtsm.backbones import DecodedBackbone, JtsmBackbone, build_jtsm_backbone
from models.jtsm.incidence import MemberTensors
from models.jtsm.masks import MaskHead, pool_boxes
from models.jtsm.mining import MIN_OVERLAP, Mined, MiningHead, average_over_segments, measure_overlaps
from models.jtsm.moi_pool import moi_pool, scale_pooled
from models.jtsm.neck import Neck, build_neck
from models.jtsm.refinement import RefinementHead
from models.jtsm.samples import count_proposals, get_members
from models.jtsm.semantic import SemanticHead
from models.training import Batch
from pseudogt.pseudo_labels.class_order import ClassOrder

SEMANTIC_CHANNELS = 128
"""Width of the semantic branch in the paper."""


@dataclass(frozen=True, kw_only=True)
class JtsmArchitecture:
    """Structure of a network.

    Attributes
    ----------
    backbone : str
    levels, freeze, decoder_channels, padding
        See :func:`models.jtsm.backbones.build_jtsm_backbone`; a classifier brings its own ``levels``, and its decoder
        its own width.
    neck_widths, dropout
        See :func:`models.jtsm.neck.build_neck`.
    refinements, mask_channels, semantic_channels, semantic_start, overlap_power, things, stuff
        See :class:`JtsmNetwork`.
    """

    backbone: str
    levels: int
    freeze: str
    dropout: float
    refinements: int
    mask_channels: int
    semantic_channels: int
    decoder_channels: int = 0
    neck_widths: tuple[int, int] | None
    semantic_start: str = "he"
    padding: bool = True
    overlap_power: float = 0.0
    things: int
    stuff: int


class Proposed(NamedTuple):
    """Output of the network for the proposals of a batch.

    Attributes
    ----------
    features : (B, C, H / stride, W / stride)
        Features of the backbone.
    mined : Mined
    logits : list of (R, K + 1)
        Logits of each refinement head.
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
        Width of the semantic head; 0 for none: all that is not a thing is then one class of stuff.
    semantic_start : {"he", "small"}
        See :class:`models.jtsm.semantic.SemanticHead`.
    overlap_power : float
        See :class:`models.jtsm.mining.MiningHead`; a backbone without the tag classifier has no overlaps.
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
        semantic_start: str = "he",
        overlap_power: float = 0.0,
    ) -> None:
        super().__init__()
        if mask_channels and not refinements:
            raise ValueError("the mask branch learns from the last refinement head; give it one, or leave masks out")
        if not semantic_channels and stuff > 1:
            raise ValueError(f"{stuff} classes of stuff need the semantic branch; without it there can be only one")
        if semantic_channels and stuff and backbone.multiple % backbone.stride:
            raise ValueError("the semantic branch needs padding; its maps are those of whole cells")
        self.backbone, self.neck = backbone, neck
        self.order = ClassOrder(things, stuff)
        width = neck.channels
        corrects = isinstance(backbone, DecodedBackbone)
        if overlap_power and not corrects:
            raise ValueError("overlap_power needs the maps of the tag classifier; take its decoder, or set it to 0")
        self.mining = MiningHead(
            channels=width, classes=self.order.count, corrects=corrects, overlap_power=overlap_power
        )
        self.refinements = nn.ModuleList(
            RefinementHead(channels=width, things=things) for _ in range(refinements if things else 0)
        )
        has_masks = bool(mask_channels and things)
        mask = {"channels_in": backbone.channels, "channels": mask_channels, "things": things}
        self.mask_heads = nn.ModuleList(MaskHead(**mask) for _ in range(2 if has_masks else 0))
        self.semantic = (
            SemanticHead(
                channels_in=backbone.channels,
                channels=semantic_channels,
                labels=self.order.label_count,
                stride=backbone.stride,
                start=semantic_start,
            )
            if semantic_channels and stuff
            else None
        )

    def forward(self, batch: Batch) -> Proposed:
        """Apply all heads but those of masks and stuff to a batch of :func:`models.jtsm.samples.collate`."""
        images = self.backbone.normalise(batch["images"])
        # Set the padding to 0 after normalising, which has changed it.
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
        tag_logits, overlaps = self._describe_segments(self._classify_pixels(features), batch)
        mined = self.mining(feature, count_proposals(batch), tag_logits, overlaps)
        # As a proposal is of a thing if it overlaps it by half, the odds of an overlap start the odds of the thing.
        odds = None if overlaps is None else self.mining.overlap_power * overlaps.logit(eps=MIN_OVERLAP)
        refined = [head(feature, None if odds is None else odds[:, self.order.of_things]) for head in self.refinements]
        return Proposed(features, mined, [logits for logits, _ in refined], [deltas for _, deltas in refined])

    def predict_masks(self, features: Tensor, boxes_xyxy: Tensor, batch_index: Tensor) -> list[Tensor]:
        """Logits ``(P, K, 28, 28)`` of each mask head in boxes ``(P, 4)`` of the images ``(P,)`` of a batch."""
        pooled = pool_boxes(features.float(), boxes_xyxy, batch_index, self.backbone.stride)
        return [head(pooled) for head in self.mask_heads]

    def classify_superpixels(self, features: Tensor, batch: Batch, count: int) -> Tensor | None:
        """Logits ``(B, count, C)`` of the tag classifier for the superpixels of each image of a batch."""
        images, tag_logits = len(features), self._classify_pixels(features)
        if tag_logits is None:
            return None
        # Each superpixel is a segment of its own.
        numbers = torch.arange(images * count + 1, device=features.device)
        members: MemberTensors = (numbers[:-1] % count).int(), numbers
        of_each = average_over_segments(tag_logits, batch["superpixels"], members, numbers[:-1] // count)
        return of_each.unflatten(0, (images, count))

    def _classify_pixels(self, features: Tensor) -> Tensor | None:
        """Logits ``(B, C, H, W)`` of the tag classifier, if it is part of the network."""
        if not isinstance(self.backbone, DecodedBackbone):
            return None
        logits = self.backbone.classify(features).float()
        return F.interpolate(logits, scale_factor=self.backbone.stride, mode="bilinear", align_corners=False)

    def _describe_segments(self, tag_logits: Tensor | None, batch: Batch) -> tuple[Tensor | None, Tensor | None]:
        """Mean logits of the tag classifier in each proposal and overlaps with its maps, ``(R, C)``, as far as used."""
        if tag_logits is None:
            return None, None
        segments = batch["superpixels"], get_members(batch), batch["batch_index"]
        overlaps = measure_overlaps(tag_logits.softmax(1), *segments) if self.mining.overlap_power else None
        return average_over_segments(tag_logits, *segments), overlaps


def build_jtsm_network(
    architecture: JtsmArchitecture, *, init: str = "scratch", weights: str | Path | None = None
) -> JtsmNetwork:
    """Build the network; ``init`` and ``weights`` as in :func:`models.jtsm.backbones.build_jtsm_backbone`.

    A ResNet-WS starts with the neck that its weight file holds.
    """
    backbone = build_jtsm_backbone(
        architecture.backbone,
        init=init,
        weights=weights,
        levels=architecture.levels,
        decoder_channels=architecture.decoder_channels,
        class_count=architecture.things + architecture.stuff,
        freeze=architecture.freeze,
        padding=architecture.padding,
    )
    holds_neck = init == "weights" and architecture.backbone.startswith("resnet_ws")
    return JtsmNetwork(
        backbone=backbone,
        neck=build_neck(
            backbone,
            widths=architecture.neck_widths,
            dropout=architecture.dropout,
            weights=weights if holds_neck else None,
        ),
        things=architecture.things,
        stuff=architecture.stuff,
        refinements=architecture.refinements,
        mask_channels=architecture.mask_channels,
        semantic_channels=architecture.semantic_channels,
        semantic_start=architecture.semantic_start,
        overlap_power=architecture.overlap_power,
    )
