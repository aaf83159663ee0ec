"""The authors' palette and class names, and label PNGs that carry the palette."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pseudogt.files.images import read_png
from pseudogt.files.io import replace_atomically

CITYSCAPES_COLORS = {
    "road": (128, 64, 128),
    "sidewalk": (244, 35, 232),
    "building": (70, 70, 70),
    "wall": (102, 102, 156),
    "fence": (190, 153, 153),
    "pole": (153, 153, 153),
    "traffic light": (250, 170, 30),
    "traffic sign": (220, 220, 0),
    "vegetation": (107, 142, 35),
    "terrain": (152, 251, 152),
    "sky": (70, 130, 180),
    "person": (220, 20, 60),
    "rider": (255, 0, 0),
    "car": (0, 0, 142),
    "truck": (0, 0, 70),
    "bus": (0, 60, 100),
    "train": (0, 80, 100),
    "motorcycle": (0, 0, 230),
    "bicycle": (119, 11, 32),
}
"""Name -> RGB in the order of the Cityscapes train ids."""

CLASS_NAMES = tuple(CITYSCAPES_COLORS)


def make_palette() -> NDArray[np.uint8]:
    """The authors' palette ``(256, 3) uint8``: Cityscapes colours, then those of PASCAL VOC, black for 255.

    PASCAL VOC's colour of ``i`` deals the bits of ``i`` in turn to red, green and blue, the lowest
    bits to the highest bits of the channels.
    """
    index = np.arange(256)[:, None]
    channel = np.arange(3)
    # Bit 3 b + c of the index becomes bit 7 - b of channel c.
    palette = sum(((index >> (3 * bit + channel)) & 1) << (7 - bit) for bit in range(8)) + np.zeros((256, 3), int)
    palette[: len(CLASS_NAMES)] = list(CITYSCAPES_COLORS.values())
    palette[255] = 0
    return palette.astype(np.uint8)


def read_label(path: Path) -> NDArray[np.uint8]:
    """Label ``(H, W) uint8`` of an 8-bit PNG, palette images as indices.

    Raises
    ------
    ValueError
        If the file is missing, broken, in colour or has 16 bits; the message names it.
    """
    label = read_png(path)
    if label.dtype != np.uint8:
        raise ValueError(f"{path}: expected an 8-bit PNG of train ids, found {label.dtype}")
    return label


def write_label(path: Path, label: NDArray[np.uint8], palette: NDArray[np.uint8]) -> None:
    """Write ``(H, W) uint8`` as an 8-bit PNG with the 256 colours of ``palette`` ``(256, 3) uint8``, atomically."""
    image = Image.fromarray(label)
    image.putpalette(palette.tobytes())
    with replace_atomically(path) as temporary:
        image.save(temporary, compress_level=3, compress_type=zlib.Z_RLE)  # smaller and faster than the default
