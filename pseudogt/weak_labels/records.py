"""Weak labels of an image: boxes of things, marks, tags of the image and of its crops."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pseudogt.classes import ClassTable
from pseudogt.weak_labels.marks import NO_MARKS, NO_OBJECT, Marks, find_marked_classes, settle_owners


@dataclass(frozen=True)
class ImageWeakLabels:
    """Weak labels of one image.

    Attributes
    ----------
    image_id : str
    height, width : int
    boxes_xyxy : (N, 4) int32
        Half-open ``[x0, y0, x1, y1)``, inside the image.
    box_classes : (N,) uint8
        Train ids.
    box_iscrowd : (N,) bool
        True for a box around a group of instances.
    tags : (C,) bool
        Classes anywhere in the image.
    crops_xyxy : (G, 4) int32
        The crops that were tagged; G = 0 if only the whole image was.
    crop_tags : (G, C) bool
    unknown_ids : tuple of int
        Train ids of classes about which the tags say nothing, neither present nor absent.
    marks : Marks
        Points, scribbles and masks.
    partly_boxed_ids : tuple of int
        Train ids of things that have boxes, and marks outside them: boxes do not hold all of them.
    """

    image_id: str
    height: int
    width: int
    boxes_xyxy: NDArray[np.int32]
    box_classes: NDArray[np.uint8]
    box_iscrowd: NDArray[np.bool_]
    tags: NDArray[np.bool_]
    crops_xyxy: NDArray[np.int32]
    crop_tags: NDArray[np.bool_]
    unknown_ids: tuple[int, ...] = ()
    marks: Marks = NO_MARKS
    partly_boxed_ids: tuple[int, ...] = ()

    @property
    def known(self) -> NDArray[np.bool_]:
        """Classes ``(C,)`` whose tags say something."""
        known = np.ones(len(self.tags), bool)
        known[list(self.unknown_ids)] = False
        return known

    @property
    def possible(self) -> NDArray[np.bool_]:
        """Classes ``(C,)`` that may be in the image: those present and those unknown."""
        return self.tags | ~self.known

    @property
    def tagged_only(self) -> NDArray[np.bool_]:
        """Classes ``(C,)`` that have a tag and no box."""
        found = self.tags.copy()
        found[self.box_classes] = False
        return found

    @property
    def object_classes(self) -> NDArray[np.uint8]:
        """Train ids of all objects: of the boxes ``(N,)``, then of those that marks alone show."""
        owners = self.marks.owners
        found = np.zeros(max(len(self.boxes_xyxy), owners.max(initial=NO_OBJECT) + 1), np.uint8)
        found[owners[owners >= 0]] = self.marks.classes[owners >= 0]
        found[: len(self.boxes_xyxy)] = self.box_classes
        return found

    def without_boxes(self) -> ImageWeakLabels:
        """The same weak labels without the boxes."""
        return replace(
            self,
            boxes_xyxy=self.boxes_xyxy[:0],
            box_classes=self.box_classes[:0],
            box_iscrowd=self.box_iscrowd[:0],
        )


def complete_marks(weak: ImageWeakLabels, classes: ClassTable) -> ImageWeakLabels:
    """Derive what marks imply: their objects, and the tags of the image and of the crops that contain them.

    A class with a mark is known to be in an image without crops, even if its tag was unknown.
    """
    if not len(weak.marks):
        return weak
    size = (weak.height, weak.width)
    marks = settle_owners(weak.marks, weak.boxes_xyxy, weak.box_classes, weak.box_iscrowd, classes.isthing, size)
    marked = classes.encode_tags(marks.classes.tolist())
    still_unknown = [train_id for train_id in weak.unknown_ids if len(weak.crops_xyxy) or not marked[train_id]]
    outside = marks.classes[marks.owners >= len(weak.boxes_xyxy)]
    return replace(
        weak,
        marks=marks,
        tags=weak.tags | marked,
        crop_tags=weak.crop_tags | find_marked_classes(marks, weak.crops_xyxy, size, len(classes)),
        unknown_ids=tuple(still_unknown),
        partly_boxed_ids=tuple(np.intersect1d(outside, weak.box_classes).tolist()),
    )
