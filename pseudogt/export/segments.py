"""Input and output of export formats: the labels of images, and their segments one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from pseudogt.classes import INSTANCE_DIVISOR, VOID, ClassTable


@dataclass(frozen=True)
class LabelledImage:
    """The label of one image.

    Attributes
    ----------
    image_id : str
    file_name : str
        File name of the image, without folder.
    split : str
        ``train`` or ``val``.
    panoptic_id : (H, W) int32
    scores : mapping
        Confidence in [0, 1] by panoptic id; empty if there is none.
    """

    image_id: str
    file_name: str
    split: str
    panoptic_id: NDArray[np.int32]
    scores: Mapping[int, float] = field(default_factory=dict)


class Segment(NamedTuple):
    """One segment: its panoptic id, train id, half-open box and mask ``(h, w) bool`` in the box."""

    id: int
    train_id: int
    box_xyxy: tuple[int, int, int, int]
    mask: NDArray[np.bool_]


class LabelSource(Protocol):
    """Labels that are read image by image."""

    def read(self, image_id: str) -> NDArray[np.int32]:
        """Panoptic ids ``(H, W) int32`` of one image."""


class LabelSet(LabelSource, Protocol):
    """Labels that a format wrote."""

    @property
    def image_ids(self) -> list[str]:
        """Images in file order."""


def find_segments(panoptic_id: NDArray[np.int32], classes: ClassTable) -> Iterator[Segment]:
    """Segments of panoptic ids ``(H, W) int32``, ascending by id, ``VOID`` left out.

    Raises
    ------
    ValueError
        If an id belongs to no class of the table.
    """
    ids, index = np.unique(panoptic_id, return_inverse=True)
    index = index.reshape(panoptic_id.shape)
    for position, (rows, columns) in enumerate(find_objects(index + 1, max_label=len(ids))):
        segment_id = int(ids[position])
        if segment_id == VOID:
            continue
        category_id = segment_id // INSTANCE_DIVISOR
        if category_id not in classes.category_ids:
            raise ValueError(f"segment {segment_id} is of category {category_id}, which is not in the class table")
        box = (columns.start, rows.start, columns.stop, rows.stop)
        yield Segment(segment_id, classes.category_ids.index(category_id), box, index[rows, columns] == position)


def find_objects_to_draw(
    panoptic_id: NDArray[np.int32], classes: ClassTable, *, stuff: bool, crowds: bool
) -> Iterator[Segment]:
    """Instances of a label ``(H, W)``, and on request segments of stuff and thing pixels without an instance."""
    for segment in find_segments(panoptic_id, classes):
        if (stuff or classes.isthing[segment.train_id]) and (crowds or not is_crowd(segment, classes)):
            yield segment


def is_crowd(segment: Segment, classes: ClassTable) -> bool:
    """Whether a segment is made of thing pixels without an instance."""
    return classes.isthing[segment.train_id] and segment.id % INSTANCE_DIVISOR == 0


def list_categories(classes: ClassTable, *, things_only: bool = False) -> list[dict[str, Any]]:
    """COCO ``categories``, with the ``supercategory`` that some tools ask for."""
    return [
        {**c, "supercategory": "thing" if c["isthing"] else "stuff"}
        for c in classes.to_categories()
        if c["isthing"] or not things_only
    ]


def assign_panoptic_ids(found: Iterable[tuple[int, str]], classes: ClassTable) -> list[int]:
    """Panoptic ids of segments that another tool names.

    Parameters
    ----------
    found : iterable of (train id, name)
        A name that is a panoptic id of the segment's class, as our exports write it, is kept; other
        things get the next free instance number, other stuff number 0.
    classes : ClassTable

    Raises
    ------
    ValueError
        If a class has more than 999 instances.
    """
    segments = list(found)
    kept = [_parse_id(name, classes.category_ids[train_id], classes.isthing[train_id]) for train_id, name in segments]
    used = {segment_id for segment_id in kept if segment_id is not None}
    numbered = []
    for (train_id, _), segment_id in zip(segments, kept, strict=True):
        if segment_id is None:
            first = classes.category_ids[train_id] * INSTANCE_DIVISOR
            free = range(first + 1, first + INSTANCE_DIVISOR) if classes.isthing[train_id] else [first]
            segment_id = next((i for i in free if i not in used or not classes.isthing[train_id]), None)
            if segment_id is None:
                raise ValueError(f"class {classes.names[train_id]!r} has more than {INSTANCE_DIVISOR - 1} instances")
            used.add(segment_id)
        numbered.append(segment_id)
    return numbered


def _parse_id(name: str, category_id: int, isthing: bool) -> int | None:
    """The panoptic id in a name; None if it is not of this category."""
    if not (name.isascii() and name.isdigit()) or len(name) > 9:
        return None
    segment_id = int(name)
    fits = segment_id // INSTANCE_DIVISOR == category_id and (isthing or segment_id % INSTANCE_DIVISOR == 0)
    return segment_id if fits else None


def paint(
    shape: tuple[int, int], segments: Iterable[tuple[int, tuple[int, int], NDArray[np.bool_]]]
) -> NDArray[np.int32]:
    """Panoptic ids ``(H, W) int32`` of segments (id, (y, x) of its first row and column, mask); later ones on top."""
    panoptic_id = np.full(shape, VOID, np.int32)
    for segment_id, (y, x), mask in segments:
        panoptic_id[y : y + mask.shape[0], x : x + mask.shape[1]][mask] = segment_id
    return panoptic_id
