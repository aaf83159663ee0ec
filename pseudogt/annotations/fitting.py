"""From annotated coordinates to whole pixels of an image: its boxes and marks, and which object a mark belongs to."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pseudogt.annotations.form import AnnotatedMark, Corners, ImageAnnotations
from pseudogt.annotations.geometry import decode_segmentation, encode_mask
from pseudogt.files.index import ImageRecord
from pseudogt.weak_labels.marks import MASK_RADIUS, make_mask

ROUNDING_PX = 0.05
"""A corner this far inside a pixel does not count it: tools write fractions of the image with few digits."""

SLACK_PX = 1.0
"""How far a point may lie out of its image; it is moved to the border."""

FAR_OUT = 0.1
"""Share of a side of the image by which a box may reach out of it without being suspicious."""

WholeCorners = tuple[int, int, int, int]


class FittedBox(NamedTuple):
    """A box in whole pixels of its image, half-open."""

    corners: WholeCorners
    train_id: int
    iscrowd: bool
    group: str | None = None


def clip_to_image(whole: WholeCorners, pixels: Corners, record: ImageRecord) -> WholeCorners | None:
    """Whole pixels of a box inside its image; None if it, or what is to be seen of it, has no area."""
    x0, y0, x1, y1 = whole
    if x0 < 0 or y0 < 0 or x1 > record.width or y1 > record.height:
        x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, record.width), min(y1, record.height)
    has_area = pixels[2] > pixels[0] and pixels[3] > pixels[1] and x1 > x0 and y1 > y0
    return (x0, y0, x1, y1) if has_area else None


def reaches_far_out(pixels: Corners, record: ImageRecord) -> bool:
    """Whether a box reaches out of its image by more than annotators let it at the border."""
    x0, y0, x1, y1 = pixels
    slack_x, slack_y = FAR_OUT * record.width + SLACK_PX, FAR_OUT * record.height + SLACK_PX
    return bool(min(x0 + slack_x, y0 + slack_y) < 0 or x1 > record.width + slack_x or y1 > record.height + slack_y)


def scale_corners(corners: Corners, width: int, height: int) -> Corners:
    """Corners in pixels from fractions of the image."""
    x0, y0, x1, y1 = corners
    return x0 * width, y0 * height, x1 * width, y1 * height


def round_outwards(corners: Corners) -> WholeCorners:
    """Smallest half-open box of whole pixels that holds the corners, of each axis at least one pixel.

    Examples
    --------
    >>> round_outwards((10.02, 4.5, 19.96, 8.04))
    (10, 4, 20, 8)
    """
    x0, y0 = math.floor(corners[0] + ROUNDING_PX), math.floor(corners[1] + ROUNDING_PX)
    x1, y1 = math.ceil(corners[2] - ROUNDING_PX), math.ceil(corners[3] - ROUNDING_PX)
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)


def check_size(annotations: ImageAnnotations, record: ImageRecord) -> None:
    """Raise ``ValueError`` if a source and the file disagree about the size of an image."""
    size, expected = (annotations.width, annotations.height), (record.width, record.height)
    if None in size or size == expected:
        return
    raise ValueError(
        f"{record.image}: is {expected[0]}x{expected[1]}, its annotations are for {size[0]}x{size[1]}; annotate the "
        "file that is used, or put back the one that was annotated"
    )


def find_group_owners(boxes: Sequence[tuple[int, str | None]]) -> dict[tuple[int, str], int]:
    """Position of the only box of each class and group, of boxes given by their train id and group."""
    counts = Counter(boxes)
    return {
        (train_id, group): position
        for position, (train_id, group) in enumerate(boxes)
        if group is not None and counts[train_id, group] == 1
    }


def fit_mark(mark: AnnotatedMark, record: ImageRecord, radius: float) -> tuple[float, NDArray[np.float64]]:
    """Radius and values of a :class:`pseudogt.weak_labels.marks.Mark` inside its image.

    Parameters
    ----------
    mark : AnnotatedMark
    record : ImageRecord
        Record of the mark's image.
    radius : float
        In pixels, of marks that have none of their own.

    Raises
    ------
    ValueError
        If a point lies outside, a mask is empty or of another size, or the radius is negative.
    """
    size = np.array([record.width, record.height])
    if mark.segmentation is not None:
        mask = decode_segmentation(mark.segmentation, record.height, record.width)
        if not mask.any():
            raise ValueError("is an empty mask")
        return MASK_RADIUS, make_mask(0, 0, encode_mask(mask)["counts"]).values
    vertices = np.array(mark.points, np.float64)
    outside = ((vertices < -SLACK_PX) | (vertices > size + SLACK_PX)).any(1)
    if outside.any():
        raise ValueError(f"at {vertices[outside][0].tolist()} lies outside the {record.width}x{record.height} image")
    own = radius if mark.radius is None else mark.radius
    if not 0 <= own <= max(size):
        raise ValueError(f"has radius {own}; it is in pixels, at least 0 and smaller than the image")
    return own, np.clip(vertices, 0, size)
