"""What decoding shares for all kinds of networks: classes of pixels, and segments with their ids and scores, in NumPy.

Maps are enlarged to the size of the image a few rows at a time: for an image of a hundred million pixels, the
probabilities of all classes would fill the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label

from pseudogt.classes import INSTANCE_DIVISOR, VOID, ClassTable
from pseudogt.maps import enlarge_rows

VALUES_AT_ONCE = 2**22
"""Values of enlarged maps that are computed at once; 16 MB, which a processor's cache holds at least in part."""


class Decoded(NamedTuple):
    """A panoptic prediction.

    Attributes
    ----------
    panoptic_id : (H, W) int32
    scores : dict
        Confidence in [0, 1] by panoptic id.
    """

    panoptic_id: NDArray[np.int32]
    scores: dict[int, float]


@dataclass(frozen=True)
class Decoding:
    """How pixels are grouped into segments.

    Attributes
    ----------
    centre_threshold : float
        Minimum peak height of a centre.
    nms_cells : int
        A centre is the highest cell in a square of this side.
    min_stuff_fraction : float
        A stuff class that covers less of the image becomes ``VOID``.
    min_instance_px : int
        Smaller instances become ``VOID``.
    min_query_score : float
        Mask transformers: least probability that a query has found a thing.
    min_mask_share : float
        Mask transformers: a query is left out if less of its mask is its own, because others with a higher score cover
        it.
    """

    centre_threshold: float
    nms_cells: int
    min_stuff_fraction: float
    min_instance_px: int
    min_query_score: float = 0.5
    min_mask_share: float = 0.5


class Sums(NamedTuple):
    """Probabilities summed over pixels.

    Attributes
    ----------
    things : (T, N) float64
        Sum for each thing class over the pixels of each instance.
    stuff : (C,) float64
        Sum for each stuff class over the pixels of this class; 0 for things.
    """

    things: NDArray[np.float64]
    stuff: NDArray[np.float64]


def name_segments(
    logits: NDArray[np.float32],
    size: tuple[int, int],
    group: Callable[[NDArray[np.bool_]], tuple[NDArray[np.intp], NDArray[np.float32]]],
    classes: ClassTable,
    decoding: Decoding,
) -> Decoded:
    """Make segments of the most probable class of each pixel, and of what groups the pixels of things.

    Parameters
    ----------
    logits : (C, h, w) float32
        Logits of the classes.
    size : (H, W)
        Size of the image.
    group : callable
        From the thing pixels ``(H, W) bool``, of which there are P, to the number of each one's instance ``(P,)``, row
        by row, and the heights of the centres ``(N,)`` of the instances.
    classes : ClassTable
    decoding : Decoding
    """
    semantic = find_best_class(logits, size)
    things = np.isin(semantic, classes.thing_ids)
    owner, heights = group(things) if things.any() else (np.zeros(0, np.intp), np.zeros(0, np.float32))
    sums = sum_probabilities(logits, semantic, owner, len(heights), classes)
    panoptic_id = classes.train_to_category[semantic] * np.int32(INSTANCE_DIVISOR)
    segment_ids, scores = name_instances(
        sums.things, np.bincount(owner, minlength=len(heights)), heights, classes, decoding.min_instance_px
    )
    panoptic_id[things] = segment_ids[owner]

    # Stuff: one segment for each class, or void if it is too small.
    areas = np.bincount(semantic.ravel(), minlength=len(classes))
    for train_id in classes.stuff_ids[areas[classes.stuff_ids] > 0].tolist():
        if areas[train_id] < decoding.min_stuff_fraction * semantic.size:
            panoptic_id[semantic == train_id] = VOID
        else:
            stuff_id = classes.category_ids[train_id] * INSTANCE_DIVISOR
            scores[stuff_id] = float(sums.stuff[train_id] / areas[train_id])
    return Decoded(panoptic_id, scores)


def compute_probabilities(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Softmax of logits ``(C, h, w)`` over the classes."""
    powers = logits - logits.max(0)
    np.exp(powers, out=powers)
    powers /= powers.sum(0)
    return powers


def find_best_class(logits: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Train id of the largest of the logits ``(C, h, w)`` at each pixel of an image of ``size`` (H, W)."""
    strips = [enlarge_rows(logits, size, rows).argmax(0) for rows in split_rows(size, len(logits))]
    return np.concatenate(strips).astype(np.uint8)


def sum_probabilities(
    logits: NDArray[np.float32],
    semantic: NDArray[np.uint8],
    owner: NDArray[np.intp],
    count: int,
    classes: ClassTable,
) -> Sums:
    """Sum the probabilities that decide the classes and scores of segments.

    Parameters
    ----------
    logits : (C, h, w) float32
    semantic : (H, W) uint8
        As :func:`find_best_class` gives it.
    owner : (P,) int
        Instance of each thing pixel, row by row.
    count : int
        Number of instances.
    classes : ClassTable
    """
    sums = Sums(np.zeros((len(classes.thing_ids), count)), np.zeros(len(classes)))
    size = (semantic.shape[0], semantic.shape[1])
    done = 0
    for rows in split_rows(size, len(classes)):
        probabilities = compute_probabilities(enlarge_rows(logits, size, rows))
        things = np.isin(semantic[rows], classes.thing_ids)
        mine = owner[done : done + np.count_nonzero(things)]
        done += len(mine)
        for row, train_id in enumerate(classes.thing_ids):
            sums.things[row] += np.bincount(mine, probabilities[train_id][things], minlength=count)
        # A pixel's class is the one with the largest probability.
        own = probabilities.max(0)[~things]
        sums.stuff[:] += np.bincount(semantic[rows][~things], own, minlength=len(classes))
    return sums


def split_rows(size: tuple[int, int], maps: int) -> Iterator[slice]:
    """Slices of the rows of an image of ``size`` (H, W) in which so many maps have ``VALUES_AT_ONCE`` values."""
    step = max(1, VALUES_AT_ONCE // (maps * size[1]))
    for start in range(0, size[0], step):
        yield slice(start, min(start + step, size[0]))


def separate_parts(
    things: NDArray[np.bool_], heatmap: NDArray[np.float32]
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Take each connected part of the thing pixels for an instance, whatever their classes.

    Parameters
    ----------
    things : (H, W) bool
        The P pixels to assign.
    heatmap : (h, w)
        Heatmap of the centres.

    Returns
    -------
    owner : (P,) int
        Part of each pixel, the largest part first.
    heights : (N,) float32
        Height of the maximum of the heatmap in each part.
    """
    parts = label(things, connectivity=2)
    areas = np.bincount(parts[things])[1:]
    order = np.argsort(-areas, kind="stable")
    enlarged = cv2.resize(heatmap, things.shape[::-1], interpolation=cv2.INTER_LINEAR)
    heights = np.asarray(ndimage.maximum(enlarged, parts, order + 1), np.float32)
    # Position of each part in the order by size, its inverse permutation.
    ranks = np.argsort(order)
    return ranks[parts[things] - 1], heights


def name_instances(
    sums: NDArray[np.float64],
    areas: NDArray[np.intp],
    heights: NDArray[np.float32],
    classes: ClassTable,
    min_instance_px: int,
) -> tuple[NDArray[np.int32], dict[int, float]]:
    """Class, number and score of instances.

    Parameters
    ----------
    sums : (T, N) float
        Probability of each thing class, summed over the pixels of each instance.
    areas : (N,) int
        Pixels of each instance.
    heights : (N,) float
        Heights of their centres.
    classes : ClassTable
    min_instance_px : int
        Smaller instances become ``VOID``.

    Returns
    -------
    segment_ids : (N,) int32
    scores : dict
        By panoptic id. Numbers count from 1 in each class, in the order of ``heights``; what is beyond the last
        number becomes ``VOID``.
    """
    kept = areas >= max(min_instance_px, 1)
    segment_ids = np.full(len(areas), VOID, np.int32)
    scores: dict[int, float] = {}
    for row, train_id in enumerate(classes.thing_ids):
        members = np.flatnonzero(kept & (sums.argmax(0) == row))[: INSTANCE_DIVISOR - 1]
        segment_ids[members] = classes.category_ids[train_id] * INSTANCE_DIVISOR + np.arange(1, len(members) + 1)
        means = sums[row, members] / areas[members]
        confidence = np.clip(heights[members], 0, 1) * means
        scores.update(zip(segment_ids[members].tolist(), confidence.tolist(), strict=True))
    return segment_ids, scores
