"""Training targets of the panoptic network; :mod:`pseudogt.prediction.bottom_up` is the inverse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pseudogt.boxes import box_iou, find_tight_box
from pseudogt.classes import IGNORE_LABEL, INSTANCE_DIVISOR, ClassTable, panoptic_to_semantic
from pseudogt.prediction.maps import OUTPUT_STRIDE

SIGMA_PER_SIZE = 0.08
MIN_SIGMA_PX = 3.0
MAX_SIGMA_PX = 8.0
"""Width of a centre's Gaussian: a share of the box's size, 8 px at most as in Panoptic-DeepLab. The least width
keeps the peak of an object as small as a nucleus (10 px) visible at stride 4."""


@dataclass(frozen=True)
class InstanceTargets:
    """The instances of one image.

    Attributes
    ----------
    instance : (H, W) int16
        Row of ``centres_yx`` plus 1; 0 = no instance; -1 = not known: trains neither centre nor offset.
    centres_yx : (N, 2) float32
        In pixels; the centre of pixel (0, 0) is (0, 0).
    sizes : (N,) float32
        Square root of the box's area, in pixels.
    """

    instance: NDArray[np.int16]
    centres_yx: NDArray[np.float32]
    sizes: NDArray[np.float32]


class EncodedTargets(NamedTuple):
    """Targets at stride 4: heatmap and its weight ``(B, 1, h, w)``, offset ``(B, 2, h, w)`` and its weight."""

    centre: Tensor
    centre_weight: Tensor
    offset: Tensor
    offset_weight: Tensor


def find_instance_targets(
    panoptic_id: NDArray[np.int32],
    boxes_xyxy: NDArray[np.int32],
    box_classes: NDArray[np.uint8],
    classes: ClassTable,
    *,
    boxes_are_complete: bool,
) -> InstanceTargets:
    """Give every thing segment the centre of its weak box.

    A segment takes the box of its class that its own tight box overlaps most (IoU), so that masks
    drawn by hand and masks made from boxes have the same centres. A segment no box of its class
    touches keeps the centre of its tight box. Boxes without a segment are centres all the same.

    Parameters
    ----------
    panoptic_id : (H, W) int32
    boxes_xyxy : (N, 4) int32
        Weak boxes of single instances (no groups).
    box_classes : (N,) uint8
        Train ids.
    classes : ClassTable
    boxes_are_complete : bool
        Whether every instance has a box, so that unlabelled pixels hold no other centres. Otherwise
        they train no centre. Thing pixels without an instance never do.
    """
    semantic = panoptic_to_semantic(panoptic_id, classes)
    isthing = np.isin(semantic, classes.thing_ids)
    # If boxes are incomplete, a pixel without a label may belong to an instance without a box.
    unknown = isthing if boxes_are_complete else isthing | (semantic == IGNORE_LABEL)
    instance = np.where(unknown, -1, 0).astype(np.int16)
    boxes = [np.asarray(box, np.int32) for box in boxes_xyxy]
    for segment_id in np.unique(panoptic_id[isthing & (panoptic_id % INSTANCE_DIVISOR > 0)]):
        inside = panoptic_id == segment_id
        tight = find_tight_box(inside)
        same_class = np.flatnonzero(box_classes == classes.category_to_train[segment_id // INSTANCE_DIVISOR])
        overlap = box_iou(tight[None], boxes_xyxy[same_class])[0]
        if overlap.size and overlap.max() > 0:
            row = int(same_class[overlap.argmax()])
        else:
            row = len(boxes)
            boxes.append(tight)
        instance[inside] = row + 1
    # Middle of each box in pixels whose centres lie at integers, and the root of its area.
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    centres_xy = (corners[:, :2] + corners[:, 2:] - 1) / 2
    sides = corners[:, 2:] - corners[:, :2]
    return InstanceTargets(
        instance, centres_xy[:, ::-1].astype(np.float32), np.sqrt(sides[:, 0] * sides[:, 1]).astype(np.float32)
    )


def encode_targets(
    instance: Tensor, centres_yx: Tensor, sizes: Tensor, sigma_share: float | None = None
) -> EncodedTargets:
    """Make the heatmaps and offsets of a batch.

    Parameters
    ----------
    instance : (B, H, W) integer
        As in :class:`InstanceTargets`.
    centres_yx : (B, N, 2) float
    sizes : (B, N) float
        0 in rows that only fill up the batch.
    sigma_share : float, optional
        Width of a Gaussian over the size of its box, which then has no upper limit. By default ``SIGMA_PER_SIZE`` and
        ``MAX_SIGMA_PX``.
    """
    # The pixel in the middle of a cell stands for the cell.
    cells = instance[:, OUTPUT_STRIDE // 2 :: OUTPUT_STRIDE, OUTPUT_STRIDE // 2 :: OUTPUT_STRIDE].long()
    batch, height, width = cells.shape
    y, x = (cell_positions_px(count, cells.device) for count in (height, width))

    sigma = (sizes * (sigma_share or SIGMA_PER_SIZE)).clamp(MIN_SIGMA_PX, None if sigma_share else MAX_SIGMA_PX)
    centre = torch.zeros(batch, height, width, device=cells.device)
    if sizes.shape[1]:
        # A Gaussian is the product of its rows, (B, N, h), and columns, (B, N, w); a cell takes the largest of N.
        down = torch.exp(-((y - centres_yx[..., :1]) ** 2) / (2 * sigma[..., None] ** 2))
        across = torch.exp(-((x - centres_yx[..., 1:]) ** 2) / (2 * sigma[..., None] ** 2))
        down = down * (sizes > 0)[..., None]
        centre = (down[:, :, :, None] * across[:, :, None, :]).amax(1)

    # Look up the centre of each cell's instance, with row 0 for cells without one: (B, 2, h, w).
    padded = torch.cat([centres_yx.new_zeros(batch, 1, 2), centres_yx], dim=1)
    rows = cells.clamp(min=0).reshape(batch, -1, 1).expand(-1, -1, 2)
    own_centre = padded.gather(1, rows).reshape(batch, height, width, 2).permute(0, 3, 1, 2)
    here = torch.stack([y[:, None].expand(height, width), x[None, :].expand(height, width)])
    inside = (cells > 0)[:, None].float()
    return EncodedTargets(
        centre=centre[:, None],
        centre_weight=(cells >= 0)[:, None].float(),
        offset=(own_centre - here) * inside,
        offset_weight=inside,
    )


def cell_positions_px(count: int, device: torch.device | None = None) -> Tensor:
    """Return the pixel coordinate ``(count,)`` of the middle of each cell of the output."""
    return torch.arange(count, device=device) * float(OUTPUT_STRIDE) + (OUTPUT_STRIDE - 1) / 2
