"""Make test views of images on the device, and map boxes and semantic maps between a view and its image.

An image and its mirror image are seen at several sizes in turn.

Images are resized as in Pillow, whose bilinear filter widens when it shrinks an image. Superpixel maps use the nearest
pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.jtsm.backbones import STRIDE
from models.jtsm.samples import NO_SUPERPIXEL, MiningImage, Placement, choose_size

ENLARGEMENT = 4
"""Pixels of a view per cell of its semantic map."""


class PlacedImage(NamedTuple):
    """An image with its proposals on the device.

    Attributes
    ----------
    sample : MiningImage
        Its proposals are those that are looked at.
    pixels : (3, H, W) float32
    superpixels : (H, W) int32
    indices, lengths : Tensor
        Superpixels of all proposals, and how many each has; see :class:`pseudogt.proposals.members.Members`.
    scores : (R,) float32
    """

    sample: MiningImage
    pixels: Tensor
    superpixels: Tensor
    indices: Tensor
    lengths: Tensor
    scores: Tensor


def place_on_device(sample: MiningImage, max_proposals: int, device: torch.device) -> PlacedImage:
    """Move an image and its first ``max_proposals`` proposals to the device."""
    members = sample.members.take(np.arange(min(len(sample.boxes_xyxy), max_proposals)))
    return PlacedImage(
        sample,
        torch.from_numpy(np.ascontiguousarray(sample.image)).to(device).permute(2, 0, 1).float(),
        torch.from_numpy(np.ascontiguousarray(sample.superpixels)).to(device),
        torch.from_numpy(members.indices).to(device),
        torch.from_numpy(members.lengths.astype(np.int64)).to(device),
        torch.from_numpy(sample.scores[: len(members.lengths)]).to(device),
    )


def collate_views(
    images: Sequence[PlacedImage], placements: Sequence[Placement], multiple: int = STRIDE
) -> dict[str, Tensor]:
    """Input of the network: all placements of the first image, then those of the others.

    Parameters
    ----------
    images : sequence of PlacedImage
    placements : sequence of Placement
        Placements of one size, of the whole image.
    multiple : int
        Height and width are filled up to multiples of it.

    Returns
    -------
    dict
        The entries of :func:`models.jtsm.samples.collate` that a network reads.
    """
    height, width = placements[0].size
    padding = (0, -width % multiple, 0, -height % multiple)
    pixels, superpixels, boxes = [], [], []
    for image in images:
        resized = _resize_pixels(image.pixels, (height, width))
        segments = _resize_nearest(image.superpixels, (height, width))
        limits = np.array([width, height] * 2, np.float32)
        for placement in placements:
            pixels.append(resized.flip(-1) if placement.flipped else resized)
            superpixels.append(segments.flip(-1) if placement.flipped else segments)
            moved = placement.to_view(image.sample.boxes_xyxy[: len(image.scores)])
            boxes.append(torch.from_numpy(np.clip(moved, 0, limits)))
    repeated = [image for image in images for _ in placements]
    device = images[0].pixels.device
    counts = torch.tensor([len(image.scores) for image in repeated], device=device)
    return {
        "images": F.pad(torch.stack(pixels), padding),
        "sizes": torch.tensor([[height, width]] * len(repeated), device=device),
        "superpixels": F.pad(torch.stack(superpixels), padding, value=NO_SUPERPIXEL),
        "boxes": torch.cat(boxes).to(device),
        "batch_index": torch.repeat_interleave(counts),
        "scores": torch.cat([image.scores for image in repeated]),
        "indices": torch.cat([image.indices for image in repeated]),
        "starts": F.pad(torch.cat([image.lengths for image in repeated]).cumsum(0), (1, 0)),
    }


def place_views(
    shape: tuple[int, int], short_sides_px: Sequence[int], long_side_px: int, *, flip: bool
) -> list[list[Placement]]:
    """Placements of the whole of an image of shape (H, W); each list holds those of one size."""
    window = (0, 0, shape[1], shape[0])
    sizes = [choose_size(shape, side, long_side_px) for side in short_sides_px]
    return [[Placement(window, size, flipped) for flipped in ((False, True) if flip else (False,))] for size in sizes]


def move_to_image(boxes_xyxy: Tensor, placement: Placement) -> Tensor:
    """Boxes ``(..., 4)`` of a view in pixels of the image: :meth:`Placement.to_image`, on the device."""
    x0, y0, x1, y1 = placement.window_xyxy
    height, width = placement.size
    boxes = boxes_xyxy.double()
    if placement.flipped:
        left, top, right, bottom = boxes.unbind(-1)
        boxes = torch.stack([width - right, top, width - left, bottom], dim=-1)
    scale = boxes.new_tensor([(x1 - x0) / width, (y1 - y0) / height] * 2)
    return (boxes * scale + boxes.new_tensor([x0, y0, x0, y0])).float()


def map_semantic(logits: Tensor, placement: Placement, shape: tuple[int, int], mean: str) -> Tensor:
    """Logits or probabilities of stuff at each pixel of the image ``(B, S, H, W)``, depending on ``mean``.

    Parameters
    ----------
    logits : (B, S, h / 4, w / 4)
        Logits of the padded view.
    placement : Placement
        Placement of the view, which shows the whole image.
    shape : (H, W)
        Size of the image.
    mean : {"logits", "probabilities"}
        See :class:`models.jtsm.detection.DetectionPlan`.
    """
    if mean == "logits":
        rows, columns = _trace_pixels(logits.shape[2:], placement, shape, logits.device)
        return _enlarge_along(_enlarge_along(logits.float(), 2, rows), 3, columns)
    height, width = placement.size
    padded = F.interpolate(logits.float(), scale_factor=ENLARGEMENT, mode="bilinear", align_corners=False)
    seen = padded[..., :height, :width].softmax(1)
    return F.interpolate(seen.flip(3) if placement.flipped else seen, size=shape, mode="bilinear", align_corners=False)


def _trace_pixels(
    map_size: Sequence[int], placement: Placement, shape: tuple[int, int], device: torch.device
) -> list[Tensor]:
    """Rows ``(H,)`` and columns ``(W,)`` of the padded view from which an image's pixels take their logits.

    The padded view goes to the size of the view and then to that of the image, both by nearest pixel.
    """
    traced = []
    for axis in (0, 1):
        pixels = torch.arange(map_size[axis] * ENLARGEMENT, dtype=torch.float32, device=device)[None, None]
        of_view = F.interpolate(pixels, size=placement.size[axis], mode="nearest")
        if axis == 1 and placement.flipped:
            of_view = of_view.flip(2)
        traced.append(F.interpolate(of_view, size=shape[axis], mode="nearest")[0, 0])
    return traced


def _enlarge_along(maps: Tensor, dim: int, positions: Tensor) -> Tensor:
    """Maps enlarged bilinearly by ``ENLARGEMENT`` along one axis, of which no other positions ``(N,)`` are made."""
    source = ((positions + 0.5) / ENLARGEMENT - 0.5).clamp(min=0)
    low = source.long()
    high = (low + 1).clamp(max=maps.shape[dim] - 1)
    share = (source - low).view([-1 if axis == dim else 1 for axis in range(maps.ndim)])
    return torch.lerp(maps.index_select(dim, low), maps.index_select(dim, high), share)


def group_by_size(sizes: Sequence[tuple[int, int]], limit: int) -> list[list[int]]:
    """Positions of images in groups of equal size with at most ``limit`` images; a limit of 1 keeps their order."""
    if limit == 1:
        return [[position] for position in range(len(sizes))]
    of_size: dict[tuple[int, int], list[int]] = {}
    for position, size in enumerate(sizes):
        of_size.setdefault(size, []).append(position)
    return [
        positions[start : start + limit] for positions in of_size.values() for start in range(0, len(positions), limit)
    ]


def _resize_pixels(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    resized = F.interpolate(pixels[None], size=size, mode="bilinear", align_corners=False, antialias=True)[0]
    return resized.round().clamp(0, 255).to(torch.uint8)


def _resize_nearest(values: Tensor, size: tuple[int, int]) -> Tensor:
    rows, columns = (
        torch.arange(new, device=values.device) * old // new for old, new in zip(values.shape, size, strict=True)
    )
    return values[rows[:, None], columns]
