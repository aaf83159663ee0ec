"""Copies of images beside exported labels."""

from __future__ import annotations

from pathlib import Path

import cv2

from pseudogt.files.headers import read_header
from pseudogt.files.images import read_image
from pseudogt.files.index import ImageRecord

JPEG_QUALITY = 95
JPEG_SUFFIXES = (".jfif", ".jpe", ".jpeg", ".jpg", ".mpo")


def copy_image(source: Path, target: Path) -> None:
    """Copy an image. Re-encode it if the format needs another file type or the image is stored rotated.

    Labels refer to the upright image, and many readers ignore the EXIF orientation, so the copy is stored upright.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    kinds = [path.suffix.lower() for path in (source, target)]
    kinds = [".jpg" if kind in JPEG_SUFFIXES else kind for kind in kinds]
    if kinds[0] == kinds[1] and read_header(source).orientation == 1:
        target.write_bytes(source.read_bytes())
        return
    image = cv2.cvtColor(read_image(source), cv2.COLOR_RGB2BGR)
    written, encoded = cv2.imencode(kinds[1], image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not written:
        raise OSError(f"{target}: could not be written")
    target.write_bytes(encoded.tobytes())


def name_copy(record: ImageRecord) -> str:
    """File name of an image, with its id in place of the name if several images have that name."""
    path = Path(record.image)
    return path.name if path.name.startswith(record.image_id) else f"{record.image_id}{path.suffix}"
