"""Names and headers of image files: format, size and orientation. Decodes no pixel."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from pseudogt.parsing.contents import describe_file, describe_missing

ORIENTATION = 0x0112
"""Number of the EXIF tag for the orientation of an image."""

BITS_PER_SAMPLE, PLANAR_CONFIGURATION = 258, 284
"""Numbers of tags of TIFF."""

SEPARATE_PLANES = 2
"""Value of the planar configuration: first all of red, then all of green, then all of blue."""

TURNED = range(5, 9)
"""Its values that swap width and height."""

LARGEST_IMAGE_PX = 2**30
"""Maximum number of pixels that OpenCV decodes."""


class ImageHeader(NamedTuple):
    """Properties of an image from its first bytes.

    Attributes
    ----------
    width, height : int
        Size of the upright image, as :func:`pseudogt.files.images.read_image` reads it.
    mode : str
        Pillow's name for the kind of pixels; it ends in ``;16``, or in this and a letter, if they have 16 bits.
    orientation : int
        EXIF orientation in which it is stored; 1 is upright.
    is_animated : bool
        Whether the file holds several pictures; only the first is read.
    """

    width: int
    height: int
    mode: str
    orientation: int
    is_animated: bool


@contextmanager
def open_image(path: Path | str) -> Iterator[Image.Image]:
    """Open an image with Pillow; whatever goes wrong is a ``ValueError`` that names the file and a remedy.

    Pillow's limit on the number of pixels, which aerial and slide images exceed, gives way to ``LARGEST_IMAGE_PX``.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: {describe_missing(path)}")
    Image.MAX_IMAGE_PIXELS = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                check_pixels(path, image.width, image.height)
                yield image
    except ValueError as error:
        if str(error).startswith(str(path)):
            raise
        raise ValueError(describe_unreadable(path, error)) from error
    except Exception as error:  # Pillow raises anything on a broken file
        raise ValueError(describe_unreadable(path, error)) from error


def read_header(path: Path | str) -> ImageHeader:
    """Read the header of an image file.

    Raises
    ------
    ValueError
        If the file is missing, is not an image or is too large.
    """
    with open_image(path) as image:
        check_planes(path, image)
        orientation = _read_orientation(path, image)
        width, height = image.size
        # Pillow gives the size of a turned TIFF as upright already.
        if orientation in TURNED and image.format != "TIFF":
            width, height = height, width
        # Phones append a second picture, such as a depth map, to a JPEG; Pillow then calls the file MPO.
        is_animated = bool(getattr(image, "is_animated", False)) and image.format != "MPO"
        return ImageHeader(width, height, _find_mode(image), orientation, is_animated)


def check_planes(path: Path | str, image: Image.Image) -> None:
    """Raise ``ValueError`` for a TIFF with colours of 16 bits in separate planes, which OpenCV silently mixes up."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(BITS_PER_SAMPLE, ())
    if tags.get(PLANAR_CONFIGURATION) == SEPARATE_PLANES and len(bits) > 1 and max(bits) > 8:
        raise ValueError(
            f"{path}: holds its colours of {max(bits)} bits in separate planes, which OpenCV mixes up; save it again "
            "with interleaved colours, or with 8 bits"
        )


def _find_mode(image: Image.Image) -> str:
    """Pillow's name for the pixels, with ``;16`` for 16 bits without sign in any format, also in colour."""
    stored = str(getattr(image, "tile", [])[:1])
    is_deep = ";16" in stored and ";16S" not in stored
    return f"{image.mode};16" if is_deep and ";16" not in image.mode else image.mode


def _read_orientation(path: Path | str, image: Image.Image) -> int:
    """Orientation that OpenCV follows: 1 to 8, by EXIF alone.

    Pillow's own method also takes it from XMP and from ImageMagick's text in PNG, and misses it behind the pixels.
    """
    if image.format == "TIFF":
        value = getattr(image, "tag_v2", {}).get(ORIENTATION)
    else:
        exif = Image.Exif()
        exif.load(_find_png_exif(Path(path)) if image.format == "PNG" else image.info.get("exif", b""))
        value = exif.get(ORIENTATION)
    return value if isinstance(value, int) and value in range(1, 9) else 1


def _find_png_exif(path: Path) -> bytes:
    """Content of the chunk ``eXIf``, wherever it is in the file; empty if there is none. Reads no pixel."""
    with path.open("rb") as file:
        file.seek(8)  # the signature
        while len(head := file.read(8)) == 8:
            size, name = struct.unpack(">I4s", head)
            if name == b"eXIf":
                return file.read(size)
            file.seek(size + 4, 1)  # a checksum follows the content
    return b""


def check_pixels(path: Path, width: int, height: int) -> None:
    """Raise ``ValueError`` if an image has more pixels than can be decoded."""
    if width * height > LARGEST_IMAGE_PX:
        raise ValueError(
            f"{path}: has {width * height / 1e6:.0f} megapixels ({width}x{height}), more than the "
            f"{LARGEST_IMAGE_PX / 1e6:.0f} that can be read; cut it into tiles"
        )


def describe_unreadable(path: Path | str, error: Exception) -> str:
    """Report that a file can't be read as an image, and what it is instead, if that is known."""
    found = describe_file(Path(path))
    if found:
        return f"{path}: can't be read as an image because it {found}"
    return f"{path}: can't be read as an image ({error}); replace the file, or save it again as 8-bit JPEG or PNG"
