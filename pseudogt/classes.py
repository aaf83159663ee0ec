"""The label space: class tables, sentinels and panoptic ids.

Three sentinels that are easily confused and never equal by accident:

``IGNORE_LABEL``
    In arrays of train ids: nothing is known about this pixel; it trains nothing.
``BACKGROUND``
    In arrays of train ids made by box segmenters: *no thing* is here, stuff may be.
``VOID``
    In panoptic ids (on disk and in ``int32`` arrays): the pixel belongs to no segment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

IGNORE_LABEL = 255
BACKGROUND = 254
VOID = 0

INSTANCE_DIVISOR = 1000
"""A segment's id is ``category_id * INSTANCE_DIVISOR + k``."""

MAX_TRAIN_CLASSES = BACKGROUND
MAX_CATEGORY_ID = (256**3 - 1) // INSTANCE_DIVISOR


@dataclass(frozen=True)
class ClassTable:
    """Classes in the order of their train ids.

    Parameters
    ----------
    names, category_ids, isthing, colors
        One entry per class. ``category_ids`` are the ids on disk (at least 1), ``colors`` are
        RGB triples in 0..255. The position of a class is its train id.
    """

    names: tuple[str, ...]
    category_ids: tuple[int, ...]
    isthing: tuple[bool, ...]
    colors: tuple[tuple[int, int, int], ...]

    def __post_init__(self) -> None:
        lengths = {len(self.names), len(self.category_ids), len(self.isthing), len(self.colors)}
        if len(lengths) != 1:
            raise ValueError("names, category_ids, isthing and colors differ in length")
        if not 0 < len(self.names) < MAX_TRAIN_CLASSES:
            raise ValueError(
                f"a class table has 1 to {MAX_TRAIN_CLASSES - 1} classes, got {len(self.names)}; merge rare classes or "
                "leave them out (annotations.rename: {name: null})"
            )
        for column in (self.names, self.category_ids):
            twice = sorted({str(value) for value in column if column.count(value) > 1})
            if twice:
                raise ValueError(f"class table: {', '.join(twice)} is there more than once")
        outside = [c for c in self.category_ids if not 1 <= c <= MAX_CATEGORY_ID]
        if outside:
            raise ValueError(f"category ids must lie in 1..{MAX_CATEGORY_ID}, got {outside}")

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def thing_ids(self) -> NDArray[np.uint8]:
        """Train ids of the things, ascending."""
        return np.flatnonzero(self.isthing).astype(np.uint8)

    @cached_property
    def stuff_ids(self) -> NDArray[np.uint8]:
        """Train ids of the stuff classes, ascending."""
        return np.flatnonzero(~np.array(self.isthing)).astype(np.uint8)

    @cached_property
    def things_first(self) -> NDArray[np.uint8]:
        """All train ids ``(C,) uint8``, things before stuff."""
        return np.concatenate([self.thing_ids, self.stuff_ids])

    @cached_property
    def background_category_id(self) -> int:
        """Category id under which box masks store ``BACKGROUND``: one more than the largest."""
        return max(self.category_ids) + 1

    @cached_property
    def category_to_train(self) -> NDArray[np.uint8]:
        """Lookup ``category_id -> train_id``; ids without a class map to ``IGNORE_LABEL``."""
        lookup = np.full(self.background_category_id + 1, IGNORE_LABEL, np.uint8)
        lookup[list(self.category_ids)] = np.arange(len(self))
        lookup[self.background_category_id] = BACKGROUND
        return lookup

    @cached_property
    def train_to_category(self) -> NDArray[np.int32]:
        """Lookup ``train_id -> category_id`` of 256 entries; ``IGNORE_LABEL`` maps to ``VOID``."""
        lookup = np.zeros(256, np.int32)
        lookup[: len(self)] = self.category_ids
        lookup[BACKGROUND] = self.background_category_id
        return lookup

    @cached_property
    def palette(self) -> NDArray[np.uint8]:
        """Colours ``(256, 3)`` by train id; ``IGNORE_LABEL`` is black, ``BACKGROUND`` grey."""
        palette = np.zeros((256, 3), np.uint8)
        palette[: len(self)] = self.colors
        palette[BACKGROUND] = 96
        return palette

    def encode_tags(self, train_ids: Iterable[int]) -> NDArray[np.bool_]:
        """Tags ``(C,) bool`` with the given classes present."""
        tags = np.zeros(len(self), bool)
        tags[list(train_ids)] = True
        return tags

    def to_categories(self) -> list[dict[str, Any]]:
        """COCO ``categories`` in train-id order."""
        return [
            {"id": c, "name": n, "isthing": int(t), "color": list(k)}
            for n, c, t, k in zip(self.names, self.category_ids, self.isthing, self.colors, strict=True)
        ]

    @classmethod
    def from_categories(cls, categories: Sequence[dict[str, Any]]) -> ClassTable:
        """Inverse of :meth:`to_categories`; a class without a colour, as in files of other tools, is black."""
        colors = [c.get("color", (0, 0, 0)) for c in categories]
        return cls(
            names=tuple(str(c["name"]) for c in categories),
            category_ids=tuple(int(c["id"]) for c in categories),
            isthing=tuple(bool(c["isthing"]) for c in categories),
            colors=tuple((int(color[0]), int(color[1]), int(color[2])) for color in colors),
        )


def panoptic_to_semantic(panoptic_id: NDArray[np.int32], classes: ClassTable) -> NDArray[np.uint8]:
    """Train ids ``(H, W) uint8`` of panoptic ids ``(H, W) int32``; ``VOID`` becomes ``IGNORE_LABEL``."""
    category_id = panoptic_id // INSTANCE_DIVISOR
    highest = classes.background_category_id
    if category_id.size and int(category_id.max()) > highest:
        raise ValueError(f"panoptic ids hold category {int(category_id.max())}, the class table ends at {highest}")
    return classes.category_to_train[category_id]


def combine_semantic_and_instances(
    semantic: NDArray[np.uint8], instances: NDArray[np.int32], classes: ClassTable
) -> NDArray[np.int32]:
    """Panoptic ids ``(H, W) int32`` from train ids and instance numbers.

    Parameters
    ----------
    semantic : (H, W) uint8
        Train ids, ``IGNORE_LABEL`` and ``BACKGROUND`` allowed.
    instances : (H, W) int32
        Instance number of thing pixels, 0 = no instance. Numbers on stuff or ignored pixels are
        dropped. Numbers need not be consecutive and may repeat between classes.
    classes : ClassTable

    Returns
    -------
    (H, W) int32
        ``category_id * 1000 + k``; per class, instance numbers are renumbered to 1, 2, ... in
        ascending order of the numbers given.

    Raises
    ------
    ValueError
        If shapes differ or a class has more than 999 instances.
    """
    if semantic.shape != instances.shape:
        raise ValueError(f"semantic {semantic.shape} and instances {instances.shape} differ in shape")
    panoptic_id = classes.train_to_category[semantic] * np.int32(INSTANCE_DIVISOR)
    for train_id in classes.thing_ids:
        inside = (semantic == train_id) & (instances > 0)
        # Renumber the instances of the class from 1, in the order of their values.
        numbers, k = np.unique(instances[inside], return_inverse=True)
        if len(numbers) >= INSTANCE_DIVISOR:
            raise ValueError(
                f"class {classes.names[train_id]} has {len(numbers)} instances in one image; "
                f"a label file holds at most {INSTANCE_DIVISOR - 1}"
            )
        panoptic_id[inside] += (k + 1).astype(np.int32)
    return panoptic_id


def find_crowds(panoptic_id: NDArray[np.int32], classes: ClassTable) -> set[int]:
    """Ids, present in panoptic ids ``(H, W)``, of thing pixels without an instance: groups, or not told apart."""
    without_instance = {classes.category_ids[t] * INSTANCE_DIVISOR for t in classes.thing_ids}
    return without_instance & set(np.unique(panoptic_id).tolist())
