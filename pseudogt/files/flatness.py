"""Tell label maps from photos by their pixels. Uses Pillow, as parsing the workflow must not import OpenCV."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pseudogt.files.headers import open_image
from pseudogt.parsing.problems import SHOWN

LOSSY = (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".jp2", ".webp")
"""Suffixes of files whose compression leaves no area flat."""

NAME_WORDS = frozenset(("mask", "masks", "label", "labels", "seg", "segmentation", "instance", "instances", "panoptic"))
"""Words in names of label maps beside their photos, such as `a_mask.png`."""

SAMPLED = 8
"""Images of such names of which the pixels are looked at."""

FLAT_SHARE = 0.93
"""Least share of pixels of a label map that equal the next one; photos of nuclei on black reach 0.85."""

MOST_LABELS = 512
"""Most values or colours of a label map."""

LARGEST_PX = 2**25
"""Larger images take too long to decode for a guess."""


def is_label_map(path: Path | str) -> bool:
    """Whether an image is a label map by its pixels: a few colours in flat areas, stored without loss."""
    if str(path).lower().endswith(LOSSY):
        return False
    try:
        with open_image(path) as image:
            if image.width * image.height > LARGEST_PX:
                return False
            pixels = np.array(image)
    except ValueError:
        return False
    # Each channel counts for itself: alpha, or colours of a label map, are flat where the others are.
    channels = pixels.reshape(*pixels.shape[:2], -1)
    is_flat = (channels[:, 1:] == channels[:, :-1]).all(axis=2).mean() >= FLAT_SHARE
    values = [len(np.unique(channels[..., number])) for number in range(channels.shape[2])] if is_flat else [0]
    return bool(1 < max(values) <= MOST_LABELS)


def describe_label_maps(images: Mapping[str, str]) -> list[str]:
    """Report label maps beside the photos, known by their names and by the pixels of some; nothing if there are none.

    Parameters
    ----------
    images : mapping
        Image id -> path of the image, of photos.
    """
    named = [key for key in images if NAME_WORDS & set(re.findall(r"[a-z]+", key.lower()))]
    sample = named[:: -(-len(named) // SAMPLED)] if 0 < len(named) < len(images) else []
    if not sample or not all(is_label_map(images[key]) for key in sample):
        return []
    names = f"{', '.join(map(repr, named[:SHOWN]))}{' ...' if len(named) > SHOWN else ''}"
    return [
        f"{len(named)} images are label maps by their names and colours, not photos: {names}; move them to a folder "
        "that is in no split"
    ]
