"""Pictures of one image that a page holds as data URIs: the photo, and labels that the browser lays over it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pseudogt.classes import BACKGROUND, IGNORE_LABEL, ClassTable, panoptic_to_semantic
from pseudogt.reporting.overlays import (
    BORDER_COLOR,
    color_segments,
    draw_hatching,
    draw_marks,
    draw_weak_boxes,
    find_borders,
    resize_to_width,
)
from pseudogt.weak_labels.records import ImageWeakLabels

LOSSLESS = 101
"""What OpenCV calls a WebP quality above 100."""

QUALITIES = (85, 70, 50)
"""WebP qualities of photos, tried in this order until the pictures fit."""

SHRINKING = (1.0, 0.75, 0.5, 0.35, 0.25)
"""Shares of the width, tried in this order once no quality is low enough."""

UNLABELLED, HATCHED, NO_THING = (30, 30, 30), (110, 110, 110), (160, 160, 160)


@dataclass(frozen=True)
class EmbeddedImage:
    """Pictures of one image, as data URIs of one size.

    Attributes
    ----------
    width, height : int
    photo : str
    marked : str or None
        The photo with boxes and marks; None if the image has neither.
    labels : dict
        Opaque colour maps by the key of the label.
    """

    width: int
    height: int
    photo: str
    marked: str | None
    labels: dict[str, str]

    @property
    def size_bytes(self) -> int:
        """Bytes of all pictures in the page."""
        return len(self.photo) + len(self.marked or "") + sum(map(len, self.labels.values()))


def embed_image(
    image: NDArray[np.uint8],
    labels: Mapping[str, NDArray[np.int32]],
    weak: ImageWeakLabels | None,
    classes: ClassTable,
    *,
    width_px: int,
    limit_bytes: int,
) -> EmbeddedImage:
    """Encode an image and its labels in no more than a number of bytes.

    Photos lose quality first; then all pictures shrink, to a quarter of their width at least.

    Parameters
    ----------
    image : (H, W, 3) uint8
        RGB.
    labels : mapping
        Key -> panoptic ids ``(H, W) int32``.
    weak : ImageWeakLabels or None
        Its boxes and marks are drawn.
    classes : ClassTable
    width_px : int
        Width of the pictures; one that is too small to fill it is enlarged.
    limit_bytes : int
    """
    for share in SHRINKING:
        width = max(1, round(width_px * share))
        photo, marked = _draw_photos(image, weak, classes, width)
        # Lossless, so the quality of photos does not change them.
        layers = {key: encode_webp(color_label(resize_to_width(v, width), classes)) for key, v in labels.items()}
        for quality in QUALITIES:
            drawn = None if marked is None else encode_webp(marked, quality)
            embedded = EmbeddedImage(width, photo.shape[0], encode_webp(photo, quality), drawn, layers)
            if embedded.size_bytes <= limit_bytes:
                return embedded
    return embedded


def _draw_photos(
    image: NDArray[np.uint8], weak: ImageWeakLabels | None, classes: ClassTable, width_px: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """The photo at a width, and the same with boxes and marks if it has any."""
    photo = resize_to_width(image, width_px)
    if weak is None or not (len(weak.boxes_xyxy) or len(weak.marks)):
        return photo, None
    return photo, draw_marks(draw_weak_boxes(photo, weak, classes), weak, classes)


def color_label(panoptic_id: NDArray[np.int32], classes: ClassTable) -> NDArray[np.uint8]:
    """Colours ``(H, W, 3) uint8`` of a label: as :func:`draw_panoptic` draws it, without the image below.

    A page sets the opacity, so that its reader may. The few colours make small lossless files.
    """
    semantic = panoptic_to_semantic(panoptic_id, classes)
    colors = color_segments(panoptic_id, classes)
    unlabelled = semantic == IGNORE_LABEL
    colors[unlabelled] = UNLABELLED
    colors[unlabelled & draw_hatching(*semantic.shape)] = HATCHED
    colors[semantic == BACKGROUND] = NO_THING
    colors[find_borders(panoptic_id)] = BORDER_COLOR
    return colors


def encode_webp(image: NDArray[np.uint8], quality: int = LOSSLESS) -> str:
    """Data URI of an RGB image ``(H, W, 3) uint8``."""
    options = [cv2.IMWRITE_WEBP_QUALITY, quality]
    encoded = cv2.imencode(".webp", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1]
    return "data:image/webp;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")
