"""From class activation maps to a label: comparable scores, one map per image, gates, borders, confidence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pseudogt.classes import IGNORE_LABEL
from pseudogt.maps import resize_maps

SHARE_ROUNDS = 3
"""How often the bias of each class follows those of the others; then they hardly change."""


def normalise_logits(logits: NDArray[np.float32], candidates: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Probabilities of the candidate classes: a softmax over them at each pixel.

    Parameters
    ----------
    logits : (C, h, w) float32
        Class activation maps in closed form. Classes compete, so their scores need no scaling.
    candidates : (C, h, w) bool

    Returns
    -------
    (C, h, w) float32
        In [0, 1], 0 for classes that are not candidates; sums to 1 where there is a candidate.
    """
    _check_shapes(logits, candidates)
    # Shift by the largest logit so that no power overflows; without a candidate all powers, and the sum, are 0.
    shifted: NDArray[np.float32] = np.where(candidates, logits, -np.inf)
    largest = shifted.max(0, initial=-np.inf)
    powers = np.exp(shifted - np.where(np.isfinite(largest), largest, 0))
    total = np.maximum(powers.sum(0), np.finfo(np.float32).tiny)
    return (powers / total).astype(np.float32, copy=False)


def normalise_cams(cams: NDArray[np.float32], candidates: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Grad-CAMs on a common scale: each over its maximum among its candidate pixels in the image.

    Parameters
    ----------
    cams : (C, h, w) float32
        At least 0; the scale of a Grad-CAM depends on its class and is arbitrary.
    candidates : (C, h, w) bool

    Returns
    -------
    (C, h, w) float32
        In [0, 1], 0 for classes that are not candidates; a map that is 0 stays so.
    """
    _check_shapes(cams, candidates)
    gated = np.where(candidates, cams, np.float32(0))
    largest = gated.max((1, 2), keepdims=True, initial=0)
    return (gated / np.where(largest > 0, largest, 1)).astype(np.float32, copy=False)


def keep_shares(
    logits: NDArray[np.float32], candidates: NDArray[np.bool_], classes: NDArray[np.bool_], min_share: float
) -> NDArray[np.float32]:
    """Bias of each class with which some classes win at least a share of the pixels.

    A class that always occurs beside more frequent ones, as mountains beside sky and water, wins nowhere, although its
    tags say that it is in the image. CCNN (Pathak et al., ICCV 2015) trains with such constraints; here they shift the
    logits of each image by the least that meets them.

    Parameters
    ----------
    logits : (C, h, w) float32
    candidates : (C, h, w) bool
    classes : (C,) bool
        Classes that have a share.
    min_share : float
        In [0, 0.5]: share of the pixels with a candidate. Of several classes, all together get at most half of these.

    Returns
    -------
    (C,) float32
        At least 0; 0 for classes that have their share.
    """
    _check_shapes(logits, candidates)
    bias: NDArray[np.float32] = np.zeros(len(logits), np.float32)
    present = np.flatnonzero(candidates.any((1, 2)))
    count = np.count_nonzero(classes[present])
    if not count or not min_share:
        return bias
    wanted = int(np.ceil(min(min_share, 0.5 / count) * candidates.any(0).sum()))
    possible = np.where(candidates, logits, -np.inf)[present]
    for _ in range(SHARE_ROUNDS):
        for row, number in enumerate(present):
            if classes[number]:
                # How far the class is behind the best other one, where it is possible.
                here = candidates[number]
                others = np.delete(possible + bias[present, None, None], row, axis=0)[:, here]
                behind = others.max(0, initial=-np.inf) - logits[number][here]
                nth = min(wanted, len(behind)) - 1
                bias[number] = max(0, np.partition(behind, nth)[nth])
    return bias


def stitch_crops(
    maps: NDArray[np.float32], crops_xyxy: NDArray[np.int32], size: tuple[int, int], grid: tuple[int, int]
) -> NDArray[np.float32]:
    """Mean of the maps of overlapping crops on the grid of the whole image.

    Parameters
    ----------
    maps : (G, C, h', w') float32
        One stack per crop, of any resolution.
    crops_xyxy : (G, 4) int32
        In pixels of the image.
    size : (H, W)
        Size of the image.
    grid : (h, w)
        Size of the result.

    Returns
    -------
    (C, h, w) float32
        0 where no crop is.
    """
    total = np.zeros((*grid, maps.shape[1]), np.float32)
    count = np.zeros((*grid, 1), np.float32)
    # Grid cells per pixel of the image, for both corners of a crop.
    factor = np.array([grid[1] / size[1], grid[0] / size[0]] * 2)
    for crop_maps, crop in zip(maps, crops_xyxy, strict=True):
        x0, y0, x1, y1 = np.round(crop * factor).astype(int)
        if x1 > x0 and y1 > y0:
            total[y0:y1, x0:x1] += resize_maps(crop_maps, (y1 - y0, x1 - x0)).transpose(1, 2, 0)
            count[y0:y1, x0:x1] += 1
    return np.ascontiguousarray((total / np.maximum(count, 1)).transpose(2, 0, 1))


def choose_label(
    scores: NDArray[np.float32], candidates: NDArray[np.bool_], *, min_confidence: float
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Label and confidence of an image.

    ============================  =============  ==========
    best candidate's score        label          confidence
    ============================  =============  ==========
    no candidate, or score 0      IGNORE_LABEL   0
    below ``min_confidence``      IGNORE_LABEL   score
    otherwise                     the candidate  score
    ============================  =============  ==========

    Parameters
    ----------
    scores : (C, H, W) float32
        In [0, 1].
    candidates : (C, H, W) bool
    min_confidence : float
        In [0, 1].

    Returns
    -------
    label : (H, W) uint8
        Train ids; of equal scores the lower id wins.
    confidence : (H, W) uint8
        The score times 255, rounded.
    """
    _check_shapes(scores, candidates)
    # Score and position of the best candidate of each pixel: (H, W).
    gated = np.where(candidates, scores, 0)
    best = gated.argmax(0)
    score = np.take_along_axis(gated, best[None], 0)[0]
    label = best.astype(np.uint8)
    label[(score <= 0) | (score < min_confidence)] = IGNORE_LABEL
    return label, np.round(np.clip(score, 0, 1) * 255).astype(np.uint8)


def _check_shapes(maps: NDArray[np.float32], candidates: NDArray[np.bool_]) -> None:
    if maps.shape != candidates.shape:
        raise ValueError(f"maps {maps.shape} and candidates {candidates.shape} differ in shape")
