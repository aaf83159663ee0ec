"""8-bit PNG with a palette, and the colours in it."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pseudogt.classes import ClassTable
from pseudogt.files.io import replace_atomically


def write_palette_png(path: Path, values: NDArray[np.uint8], palette: NDArray[np.uint8]) -> None:
    """Write ``(H, W) uint8`` with the 256 colours of ``palette`` ``(256, 3) uint8``, atomically."""
    image = Image.fromarray(values)
    image.putpalette(palette.tobytes())
    with replace_atomically(path) as temporary:
        image.save(temporary, compress_level=3, compress_type=zlib.Z_RLE)


def number_colours() -> NDArray[np.uint8]:
    """Colours ``(256, 3) uint8`` of numbers, as PASCAL VOC has them.

    The bits of a number are dealt in turn to red, green and blue, the lowest bits to the highest bits
    of the channels, so that neighbours look different; 0 is black, 255 cream.
    """
    index, channel = np.arange(256)[:, None], np.arange(3)
    bits = [((index >> (3 * bit + channel)) & 1) << (7 - bit) for bit in range(8)]
    return np.sum(bits, axis=0).astype(np.uint8)


def write_class_csv(path: Path, classes: ClassTable, values: NDArray[np.integer]) -> None:
    """Write the class table with values ``(C,)`` of the file in ``source_id``: ``dataset.classes`` reads it."""
    rows = ["name,id,isthing,color,source_id"]
    for name, category_id, thing, color, value in zip(
        classes.names, classes.category_ids, classes.isthing, classes.colors, values.tolist(), strict=True
    ):
        quoted = '"' + name.replace('"', '""') + '"' if set(name) & set(',"\n') else name
        rows.append(f"{quoted},{category_id},{int(thing)},#{bytes(color).hex()},{value}")
    with replace_atomically(path) as temporary:
        temporary.write_text("\n".join(rows) + "\n", encoding="utf-8")
