"""The box segmenters by name: each is prepared once per image, then asked for every box."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pseudogt.boxes import measure_box_radius
from pseudogt.grabcut import segment_by_grabcut
from pseudogt.hierarchy import build_hierarchy, segment_by_hierarchy

BoxSegmenter = Callable[[NDArray[np.int32], NDArray[np.int32]], NDArray[np.bool_]]
"""From a box ``(4,)`` and the other boxes ``(M, 4)`` of the image to a mask ``(h, w)`` in the box."""


def prepare_grabcut(image: NDArray[np.uint8], seed: int) -> BoxSegmenter:
    """GrabCut, see :func:`pseudogt.grabcut.segment_by_grabcut`."""
    return lambda box, others: segment_by_grabcut(image, box, others, seed=seed)


def prepare_hierarchy(image: NDArray[np.uint8], seed: int) -> BoxSegmenter:
    """Regions of a contour hierarchy, see :func:`pseudogt.hierarchy.segment_by_hierarchy`; not random."""
    hierarchy = build_hierarchy(image)
    return lambda box, others: segment_by_hierarchy(hierarchy, box)


def prepare_ellipse(image: NDArray[np.uint8], seed: int) -> BoxSegmenter:
    """Fill the ellipse that touches the sides of the box, whatever the image; not random."""
    return lambda box, others: measure_box_radius(box[3] - box[1], box[2] - box[0]) <= 1


BOX_SEGMENTERS: dict[str, Callable[[NDArray[np.uint8], int], BoxSegmenter]] = {
    "grabcut": prepare_grabcut,
    "hierarchy": prepare_hierarchy,
    "ellipse": prepare_ellipse,
}
"""From an image ``(H, W, 3) uint8 RGB`` and a seed to a segmenter of its boxes."""
