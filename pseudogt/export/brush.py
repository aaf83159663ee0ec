"""Label Studio's brush masks: runs of RGBA values in a stream of bits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

CHANNELS = 4
WORD_BITS = 8
LENGTH_BITS = (4, 8, 12, 16)
LONGEST_RUN = 2 ** LENGTH_BITS[-1]


def encode_brush(mask: NDArray[np.bool_]) -> list[int]:
    """Bytes of a mask ``(H, W) bool``.

    The stream holds the number of values (32 bits), the width of a value less 1 (5 bits) and four widths
    of run lengths less 1 (4 bits each); then each run: a 1, two bits that choose the width of its length, the
    length less 1, the value. All four channels of a pixel are 255 or 0.
    """
    flat = mask.ravel()
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
