"""Marks: points, scribbles and masks that give the class, and the object, of some pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NO_OBJECT = -1
"""Owner of a mark of stuff, or of a thing whose instance is unknown."""

UNSETTLED = -2
"""Owner of a mark before :func:`settle_owners` has looked at the boxes; marks of one object share a lower number."""

MASK_RADIUS = -1.0
"""Radius of a mark whose pixels are listed."""

SMALLEST_RADIUS = float(np.sqrt(0.5))
"""A thinner mark would miss the centre of its pixel."""


class Mark(NamedTuple):
    """One point, scribble or mask.

    Attributes
    ----------
    train_id : int
    owner : int
        Position of its box; from the number of boxes on, the number of an object without box; ``NO_OBJECT`` or
        ``UNSETTLED``.
    radius : float
        Radius of the disc around a point, or half the width of a scribble, in pixels; ``MASK_RADIUS`` for a mask.
    values : (K, 2) float64
        Vertices (x, y) of a point (one) or a scribble, the first pixel spans 0 to 1; of a mask runs ``[start, stop)``
        of pixels, column by column.
    """

    train_id: int
    owner: int
    radius: float
    values: NDArray[np.float64]

    @property
    def kind(self) -> str:
        """``point``, ``scribble`` or ``mask``."""
        if self.radius == MASK_RADIUS:
            return "mask"
        return "point" if len(self.values) == 1 else "scribble"

    def find_pixels(self, height: int, width: int, *, core: bool = False) -> NDArray[np.int64]:
        """Pixels ``(P, 2)`` in (y, x) of the mark inside the image, each once.

        With ``core`` without the margin of its radius: the pixels that were clicked or passed over.
        """
        if self.radius == MASK_RADIUS:
            runs = [np.arange(start, stop) for start, stop in self.values.astype(np.int64)]
            flat = np.concatenate([np.zeros(0, np.int64), *runs])
            return np.column_stack([flat % height, flat // height])
        radius = SMALLEST_RADIUS if core else max(self.radius, SMALLEST_RADIUS)
        ends = self.values[1:] if len(self.values) > 1 else self.values
        parts = [
            _draw_stroke(start, stop, radius, height, width)
            for start, stop in zip(self.values, ends, strict=False)  # a point is a stroke from itself to itself
        ]
        return np.unique(np.concatenate(parts), axis=0) if len(parts) > 1 else parts[0]


def make_mask(train_id: int, owner: int, counts: Sequence[int]) -> Mark:
    """Make a mark of COCO's uncompressed run lengths: column by column, zeros first."""
    edges = np.cumsum(counts)
    return Mark(train_id, owner, MASK_RADIUS, edges[: len(edges) // 2 * 2].reshape(-1, 2).astype(np.float64))


def count_runs(mark: Mark, area: int) -> list[int]:
    """Inverse of :func:`make_mask` in an image of ``area`` pixels."""
    edges = np.concatenate([[0], mark.values.astype(np.int64).ravel(), [area]])
    return np.diff(edges).tolist()


def _draw_stroke(
    start: NDArray[np.float64], stop: NDArray[np.float64], radius: float, height: int, width: int
) -> NDArray[np.int64]:
    """Pixels ``(P, 2)`` whose middle lies within ``radius`` of a straight stroke."""
    low = np.maximum(np.floor(np.minimum(start, stop) - radius), 0).astype(int)
    high = np.minimum(np.ceil(np.maximum(start, stop) + radius), [width, height]).astype(int)
    y, x = np.mgrid[low[1] : high[1], low[0] : high[0]]
    along = stop - start
    # Nearest position on the stroke to each middle of a pixel, as a share of its length.
    offset_x, offset_y = x + 0.5 - start[0], y + 0.5 - start[1]
    share = np.clip((offset_x * along[0] + offset_y * along[1]) / max(float(along @ along), 1e-12), 0, 1)
    inside = np.hypot(offset_x - share * along[0], offset_y - share * along[1]) <= radius
    return np.column_stack([y[inside], x[inside]]).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Marks:
    """The marks of an image in arrays; going through it gives one :class:`Mark` after another.

    Attributes
    ----------
    classes : (M,) uint8
    owners : (M,) int32
    radii : (M,) float64
    lengths : (M,) int32
        Rows of ``values`` that belong to each mark.
    values : (K, 2) float64
    """

    classes: NDArray[np.uint8]
    owners: NDArray[np.int32]
    radii: NDArray[np.float64]
    lengths: NDArray[np.int32]
    values: NDArray[np.float64]

    @classmethod
    def collect(cls, marks: Iterable[Mark]) -> Marks:
        """Put marks into arrays."""
        listed = list(marks)
        return cls(
            classes=np.array([mark.train_id for mark in listed], np.uint8),
            owners=np.array([mark.owner for mark in listed], np.int32),
            radii=np.array([mark.radius for mark in listed], np.float64),
            lengths=np.array([len(mark.values) for mark in listed], np.int32),
            values=np.concatenate([np.zeros((0, 2)), *(mark.values for mark in listed)]),
        )

    def __len__(self) -> int:
        return len(self.classes)

    def __iter__(self) -> Iterator[Mark]:
        stops = np.cumsum(self.lengths)
        columns = (self.classes.tolist(), self.owners.tolist(), self.radii.tolist(), self.lengths.tolist(), stops)
        for train_id, owner, radius, length, stop in zip(*columns, strict=True):
            yield Mark(train_id, owner, radius, self.values[stop - length : stop])


NO_MARKS = Marks.collect([])


def settle_owners(
    marks: Marks,
    boxes_xyxy: NDArray[np.int32],
    box_classes: NDArray[np.uint8],
    box_iscrowd: NDArray[np.bool_],
    isthing: Sequence[bool],
    size: tuple[int, int],
) -> Marks:
    """Find the object of each mark whose owner is ``UNSETTLED`` or lower; equal lower numbers mean one object.

    ======================================  =======================
    boxes of its class around a thing mark  owner
    ======================================  =======================
    none                                    an object of its own
    one                                     this box
    several, or groups only                 ``NO_OBJECT``
    ======================================  =======================

    A box is around marks if it holds most of their pixels. Stuff has no object.

    Parameters
    ----------
    marks : Marks
    boxes_xyxy : (N, 4) int32
    box_classes : (N,) uint8
    box_iscrowd : (N,) bool
    isthing : (C,) bool
    size : (H, W)
        Size of the image.
    """
    owners = marks.owners.copy()
    next_object = max(len(boxes_xyxy), owners.max(initial=NO_OBJECT) + 1)
    listed = list(marks)
    owners[[mark.owner <= UNSETTLED and not isthing[mark.train_id] for mark in listed]] = NO_OBJECT
    for members in _list_objects(owners):
        train_id = listed[members[0]].train_id
        pixels = np.concatenate([listed[member].find_pixels(*size, core=True) for member in members])
        around = (box_classes == train_id) & _hold_most(boxes_xyxy, pixels)
        single = np.flatnonzero(around & ~box_iscrowd)
        if not around.any():
            owners[members], next_object = next_object, next_object + 1
        else:
            owners[members] = single[0] if len(single) == 1 else NO_OBJECT
    return replace(marks, owners=owners)


def _list_objects(owners: NDArray[np.int32]) -> list[list[int]]:
    """Positions of the marks of each object that is not settled, in the order of their first ones."""
    objects: dict[int, list[int]] = {}
    for position, owner in enumerate(owners.tolist()):
        if owner <= UNSETTLED:
            # A mark that shares its object with no other is known by its position.
            objects.setdefault(position if owner == UNSETTLED else owner, []).append(position)
    return list(objects.values())


def _hold_most(boxes_xyxy: NDArray[np.int32], pixels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each box ``(N, 4)`` holds more than half of the pixels ``(P, 2)``."""
    return 2 * find_inside(boxes_xyxy, pixels[:, 0], pixels[:, 1]).sum(1) > len(pixels)


def find_inside(
    boxes_xyxy: NDArray[np.int32], rows: NDArray[np.integer], columns: NDArray[np.integer]
) -> NDArray[np.bool_]:
    """Which of the pixels ``(P,)`` each box ``(N, 4)`` holds: ``(N, P)``."""
    x0, y0, x1, y1 = boxes_xyxy.T[:, :, None]
    return (columns >= x0) & (columns < x1) & (rows >= y0) & (rows < y1)


def find_marked_classes(
    marks: Marks, areas_xyxy: NDArray[np.int32], size: tuple[int, int], count: int
) -> NDArray[np.bool_]:
    """Which of ``count`` classes was marked in each area ``(G, 4)`` of an image of ``size`` (H, W): ``(G, count)``.

    What the radius of a mark adds does not count: it may reach into a crop that was not looked at.
    """
    found = np.zeros((len(areas_xyxy), count), bool)
    if not len(areas_xyxy):
        return found
    for mark in marks:
        rows, columns = mark.find_pixels(*size, core=True).T
        found[:, mark.train_id] |= find_inside(areas_xyxy, rows, columns).any(1)
    return found
