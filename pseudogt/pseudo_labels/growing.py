"""Instances grown from marks, for objects without a box."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pseudogt.pseudo_labels.instances import NO_OWNER
from pseudogt.weak_labels.labelled import LabelledPixels


def grow_objects(
    semantic: NDArray[np.uint8],
    owner: NDArray[np.int32],
    labelled: LabelledPixels,
    object_classes: NDArray[np.uint8],
    box_count: int,
) -> NDArray[np.int32]:
    """Give thing pixels that no box owns to the objects that marks show.

    An object owns its labelled pixels, and of the connected region of its class around them what is nearer to it,
    on a way inside the region, than to other objects without box.

    Parameters
    ----------
    semantic : (H, W) uint8
        Train ids.
    owner : (H, W) int32
        Position of a box, ``NO_OWNER`` in none.
    labelled : LabelledPixels
    object_classes : (M,) uint8
        Train ids of the objects: of the boxes, then of those without box.
    box_count : int

    Returns
    -------
    (H, W) int32
        Number of an object. Regions without a labelled pixel have ``NO_OWNER`` still.
    """
    from skimage.segmentation import watershed

    grown = owner.copy()
    settled = labelled.take(labelled.owners >= 0)
    fits = semantic[settled.rows, settled.columns] == object_classes[settled.owners]
    settled = settled.take(fits)
    grown[settled.rows, settled.columns] = settled.owners
    free = settled.take(settled.owners >= box_count)
    for train_id in np.unique(free.classes):
        of_class = free.take(free.classes == train_id)
        markers = np.zeros(semantic.shape, np.int32)
        markers[of_class.rows, of_class.columns] = of_class.owners + 1
        # On a flat image, watersheds lie where the ways from two markers are of one length.
        region = (semantic == train_id) & ((owner == NO_OWNER) | (markers > 0))
        flooded = watershed(np.zeros(semantic.shape, np.uint8), markers, mask=region)
        reached = flooded > 0
        grown[reached] = flooded[reached] - 1
    return grown
