"""Training samples of the panoptic network and the augmented batches made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    semantic : (H, W) uint8
        Train id or ``IGNORE_LABEL``.
    instance : (H, W) int16
        See :class:`models.segmenter.targets.InstanceTargets`.
    candidate_set : (H, W) uint8 or int16
        Row of ``candidates``.
    centres_yx : (N, 2) float32
    sizes : (N,) float32
        As in :class:`models.segmenter.targets.InstanceTargets`, like the instance map.
    candidates : (S, C) bool
        The sets of candidate classes; row 0 is the empty set, which says nothing.
    """

    image: NDArray[np.uint8]
    semantic: NDArray[np.uint8]
    instance: NDArray[np.int16]
    candidate_set: NDArray[Any]
    centres_yx: NDArray[np.float32]
    sizes: NDArray[np.float32]
    candidates: NDArray[np.bool_]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by name, for :class:`models.training_set.TrainingSet`."""
        return vars(self)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> PanopticSample:
        """Inverse of :meth:`to_arrays`."""
        return cls(**arrays)


FILL = {"semantic": IGNORE_LABEL, "instance": -1, "candidate_set": 0}
"""Values of the maps outside the image: nothing is known."""

BYTE_ROWS = 256
"""Sets of candidate classes whose rows fit into a byte."""


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
    index : (H, W) uint8, or int16 if there are more than ``BYTE_ROWS`` sets
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
    index = np.zeros(semantic.shape, np.uint8 if len(first) < BYTE_ROWS else np.int16)
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
        ``images (B, 3, h, w) uint8``, the maps ``semantic``, ``instance`` and ``candidate_set (B, h, w)``,
        ``centres_yx (B, N, 2)``, ``sizes (B, N)`` with 0 in filled rows, ``candidates (B, S, C) bool``,
        ``colour_factors (B, 3)``.
    """
    size = augmentation.crop_size
    images = np.empty((len(samples), *size, 3), np.uint8)
    # In the smallest types that hold all samples, for they travel between processes and to the device.
    types = {name: np.result_type(*(getattr(sample, name) for sample in samples)) for name in FILL}
    maps = {name: np.empty((len(samples), *size), dtype) for name, dtype in types.items()}
    centres = np.zeros((len(samples), max(len(s.sizes) for s in samples), 2), np.float32)
    sizes = np.zeros(centres.shape[:2], np.float32)
    candidates = np.zeros((len(samples), max(len(s.candidates) for s in samples), samples[0].candidates.shape[1]), bool)
    for i, sample in enumerate(samples):
        affine = draw_affine(sample.image.shape[:2], augmentation, generator)
        images[i] = warp_image(sample.image, affine, size)
        for name, fill in FILL.items():
            maps[name][i] = warp_map(getattr(sample, name), affine, size, fill)
        centres[i, : len(sample.sizes)] = warp_points(sample.centres_yx, affine)
        # The zoom along y; along x it is negative in mirror images.
        sizes[i, : len(sample.sizes)] = sample.sizes * affine[1, 1]
        candidates[i, : len(sample.candidates)] = sample.candidates
    return {
        "images": torch.from_numpy(images).permute(0, 3, 1, 2),
        **{name: torch.from_numpy(values) for name, values in maps.items()},
        "centres_yx": torch.from_numpy(centres),
        "sizes": torch.from_numpy(sizes),
        "candidates": torch.from_numpy(candidates),
        "colour_factors": draw_colour_factors(len(samples), augmentation, generator),
    }
