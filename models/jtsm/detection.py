"""Detections of the JTSM network in an image: instances with masks, stuff, and the classes present."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import batched_nms

from models.jtsm.masks import MASK_PX, paste_mask, pool_boxes
from models.jtsm.network import JtsmNetwork, Proposed
from models.jtsm.refinement import decode_boxes
from models.jtsm.samples import MiningImage, Placement, count_proposals
from models.jtsm.views import PlacedImage, collate_views, map_semantic, move_to_image, place_on_device, place_views
from models.training import autocast
from pseudogt.pseudo_labels.mined import Detections

MAPS_AT_ONCE = 8
"""Semantic maps that are enlarged at the same time."""

BAND_ROWS = 64
"""Rows of the image whose logits become probabilities at the same time."""


@dataclass(frozen=True)
class DetectionPlan:
    """How images are looked at, and which detections count.

    Attributes
    ----------
    short_sides_px : tuple of int
        Sizes at which an image is seen; what is said at each is averaged.
    long_side_px : int
    flip : bool
        Whether to see the mirror images too.
    max_proposals : int
    masks : {"branch", "segments"}
        Whose masks instances have: those of the second mask head, or the segments of their proposals.
        A network without mask heads has segments.
    min_score, nms_overlap : float
    max_detections : int
    device : torch.device
    dtype : torch.dtype
        Floating-point type of the network.
    semantic_mean : {"logits", "probabilities"}
        What the views' semantic maps are averaged as. Logits as in the paper's code, where every map goes to the
        sizes of its view and of the image by nearest pixel; or probabilities, cut off at the border of the view and
        resized linearly.
    """

    short_sides_px: tuple[int, ...]
    long_side_px: int
    flip: bool
    max_proposals: int
    masks: str
    min_score: float
    nms_overlap: float
    max_detections: int
    device: torch.device
    dtype: torch.dtype
    semantic_mean: str = "logits"


class Instances(NamedTuple):
    """Things found in an image, highest score first.

    Attributes
    ----------
    boxes_xyxy : (N, 4) float32
    scores : (N,) float32
    classes : (N,) int64
        Positions in the network's order.
    masks : (N, H, W) bool
    """

    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]
    masks: NDArray[np.bool_]


@dataclass
class SeenImage:
    """Sums of the network's outputs over all views of an image; see :func:`see_images`.

    Attributes
    ----------
    sample : MiningImage
    views : int
        How many views were seen.
    totals : dict
        Sums over the views: ``scores (R, K)``, ``boxes (R, K, 4)`` in the image, ``presence (C,)``,
        ``proposal_classes (R, C)``, and, as far as the network has them, ``superpixel_classes (P, C)`` and
        ``semantic (S, H, W)``.
    features : list
        Placements of one size, and the features ``(V, C, h, w)`` of these views; kept only for mask heads.
    """

    sample: MiningImage
    views: int = 0
    totals: dict[str, Tensor] = field(default_factory=dict)
    features: list[tuple[Sequence[Placement], Tensor]] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the image."""
        return self.sample.superpixels.shape[0], self.sample.superpixels.shape[1]

    @cached_property
    def superpixel_count(self) -> int:
        """Superpixels of the image, P."""
        return int(self.sample.superpixels.max()) + 1

    def add(self, said: Mapping[str, Tensor]) -> None:
        """Add what a view says; see ``totals``."""
        for name, value in said.items():
            if name in self.totals:
                self.totals[name] += value
            else:
                self.totals[name] = value.clone()

    def average(self, name: str) -> Tensor:
        """Mean of the views; a copy."""
        return self.totals[name] / self.views


def detect(
    network: JtsmNetwork, sample: MiningImage, plan: DetectionPlan, *, tags: NDArray[np.bool_] | None = None
) -> Detections:
    """Detect things and stuff in an image; see :func:`see_images` and :func:`describe_seen`."""
    (seen,) = see_images(network, [sample], plan)
    return describe_seen(network, seen, plan, tags=tags)


@torch.inference_mode()
def see_images(network: JtsmNetwork, samples: Sequence[MiningImage], plan: DetectionPlan) -> list[SeenImage]:
    """Look at images of one size in all views; those of equal size are one batch.

    Parameters
    ----------
    network : JtsmNetwork
        On the device of the plan, in evaluation mode.
    samples : sequence of MiningImage
        Their own tags are not looked at.
    plan : DetectionPlan
    """
    placed = [place_on_device(sample, plan.max_proposals, plan.device) for sample in samples]
    seen = [SeenImage(sample) for sample in samples]
    for placements in place_views(seen[0].shape, plan.short_sides_px, plan.long_side_px, flip=plan.flip):
        _look(network, placed, placements, plan, seen)
    return seen


@torch.inference_mode()
def describe_seen(
    network: JtsmNetwork, seen: SeenImage, plan: DetectionPlan, *, tags: NDArray[np.bool_] | None = None
) -> Detections:
    """Things and stuff of an image that was seen.

    Parameters
    ----------
    network : JtsmNetwork
    seen : SeenImage
    plan : DetectionPlan
    tags : (C,) bool, optional
        Classes that may be found; for labels of images whose tags are known. None allows all.
    """
    allowed = np.ones(network.order.count, bool) if tags is None else tags
    superpixel_classes = None
    if "superpixel_classes" in seen.totals:
        superpixel_classes = seen.average("superpixel_classes").cpu().numpy()
    return Detections(
        **find_instances(network, seen, plan, tags=tags)._asdict(),
        semantic=_average_semantic(network, seen, allowed[network.order.of_stuff], plan.semantic_mean),
        presence=seen.average("presence").cpu().numpy(),
        proposal_classes=seen.average("proposal_classes").cpu().numpy(),
        superpixel_classes=superpixel_classes,
    )


@torch.inference_mode()
def find_instances(
    network: JtsmNetwork, seen: SeenImage, plan: DetectionPlan, *, tags: NDArray[np.bool_] | None = None
) -> Instances:
    """Things of an image that was seen; ``tags`` as in :func:`describe_seen`."""
    scores, (height, width) = seen.average("scores"), seen.shape
    if tags is not None:
        scores[:, torch.from_numpy(~tags[network.order.of_things]).to(scores.device)] = 0
    moved = seen.average("boxes")
    clipped = moved.clamp(min=0).minimum(scores.new_tensor([width, height] * 2))
    clipped = clipped.masked_fill(~moved.isfinite(), torch.nan)
    rows, classes = _select_detections(scores, clipped, plan)
    boxes = clipped[rows, classes]
    masks = _find_masks(network, seen, boxes, rows, classes, plan)
    return Instances(boxes.cpu().numpy(), scores[rows, classes].cpu().numpy(), classes.cpu().numpy(), masks)


def _look(
    network: JtsmNetwork,
    placed: Sequence[PlacedImage],
    placements: Sequence[Placement],
    plan: DetectionPlan,
    seen: Sequence[SeenImage],
) -> None:
    """Add the outputs of the views of one size to each image's sums."""
    batch = collate_views(placed, placements, network.backbone.multiple)
    with autocast(plan.dtype, plan.device):
        proposed: Proposed = network(batch)
        logits = network.semantic(proposed.features) if network.semantic is not None else None
        count = max(image.superpixel_count for image in seen)
        tag_logits = network.classify_superpixels(proposed.features, batch, count)
    counts, views = count_proposals(batch), len(placements)
    scores, boxes = _score_proposals(network, proposed, batch["boxes"], counts)
    of_views = zip(
        scores.split(counts),
        boxes.split(counts),
        proposed.mined.classes.split(counts),
        proposed.mined.presence,
        strict=True,
    )
    for view, (of_scores, of_boxes, of_classes, presence) in enumerate(of_views):
        image, placement = seen[view // views], placements[view % views]
        moved = move_to_image(of_boxes, placement)
        image.add({"scores": of_scores, "boxes": moved, "proposal_classes": of_classes, "presence": presence})
        if tag_logits is not None:
            image.add({"superpixel_classes": tag_logits[view, : image.superpixel_count].softmax(1)})
        if logits is not None:
            _add_semantic(image, logits[view : view + 1], placement, plan.semantic_mean)
        image.views += 1
    if network.mask_heads and plan.masks == "branch":
        for image, features in zip(seen, proposed.features.split(views), strict=True):
            image.features.append((placements, features))


def _add_semantic(image: SeenImage, logits: Tensor, placement: Placement, mean: str) -> None:
    """Add the semantic maps ``(1, S, h / 4, w / 4)`` of a view to the totals of its image."""
    labels = logits.shape[1]
    if "semantic" not in image.totals:
        image.totals["semantic"] = torch.zeros((labels, *image.shape), device=logits.device)
    total = image.totals["semantic"]
    # A probability needs the logits of all labels; logits alone are enlarged a few maps at a time.
    at_once = MAPS_AT_ONCE if mean == "logits" else labels
    for part, maps in zip(total.split(at_once), logits.split(at_once, dim=1), strict=True):
        part += map_semantic(maps, placement, image.shape, mean)[0]


def _score_proposals(
    network: JtsmNetwork, proposed: Proposed, boxes: Tensor, counts: list[int]
) -> tuple[Tensor, Tensor]:
    """Scores ``(R, K)`` and boxes ``(R, K, 4)``: means of the refinement heads.

    Without any the mining head's: the best proposal of a class is as sure as the class is present. ``counts`` are the
    proposals of each view.
    """
    order = network.order
    if proposed.logits:
        scores = torch.stack([logits.softmax(1) for logits in proposed.logits]).mean(0)[:, order.of_things]
        return scores, decode_boxes(torch.stack(proposed.deltas).mean(0), boxes)
    of_views = zip(
        proposed.mined.shares[:, order.of_things].split(counts),
        proposed.mined.presence[:, order.of_things],
        strict=True,
    )
    relative = [shares / shares.amax(0).clamp(min=1e-12) * presence for shares, presence in of_views]
    return torch.cat(relative), boxes[:, None].expand(-1, order.things, -1)


def _select_detections(scores: Tensor, boxes: Tensor, plan: DetectionPlan) -> tuple[Tensor, Tensor]:
    """Proposals and classes ``(N,)`` that are left after suppression, surest first.

    Parameters
    ----------
    scores : (R, K)
    boxes : (R, K, 4)
        Clipped to the image. Empty ones are dropped, and so are those that hold a NaN, which is above nothing.
    plan : DetectionPlan
    """
    valid = (boxes[..., 2:] > boxes[..., :2]).all(-1)
    rows, classes = ((scores > plan.min_score) & valid).nonzero(as_tuple=True)
    kept = batched_nms(boxes[rows, classes], scores[rows, classes], classes, plan.nms_overlap)[: plan.max_detections]
    return rows[kept], classes[kept]


def _find_masks(
    network: JtsmNetwork, seen: SeenImage, boxes: Tensor, rows: Tensor, classes: Tensor, plan: DetectionPlan
) -> NDArray[np.bool_]:
    """Masks ``(N, H, W)``: of the second mask head, or the segments of the proposals."""
    if not seen.features:
        return seen.sample.members.masks(rows.cpu().numpy(), seen.sample.superpixels)
    if not len(rows):
        return np.zeros((0, *seen.shape), bool)
    total = torch.zeros((len(rows), MASK_PX, MASK_PX), device=plan.device)
    chosen = torch.arange(len(rows), device=plan.device), classes
    on_image = boxes.cpu().numpy()
    for placements, features in seen.features:
        # Each view gives scores of the same boxes; views of one size are pooled together.
        moved = [torch.from_numpy(placement.to_view(on_image)) for placement in placements]
        index = torch.arange(len(placements), device=plan.device).repeat_interleave(len(rows))
        with autocast(plan.dtype, plan.device):
            pooled = pool_boxes(features.float(), torch.cat(moved).to(plan.device), index, network.backbone.stride)
            logits = network.mask_heads[1](pooled).unflatten(0, (len(placements), len(rows)))
        # Add up the maps of their classes, with mirroring undone.
        for placement, of_view in zip(placements, logits, strict=True):
            own = of_view[chosen].float().sigmoid()
            total += own.flip(2) if placement.flipped else own
    probabilities = (total / seen.views).cpu().numpy()
    return np.stack([paste_mask(p, b, seen.shape) for p, b in zip(probabilities, on_image, strict=True)])


def _average_semantic(
    network: JtsmNetwork, seen: SeenImage, allowed: NDArray[np.bool_], mean: str
) -> NDArray[np.float32]:
    """Probabilities ``(S, H, W)`` by semantic label; of stuff classes ``(S - 1,)`` that are not allowed 0."""
    if network.semantic is None:
        semantic = np.zeros((network.order.label_count, *seen.shape), np.float32)
        semantic[network.order.stuff_labels] = 1  # the one class of stuff, wherever no thing is
    else:
        averaged = seen.average("semantic")
        if mean == "logits":
            # Band by band and in place, as there may be a hundred maps.
            for band in averaged.split(BAND_ROWS, dim=1):
                band.copy_(band.softmax(0))
        semantic = averaged.cpu().numpy()
    semantic[network.order.stuff_labels[~allowed]] = 0
    return semantic
