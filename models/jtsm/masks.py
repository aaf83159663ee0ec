"""The mask branch: two heads, of which the first learns from evidence and the second from the first."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.ops import box_iou, roi_align

from models.jtsm.refinement import PseudoBoxes
from models.jtsm.samples import Placement
from pseudogt.evidence.grabcut import BoxMask

MASK_PX = 28
"""Height and width of a predicted mask, which fills the box of its proposal."""

POOLED = MASK_PX // 2
"""Height and width of the features that are pooled from a box for its mask."""


class MaskHead(nn.Module):
    """Four convolutions, an upsampling and a mask of each thing class (Mask R-CNN).

    Parameters
    ----------
    channels_in : int
        Channels of the backbone.
    channels : int
        Channels of the head; 256 in the paper.
    things : int
        Thing classes, K.
    """

    def __init__(self, *, channels_in: int, channels: int, things: int) -> None:
        super().__init__()
        widths = [channels_in] + [channels] * 4
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths))
        self.upsample = nn.ConvTranspose2d(channels, channels, 2, stride=2)
        self.predict = nn.Conv2d(channels, things, 1)
        for name, value in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(value)
            elif name.startswith("predict"):
                nn.init.normal_(value, std=0.001)
            else:
                nn.init.kaiming_normal_(value, mode="fan_out", nonlinearity="relu")

    def forward(self, pooled: Tensor) -> Tensor:
        """Logits ``(P, K, 28, 28)`` of pooled features ``(P, C, 14, 14)``."""
        for conv in self.convs:
            pooled = F.relu(conv(pooled))
        return self.predict(F.relu(self.upsample(pooled)))


class MaskTargets(NamedTuple):
    """Targets of the mask branch in one image.

    Attributes
    ----------
    rows : (P,) int64
        Proposals of the image.
    labels : (P,) int64
        Thing class of each.
    near : (P,) int64
        For each proposal, the one of ``evidence_rows`` whose mask it learns.
    evidence_rows : (N,) int64
        Proposals in whose boxes evidence is asked for.
    """

    rows: Tensor
    labels: Tensor
    near: Tensor
    evidence_rows: Tensor


def choose_mask_targets(
    boxes_xyxy: Tensor, labels: Tensor, pseudo: PseudoBoxes, *, things: int, top_k: int, limit: int | None
) -> MaskTargets:
    """Which proposals of an image learn a mask, and from which boxes' evidence.

    Parameters
    ----------
    boxes_xyxy : (R, 4)
        Proposals.
    labels : (R,) int64
        As assigned by the last stage; K for background.
    pseudo : PseudoBoxes
        Pseudo boxes of the last stage.
    things : int
        Thing classes, K.
    top_k : int
        Evidence is asked for in the boxes of this many proposals of things nearest to each pseudo box.
    limit : int or None
        Maximum number of proposals that learn: those that overlap pseudo boxes most.
    """
    found = (labels < things).nonzero()[:, 0]
    if not len(found):
        return MaskTargets(found, found, found, found)
    # The proposals nearest to each pseudo box bring evidence.
    overlap = box_iou(pseudo.boxes_xyxy, boxes_xyxy[found])
    evidence_rows = found[overlap.topk(min(top_k, len(found)), dim=1).indices.flatten().unique()]
    learning = found
    # Of too many proposals, those learn that overlap a pseudo box most, in their original order.
    if limit is not None and len(found) > limit:
        learning = found[overlap.max(0).values.topk(limit).indices.sort().values]
    # A proposal learns from the evidence in the box that overlaps it most.
    nearest = box_iou(boxes_xyxy[learning], boxes_xyxy[evidence_rows]).argmax(1)
    return MaskTargets(learning, labels[learning], nearest, evidence_rows)


def complete_masks(masks: Sequence[BoxMask], boxes_xyxy: NDArray[np.floating]) -> list[BoxMask]:
    """Masks as in the paper's code, which stores polygons: holes are filled, and an empty mask becomes the whole box.

    Parameters
    ----------
    masks : sequence of BoxMask
        N masks in the image.
    boxes_xyxy : (N, 4)
        Box in the image in which each was looked for.
    """
    completed = []
    for mask, (x0, y0, x1, y1) in zip(masks, np.round(boxes_xyxy).astype(int).tolist(), strict=True):
        if mask.mask.any():
            completed.append(BoxMask(mask.origin_xy, fill_enclosed(mask.mask[None])[0]))
        else:
            completed.append(BoxMask((x0, y0), np.ones((max(y1 - y0, 1), max(x1 - x0, 1)), bool)))
    return completed


def fill_enclosed(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Masks ``(N, h, w)`` without their holes: what no path to the border, diagonal steps included, leads out of."""
    count, height, width = masks.shape
    # All masks in one column, each framed by background, so that everything outside them is connected.
    framed = np.pad(masks, ((0, 0), (1, 1), (1, 1))).reshape(count * (height + 2), width + 2)
    if not framed.size:
        return masks
    _, parts = cv2.connectedComponents((~framed).astype(np.uint8), connectivity=8)
    outside = np.asarray(parts == parts[0, 0]).reshape(count, height + 2, width + 2)
    return ~outside[:, 1:-1, 1:-1]


def sample_masks(
    masks: Sequence[BoxMask], near: Sequence[int], boxes_xyxy: NDArray[np.float32], placement: Placement
) -> NDArray[np.bool_]:
    """Masks of an image ``(P, 28, 28)`` inside boxes of a view.

    Parameters
    ----------
    masks : sequence of BoxMask
        In the image.
    near : sequence of int
        Which of them each box takes.
    boxes_xyxy : (P, 4) float32
        In the view.
    placement : Placement
        Placement of the view.
    """
    sampled = np.zeros((len(near), MASK_PX, MASK_PX), bool)
    origins, shares = [mask.origin_xy for mask in masks], [mask.mask.astype(np.float32) for mask in masks]
    # Middles of a target's cells in [0, 1], and for each box their places in the mask that it takes.
    steps = (np.arange(MASK_PX, dtype=np.float32) + 0.5) / MASK_PX
    for out, index, (x0, y0, x1, y1) in zip(sampled, near, placement.to_image(boxes_xyxy), strict=True):
        left, top = origins[index]
        x = np.broadcast_to(x0 + steps * (x1 - x0) - left - 0.5, out.shape).astype(np.float32)
        y = np.broadcast_to((y0 + steps * (y1 - y0) - top - 0.5)[:, None], out.shape).astype(np.float32)
        out[:] = cv2.remap(shares[index], x, y, cv2.INTER_LINEAR, borderValue=0) >= 0.5
    return sampled[..., ::-1] if placement.flipped else sampled


def move_mask(mask: BoxMask, placement: Placement) -> NDArray[np.bool_]:
    """A mask of an image in a view ``(h, w) bool``, nearest pixel."""
    x0, y0, x1, y1 = placement.window_xyxy
    height, width = placement.size
    # Pixel of the image under the centre of each pixel of the view, counted from the corner of the mask.
    x = x0 + ((np.arange(width) + 0.5) * (x1 - x0) / width).astype(int) - mask.origin_xy[0]
    y = y0 + ((np.arange(height) + 0.5) * (y1 - y0) / height).astype(int) - mask.origin_xy[1]
    if placement.flipped:
        x = x[::-1]
    rows, columns = mask.mask.shape
    inside = ((y >= 0) & (y < rows))[:, None] & ((x >= 0) & (x < columns))
    return mask.mask[y.clip(0, rows - 1)[:, None], x.clip(0, columns - 1)] & inside


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


def pool_boxes(features: Tensor, boxes_xyxy: Tensor, batch_index: Tensor, stride: int) -> Tensor:
    """Features ``(P, C, 14, 14)`` in boxes by RoIAlign."""
    rois = torch.cat([batch_index[:, None].to(features.dtype), boxes_xyxy.to(features.dtype)], dim=1)
    return roi_align(features, rois, POOLED, spatial_scale=1 / stride, sampling_ratio=-1, aligned=True)


def compute_mask_losses(
    first: Tensor,
    second: Tensor,
    labels: Tensor,
    targets: Tensor,
    boxes_xyxy: Tensor,
    *,
    polygons: bool = True,
) -> tuple[Tensor, Tensor]:
    """Losses of both heads.

    Parameters
    ----------
    first, second : (P, K, 28, 28)
        Logits.
    labels : (P,) int64
    targets : (P, 28, 28) bool
        What evidence says; the second head learns the mask of the first one.
    boxes_xyxy : (P, 4)
        Proposals in the view; see :func:`find_follower_targets`.
    polygons : bool
        Whether the second head learns polygons, see :func:`find_follower_targets`, or the cells that the first
        one says.
    """
    if not len(labels):
        # Zeros that depend on the weights: DistributedDataParallel waits for the gradient of each.
        return first.sum() * 0, second.sum() * 0
    # The map of its own class for each proposal: (P, 28, 28).
    chosen = torch.arange(len(labels), device=labels.device), labels
    own, follower = first[chosen].float(), second[chosen].float()
    wanted = find_follower_targets(own.detach(), boxes_xyxy) if polygons else own.detach() > 0
    return (
        F.binary_cross_entropy_with_logits(own, targets.float()),
        F.binary_cross_entropy_with_logits(follower, wanted.float()),
    )


def find_follower_targets(own: Tensor, boxes_xyxy: Tensor) -> Tensor:
    """Targets of the second head from the logits ``(P, 28, 28)`` of the first: ``(P, 28, 28) bool``.

    As in the paper's code the mask of the first head is one of the view's pixels, has no holes, and is the whole
    box if it has no pixel; otherwise the second head would learn empty masks wherever the first one finds nothing.

    Parameters
    ----------
    own : (P, 28, 28) float
        Logits for the class of each proposal.
    boxes_xyxy : (P, 4)
        Proposals in the view.
    """
    masks, found = _sample_pixels(own.sigmoid(), boxes_xyxy)
    filled = torch.from_numpy(fill_enclosed(masks.cpu().numpy())).to(own.device)
    return filled | ~found[:, None, None]


def _sample_pixels(probabilities: Tensor, boxes_xyxy: Tensor) -> tuple[Tensor, Tensor]:
    """Paste probabilities ``(P, 28, 28)`` into boxes as masks of pixels, and sample these: masks of the same shape.

    Only the pixels next to the centres of the cells matter, two in each direction. The second result tells which
    masks ``(P,)`` have any of these pixels.
    """
    columns, rows = (_weigh_pixels(boxes_xyxy[:, axis], boxes_xyxy[:, axis + 2]) for axis in (0, 1))
    # Pixels (P, 56, 56) of the pasted masks, then the share of mask at the middles of the cells.
    pixels = (rows.of_cells @ probabilities @ columns.of_cells.transpose(1, 2)) >= 0.5
    share = rows.of_pixels @ pixels.to(probabilities.dtype) @ columns.of_pixels.transpose(1, 2)
    return share >= 0.5, pixels.flatten(1).any(1)


class _PixelWeights(NamedTuple):
    """Weights of linear interpolation along an axis.

    Attributes
    ----------
    of_cells : (P, 56, 28)
        Weight of each cell of a mask for each pixel.
    of_pixels : (P, 28, 56)
        Weight of each pixel for the centre of each cell.
    """

    of_cells: Tensor
    of_pixels: Tensor


def _weigh_pixels(low: Tensor, high: Tensor) -> _PixelWeights:
    """Weights between the cells of boxes and the two pixels next to the middle of each."""
    cells = torch.arange(MASK_PX, device=low.device)
    size = ((high - low).clamp(min=1e-3) / MASK_PX)[:, None]
    middles = low[:, None] + (cells + 0.5) * size - 0.5
    first = middles.floor()
    pixels = torch.stack([first, first + 1], dim=2).flatten(1)
    # Pixel centres counted in cells from the middle of the first one; beyond the mask the probability is 0.
    places = (pixels + 0.5 - low[:, None]) / size - 0.5
    of_cells = (1 - (places[:, :, None] - cells).abs()).clamp(min=0)
    part = middles - first
    of_pixels = torch.zeros(len(low), MASK_PX, MASK_PX, 2, device=low.device)
    of_pixels[:, cells, cells] = torch.stack([1 - part, part], dim=2)
    return _PixelWeights(of_cells, of_pixels.flatten(2))
