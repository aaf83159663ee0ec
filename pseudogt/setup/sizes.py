"""At what size images are trained on: what one window shows must suffice to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pseudogt.annotations.form import Reading
from pseudogt.config.augmentation import AugmentationSettings
from pseudogt.files.headers import read_header

SAMPLED = 200
"""Images whose size is read, spread evenly."""

LARGE = 0.9
"""Share of the images that are at most as large as those that the sizes suit."""

LONG_SIDE_PX = 640
"""Longest side of an image that a small network without a GPU learns from and predicts in reasonable time."""

WINDOW_PX = 320
"""Longest side of a window, for the same reason."""

LEAST_BOX_PX = 32
"""Images are not made so small that the usual box falls below this size."""

ROOM = 1.1
"""Windows exceed what they must show by this factor, which leaves room for the enlargement of images."""

MULTIPLE_PX = 32
"""Sides of windows are multiples of this, the stride of the deepest features."""


class SizeSetting(NamedTuple):
    """A setting with the reason for its value."""

    section: str
    key: str
    value: float
    reason: str


def propose_sizes(
    paths: Sequence[str], reading: Reading | None, tagged: tuple[float, float] | None
) -> list[SizeSetting]:
    """Windows and scales for the sizes of the images; nothing if the defaults suit them.

    Parameters
    ----------
    paths : sequence of str
        Images to train on.
    reading : Reading, optional
        Boxes.
    tagged : tuple of float, optional
        Height and width of the areas that tags belong to, as shares of the image; None if only boxes are learned from.
    """
    sizes = sample_sizes(paths)
    if not len(sizes):
        return []
    height, width = np.quantile(sizes, LARGE, axis=0, method="higher").tolist()
    default = AugmentationSettings().crop_size
    if height * ROOM <= default[0] and width * ROOM <= default[1]:
        return []
    boxes_px = measure_boxes(reading, sizes) if reading is not None else np.zeros(0)
    usual_px, large_px = np.quantile(boxes_px, (0.5, 0.75)).tolist() if len(boxes_px) else (np.inf, 1)
    fitting = max(LONG_SIDE_PX / max(height, width), LEAST_BOX_PX / usual_px)
    tagged_px = max(height * tagged[0], width * tagged[1]) if tagged else 1
    must_show = WINDOW_PX / ROOM / max(tagged_px, large_px)
    # Rounded down to thousandths, as a little more might not fit.
    scales = [max(np.floor(1000 * min(1, scale)) / 1000, 0.001) for scale in (min(fitting, must_show), fitting)]
    sides = np.ceil(ROOM * scales[0] * np.array([height, width]) / MULTIPLE_PX) * MULTIPLE_PX
    crop = np.minimum(sides, WINDOW_PX).astype(int).tolist()
    shown = "a window then shows nearly all that a tag belongs to" if must_show < fitting else "as for the segmenter"
    finer = "raise it, if you have a GPU, for finer borders and small objects"
    settings = [
        SizeSetting("augmentation", "crop_height_px", crop[0], f"most images have at most {height}x{width} px"),
        SizeSetting("augmentation", "crop_width_px", crop[1], "larger windows show more and take longer"),
        SizeSetting("classifier", "scale", float(scales[0]), shown),
        SizeSetting("segmenter", "scale", float(scales[1]), finer),
    ]
    return [setting for setting in settings if setting.key != "scale" or setting.value < 1]


def sample_sizes(paths: Sequence[str]) -> NDArray[np.int64]:
    """Height and width ``(N, 2)`` of images, evenly spread over the paths; what can't be read is left out."""
    places = np.unique(np.linspace(0, len(paths) - 1, min(SAMPLED, len(paths))).astype(int))
    found = [read_size(paths[place]) for place in places]
    return np.array([size for size in found if size], np.int64).reshape(-1, 2)


def read_size(path: str) -> tuple[int, int] | None:
    """Height and width of an image; None if it can't be read, which the check says."""
    try:
        header = read_header(path)
    except ValueError:
        return None
    return header.height, header.width


def measure_boxes(reading: Reading, sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sides ``(N,)`` in pixels of squares as large as the boxes."""
    usual = float(np.median(sizes.prod(axis=1)))
    areas = [
        (box.xyxy[2] - box.xyxy[0]) * (box.xyxy[3] - box.xyxy[1]) * (usual if image.relative else 1)
        for image in reading.images
        for box in image.boxes
    ]
    return np.sqrt([area for area in areas if area > 0])
