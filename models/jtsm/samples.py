"""Input of the JTSM network: an image with its proposals, and views of it (a window, a size, a mirror image)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.jtsm.backbones import STRIDE
from models.jtsm.incidence import MemberTensors
from pseudogt.classes import ClassTable
from pseudogt.proposals.generation import Proposals
from pseudogt.proposals.members import Members

NO_SUPERPIXEL = -1
"""Superpixel of pixels that only fill a batch."""


@dataclass(frozen=True)
class MiningImage:
    """An image, its proposals and its tags.

    Attributes
    ----------
    image : (H, W, 3) uint8 RGB
    superpixels : (H, W) int32
        From 0.
    members : Members
        Superpixels of each proposal, best proposal first.
    boxes_xyxy : (R, 4) int32
        Half-open.
    scores : (R,) float32
    tags : (C,) bool
        In the network's order, things first.
    known : (C,) bool
        Classes whose tag is known.
    """

    image: NDArray[np.uint8]
    superpixels: NDArray[np.int32]
    members: Members
    boxes_xyxy: NDArray[np.int32]
    scores: NDArray[np.float32]
    tags: NDArray[np.bool_]
    known: NDArray[np.bool_]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by name, for :class:`models.training_set.TrainingSet`."""
        return {name: values for name, values in vars(self).items() if name != "members"} | self.members._asdict()

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> MiningImage:
        """Inverse of :meth:`to_arrays`."""
        others = {name: values for name, values in arrays.items() if name not in Members._fields}
        return cls(members=Members(arrays["indices"], arrays["starts"]), **others)

    def check(self, class_count: int) -> None:
        """Check that the parts fit together.

        Raises
        ------
        ValueError
            Naming what does not.
        """
        count = len(self.boxes_xyxy)
        if not count:
            raise ValueError("there are no proposals; remake them, or take the image off the list")
        if self.image.shape[:2] != self.superpixels.shape:
            raise ValueError(f"image {self.image.shape[:2]} and superpixels {self.superpixels.shape} differ in size")
        segments = len(self.members.lengths)
        if segments != count or self.scores.shape != (count,):
            raise ValueError(f"{count} boxes, {segments} segments and {len(self.scores)} scores differ")
        first, last = self.superpixels.min(), self.superpixels.max()
        named = self.members.indices.max(initial=-1)
        if first < 0 or named > last:
            raise ValueError(
                f"superpixels {first}..{last}, but a proposal has superpixel {named}; "
                "the proposals are of another image"
            )
        if self.tags.shape != (class_count,) or self.known.shape != (class_count,):
            raise ValueError(f"{len(self.tags)} tags for {class_count} classes")


def prepare_image(
    image: NDArray[np.uint8],
    proposals: Proposals,
    tags: NDArray[np.bool_],
    known: NDArray[np.bool_],
    classes: ClassTable,
    *,
    name: str,
) -> MiningImage:
    """Put an image, its proposals and its tags together.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    proposals : Proposals
    tags, known : (C,) bool
        By train id.
    classes : ClassTable
    name : str
        What errors call the image.

    Raises
    ------
    ValueError
        Naming the image, if it has no proposals or those of another image.
    """
    order = classes.things_first
    sample = MiningImage(
        image=image,
        superpixels=proposals.superpixels,
        members=proposals.members,
        boxes_xyxy=proposals.boxes_xyxy,
        scores=proposals.scores.astype(np.float32),
        tags=tags[order],
        known=known[order],
    )
    try:
        sample.check(len(classes))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    return sample


class Placement(NamedTuple):
    """Where a view lies in its image.

    Attributes
    ----------
    window_xyxy : (4,) int
        Part of the image that is seen, half-open.
    size : (h, w)
        Size of the view in pixels.
    flipped : bool
        Whether it is mirrored.
    """

    window_xyxy: tuple[int, int, int, int]
    size: tuple[int, int]
    flipped: bool

    def to_view(self, boxes_xyxy: NDArray[Any], *, whole_pixels: bool = False) -> NDArray[np.float32]:
        """Boxes ``(R, 4)`` of the image in pixels of the view, which they may extend beyond.

        With ``whole_pixels`` they are truncated to whole numbers.
        """
        x0, y0, x1, y1 = self.window_xyxy
        height, width = self.size
        scale = np.array([width / (x1 - x0), height / (y1 - y0)] * 2)
        moved = (boxes_xyxy - np.array([x0, y0, x0, y0])) * scale
        if whole_pixels:
            moved = np.trunc(moved)
        return self._mirror(moved).astype(np.float32)

    def to_image(self, boxes_xyxy: NDArray[Any]) -> NDArray[np.float32]:
        """Boxes ``(R, 4)`` of the view in pixels of the image: the inverse of :meth:`to_view`."""
        x0, y0, x1, y1 = self.window_xyxy
        height, width = self.size
        scale = np.array([(x1 - x0) / width, (y1 - y0) / height] * 2)
        return (self._mirror(boxes_xyxy) * scale + np.array([x0, y0, x0, y0])).astype(np.float32)

    def _mirror(self, boxes: NDArray[Any]) -> NDArray[Any]:
        if not self.flipped:
            return boxes
        mirrored = boxes.copy()
        mirrored[..., 0], mirrored[..., 2] = self.size[1] - boxes[..., 2], self.size[1] - boxes[..., 0]
        return mirrored


class View(NamedTuple):
    """Input of the network for an image.

    Attributes
    ----------
    image : (h, w, 3) uint8
    superpixels : (h, w) int32
    boxes_xyxy : (r, 4) float32
        Clipped to the view.
    rows : (r,) int64
        Positions of these proposals in the image's list.
    placement : Placement
    """

    image: NDArray[np.uint8]
    superpixels: NDArray[np.int32]
    boxes_xyxy: NDArray[np.float32]
    rows: NDArray[np.int64]
    placement: Placement


@dataclass(frozen=True)
class MiningAugmentation:
    """How views for training are drawn.

    Attributes
    ----------
    short_sides_px : tuple of int
        Lengths of the shorter side, one of which is drawn.
    long_side_px : int
        Maximum length of the longer side.
    crop_fraction : float
        Height and width of the window over those of the image, at least; drawn independently.
    flip : float
        Probability of a mirror image.
    colour : float
        Largest change of brightness and of saturation, as a share.
    whole_pixels : bool
        Whether coordinates of boxes in views are cut to whole pixels, before mirroring, as in the paper's code.
    """

    short_sides_px: tuple[int, ...]
    long_side_px: int
    crop_fraction: float
    flip: float
    colour: float
    whole_pixels: bool = False


def draw_view(
    sample: MiningImage, augmentation: MiningAugmentation, max_proposals: int, rng: np.random.Generator
) -> View:
    """A random view for training; of the whole image if the window drawn has no pixel of any proposal.

    Differs from the paper's code: the tags stay those of the whole image; theirs are recomputed from
    the masks in the window, which weak labels do not have.
    """
    height, width = sample.image.shape[:2]
    # A window of random size, at a random place.
    crop_height, crop_width = (
        max(1, int(extent * rng.uniform(augmentation.crop_fraction, 1) + 0.5)) for extent in (height, width)
    )
    y0, x0 = int(rng.integers(height - crop_height + 1)), int(rng.integers(width - crop_width + 1))
    window = (x0, y0, x0 + crop_width, y0 + crop_height)
    if not _meets(sample.boxes_xyxy, window):
        window, crop_height, crop_width = (0, 0, width, height), height, width
    short = int(rng.choice(augmentation.short_sides_px))
    size = choose_size((crop_height, crop_width), short, augmentation.long_side_px)
    placement = Placement(window, size, rng.random() < augmentation.flip)
    view = make_view(sample, placement, max_proposals, whole_pixels=augmentation.whole_pixels)
    return view._replace(image=_change_colours(view.image, augmentation.colour, rng))


def _meets(boxes_xyxy: NDArray[np.int32], window_xyxy: tuple[int, int, int, int]) -> bool:
    """Whether a window has a pixel of any box ``(R, 4)``."""
    x0, y0, x1, y1 = window_xyxy
    low, high = np.maximum(boxes_xyxy[:, :2], (x0, y0)), np.minimum(boxes_xyxy[:, 2:], (x1, y1))
    return bool((low < high).all(1).any())


def choose_size(size: tuple[int, int], short_side_px: int, long_side_px: int) -> tuple[int, int]:
    """Size (h, w) at which the shorter side has a length, or the longer one its greatest."""
    scale = min(short_side_px / min(size), long_side_px / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def make_view(
    sample: MiningImage,
    placement: Placement,
    max_proposals: int,
    *,
    whole_pixels: bool = False,
) -> View:
    """A view with its proposals.

    Boxes are moved along and clipped; of those that are equal when rounded the first counts; empty
    ones are dropped, and all after the first ``max_proposals``. ``whole_pixels`` is that of
    :class:`MiningAugmentation`.

    Raises
    ------
    ValueError
        If no proposal is left.
    """
    x0, y0, x1, y1 = placement.window_xyxy
    height, width = placement.size
    part = sample.image[y0:y1, x0:x1]
    shrinks = part.shape[0] > height
    image = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    superpixels = cv2.resize(sample.superpixels[y0:y1, x0:x1], (width, height), interpolation=cv2.INTER_NEAREST)
    if placement.flipped:
        image, superpixels = image[:, ::-1], superpixels[:, ::-1]
    moved = placement.to_view(sample.boxes_xyxy, whole_pixels=whole_pixels)
    boxes = np.clip(moved, 0, np.array([width, height, width, height], np.float32))
    rows = _select_boxes(boxes, max_proposals)
    if not len(rows):
        raise ValueError(f"no proposal has a pixel in the window {placement.window_xyxy} of the image")
    return View(np.ascontiguousarray(image), np.ascontiguousarray(superpixels), boxes[rows], rows, placement)


def _select_boxes(boxes: NDArray[np.float32], limit: int) -> NDArray[np.int64]:
    """Rows of the first ``limit`` boxes: of those that are equal when rounded the first, without empty ones."""
    _, first = np.unique(np.floor(boxes + 0.5), axis=0, return_index=True)
    order = np.sort(first)
    filled = (boxes[order, 2] > boxes[order, 0]) & (boxes[order, 3] > boxes[order, 1])
    return order[filled][:limit]


def _change_colours(image: NDArray[np.uint8], share: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Change brightness and saturation of an image ``(h, w, 3)`` at random, each by at most ``share``."""
    brightness, saturation = rng.uniform(1 - share, 1 + share, 2)
    bright = image.astype(np.float32) * brightness
    # Luma of ITU-R BT.601.
    grey = bright @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.clip(grey[..., None] + saturation * (bright - grey[..., None]), 0, 255).astype(np.uint8)


def collate(
    samples: Sequence[MiningImage], numbers: Sequence[int], views: Sequence[View], multiple: int = STRIDE
) -> dict[str, Tensor]:
    """Tensors of several views, filled on the right and below to one size.

    Parameters
    ----------
    samples : sequence of MiningImage
    numbers : sequence of int
        Numbers of the images, by which evidence of them is asked for.
    views : sequence of View
    multiple : int
        Height and width of the tensors are multiples of it; see :attr:`models.jtsm.backbones.JtsmBackbone.multiple`.

    Returns
    -------
    dict
        ``images (B, 3, H, W) uint8``, ``sizes (B, 2)``, ``superpixels (B, H, W) int32``, of all
        proposals ``boxes (R, 4)``, ``batch_index (R,)``, ``scores (R,)``, ``rows (R,)``, ``indices``
        and ``starts`` (see :class:`pseudogt.proposals.members.Members`), ``tags`` and ``known (B, C)
        float32``, ``numbers (B,)``, ``windows (B, 4)``, ``flipped (B,)``.
    """
    sizes = np.array([view.placement.size for view in views])
    height, width = (-(-int(extent) // multiple) * multiple for extent in sizes.max(0))
    images = np.zeros((len(views), height, width, 3), np.uint8)
    superpixels = np.full((len(views), height, width), NO_SUPERPIXEL, np.int32)
    for b, view in enumerate(views):
        h, w = view.placement.size
        images[b, :h, :w], superpixels[b, :h, :w] = view.image, view.superpixels
    members = Members.concatenate([s.members.take(v.rows) for s, v in zip(samples, views, strict=True)])
    arrays = {
        "sizes": sizes,
        "superpixels": superpixels,
        "boxes": np.concatenate([view.boxes_xyxy for view in views]),
        "batch_index": np.repeat(np.arange(len(views)), [len(view.rows) for view in views]),
        "scores": np.concatenate([s.scores[v.rows] for s, v in zip(samples, views, strict=True)]).astype(np.float32),
        "rows": np.concatenate([view.rows for view in views]),
        "indices": members.indices,
        "starts": members.starts.astype(np.int64),
        "tags": np.stack([sample.tags for sample in samples]).astype(np.float32),
        "known": np.stack([sample.known for sample in samples]).astype(np.float32),
        "numbers": np.array(numbers),
        "windows": np.array([view.placement.window_xyxy for view in views]),
        "flipped": np.array([view.placement.flipped for view in views]),
    }
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
    return {"images": torch.from_numpy(images).permute(0, 3, 1, 2), **tensors}


def get_members(batch: Mapping[str, Tensor]) -> MemberTensors:
    """Superpixels of the proposals of a batch: ``indices (M,)`` and ``starts (R + 1,)``."""
    return batch["indices"], batch["starts"]


def count_proposals(batch: Mapping[str, Tensor]) -> list[int]:
    """Proposals of each image of a batch."""
    return torch.bincount(batch["batch_index"], minlength=len(batch["images"])).tolist()


def get_placements(batch: Mapping[str, Tensor]) -> list[Placement]:
    """Where the views of a batch lie."""
    return [
        Placement(tuple(window), (size[0], size[1]), flipped)
        for window, size, flipped in zip(
            batch["windows"].tolist(), batch["sizes"].tolist(), batch["flipped"].tolist(), strict=True
        )
    ]
