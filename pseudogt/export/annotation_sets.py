"""Labels of what annotation tools write: the masks of an image painted into one label."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pseudogt.annotations.form import AnnotatedBox, ImageAnnotations, Reading
from pseudogt.annotations.geometry import decode_segmentation
from pseudogt.classes import INSTANCE_DIVISOR, VOID, ClassTable
from pseudogt.export.segments import assign_panoptic_ids, paint

Rasteriser = Callable[[AnnotatedBox, int, int], NDArray[np.bool_]]
"""From an object and the height and width of its image to its mask ``(H, W)``."""


def rasterise(box: AnnotatedBox, height: int, width: int) -> NDArray[np.bool_]:
    """Mask ``(H, W)`` of an object in pixels, polygons as COCO fills them.

    Raises
    ------
    ValueError
        If the object has a box only.
    """
    if box.segmentation is None:
        raise ValueError(f"an object of class {box.label!r} has no mask; a full label needs masks or polygons")
    return decode_segmentation(box.segmentation, height, width)


class AnnotationSet:
    """Label set of a reading; images are named as the source names them.

    Parameters
    ----------
    reading : Reading
    classes : ClassTable
    rasterise : callable
    background : int, optional
        Train id of the stuff class for pixels that no mask covers; by default they are void.
    """

    def __init__(
        self,
        reading: Reading,
        classes: ClassTable,
        rasterise: Rasteriser = rasterise,
        background: int | None = None,
    ) -> None:
        faults = reading.list_faults()
        if faults:
            raise ValueError("\n".join(faults))
        self._images = {image.file_name: image for image in reading.images if image.boxed}
        self._classes = classes
        self._rasterise = rasterise
        self._empty = VOID if background is None else classes.category_ids[background] * INSTANCE_DIVISOR

    @property
    def image_ids(self) -> list[str]:
        """Names in file order."""
        return list(self._images)

    def count_objects(self, image_id: str) -> int:
        """Number of objects in one image."""
        return len(self._images[image_id].boxes)

    def read(self, image_id: str) -> NDArray[np.int32]:
        """Panoptic ids ``(H, W) int32`` of one image.

        Things are numbered in file order, crowds get number 0. Where masks overlap the smaller one lies on top.
        """
        image = self._images[image_id]
        try:
            return self._paint(image)
        except ValueError as error:
            raise ValueError(f"{image_id}: {error}") from error

    def _paint(self, image: ImageAnnotations) -> NDArray[np.int32]:
        if image.height is None or image.width is None:
            raise ValueError("the annotations do not say how large the image is")
        train_ids = {name: train_id for train_id, name in enumerate(self._classes.names)}
        unknown = sorted({box.label for box in image.boxes} - set(train_ids))
        if unknown:
            raise ValueError(f"class {unknown[0]!r} is not in the class table, which has {', '.join(train_ids)}")
        masks = [self._rasterise(box, image.height, image.width) for box in image.boxes]
        names = (
            (train_ids[b.label], str(self._classes.category_ids[train_ids[b.label]] * INSTANCE_DIVISOR * b.iscrowd))
            for b in image.boxes
        )
        ids = assign_panoptic_ids(names, self._classes)
        order = sorted(range(len(masks)), key=lambda i: -int(masks[i].sum()))
        panoptic_id = paint((image.height, image.width), ((ids[i], (0, 0), masks[i]) for i in order))
        panoptic_id[panoptic_id == VOID] = self._empty
        return panoptic_id
