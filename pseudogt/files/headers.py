"""Names and headers of image files: format, size and orientation. Decodes no pixel."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from PIL import Image

ORIENTATION = 0x0112
"""Number of the EXIF tag for the orientation of an image."""

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
        Pillow's name for the kind of pixels.
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
        raise ValueError(f"{path}: no such file")
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
        If the file is missing, is no image or is too large.
    """
    with open_image(path) as image:
        # Pillow's own method for PNG would read all pixels to find a tag behind them.
        orientation = int(Image.Image.getexif(image).get(ORIENTATION, 1))
        width, height = image.size
        # Pillow gives the size of a turned TIFF as upright already.
        if orientation in TURNED and image.format != "TIFF":
            width, height = height, width
        # Phones append a second picture, such as a depth map, to a JPEG; Pillow then calls the file MPO.
        is_animated = bool(getattr(image, "is_animated", False)) and image.format != "MPO"
        upright = orientation if orientation in range(1, 9) else 1
        return ImageHeader(width, height, image.mode, upright, is_animated)


def check_pixels(path: Path, width: int, height: int) -> None:
    """Raise ``ValueError`` if an image has more pixels than can be decoded."""
    if width * height > LARGEST_IMAGE_PX:
        raise ValueError(
            f"{path}: has {width * height / 1e6:.0f} megapixels ({width}x{height}), more than the "
            f"{LARGEST_IMAGE_PX / 1e6:.0f} that can be read; cut it into tiles"
        )


def describe_unreadable(path: Path | str, error: Exception) -> str:
    """Report that a file can't be read as an image."""
    return f"{path}: can't be read as an image ({error}); replace the file, or save it again as 8-bit JPEG or PNG"
