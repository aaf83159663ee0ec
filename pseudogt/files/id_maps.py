"""Maps of panoptic ids as RGB PNG files, ``id = R + 256 G + 65536 B``.

Labels are written without PNG's row filters. Such a file inflates to the ids themselves, so reading it takes a third
of the time of a general decoder, a sixth with the package isal. Any other file must be read by OpenCV.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

UNFILTERED = (
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE),
)
"""Parameters of ``cv2.imencode``. The level comes first, since it resets the strategy; run lengths (RLE) of single
bytes would not compress colours that alternate."""

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PLAIN_RGB = (8, 2, 0, 0, 0)
"""Fields of the header behind the size: 8 bits, RGB, deflate, adaptive filters, not interlaced."""


def _choose_inflater() -> Any:
    """The module isal if it is installed, which has the interface of zlib and gives the same bytes in half the time."""
    try:
        return import_module("isal.isal_zlib")
    except ImportError:
        return zlib


INFLATER = _choose_inflater()

STREAM_HEADER = 2
"""Bytes of a zlib stream before the compressed data."""

BLOCK = 32
"""Rows that are inflated at once."""


def read_unfiltered(path: Path) -> NDArray[np.int32] | None:
    """Ids ``(H, W) int32`` of a complete, plain RGB file whose rows have no filter; None for any other file."""
    chunks = list(_split_chunks(path.read_bytes())) if path.is_file() else []
    if not chunks or chunks[0][0] != b"IHDR" or chunks[-1][0] != b"IEND":
        return None
    width, height, *kind = struct.unpack(">IIBBBBB", chunks[0][1])
    if tuple(kind) != PLAIN_RGB:
        return None
    compressed = b"".join(content for name, content in chunks if name == b"IDAT")
    return _inflate_rows(compressed, height, width)


def _inflate_rows(compressed: bytes, height: int, width: int) -> NDArray[np.int32] | None:
    """Inflate blocks of rows, which stay in the processor's cache, and put together the bytes of their ids.

    The checksums of the chunks cover the data, so the slower one over the pixels is not computed.
    """
    panoptic_id = np.empty((height, width), np.int32)
    rgba = panoptic_id.astype("<i4", copy=False).view(np.uint8).reshape(height, width, 4)
    inflater, rest, stride = INFLATER.decompressobj(-zlib.MAX_WBITS), compressed[STREAM_HEADER:], 1 + 3 * width
    for first in range(0, height, BLOCK):
        count = min(BLOCK, height - first)
        try:
            rows = inflater.decompress(rest, count * stride)
        except INFLATER.error:
            return None
        if len(rows) != count * stride or any(rows[::stride]):
            return None
        rest = inflater.unconsumed_tail
        # A row is the byte of its filter, 0 for none, and its pixels.
        rgb = np.ndarray((count, width, 3), np.uint8, rows, offset=1, strides=(stride, 3, 1))
        block = slice(first, first + count)
        cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA, dst=rgba[block])
        panoptic_id[block] &= 0xFFFFFF
    return panoptic_id


def _split_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and contents of the chunks of a PNG file, up to the first that is cut or damaged."""
    position = len(SIGNATURE) if data.startswith(SIGNATURE) else len(data)
    while position + 12 <= len(data):
        size, name = struct.unpack_from(">I4s", data, position)
        end = position + 8 + size
        content = data[position + 8 : end]
        if end + 4 > len(data) or zlib.crc32(content, zlib.crc32(name)) != struct.unpack_from(">I", data, end)[0]:
            return
        yield name, content
        position = end + 4
