"""Label Studio's brush masks: a bit stream of runs (the *rle-pack* form of thi.ng) of RGBA pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pseudogt.annotations.geometry import LARGEST_MASK_PX

CHANNELS = 4
"""Red, green, blue, alpha; all four of a brush mask are equal."""


class BitReader:
    """Reads numbers of given widths from bytes, highest bit first."""

    def __init__(self, data: Sequence[int]) -> None:
        self._data = bytes(data)
        self._position = 0

    def read(self, width: int) -> int:
        """Return the next ``width`` bits as a number; ``ValueError`` at the end of the stream."""
        start, stop = self._advance(width)
        window = self._data[start // 8 : -(-stop // 8)]
        return (int.from_bytes(window) >> (-stop % 8)) & ((1 << width) - 1)

    def read_nonzero(self, width: int, count: int) -> NDArray[np.bool_]:
        """Whether each of the next ``count`` numbers is above 0."""
        start, stop = self._advance(width * count)
        window = np.frombuffer(self._data[start // 8 : -(-stop // 8)], np.uint8)
        bits = np.unpackbits(window)[start % 8 :][: stop - start]
        return bits.reshape(count, width).max(1) > 0

    def _advance(self, bits: int) -> tuple[int, int]:
        start, stop = self._position, self._position + bits
        if stop > 8 * len(self._data):
            raise ValueError("its run lengths end too early")
        self._position = stop
        return start, stop


def decode_brush(data: Sequence[int], height: int, width: int) -> NDArray[np.bool_]:
    """Mask ``(H, W)`` of a brush.

    The stream holds the number of values (32 bits), their width less 1 (5 bits) and four widths of
    run lengths less 1 (4 bits each). Then follow blocks: one bit, 1 for a repeated value and 0 for
    distinct ones; two bits that choose the width of a run length; the length less 1; the value or
    the values.

    Raises
    ------
    ValueError
        If the stream is broken or does not fill the mask.
    """
    size = height * width * CHANNELS
    if height * width > LARGEST_MASK_PX:
        raise ValueError(f"a mask of {width}x{height} pixels is too large")
    reader = BitReader(data)
    if reader.read(32) != size:
        raise ValueError(f"its run lengths are not those of an image of {width}x{height} pixels")
    word = reader.read(5) + 1
    widths = [reader.read(4) + 1 for _ in range(4)]
    values = np.zeros(size, bool)
    position = 0
    while position < size:
        repeated = reader.read(1)
        end = position + 1 + reader.read(widths[reader.read(2)])
        if end > size:
            raise ValueError("its run lengths go beyond the image")
        values[position:end] = reader.read(word) > 0 if repeated else reader.read_nonzero(word, end - position)
        position = end
    return values.reshape(height, width, CHANNELS)[..., -1]
