"""Evidence for masks in boxes of proposals: GrabCut or the proposal's own segment, kept once it is computed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from pseudogt.boxes import box_slices, check_boxes
from pseudogt.proposals.members import Members

LONG_SIDE_PX = 400
ITERATIONS = 5
MIN_AREA_PX = 9
BORDER_PX = 3
"""A box as large as the image is shrunk by this on every side: GrabCut needs something outside."""


class BoxMask(NamedTuple):
    """A mask in a part of an image; false elsewhere.

    Attributes
    ----------
    origin_xy : (x, y)
        Upper left corner of the part.
    mask : (h, w) bool
    """

    origin_xy: tuple[int, int]
    mask: NDArray[np.bool_]


def segment_by_plain_grabcut(image: NDArray[np.uint8], box_xyxy: ArrayLike, *, seed: int = 0) -> BoxMask:
    """GrabCut from a rectangle, with the image at 400 pixels (JTSM's object evidence).

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    box_xyxy : (4,) int
        Half-open, inside the image.
    seed : int
        Of OpenCV's generator.

    Returns
    -------
    BoxMask
        The filled box if it has fewer than 9 pixels at that scale, or if GrabCut leaves nothing of it.

    Raises
    ------
    ValueError
        For a box that is inverted, empty or outside the image.
    """
    box = check_boxes(box_xyxy, image.shape[:2])[0]
    height, width = image.shape[:2]
    scale = LONG_SIDE_PX / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    # The box in pixels of the resized image.
    x0, y0, x1, y1 = (int(v * s) for v, s in zip(box, (size[0] / width, size[1] / height) * 2, strict=True))
    origin, filled = (int(box[0]), int(box[1])), np.ones((box[3] - box[1], box[2] - box[0]), bool)
    if (x1 - x0) * (y1 - y0) < MIN_AREA_PX:
        return BoxMask(origin, filled)
    if (x1 - x0) * (y1 - y0) >= size[0] * size[1]:
        x0, y0, x1, y1 = BORDER_PX, BORDER_PX, size[0] - BORDER_PX, size[1] - BORDER_PX
        if x1 <= x0 or y1 <= y0:
            return BoxMask(origin, filled)
    small = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    states = np.zeros(small.shape[:2], np.uint8)
    cv2.setRNGSeed(seed)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(small, states, (x0, y0, x1 - x0, y1 - y0), *models, ITERATIONS, cv2.GC_INIT_WITH_RECT)
    # Odd states are object, surely or probably; resize them to the image and cut at one half.
    share = cv2.resize((states & 1).astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    found = np.asarray(share)[box_slices(box)] >= 0.5
    return BoxMask(origin, found if found.any() else filled)


def take_segment(superpixels: NDArray[np.int32], members: Members, row: int, box_xyxy: ArrayLike) -> BoxMask:
    """The segment of one of the proposals in a map of superpixels ``(H, W)``, cut at its box ``(4,)``."""
    box = check_boxes(box_xyxy, superpixels.shape)[0]
    return BoxMask((int(box[0]), int(box[1])), members.mask(row, superpixels[box_slices(box)]))


class EvidenceCache:
    """Masks of (image, proposal), computed by threads when first asked for.

    Parameters
    ----------
    compute : callable
        From the number of an image and the row of a proposal to its mask.
    capacity_gb : float
        Memory for masks, a bit for each pixel; those not asked for longest are dropped.
    workers : int
        Threads.
    """

    def __init__(self, compute: Callable[[int, int], BoxMask], *, capacity_gb: float, workers: int) -> None:
        self._compute = compute
        self._capacity = capacity_gb * 2**30
        self._used = 0
        self._kept: OrderedDict[tuple[int, int], tuple[tuple[int, int], tuple[int, ...], NDArray[np.uint8]]]
        self._kept = OrderedDict()
        self._pool = ThreadPoolExecutor(workers)

    def find_masks(self, keys: Sequence[tuple[int, int]]) -> list[BoxMask]:
        """Masks of several (image, row)."""
        missing = list(dict.fromkeys(key for key in keys if key not in self._kept))
        computed = dict(zip(missing, self._pool.map(lambda key: self._compute(*key), missing), strict=True))
        # Read the kept masks before the new ones push any of them out.
        found = [computed[key] if key in computed else self._unpack(key) for key in keys]
        for key, mask in computed.items():
            self._keep(key, mask)
        return found

    def _keep(self, key: tuple[int, int], mask: BoxMask) -> None:
        packed = np.packbits(mask.mask)
        self._kept[key] = (mask.origin_xy, mask.mask.shape, packed)
        self._used += packed.nbytes
        while self._used > self._capacity and self._kept:
            _, (_, _, dropped) = self._kept.popitem(last=False)
            self._used -= dropped.nbytes

    def _unpack(self, key: tuple[int, int]) -> BoxMask:
        self._kept.move_to_end(key)
        origin, shape, packed = self._kept[key]
        return BoxMask(origin, np.unpackbits(packed, count=int(np.prod(shape))).astype(bool).reshape(shape))
