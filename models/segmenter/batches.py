"""Training samples of the panoptic network and the augmented batches made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.augmentation import Augmentation, draw_affine, draw_colour_factors, warp_image, warp_map, warp_points
from pseudogt.classes import IGNORE_LABEL


@dataclass(frozen=True)
class PanopticSample:
    """One image with its labels, at the network's resolution.

    Attributes
    ----------
    image : (H, W, 3) uint8 RGB
    maps : (H, W, 3) int16
        Train id or ``IGNORE_LABEL``; instance; row of ``candidates``.
    centres_yx : (N, 2) float32
    sizes : (N,) float32
        As in :class:`models.segmenter.targets.InstanceTargets`, like the instance map.
    candidates : (S, C) bool
        The sets of candidate classes; row 0 is the empty set, which says nothing.
    """

    image: NDArray[np.uint8]
    maps: NDArray[np.int16]
    centres_yx: NDArray[np.float32]
    sizes: NDArray[np.float32]
    candidates: NDArray[np.bool_]


FILL = (IGNORE_LABEL, -1, 0)
"""Values of the maps outside the image: nothing is known."""


def index_candidates(
    candidates: NDArray[np.bool_], semantic: NDArray[np.uint8]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Give the different sets of candidate classes numbers.

    Parameters
    ----------
    candidates : (C, H, W) bool
    semantic : (H, W) uint8
        Only pixels of ``IGNORE_LABEL`` are looked at.

    Returns
    -------
    index : (H, W) int16
        Row of each pixel's set; 0 where the label is known.
    sets : (S, C) bool
        Row 0 is the empty set.
    """
    unlabelled = semantic == IGNORE_LABEL
    # Pack the candidates of each of P pixels into bytes, (bytes, P), and number the distinct columns.
    packed = np.packbits(candidates[:, unlabelled], axis=0)
    codes = np.zeros(packed.shape[1], np.int64)
    # Renumbering after each byte keeps the codes small, however many classes there are.
    for byte in packed:
        codes = np.unique(codes * 256 + byte, return_inverse=True)[1]
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    # Row 0, without candidates, is for labelled pixels.
    index = np.zeros(semantic.shape, np.int16)
    index[unlabelled] = inverse + 1
    empty = np.zeros((1, len(candidates)), bool)
    return index, np.concatenate([empty, candidates[:, unlabelled][:, first].T])


def make_batch(
    samples: Sequence[PanopticSample], augmentation: Augmentation, generator: np.random.Generator
) -> dict[str, Tensor]:
    """Augment samples and stack them.

    Returns
    -------
    dict
        ``images (B, 3, h, w) uint8``, ``maps (B, h, w, 3) int16``, ``centres_yx (B, N, 2)``,
        ``sizes (B, N)`` with 0 in filled rows, ``candidates (B, S, C) bool``,
        ``colour_factors (B, 3)``.
    """
    size = augmentation.crop_size
    images = np.empty((len(samples), *size, 3), np.uint8)
    maps = np.empty((len(samples), *size, 3), np.int16)
    centres = np.zeros((len(samples), max(len(s.sizes) for s in samples), 2), np.float32)
    sizes = np.zeros(centres.shape[:2], np.float32)
    candidates = np.zeros((len(samples), max(len(s.candidates) for s in samples), samples[0].candidates.shape[1]), bool)
    for i, sample in enumerate(samples):
        affine = draw_affine(sample.image.shape[:2], augmentation, generator)
        images[i] = warp_image(sample.image, affine, size)
        maps[i] = warp_map(sample.maps, affine, size, FILL)
        centres[i, : len(sample.sizes)] = warp_points(sample.centres_yx, affine)
        # The zoom along y; along x it is negative in mirror images.
        sizes[i, : len(sample.sizes)] = sample.sizes * affine[1, 1]
        candidates[i, : len(sample.candidates)] = sample.candidates
    return {
        "images": torch.from_numpy(images).permute(0, 3, 1, 2),
        "maps": torch.from_numpy(maps),
        "centres_yx": torch.from_numpy(centres),
        "sizes": torch.from_numpy(sizes),
        "candidates": torch.from_numpy(candidates),
        "colour_factors": draw_colour_factors(len(samples), augmentation, generator),
    }
