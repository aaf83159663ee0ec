"""Training samples of the tag classifier: random windows of images with their weak labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.augmentation import Augmentation, draw_affine, draw_colour_factors, warp_image, warp_points
from pseudogt.classes import IGNORE_LABEL, ClassTable
from pseudogt.maps import find_colour_regions
from pseudogt.pseudo_labels.spreading import spread_marks
from pseudogt.weak_labels.candidates import candidates_at, cover_span
from pseudogt.weak_labels.labelled import LabelledPixels, find_labelled_pixels, paint_classes
from pseudogt.weak_labels.marks import NO_MARKS, find_inside
from pseudogt.weak_labels.records import ImageWeakLabels
from pseudogt.weak_labels.surroundings import find_surroundings
from pseudogt.weak_labels.widths import ClassWidths
from pseudogt.weak_labels.windows import REGION_INSIDE, list_regions

LARGE_REGION = 0.02
"""Share of an image from which on a region of even colour is large."""

MIN_REGION_PX = 20
"""Smaller regions of even colour are merged into a neighbour; in pixels of the scaled image."""

SAMPLED_EVERY = 2
"""Rows and columns of which one is taken, of the pixels of large regions."""


def _label_nothing() -> NDArray[np.int32]:
    return np.zeros((0, 3), np.int32)


@dataclass(frozen=True)
class TagSample:
    """An image at the network's resolution and its weak labels.

    Attributes
    ----------
    image : (h, w, 3) uint8 RGB
    weak : ImageWeakLabels
        In coordinates of the original image. Without marks: those are in ``labelled``.
    labelled : (P, 3) int32
        Row and column in the original image, and train id, of each pixel that a mark labels or that lies in the
        region or in the disc around one.
    rings : (Q, 3) int32
        The same for pixels few of which have this class, see :class:`pseudogt.weak_labels.surroundings.Surroundings`.
    """

    image: NDArray[np.uint8]
    weak: ImageWeakLabels
    labelled: NDArray[np.int32] = field(default_factory=_label_nothing)
    rings: NDArray[np.int32] = field(default_factory=_label_nothing)

    @classmethod
    def make(
        cls,
        image: NDArray[np.uint8],
        weak: ImageWeakLabels,
        *,
        region_scale: float = 0,
        widths: ClassWidths | None = None,
    ) -> TagSample:
        """Sample of a resized image, with its marks drawn.

        They spread over regions of even colour of this scale, if it is above 0, and have surroundings, if the widths
        of their classes are given.
        """
        if not len(weak.marks):
            return cls(image, weak)
        found = find_labelled_pixels(weak)
        labelled = np.column_stack([found.rows, found.columns, found.classes]).astype(np.int32)
        if region_scale:
            labelled = np.concatenate([labelled, label_large_regions(image, weak, found, region_scale)])
        rings = _label_nothing()
        if widths is not None:
            discs, rings = find_surroundings(image, weak, widths)
            labelled = np.concatenate([labelled, discs])
        return cls(image, replace(weak, marks=NO_MARKS), labelled, rings)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Image and weak labels by name, for :class:`models.training_set.TrainingSet`."""
        weak = {name: np.array(value) for name, value in vars(self.weak).items() if name != "marks"}
        return {**weak, "image": self.image, "labelled": self.labelled, "rings": self.rings}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> TagSample:
        """Inverse of :meth:`to_arrays`."""
        own = {name: arrays[name] for name in ("image", "labelled", "rings")}
        weak: dict[str, Any] = {name: values for name, values in arrays.items() if name not in own}
        # The fields of weak labels that are not arrays: a name, two numbers and two tuples.
        weak |= {name: weak[name].tolist() for name in ("image_id", "height", "width")}
        weak |= {name: tuple(weak[name].astype(int).tolist()) for name in ("unknown_ids", "partly_boxed_ids")}
        return cls(weak=ImageWeakLabels(**weak), **own)


@dataclass(frozen=True)
class Regions:
    """Rectangles of a window in which tagged classes must occur, as masks of rows and columns.

    Attributes
    ----------
    rows : (G, h) bool
    columns : (G, w) bool
    tags : (G, C) bool
    known : (G, C) bool
        Where ``tags`` says something: a crop about all classes, a box about its own.
    """

    rows: NDArray[np.bool_]
    columns: NDArray[np.bool_]
    tags: NDArray[np.bool_]
    known: NDArray[np.bool_]


def label_large_regions(
    image: NDArray[np.uint8], weak: ImageWeakLabels, found: LabelledPixels, region_scale: float
) -> NDArray[np.int32]:
    """Pixels ``(P, 3)`` of large regions of even colour in which all marks have one class, a few of each cell.

    Marks lie inside of segments, so that no mark shows where a class ends. The borders of a large region mostly do,
    while a small one often holds a thin object and what is behind it. Boxes may hold things and are left out.

    Parameters
    ----------
    image : (h, w, 3) uint8 RGB
    weak : ImageWeakLabels
    found : LabelledPixels
        Those of the original image.
    region_scale : float
        See :func:`pseudogt.maps.find_colour_regions`.

    Returns
    -------
    (P, 3) int32
        Rows as in :attr:`TagSample.labelled`.
    """
    size = image.shape[0], image.shape[1]
    regions = find_colour_regions(image, scale=region_scale, min_area_px=MIN_REGION_PX)
    is_large = (np.bincount(regions.ravel()) >= LARGE_REGION * regions.size)[regions]
    spread = spread_marks(found, (weak.height, weak.width), size, regions, 1.0)
    # One pixel in SAMPLED_EVERY of each axis is enough for the cells of the network.
    rows, columns = (np.arange(extent) for extent in size)
    drawn = (rows[:, None] % SAMPLED_EVERY == 0) & (columns % SAMPLED_EVERY == 0) & is_large
    which, y, x = np.nonzero((spread.weights > 0) & drawn)
    original_y = ((y + 0.5) * weak.height / size[0]).astype(np.int32)
    original_x = ((x + 0.5) * weak.width / size[1]).astype(np.int32)
    labelled = np.column_stack([original_y, original_x, spread.classes[which]]).astype(np.int32)
    return labelled[~find_inside(weak.boxes_xyxy, original_y, original_x).any(0)]


def cut_out_crop(sample: TagSample, crop: int) -> TagSample:
    """Return one crop of a sample as an image of its own, with the crop's tags and nothing of its neighbours."""
    weak = sample.weak
    x0, y0, x1, y1 = (int(v) for v in weak.crops_xyxy[crop])
    # Boxes in coordinates of the crop, clipped to it; those left without a pixel are dropped.
    clipped = np.clip(weak.boxes_xyxy - [x0, y0, x0, y0], 0, [x1 - x0, y1 - y0] * 2).astype(np.int32)
    kept = (clipped[:, 2] > clipped[:, 0]) & (clipped[:, 3] > clipped[:, 1])
    labelled, rings = (
        rows[find_inside(weak.crops_xyxy[crop : crop + 1], rows[:, 0], rows[:, 1])[0]] - np.array([y0, x0, 0], np.int32)
        for rows in (sample.labelled, sample.rings)
    )
    # The crop in pixels of the sample's image, whose resolution may differ from that of the weak labels.
    height, width = sample.image.shape[:2]
    rows = slice(round(y0 * height / weak.height), round(y1 * height / weak.height))
    columns = slice(round(x0 * width / weak.width), round(x1 * width / weak.width))
    return TagSample(
        image=sample.image[rows, columns],
        weak=ImageWeakLabels(
            image_id=weak.image_id,
            height=y1 - y0,
            width=x1 - x0,
            boxes_xyxy=clipped[kept],
            box_classes=weak.box_classes[kept],
            box_iscrowd=weak.box_iscrowd[kept],
            tags=weak.crop_tags[crop],
            crops_xyxy=np.zeros((0, 4), np.int32),
            crop_tags=np.zeros((0, len(weak.tags)), bool),
            unknown_ids=weak.unknown_ids,
            partly_boxed_ids=weak.partly_boxed_ids,
        ),
        labelled=labelled,
        rings=rings,
    )


def make_tag_batch(
    samples: Sequence[TagSample],
    classes: ClassTable,
    augmentation: Augmentation,
    stride: int,
    generator: np.random.Generator,
    *,
    with_marks: bool = False,
) -> dict[str, Tensor]:
    """Augmented windows of the samples, B of one size.

    Returns
    -------
    dict
        ``images (B, 3, H, W) uint8``, ``colour_factors (B, 3)``, ``candidates (B, C, h, w) bool`` at
        the network's stride, and the regions padded to G per window: ``rows (B, G, h)``,
        ``columns (B, G, w)``, ``tags`` and ``known (B, G, C)``, all bool; ``with_marks`` also ``marked`` and ``rings``
        ``(B, h, w) uint8``, see :func:`label_cells`.
    """
    images, candidates, regions, marked, rings = [], [], [], [], []
    for sample in samples:
        affine = draw_affine(sample.image.shape[:2], augmentation, generator)
        images.append(warp_image(sample.image, affine, augmentation.crop_size))
        rows, columns = locate_cells(sample, affine, augmentation.crop_size, stride)
        candidates.append(candidates_at(sample.weak, classes, rows, columns))
        regions.append(list_tag_regions(sample.weak, rows, columns))
        if with_marks:
            place = partial(label_cells, sample, affine=affine, size=augmentation.crop_size, stride=stride)
            marked.append(place(sample.labelled))
            ring = place(sample.rings)
            # Where a large region of even colour has the class, the ring does not matter.
            rings.append(np.where(ring == marked[-1], np.uint8(IGNORE_LABEL), ring))
    most = max(1, *(len(r.tags) for r in regions))
    batch = {
        "images": torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2),
        "colour_factors": draw_colour_factors(len(samples), augmentation, generator),
        "candidates": torch.from_numpy(np.stack(candidates)),
        "rows": torch.from_numpy(np.stack([_pad(r.rows, most) for r in regions])),
        "columns": torch.from_numpy(np.stack([_pad(r.columns, most) for r in regions])),
        "tags": torch.from_numpy(np.stack([_pad(r.tags, most) for r in regions])),
        "known": torch.from_numpy(np.stack([_pad(r.known, most) for r in regions])),
    }
    if with_marks:
        batch |= {"marked": torch.from_numpy(np.stack(marked)), "rings": torch.from_numpy(np.stack(rings))}
    return batch


def label_cells(
    sample: TagSample, pixels: NDArray[np.int32], affine: NDArray[np.float64], size: tuple[int, int], stride: int
) -> NDArray[np.uint8]:
    """Class ``(h, w)`` of the cells of a window that hold pixels ``(P, 3)`` of the sample, of one class alone.

    ``pixels`` as :attr:`TagSample.labelled`, the others as of :func:`locate_cells`; other cells have ``IGNORE_LABEL``.
    """
    cells = (-(-size[0] // stride), -(-size[1] // stride))
    # Middles of the labelled pixels in the sample's image, then in the window; half a pixel from there to its border.
    scale = np.array(sample.image.shape[:2]) / (sample.weak.height, sample.weak.width)
    in_sample = (pixels[:, :2] + 0.5) * scale - 0.5
    row, column = np.floor((warp_points(in_sample.astype(np.float32), affine) + 0.5) / stride).astype(int).T
    inside = (row >= 0) & (row < cells[0]) & (column >= 0) & (column < cells[1])
    return paint_classes(row[inside], column[inside], pixels[inside, 2].astype(np.uint8), cells)


def locate_cells(
    sample: TagSample, affine: NDArray[np.float64], size: tuple[int, int], stride: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows ``(h,)`` and columns ``(w,)`` of the original image under the cells of a window's feature map.

    Parameters
    ----------
    sample : TagSample
    affine : (2, 3)
        From (x, y) of ``sample.image`` to those of the window; pixel centres at integers.
    size : (H, W)
        Size of the window.
    stride : int
        Pixels of the window per cell.
    """
    located = []
    for axis, original in ((1, sample.weak.height), (0, sample.weak.width)):
        cells = -(-size[1 - axis] // stride)
        # Middles of the cells in the window, taken back through the affine map, then scaled to the original image.
        centres = (np.arange(cells) + 0.5) * stride - 0.5
        in_sample = (centres - affine[axis, 2]) / affine[axis, axis] + 0.5
        located.append(in_sample * original / sample.image.shape[1 - axis])
    return located[0], located[1]


def list_tag_regions(weak: ImageWeakLabels, rows: NDArray[np.float64], columns: NDArray[np.float64]) -> Regions:
    """Crops (the image, if there are none) and boxes that a window shows almost whole.

    Parameters
    ----------
    weak : ImageWeakLabels
    rows, columns : (h,), (w,)
        Image coordinates of the window's cells, see :func:`locate_cells`.
    """
    rectangles, tags = list_regions(weak)
    known = tags.copy()
    # What is absent is known of the tagged areas alone, which come before the boxes.
    known[: len(tags) - len(weak.box_classes)] = find_tagged_classes(weak)
    in_rows = cover_span(rows, rectangles[:, 1, None], rectangles[:, 3, None])
    in_columns = cover_span(columns, rectangles[:, 0, None], rectangles[:, 2, None])
    # A rectangle counts only if the window shows enough of it, and the middle of a cell lies in it.
    share = _share_shown(rectangles[:, 1::2], rows) * _share_shown(rectangles[:, 0::2], columns)
    shown = (share >= REGION_INSIDE) & in_rows.any(1) & in_columns.any(1)
    return Regions(in_rows[shown], in_columns[shown], tags[shown], known[shown])


def find_tagged_classes(weak: ImageWeakLabels) -> NDArray[np.bool_]:
    """Classes ``(C,)`` whose tags can be relied on: not unknown ones, nor those with boxes but without a tag."""
    known = weak.known
    known[weak.box_classes] = weak.tags[weak.box_classes]
    return known


def _share_shown(spans: NDArray[np.float64], positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share ``(G,)`` of each span ``(G, 2)`` that lies under the cells at evenly spaced ``positions``."""
    # The cells reach half a step beyond the outermost positions.
    half = abs(positions[-1] - positions[0]) / max(len(positions) - 1, 1) / 2
    inside = np.clip(spans, positions.min() - half, positions.max() + half)
    return (inside[:, 1] - inside[:, 0]) / (spans[:, 1] - spans[:, 0])


def _pad(values: NDArray[np.bool_], length: int) -> NDArray[np.bool_]:
    return np.pad(values, ((0, length - len(values)), (0, 0)))
