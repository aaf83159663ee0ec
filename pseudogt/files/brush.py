"""Label Studio's brush masks: a bit stream of runs of RGBA pixels, in thi.ng's *rle-pack* format.

The stream holds the number of values (32 bits), their width less 1 (5 bits) and four widths of run
lengths less 1 (4 bits each). Then follow blocks: one bit, 1 for a repeated value and 0 for distinct
ones; two bits that choose the width of a run length; the length less 1; the value or the values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from pseudogt.parsing.values import LARGEST_MASK_PX

CHANNELS = 4
"""Red, green, blue, alpha; all four of a brush mask are equal."""

WORD_BITS = 8
LENGTH_BITS = (4, 8, 12, 16)
LONGEST_RUN = 2 ** LENGTH_BITS[-1]


def encode_brush(mask: NDArray[np.bool_]) -> list[int]:
    """Bytes of a mask ``(H, W) bool``: repeated values only; all four channels of a pixel are 255 or 0."""
    flat = mask.ravel()
    # Starts of the runs of equal pixels, and their lengths in values, several to a pixel.
    edges = np.flatnonzero(np.diff(flat)) + 1
    starts = np.concatenate([[0], edges])
    lengths = np.diff(np.append(starts, flat.size)) * CHANNELS
    header = f"{flat.size * CHANNELS:032b}{WORD_BITS - 1:05b}" + "".join(f"{bits - 1:04b}" for bits in LENGTH_BITS)
    runs = "".join(
        _encode_run(part, value)
        for length, value in zip(lengths.tolist(), flat[starts].tolist(), strict=True)
        for part in _split_run(length)
    )
    bits = header + runs
    padded = bits + "0" * (-len(bits) % 8)
    return list(int(padded, 2).to_bytes(len(padded) // 8))


def _split_run(length: int) -> Iterator[int]:
    while length > LONGEST_RUN:
        yield LONGEST_RUN
        length -= LONGEST_RUN
    yield length


def _encode_run(length: int, value: bool) -> str:
    choice = next(i for i, bits in enumerate(LENGTH_BITS) if length <= 2**bits)
    return f"1{choice:02b}{length - 1:0{LENGTH_BITS[choice]}b}{'1' * WORD_BITS if value else '0' * WORD_BITS}"


def decode_brush(data: Sequence[int], height: int, width: int) -> NDArray[np.bool_]:
    """Mask ``(H, W) bool`` of a brush.

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


class BitReader:
    """Reads numbers of given widths from bytes, highest bit first."""

    def __init__(self, data: Sequence[int]) -> None:
        self._data = bytes(data)
        self._position = 0

    def read(self, width: int) -> int:
        """Return the next ``width`` bits as a number; ``ValueError`` at the end of the stream."""
        start, stop = self._advance(width)
        # Read the bytes that the bits lie in, and drop the bits after and before them.
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
