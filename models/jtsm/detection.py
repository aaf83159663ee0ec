"""What the JTSM network sees in an image: instances with masks, stuff, and which classes are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import batched_nms

from models.jtsm.masks import MASK_PX, pool_boxes
from models.jtsm.network import JtsmNetwork, Proposed
from models.jtsm.refinement import decode_boxes
from models.jtsm.samples import MiningImage, Placement, choose_size, collate, make_view
from models.training import autocast
from pseudogt.pseudo_labels.mined import Detections


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
        Numbers in the network.
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


class _Seen(NamedTuple):
    """What one view of an image said, in the image's pixels where it is about boxes."""

    placement: Placement
    features: Tensor
    scores: NDArray[np.float32]
    boxes: NDArray[np.float32]
    presence: NDArray[np.float32]
    proposal_classes: NDArray[np.float32]
    superpixel_classes: NDArray[np.float32] | None
    semantic: NDArray[np.float32] | None


@torch.inference_mode()
def detect(
    network: JtsmNetwork, sample: MiningImage, plan: DetectionPlan, *, tags: NDArray[np.bool_] | None = None
) -> Detections:
    """Detect things and stuff in an image.

    Parameters
    ----------
    network : JtsmNetwork
        On the device of the plan, in evaluation mode.
    sample : MiningImage
        Its own tags are not looked at.
    plan : DetectionPlan
    tags : (C,) bool, optional
        Classes that may be found; for labels of images whose tags are known. None allows all.
    """
    shape = sample.image.shape[:2]
    seen = [_look(network, sample, placement, plan) for placement in _place_views(shape, plan)]
    scores = _average([each.scores for each in seen])
    boxes = _average([each.boxes for each in seen])
    presence = _average([each.presence for each in seen])
    allowed = np.ones(len(presence), bool) if tags is None else tags
    scores[:, ~allowed[network.order.of_things]] = 0

    rows, classes = _select_detections(scores, boxes, shape, plan)
    chosen = np.clip(boxes[rows, classes], 0, np.array([shape[1], shape[0]] * 2, np.float32))
    masks = _find_masks(network, sample, seen, chosen, rows, classes, plan)
    told = [each.superpixel_classes for each in seen if each.superpixel_classes is not None]
    return Detections(
        boxes_xyxy=chosen,
        scores=scores[rows, classes],
        classes=classes,
        masks=masks,
        semantic=_average_semantic(network, seen, shape, allowed[network.order.of_stuff], plan.semantic_mean),
        presence=presence,
        proposal_classes=_average([each.proposal_classes for each in seen]),
        superpixel_classes=_average(told) if told else None,
    )


def _average(values: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.stack(values).mean(0, dtype=np.float32)


def _place_views(shape: tuple[int, int], plan: DetectionPlan) -> list[Placement]:
    window = (0, 0, shape[1], shape[0])
    return [
        Placement(window, choose_size(shape, side, plan.long_side_px), flipped)
        for side in plan.short_sides_px
        for flipped in ((False, True) if plan.flip else (False,))
    ]


def _look(network: JtsmNetwork, sample: MiningImage, placement: Placement, plan: DetectionPlan) -> _Seen:
    view = make_view(sample, placement, plan.max_proposals, distinct=False)
    batch = {
        name: tensor.to(plan.device)
        for name, tensor in collate([sample], [0], [view], network.backbone.multiple).items()
    }
    with autocast(plan.dtype, plan.device):
        proposed: Proposed = network(batch)
        logits = network.semantic(proposed.features) if network.semantic is not None else None
        told = network.classify_superpixels(proposed.features, batch, int(sample.superpixels.max()) + 1)
    scores, boxes = _score_proposals(network, proposed, batch["boxes"])
    semantic = None
    if logits is not None:
        semantic = map_semantic(logits, placement, sample.image.shape[:2], plan.semantic_mean)[0].cpu().numpy()
    return _Seen(
        placement=placement,
        features=proposed.features.float(),
        scores=scores.cpu().numpy(),
        boxes=placement.to_image(boxes.cpu().numpy()),
        presence=proposed.mined.presence[0].cpu().numpy(),
        proposal_classes=proposed.mined.classes.cpu().numpy(),
        superpixel_classes=None if told is None else told.softmax(1).cpu().numpy(),
        semantic=semantic,
    )


def map_semantic(logits: Tensor, placement: Placement, shape: tuple[int, int], mean: str) -> Tensor:
    """What a view says of stuff at each pixel of the image: logits or probabilities ``(B, S, H, W)``, as ``mean`` says.

    Parameters
    ----------
    logits : (B, S, h / 4, w / 4)
        Of the padded view.
    placement : Placement
        Of the view, which shows the whole image.
    shape : (H, W)
        Of the image.
    mean : {"logits", "probabilities"}
        See :class:`DetectionPlan`.
    """
    height, width = placement.size
    padded = F.interpolate(logits.float(), scale_factor=4, mode="bilinear", align_corners=False)
    if mean == "logits":
        seen = F.interpolate(padded, size=(height, width), mode="nearest")
        return F.interpolate(seen.flip(3) if placement.flipped else seen, size=shape, mode="nearest")
    seen = padded[..., :height, :width].softmax(1)
    return F.interpolate(seen.flip(3) if placement.flipped else seen, size=shape, mode="bilinear", align_corners=False)


def _score_proposals(network: JtsmNetwork, proposed: Proposed, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Scores ``(R, K)`` and boxes ``(R, K, 4)``: means of the refinement heads.

    Without any the mining head's: the best proposal of a class is as sure as the class is present.
    """
    order = network.order
    if not proposed.logits:
        shares = proposed.mined.shares[:, order.of_things]
        scores = shares / shares.amax(0).clamp(min=1e-12) * proposed.mined.presence[0, order.of_things]
        return scores, boxes[:, None].expand(-1, order.things, -1)
    scores = torch.stack([logits.softmax(1) for logits in proposed.logits]).mean(0)[:, order.of_things]
    return scores, decode_boxes(torch.stack(proposed.deltas).mean(0), boxes)


def _select_detections(
    scores: NDArray[np.float32], boxes: NDArray[np.float32], shape: tuple[int, int], plan: DetectionPlan
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Proposals and classes ``(N,)`` that are left after suppression, surest first."""
    limits = np.array([shape[1], shape[0]] * 2, np.float32)
    clipped = np.clip(boxes, 0, limits)
    # Boxes that are not finite, or empty within the image, are dropped.
    valid = np.isfinite(boxes).all(-1) & (clipped[..., 2:] > clipped[..., :2]).all(-1)
    rows, classes = np.nonzero((scores > plan.min_score) & valid)
    kept = batched_nms(
        torch.from_numpy(clipped[rows, classes]),
        torch.from_numpy(scores[rows, classes]),
        torch.from_numpy(classes),
        plan.nms_overlap,
    ).numpy()[: plan.max_detections]
    return rows[kept], classes[kept]


def _find_masks(
    network: JtsmNetwork,
    sample: MiningImage,
    seen: Sequence[_Seen],
    boxes: NDArray[np.float32],
    rows: NDArray[np.int64],
    classes: NDArray[np.int64],
    plan: DetectionPlan,
) -> NDArray[np.bool_]:
    """Masks ``(N, H, W)``: of the second mask head, or the segments of the proposals."""
    if not network.mask_heads or plan.masks == "segments":
        return sample.members.masks(rows, sample.superpixels)
    probabilities = np.zeros((len(rows), MASK_PX, MASK_PX), np.float32)
    for each in seen if len(rows) else ():
        # Each view says something of the same boxes; add up the maps of their classes, with mirroring undone.
        moved = torch.from_numpy(each.placement.to_view(boxes)).to(plan.device)
        index = torch.zeros(len(rows), dtype=torch.long, device=plan.device)
        with autocast(plan.dtype, plan.device):
            logits = network.mask_heads[1](pool_boxes(each.features, moved, index, network.backbone.stride))
        own = logits[torch.arange(len(rows)), torch.from_numpy(classes)].float().sigmoid().cpu().numpy()
        probabilities += own[..., ::-1] if each.placement.flipped else own
    shape = sample.image.shape[:2]
    pasted = [paste_mask(p / len(seen), box, shape) for p, box in zip(probabilities, boxes, strict=True)]
    return np.stack(pasted) if pasted else np.zeros((0, *shape), bool)


def paste_mask(
    probability: NDArray[np.floating], box_xyxy: NDArray[np.float32], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Mask ``(H, W) bool`` of probabilities ``(28, 28)`` in a box: 0.5 or more at the pixel's centre."""
    pasted = np.zeros(shape, bool)
    x0, y0, x1, y1 = box_xyxy.tolist()
    left, top = max(int(x0), 0), max(int(y0), 0)
    right, bottom = min(int(np.ceil(x1)), shape[1]), min(int(np.ceil(y1)), shape[0])
    if right <= left or bottom <= top or x1 <= x0 or y1 <= y0:
        return pasted
    # Centres of the image's pixels in cells of the mask.
    x = ((np.arange(left, right) + 0.5 - x0) / (x1 - x0) * MASK_PX - 0.5).astype(np.float32)
    y = ((np.arange(top, bottom) + 0.5 - y0) / (y1 - y0) * MASK_PX - 0.5).astype(np.float32)
    grid_x, grid_y = (np.ascontiguousarray(g) for g in np.meshgrid(x, y))
    values = cv2.remap(probability, grid_x, grid_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    pasted[top:bottom, left:right] = np.asarray(values) >= 0.5
    return pasted


def _average_semantic(
    network: JtsmNetwork, seen: Sequence[_Seen], shape: tuple[int, int], allowed: NDArray[np.bool_], mean: str
) -> NDArray[np.float32]:
    """Probabilities ``(S, H, W)`` by semantic label; of stuff classes ``(S - 1,)`` that are not allowed 0."""
    semantic = np.zeros((network.order.label_count, *shape), np.float32)
    if network.semantic is None:
        semantic[network.order.stuff_labels] = 1  # the one class of stuff, wherever no thing is
    else:
        for each in seen:
            assert each.semantic is not None
            semantic += each.semantic
        semantic /= len(seen)
        if mean == "logits":
            semantic = torch.from_numpy(semantic).softmax(0).numpy()
    semantic[network.order.stuff_labels[~allowed]] = 0
    return semantic
