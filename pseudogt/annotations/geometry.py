"""Boxes of shapes other than upright rectangles, and masks from polygons and run lengths."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from pseudogt.annotations.form import Corners
from pseudogt.boxes import find_tight_box
from pseudogt.parsing.values import LARGEST_MASK_PX

LARGEST_SHIFT, LARGEST_SHIFT_PX = 0.1, 2.0
"""How far, in sides of the box and in pixels, the corners of a polygon may be from those of the box of its object."""


def bound_points(points: ArrayLike) -> Corners:
    """Smallest box around points ``(P, 2)`` of (x, y)."""
    points = np.asarray(points, float)
    (x0, y0), (x1, y1) = points.min(0).tolist(), points.max(0).tolist()
    return x0, y0, x1, y1


def rotate_rectangle(box: Corners, degrees: float, pivot: tuple[float, float]) -> NDArray[np.float64]:
    """Corners ``(4, 2)`` of a rectangle turned clockwise (y points down) about ``pivot``."""
    x0, y0, x1, y1 = box
    corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    angle = np.deg2rad(degrees)
    # The rotation matrix is transposed, since points are rows.
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return (corners - pivot) @ turn + pivot


def bound_turned(box: Corners, degrees: float) -> Corners:
    """Smallest box around a rectangle that is turned about its centre.

    Examples
    --------
    >>> [round(corner, 6) for corner in bound_turned((30, 35, 70, 45), 90)]
    [45.0, 20.0, 55.0, 60.0]
    """
    if not degrees:
        return box
    x0, y0, x1, y1 = box
    return bound_points(rotate_rectangle(box, degrees, ((x0 + x1) / 2, (y0 + y1) / 2)))


def bound_segmentation(segmentation: Any) -> Corners:
    """Smallest box around a COCO segmentation: polygons, or run lengths of either kind.

    Raises
    ------
    ValueError
        If it is neither, or empty.
    """
    if isinstance(segmentation, list):
        if not segmentation or any(len(polygon) % 2 for polygon in segmentation):
            raise ValueError("a polygon needs three points or more, x and y of each")
        return bound_points(np.concatenate([np.reshape(polygon, (-1, 2)) for polygon in segmentation]))
    mask = decode_segmentation(segmentation, *segmentation["size"])
    if not mask.any():
        raise ValueError("its mask is empty")
    x0, y0, x1, y1 = map(float, find_tight_box(mask).tolist())
    return x0, y0, x1, y1


def lies_elsewhere(corners: Corners, polygons: Any) -> bool:
    """Whether the polygons of an object, in the unit of pixels, lie elsewhere than its box; False for run lengths."""
    if not isinstance(polygons, list) or not polygons:
        return False
    box = np.array(corners)
    slack = np.maximum(LARGEST_SHIFT_PX, LARGEST_SHIFT * np.tile(box[2:] - box[:2], 2))
    return bool((np.abs(np.array(bound_segmentation(polygons)) - box) > slack).any())


def settle_segmentation(segmentation: Any) -> Any:
    """COCO's form of a segmentation that other tools write flat, as pairs, or in a list; others are unchanged.

    Examples
    --------
    >>> settle_segmentation([1, 2, 5, 2, 5, 6]), settle_segmentation([[1, 2], [5, 2], [5, 6]])
    ([[1, 2, 5, 2, 5, 6]], [[1, 2, 5, 2, 5, 6]])
    """
    if not isinstance(segmentation, list) or not segmentation:
        return segmentation
    if all(isinstance(value, int | float) for value in segmentation):
        return [segmentation]
    if all(isinstance(pair, list) and len(pair) == 2 for pair in segmentation):
        return [[value for pair in segmentation for value in pair]]
    return segmentation[0] if len(segmentation) == 1 and isinstance(segmentation[0], dict) else segmentation


def bound_ellipse(centre: tuple[float, float], radii: tuple[float, float], degrees: float) -> Corners:
    """Smallest box around an ellipse turned by ``degrees`` about its centre."""
    angle = np.deg2rad(degrees)
    half_width = float(np.hypot(radii[0] * np.cos(angle), radii[1] * np.sin(angle)))
    half_height = float(np.hypot(radii[0] * np.sin(angle), radii[1] * np.cos(angle)))
    return centre[0] - half_width, centre[1] - half_height, centre[0] + half_width, centre[1] + half_height


def flatten_points(points: ArrayLike) -> list[float]:
    """Points ``(P, 2)`` as a COCO polygon ``[x, y, x, y, ...]``."""
    return np.asarray(points, float).ravel().tolist()


def encode_mask(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Uncompressed COCO run lengths of ``(H, W) bool``: column by column, zeros first.

    Examples
    --------
    >>> encode_mask(np.array([[True, False], [True, True]]))
    {'size': [2, 2], 'counts': [0, 2, 1, 1]}
    """
    flat = mask.ravel(order="F")
    # Lengths between changes of value; a mask that starts with ones gets an empty run of zeros before it.
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if flat.size and flat[0] else counts}


def decode_runs(counts: Sequence[int], shape: tuple[int, int], order: str) -> NDArray[np.bool_]:
    """Mask ``(H, W)`` of alternating run lengths, zeros first, by rows (``C``) or columns (``F``).

    Raises
    ------
    ValueError
        If the runs do not fill the mask exactly, or it is too large.
    """
    runs = check_runs(counts, shape)
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(shape, order=order)  # type: ignore[call-overload]


def check_runs(counts: Sequence[int], shape: tuple[int, int]) -> NDArray[np.int_]:
    """Run lengths that fill a mask ``(H, W)``; ``ValueError`` as :func:`decode_runs`."""
    runs = np.asarray(counts)
    area = shape[0] * shape[1]
    if area > LARGEST_MASK_PX or runs.dtype.kind not in "iu" or (runs < 0).any() or sum(runs.tolist()) != area:
        raise ValueError(f"run lengths do not fill a mask of {shape[1]}x{shape[0]} pixels")
    return runs


def decode_segmentation(segmentation: Any, height: int, width: int) -> NDArray[np.bool_]:
    """Full mask ``(H, W)`` of a COCO segmentation in pixels: polygons, or run lengths of either kind.

    Raises
    ------
    ValueError
        If it is neither, or of another size than the image.
    """
    from pycocotools import mask as coco_mask

    check_segmentation(segmentation, height, width)
    if isinstance(segmentation, list):
        encoded = coco_mask.frPyObjects([list(map(float, polygon)) for polygon in segmentation], height, width)
        return coco_mask.decode(coco_mask.merge(encoded)).astype(bool)
    return decode_runs(_read_counts(segmentation), (height, width), "F")


def check_segmentation(segmentation: Any, height: int, width: int) -> None:
    """Raise ``ValueError`` as :func:`decode_segmentation`, without making the mask."""
    if isinstance(segmentation, list):
        if not segmentation or any(len(p) < 6 or len(p) % 2 or not np.isfinite(p).all() for p in segmentation):
            raise ValueError("a polygon needs three points or more, x and y of each")
        return
    if list(segmentation["size"]) != [height, width]:
        raise ValueError(f"mask of size {segmentation['size']} in an image of {[height, width]}")
    check_runs(_read_counts(segmentation), (height, width))


def _read_counts(segmentation: Any) -> list[int]:
    """Run lengths of either kind."""
    counts = segmentation["counts"]
    return unpack_counts(counts) if isinstance(counts, str) else counts


def unpack_counts(text: str) -> list[int]:
    """Run lengths of COCO's compressed form: base 32 with continuation and sign bits, differences from the fourth.

    Examples
    --------
    >>> unpack_counts("52203")
    [5, 2, 2, 2, 5]
    """
    counts: list[int] = []
    value = shift = 0
    if text[:2] in ("b'", 'b"') and text[-1] == text[1]:  # bytes of Python, as their text
        text = text[2:-1].replace("\\\\", "\\")
    for character in text:
        digit = ord(character) - 48
        if not 0 <= digit < 64 or shift > 60:
            raise ValueError(f"compressed run lengths hold {character!r}; they are broken")
        # Five bits of the value in each character, lowest first; bit 5: more follow, bit 4 of the last: the sign.
        value |= (digit & 31) << shift
        shift += 5
        if not digit & 32:
            if digit & 16:
                value -= 1 << shift
            # Later runs are stored as the difference from the run two before.
            counts.append(value + counts[-2] if len(counts) > 2 else value)
            value = shift = 0
    return counts


def decode_png_mask(text: str, height: int, width: int) -> NDArray[np.bool_]:
    """Mask ``(H, W)`` of a PNG in base 64: what is opaque, or else what is not black.

    Raises
    ------
    ValueError
        If it can't be read, or has another size.
    """
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=["PNG"]) as image:
            if image.size != (width, height) or width * height > LARGEST_MASK_PX:
                raise ValueError(f"its mask is {image.width}x{image.height}, the image {width}x{height}")
            pixels = np.asarray(image.convert("RGBA"))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"its mask is no PNG that can be read ({error})") from error
    opaque = pixels[..., 3] > 0
    return np.asarray(pixels[..., :3].any(-1) if opaque.all() else opaque)
