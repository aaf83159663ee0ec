"""From marks in the common form to marks in whole images: which pixels, and which object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pseudogt.annotations.form import AnnotatedMark
from pseudogt.annotations.geometry import decode_segmentation, encode_mask
from pseudogt.files.index import ImageRecord
from pseudogt.weak_labels.marks import MASK_RADIUS, make_mask

SLACK_PX = 1.0
"""How far a point may lie out of its image; it is moved to the border."""


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
