"""From the panoptic network's outputs to panoptic ids; :mod:`models.segmenter.targets` is the inverse."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.measure import label

from models.segmenter.network import OUTPUT_STRIDE
from pseudogt.classes import INSTANCE_DIVISOR, VOID, ClassTable


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


def decode_panoptic(
    probabilities: NDArray[np.float32],
    centre: NDArray[np.float32],
    offset: NDArray[np.float32],
    classes: ClassTable,
    *,
    centre_threshold: float,
    nms_cells: int,
    min_stuff_fraction: float,
    min_instance_px: int,
) -> Decoded:
    """Group thing pixels around centres and give every segment its class.

    Parameters
    ----------
    probabilities : (C, H, W)
        Probabilities of the classes, at the image's size.
    centre : (h, w)
        Heatmap at the network's stride.
    offset : (2, h, w)
        From each cell to its instance's centre, (y, x) in pixels of the network's input.
    classes : ClassTable
    centre_threshold : float
        Minimum peak height of a centre.
    nms_cells : int
        A centre is the highest cell in a square of this side.
    min_stuff_fraction : float
        A stuff class that covers less of the image becomes ``VOID``.
    min_instance_px : int
        Smaller instances become ``VOID``.

    Returns
    -------
    Decoded
        Pixels join the centre nearest to where their offset points. An instance has the thing class
        with the highest summed probability, and centre height times mean probability as score; stuff
        has the mean probability. In an image without any centre, each connected part of the thing pixels is an
        instance: an object that fills the image may have a centre too uncertain to be a peak.
    """
    centres_yx, heights = find_centres(centre, threshold=centre_threshold, nms_cells=nms_cells)

    def group(things: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        return (assign_pixels(things, offset, centres_yx), heights) if len(heights) else separate_parts(things, centre)

    return name_segments(
        probabilities, group, classes, min_stuff_fraction=min_stuff_fraction, min_instance_px=min_instance_px
    )


def name_segments(
    probabilities: NDArray[np.float32],
    group: Callable[[NDArray[np.bool_]], tuple[NDArray[np.intp], NDArray[np.float32]]],
    classes: ClassTable,
    *,
    min_stuff_fraction: float,
    min_instance_px: int,
) -> Decoded:
    """Make segments of the most probable class of each pixel, and of what groups the pixels of things.

    Parameters
    ----------
    probabilities : (C, H, W)
    group : callable
        ``(H, W) bool`` of thing pixels, of which there are P -> rows of their instances ``(P,)`` and scores ``(N,)`` of
        these, as :func:`name_instances` takes them.
    classes : ClassTable
    min_stuff_fraction, min_instance_px
        As in :func:`decode_panoptic`.
    """
    semantic = probabilities.argmax(0).astype(np.uint8)
    panoptic_id = classes.train_to_category[semantic] * np.int32(INSTANCE_DIVISOR)
    scores: dict[int, float] = {}
    things = np.isin(semantic, classes.thing_ids)
    if things.any():
        owner, heights = group(things)
        panoptic_id[things], scores = name_instances(
            owner, heights, probabilities[:, things], classes, min_instance_px=min_instance_px
        )

    # Stuff: one segment for each class, or void if it is too small.
    areas = np.bincount(semantic[~things], minlength=len(classes))
    for train_id in np.flatnonzero(areas):
        inside = ~things & (semantic == train_id)
        if areas[train_id] < min_stuff_fraction * semantic.size:
            panoptic_id[inside] = VOID
        else:
            stuff_id = classes.category_ids[train_id] * INSTANCE_DIVISOR
            scores[stuff_id] = float(probabilities[train_id][inside].mean())
    return Decoded(panoptic_id, scores)


def find_centres(
    heatmap: NDArray[np.float32], *, threshold: float, nms_cells: int
) -> tuple[NDArray[np.floating], NDArray[np.float32]]:
    """Find the peaks of a heatmap ``(h, w)``, highest first.

    Returns
    -------
    centres_yx : (N, 2) float64
        In pixels of the network's input.
    heights : (N,) float32
    """
    # A peak is the highest cell of the square around it.
    peaks = (ndimage.maximum_filter(heatmap, size=nms_cells) == heatmap) & (heatmap >= threshold)
    # Neighbouring cells of equal height, usual in bfloat16, are one peak.
    plateaus, count = ndimage.label(peaks, structure=np.ones((3, 3)))
    rows = np.arange(1, count + 1)
    cells_yx = np.array(ndimage.center_of_mass(peaks, plateaus, rows)).reshape(-1, 2)
    heights = np.asarray(ndimage.maximum(heatmap, plateaus, rows), np.float32)
    highest = np.argsort(-heights, kind="stable")[: INSTANCE_DIVISOR - 1]
    # The middle of a cell in pixels, whose centres lie at integers.
    return cells_yx[highest] * float(OUTPUT_STRIDE) + (OUTPUT_STRIDE - 1) / 2, heights[highest]


def assign_pixels(
    things: NDArray[np.bool_], offset: NDArray[np.float32], centres_yx: NDArray[np.floating]
) -> NDArray[np.intp]:
    """Find the nearest of the centres ``(N, 2)`` to where each pixel's offset points.

    Parameters
    ----------
    things : (H, W) bool
        The P pixels to assign.
    offset : (2, h, w)
        In pixels of the network's input; enlarged to the size of ``things``.
    centres_yx : (N, 2)

    Returns
    -------
    (P,) int
        Rows of ``centres_yx``.
    """
    height, width = things.shape
    rows, columns = np.nonzero(things)
    input_height, input_width = (OUTPUT_STRIDE * extent for extent in offset.shape[1:])
    full_y, full_x = (cv2.resize(o, (width, height), interpolation=cv2.INTER_LINEAR)[things] for o in offset)
    # Where each pixel points, in pixels of the network's input: its own place there, and its offset added.
    pointed = np.stack(
        [
            (rows + 0.5) * input_height / height - 0.5 + full_y,
            (columns + 0.5) * input_width / width - 0.5 + full_x,
        ],
        axis=1,
    )
    return cKDTree(centres_yx).query(pointed)[1]


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
    owner: NDArray[np.intp],
    heights: NDArray[np.float32],
    probabilities: NDArray[np.float32],
    classes: ClassTable,
    *,
    min_instance_px: int,
) -> tuple[NDArray[np.int32], dict[int, float]]:
    """Class, number and score of instances.

    Parameters
    ----------
    owner : (P,) int
        Row of the centre of each thing pixel.
    heights : (N,) float
        Height of the centres.
    probabilities : (C, P) float
    classes : ClassTable
    min_instance_px : int
        Smaller instances become ``VOID``.

    Returns
    -------
    panoptic_id : (P,) int32
    scores : dict
        By panoptic id. Numbers count from 1 in each class, in the order of ``heights``; what is beyond the last
        number becomes ``VOID``.
    """
    count = len(heights)
    areas = np.bincount(owner, minlength=count)
    # Probability of each thing class, summed over the pixels of each centre: (T, N).
    sums = np.stack([np.bincount(owner, probabilities[t], minlength=count) for t in classes.thing_ids])
    best = sums.argmax(0)
    kept = areas >= max(min_instance_px, 1)
    segment_ids = np.full(count, VOID, np.int32)
    scores: dict[int, float] = {}
    for row, train_id in enumerate(classes.thing_ids):
        members = np.flatnonzero(kept & (best == row))[: INSTANCE_DIVISOR - 1]
        segment_ids[members] = classes.category_ids[train_id] * INSTANCE_DIVISOR + np.arange(1, len(members) + 1)
        means = sums[row, members] / areas[members]
        confidence = np.clip(heights[members], 0, 1) * means
        scores.update(zip(segment_ids[members].tolist(), confidence.tolist(), strict=True))
    return segment_ids[owner], scores
