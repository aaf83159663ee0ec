"""Masks of boxes, stored in files that processes, nodes and later runs share, so that each is computed once.

There is one file for each image and way to segment it, named by a digest of both: ``MAGIC``, the number of masks and
the checksum of the table (4 bytes each, little endian), the table (``ENTRY``), and the masks, a compressed bit for each
pixel of the box. To add masks, a process rewrites the whole file and renames it. Readers therefore see complete
files, on network disks too, where appending is not atomic. Of two processes that add to the same image at the same
time, the masks of one may be lost; they are then computed again. One file per image is as many as the dataset has;
larger ones would have to be locked.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
import time
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pseudogt.evidence.grabcut import BoxMask
from pseudogt.files.io import replace_atomically

MAGIC = b"boxmask1"
HEAD = struct.Struct("<8sII")
ENTRY = np.dtype([("box_xyxy", "<i4", 4), ("length", "<u4"), ("checksum", "<u4")])
"""Entry of a mask: its box, the number of its compressed bytes, and their CRC-32."""

COMPRESSION = 1
"""Level of zlib: the fastest halves masks several times already."""

Box = tuple[int, int, int, int]
SegmentBox = Callable[[Box], BoxMask]
PrepareImage = Callable[[NDArray[np.uint8]], SegmentBox]
"""From an image to a function that gives the mask of a box in it, which several threads call."""


@dataclass(frozen=True)
class MaskStore:
    """A folder of masks.

    Attributes
    ----------
    folder : Path
        Made when the first masks are added; it may be deleted whenever no run uses it.
    method : mapping
        All that masks depend on beside image and box, as plain values: parameters, versions of the code.
    """

    folder: Path
    method: Mapping[str, Any]

    def locate(self, image: NDArray[np.uint8]) -> Path:
        """File of the masks of an image ``(H, W, 3)``: its pixels count, its name doesn't."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(json.dumps([dict(self.method), image.shape], sort_keys=True).encode())
        digest.update(np.ascontiguousarray(image).data)
        name = digest.hexdigest()
        return self.folder / name[:2] / f"{name[2:]}.masks"


def pack_mask(mask: BoxMask) -> bytes:
    """Compress a mask, a bit for each pixel."""
    return zlib.compress(np.packbits(mask.mask).tobytes(), COMPRESSION)


def unpack_mask(box: Box, packed: bytes) -> BoxMask:
    """Inverse of :func:`pack_mask`."""
    height, width = box[3] - box[1], box[2] - box[0]
    bits = np.frombuffer(zlib.decompress(packed), np.uint8)
    return BoxMask(box[:2], np.unpackbits(bits, count=height * width).astype(bool).reshape(height, width))


def write_mask_file(path: Path, packed: Mapping[Box, bytes]) -> None:
    """Write a file of compressed masks; it appears under its name when it is complete."""
    table = np.zeros(len(packed), ENTRY)
    table["box_xyxy"] = np.array(list(packed), np.int32).reshape(-1, 4)
    table["length"] = [len(mask) for mask in packed.values()]
    table["checksum"] = [zlib.crc32(mask) for mask in packed.values()]
    head = HEAD.pack(MAGIC, len(table), zlib.crc32(table.tobytes()))
    with replace_atomically(path) as temporary:
        temporary.write_bytes(b"".join([head, table.tobytes(), *packed.values()]))


def read_mask_file(path: Path) -> dict[Box, bytes]:
    """Compressed masks of a file, if there is one; what differs from its checksum is reported and left out."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    magic, count, checksum = HEAD.unpack_from(content.ljust(HEAD.size, b"\0"))
    start = HEAD.size + count * ENTRY.itemsize
    if magic != MAGIC or len(content) < start or zlib.crc32(content[HEAD.size : start]) != checksum:
        _warn(f"{path} is damaged; its masks are computed again")
        return {}
    table = np.frombuffer(content, ENTRY, count, HEAD.size)
    masks = {}
    for box, length, expected in table.tolist():
        mask = content[start : start + length]
        start += length
        if len(mask) == length and zlib.crc32(mask) == expected:
            masks[tuple(box)] = mask
    if len(masks) < count:
        _warn(f"{path}: {count - len(masks)} of {count} masks are damaged; they are computed again")
    return masks


def _warn(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr)


class MaskFinder:
    """Finds masks of boxes: in a store, or by computing and adding them. What it finds never depends on the store.

    Parameters
    ----------
    store : MaskStore
    prepare : callable
        How an image whose masks are not all in the store is prepared.
    workers : int
        Threads that compute.

    Attributes
    ----------
    counts : dict
        Masks that were ``asked`` for and ``computed``, and the ``seconds`` until they were there.
    """

    def __init__(self, store: MaskStore, prepare: PrepareImage, *, workers: int) -> None:
        self._store, self._prepare = store, prepare
        self._pool = ThreadPoolExecutor(workers)
        self.counts: dict[str, float] = {"asked": 0, "computed": 0, "seconds": 0.0}

    def find_masks(self, image: NDArray[np.uint8], boxes_xyxy: NDArray[np.integer]) -> list[BoxMask]:
        """Masks of boxes ``(N, 4)`` of an image ``(H, W, 3)``."""
        start = time.perf_counter()
        boxes: list[Box] = [tuple(box) for box in boxes_xyxy.tolist()]
        path = self._store.locate(image)
        packed = read_mask_file(path)
        found = {box: unpack_mask(box, packed[box]) for box in boxes if box in packed}
        if missing := [box for box in dict.fromkeys(boxes) if box not in packed]:
            computed = dict(zip(missing, self._pool.map(self._prepare(image), missing), strict=True))
            # Read again: another process may have added masks meanwhile.
            write_mask_file(path, read_mask_file(path) | {box: pack_mask(mask) for box, mask in computed.items()})
            found |= computed
        new = {"asked": len(found), "computed": len(missing), "seconds": time.perf_counter() - start}
        self.counts = {name: value + new[name] for name, value in self.counts.items()}
        return [found[box] for box in boxes]
