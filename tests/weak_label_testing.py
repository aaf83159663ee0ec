"""What tests of weak labels share: making those of an image, and a point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pseudogt.weak_labels.marks import NO_MARKS, Mark, Marks
from pseudogt.weak_labels.records import ImageWeakLabels


def make_weak_labels(
    size: tuple[int, int],
    tags: ArrayLike,
    *,
    boxes: ArrayLike = (),
    box_classes: ArrayLike = 0,
    crowd: ArrayLike = False,
    crops: ArrayLike = (),
    crop_tags: ArrayLike = True,
    marks: Sequence[Mark] = (),
    unknown: Sequence[int] = (),
    image_id: str = "a",
) -> ImageWeakLabels:
    """Weak labels of an image of ``size`` (H, W); a single class, or truth value, is that of all boxes or crops."""
    present = np.array(tags, bool)

    def spread(values: ArrayLike, rows: Sequence[Any], dtype: type, *columns: int) -> np.ndarray:
        return np.array(np.broadcast_to(np.array(values, dtype), (len(rows), *columns)))

    boxes_xyxy, crops_xyxy = (np.array(each, np.int32).reshape(-1, 4) for each in (boxes, crops))
    return ImageWeakLabels(
        image_id=image_id,
        height=size[0],
        width=size[1],
        boxes_xyxy=boxes_xyxy,
        box_classes=spread(box_classes, boxes_xyxy, np.uint8),
        box_iscrowd=spread(crowd, boxes_xyxy, bool),
        tags=present,
        crops_xyxy=crops_xyxy,
        crop_tags=spread(crop_tags, crops_xyxy, bool, len(present)),
        unknown_ids=tuple(unknown),
        marks=Marks.collect(marks) if marks else NO_MARKS,
    )


def make_point(train_id: int, owner: int, x: float, y: float, radius: float) -> Mark:
    """Make a mark of a disc."""
    return Mark(train_id, owner, radius, np.array([[x, y]], np.float64))
