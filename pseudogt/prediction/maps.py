"""What a panoptic network takes and gives, as plain arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

OUTPUT_STRIDE = 4
"""Pixels per cell of centres and offsets; those of the classes are half as large."""

SIZE_MULTIPLE = 32
"""Images must be a multiple of this large, so that the features of all strides align."""

MIRRORED = np.array([1, -1], np.float32)[:, None, None]
"""Signs of the offsets (y, x) in a mirror image."""

HALF = np.float32(0.5)


class PanopticMaps(NamedTuple):
    """Output of the bottom-up network, float32, with (h, w) at ``OUTPUT_STRIDE``; batches have an axis in front.

    Attributes
    ----------
    semantic : (C, 2 h, 2 w)
        Logits of the classes.
    centre : (1, h, w)
        Heatmap of instance centres, about 0 to 1.
    offset : (2, h, w)
        From each cell to its instance's centre, (y, x) in pixels of the network's input.
    """

    semantic: NDArray[np.float32]
    centre: NDArray[np.float32]
    offset: NDArray[np.float32]

    def average_with_mirrored(self, mirrored: PanopticMaps) -> PanopticMaps:
        """Average with the maps of the mirror image."""
        semantic, centre, offset = (values[..., ::-1] for values in mirrored)
        pairs = zip(self, (semantic, centre, offset * MIRRORED), strict=True)
        return PanopticMaps(*(HALF * (a + b) for a, b in pairs))

    def crop(self, height: float, width: float) -> PanopticMaps:
        """Keep these shares of the maps, from the top and from the left."""
        return PanopticMaps(*(crop_map(values, height, width) for values in self))


class MaskMaps(NamedTuple):
    """Output of a mask transformer, float32; L predictions of Q queries, of which the last is the best.

    Attributes
    ----------
    semantic : (C, h, w)
        Logits of the classes: logarithms of the sum over all queries of class probability times mask.
    classes : (L, Q, C + 1)
        Logits of the class of each query; the last class is "nothing".
    masks : (L, Q, h, w)
        Logits of the mask of each query.
    """

    semantic: NDArray[np.float32]
    classes: NDArray[np.float32]
    masks: NDArray[np.float32]

    def average_with_mirrored(self, mirrored: MaskMaps) -> MaskMaps:
        """Average the classes of pixels with those of the mirror image, whose queries need not be the same."""
        return self._replace(semantic=HALF * (self.semantic + mirrored.semantic[..., ::-1]))

    def crop(self, height: float, width: float) -> MaskMaps:
        """Keep these shares of the maps, from the top and from the left."""
        semantic, masks = (crop_map(values, height, width) for values in (self.semantic, self.masks))
        return self._replace(semantic=semantic, masks=masks)


Maps: TypeAlias = PanopticMaps | MaskMaps

RunNetwork: TypeAlias = Callable[[NDArray[np.uint8]], Maps]
"""From images ``(B, H, W, 3) uint8`` RGB, a multiple of ``SIZE_MULTIPLE`` high and wide, to their maps."""


def crop_map(values: NDArray[np.float32], height: float, width: float) -> NDArray[np.float32]:
    """The upper left part of maps ``(..., h, w)``, of the given shares of their height and width."""
    return values[..., : round(values.shape[-2] * height), : round(values.shape[-1] * width)]


def choose_network_size(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """Return the multiple of ``SIZE_MULTIPLE`` nearest to an image's scaled size (H, W), at least one each way."""
    height, width = (max(1, round(extent * scale / SIZE_MULTIPLE)) * SIZE_MULTIPLE for extent in size)
    return height, width


def average_with_mirror(run: RunNetwork) -> RunNetwork:
    """A function that runs the network on images and on their mirror images, and averages the maps."""

    def run_twice(images: NDArray[np.uint8]) -> Maps:
        mirrored = run(np.ascontiguousarray(images[:, :, ::-1]))
        return run(images).average_with_mirrored(mirrored)  # type: ignore[arg-type]  # both are of one network

    return run_twice
