"""Reading and writing files: images, PNG maps, JSON, HDF5; every write is atomic."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
from numpy.typing import NDArray

CHECKSUM = "sha256"
"""Entry of a JSON document that holds the checksum of the others."""

PNG_FAST = (cv2.IMWRITE_PNG_COMPRESSION, 3, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)


@contextmanager
def replace_atomically(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside ``path``; rename it to ``path`` if the block ends well.

    The temporary may become a file or a folder. After an exception it is removed and an existing
    ``path`` is untouched. The suffix of ``path`` is kept, so that writers that look at it work.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield temporary
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


def read_image(path: Path | str) -> NDArray[np.uint8]:
    """Image ``(H, W, 3) uint8 RGB``; grey and RGBA files are converted.

    Raises
    ------
    ValueError
        If the file is missing, truncated or no image; the message names it.
    """
    image = _decode(path, cv2.IMREAD_COLOR)
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


def write_png(path: Path | str, values: NDArray[Any]) -> None:
    """Write ``(H, W)`` uint8/uint16 or ``(H, W, 3)`` RGB uint8 as PNG, atomically."""
    with replace_atomically(path) as temporary:
        _encode(temporary, values)


def _encode(path: Path, values: NDArray[Any]) -> None:
    if values.ndim == 3:
        values = cv2.cvtColor(values, cv2.COLOR_RGB2BGR)
    if not cv2.imwrite(str(path), values, PNG_FAST):
        raise OSError(f"{path}: could not be written")


def _decode(path: Path | str, flags: int) -> NDArray[np.uint8]:
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


def read_json(path: Path | str) -> Any:
    """Parsed JSON; ``ValueError`` naming the file if it is missing, broken or differs from its checksum."""
    path = Path(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no such file") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not valid JSON ({error})") from error
    if isinstance(value, dict) and CHECKSUM in value:
        expected = value.pop(CHECKSUM)
        if _compute_checksum(value) != expected:
            raise ValueError(
                f"{path}: differs from its checksum; delete it and run again, or, if you changed it, remove its "
                f"entry {CHECKSUM}"
            )
    return value


def write_json(path: Path | str, value: Any, *, indent: int | None = 1, checksum: bool = False) -> None:
    """Write JSON atomically; equal values give equal bytes.

    Parameters
    ----------
    path
    value
    indent : int, optional
    checksum : bool
        Add an entry to a dict that :func:`read_json` compares and leaves out.
    """
    if checksum:
        value = {**value, CHECKSUM: _compute_checksum(value)}
    with replace_atomically(path) as temporary:
        temporary.write_text(json.dumps(value, indent=indent, sort_keys=False) + "\n", encoding="utf-8")


def _compute_checksum(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


@contextmanager
def write_hdf5(path: Path | str) -> Iterator[h5py.File]:
    """A new HDF5 file that appears at ``path`` only if the block ends well.

    Its structure carries checksums, and so do arrays added by :func:`store_array`.
    """
    with replace_atomically(path) as temporary, h5py.File(temporary, "w", libver=("v110", "v110")) as file:
        yield file


def store_array(group: h5py.Group, name: str, values: NDArray[Any], **options: Any) -> h5py.Dataset:
    """Add an array with a checksum that is verified whenever it is read, and further options of h5py."""
    # HDF5 can't cut an empty array into the chunks that checksums are of.
    return group.create_dataset(name, data=values, **({"fletcher32": True, **options} if values.size else {}))


@contextmanager
def read_hdf5(path: Path | str) -> Iterator[h5py.File]:
    """An HDF5 file to read from.

    Raises
    ------
    ValueError
        If the file is missing or damaged, also if that shows within the block; the message names it.
    """
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, KeyError, RuntimeError) as error:
        raise ValueError(f"{path}: damaged ({error}); delete it and run again") from error
