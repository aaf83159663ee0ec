"""Reading photos and single-channel maps, writing PNG; every write is atomic."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pseudogt.files.headers import check_pixels, check_planes, describe_unreadable, open_image, read_header
from pseudogt.files.io import replace_atomically
from pseudogt.parsing.contents import describe_missing

JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
TIFF_STARTS = (b"II", b"MM")
JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""Marker in the compressed pixels of a JPEG, other than those that restart the decoder."""

PNG_FAST = (cv2.IMWRITE_PNG_COMPRESSION, 3, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)


def read_image(path: Path | str) -> NDArray[np.uint8]:
    """Upright image ``(H, W, 3) uint8 RGB``; grey and RGBA files are converted, 16 bits scaled to 8.

    Of 16 bits, those in use are found from the largest value of the image: 8, 10, 12, 14 or 16. Their upper 8 are
    kept, so that the 12-bit image of a microscope, stored in 16 bits, is not nearly black.

    Raises
    ------
    ValueError
        If the file is missing, truncated, no image, or of other pixels than whole numbers of 8 or 16 bits; the
        message names it.
    """
    image = decode_image(path, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if image.dtype == np.uint16:
        image = scale_to_bytes(image)
    if image.dtype != np.uint8:
        raise ValueError(f"{path}: has {image.dtype} pixels; convert it to 8 bits, or to 16 bits without sign")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


def scale_to_bytes(image: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Upper 8 of the bits that an image ``(H, W)`` or ``(H, W, 3)`` uses, see :func:`read_image`."""
    largest = int(image.max(initial=0))
    unused = next(bits for bits in (8, 10, 12, 14, 16) if largest < 2**bits) - 8
    return (image >> unused).astype(np.uint8)


def read_png(path: Path | str) -> NDArray[Any]:
    """Values of a single-channel 8- or 16-bit PNG ``(H, W)``, palette images as indices."""
    with open_image(path) as file:
        values = np.array(file)
    if values.ndim != 2:
        raise ValueError(
            f"{path}: expected one channel, found shape {values.shape}; save it as a map of values, in grey or with a "
            "palette, not as a picture"
        )
    if values.dtype == bool:
        return values.astype(np.uint8)
    if values.dtype.kind == "f" or values.min(initial=0) < 0 or values.max(initial=0) > np.iinfo(np.uint16).max:
        raise ValueError(f"{path}: has values other than whole numbers from 0 to 65535; save it with 8 or 16 bits")
    return values.astype(np.uint16) if values.dtype == np.int32 else values


def write_png(path: Path | str, values: NDArray[Any]) -> None:
    """Write ``(H, W)`` uint8/uint16 or ``(H, W, 3)`` RGB uint8 as PNG, atomically."""
    with replace_atomically(path) as temporary:
        _encode_png(temporary, values)


def _encode_png(path: Path, values: NDArray[Any]) -> None:
    if values.ndim == 3:
        values = cv2.cvtColor(values, cv2.COLOR_RGB2BGR)
    write_encoded(path, values, PNG_FAST)


def write_encoded(path: Path, values: NDArray[Any], options: Sequence[int]) -> None:
    """Write pixels in the order of OpenCV, in the format that the suffix names.

    ``cv2.imwrite`` does not notice if a disk is full when it writes the last bytes: it leaves a cut file.
    """
    path.write_bytes(cv2.imencode(path.suffix, values, options)[1].tobytes())


def decode_image(path: Path | str, flags: int) -> NDArray[Any]:
    """Pixels of an image file as OpenCV decodes them with ``flags``; ``ValueError`` as :func:`read_image`.

    OpenCV's decoders decide whether a file is complete: data after the end of a JPEG does no harm, and the end marker
    of its thumbnail is not that of the image. Versions before 5.0 fill the missing part of a cut JPEG with grey. Zeros
    in place of the end, which a copy to a full disk leaves, are pixels to all of them.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: {describe_missing(path)}")
    data = path.read_bytes()
    if data.startswith(TIFF_STARTS):
        with open_image(path) as file:
            check_planes(path, file)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data and not lacks_jpeg_end(data) else None
    except cv2.error as error:
        check_pixels(path, *read_header(path)[:2])
        raise ValueError(describe_unreadable(path, error)) from error
    if image is None:
        mode = read_header(path).mode
        if mode.startswith(("I", "F")):
            raise ValueError(f"{path}: has {mode} pixels, which are not supported; convert them to 8 or 16 bits")
        if lacks_jpeg_end(data) or not _is_whole(path):
            raise ValueError(f"{path}: truncated image; replace the file")
        raise ValueError(f"{path}: is of a kind that is not read ({mode}); save it again as 8-bit JPEG or PNG")
    return image


def lacks_jpeg_end(data: bytes) -> bool:
    """Whether a file is a JPEG without the marker that ends its pixels; what is behind that marker does not matter."""
    if not data.startswith(JPEG_START) or data.endswith(JPEG_END):
        return False
    position = len(JPEG_START)
    while (found := JPEG_MARKER.search(data, position)) is not None:
        if found.group() == JPEG_END:
            return False
        # A segment has a length, which counts itself; compressed pixels follow that of a scan.
        position = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
    return True


def _is_whole(path: Path) -> bool:
    """Whether Pillow can read all pixels of a file that OpenCV can't, such as a TIFF of five channels."""
    try:
        with open_image(path) as image:
            image.load()
    except ValueError:
        return False
    return True
