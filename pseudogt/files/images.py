"""Reading photos and single-channel maps, writing PNG; every write is atomic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pseudogt.files.io import IMAGE_SUFFIXES, replace_atomically

PNG_FAST = (cv2.IMWRITE_PNG_COMPRESSION, 3, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)


def read_image(path: Path | str) -> NDArray[np.uint8]:
    """Image ``(H, W, 3) uint8 RGB``; grey and RGBA files are converted.

    Raises
    ------
    ValueError
        If the file is missing, truncated or no image; the message names it.
    """
    image = decode_image(path, cv2.IMREAD_COLOR)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


def read_png(path: Path | str) -> NDArray[Any]:
    """Values of a single-channel 8- or 16-bit PNG ``(H, W)``, palette images as indices."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as file:
            values = np.array(file)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ValueError(f"{path}: can't be read as an image ({error})") from error
    if values.ndim != 2:
        raise ValueError(f"{path}: expected one channel, found shape {values.shape}")
    if values.dtype == bool:
        return values.astype(np.uint8)
    return values.astype(np.uint16) if values.dtype == np.int32 else values


def find_images(folder: Path) -> dict[str, Path]:
    """Map the name (without suffix) of each image in a folder to its path, sorted by name."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    images: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        if path.stem in images:
            raise ValueError(f"{path} and {images[path.stem].name} would have the same results; rename one")
        images[path.stem] = path
    if not images:
        raise ValueError(f"{folder}: there is no image ({', '.join(IMAGE_SUFFIXES)}) in this folder")
    return images


def write_png(path: Path | str, values: NDArray[Any]) -> None:
    """Write ``(H, W)`` uint8/uint16 or ``(H, W, 3)`` RGB uint8 as PNG, atomically."""
    with replace_atomically(path) as temporary:
        _encode_png(temporary, values)


def _encode_png(path: Path, values: NDArray[Any]) -> None:
    if values.ndim == 3:
        values = cv2.cvtColor(values, cv2.COLOR_RGB2BGR)
    if not cv2.imwrite(str(path), values, PNG_FAST):
        raise OSError(f"{path}: could not be written")


def decode_image(path: Path | str, flags: int) -> NDArray[np.uint8]:
    """Pixels of an image file as OpenCV decodes them with ``flags``; ``ValueError`` as :func:`read_image`."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    data = path.read_bytes()
    truncated = _is_truncated(data)
    image = None if truncated or not data else cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None:
        raise ValueError(f"{path}: {'truncated image' if truncated else 'not a readable image'}; replace the file")
    return image  # type: ignore[return-value]


def _is_truncated(data: bytes) -> bool:
    """OpenCV fills the missing part of a cut file with grey; look for the end marker instead."""
    if data.startswith(b"\xff\xd8"):
        return b"\xff\xd9" not in data[-64 * 1024 :]
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data[-1024:]
    return False
