"""Contours against human segmentations: thinning, one-to-one matching, and the F-measures ODS and OIS.

The rule is that of the Berkeley benchmark (Martin, Fowlkes, Malik, PAMI 2004; Arbelaez et al., PAMI
2011): a pixel of a thinned contour is correct if it is matched, one to one, with a border pixel of
any annotator within 0.0075 of the image's diagonal. Recall counts the matched border pixels of all
annotators.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

MAX_DISTANCE = 0.0075
"""Maximum distance between matched contour pixels, as a share of the image's diagonal."""

THRESHOLDS = np.arange(1, 100) / 100


class ContourCounts(NamedTuple):
    """Pixels at each threshold, each ``(T,) int64``.

    Attributes
    ----------
    found, drawn
        Contour pixels, and border pixels of all annotators.
    found_matched, drawn_matched
        Those of each that are matched.
    """

    found: NDArray[np.int64]
    found_matched: NDArray[np.int64]
    drawn: NDArray[np.int64]
    drawn_matched: NDArray[np.int64]


class ContourScores(NamedTuple):
    """F-measures of a set of images: best fixed threshold, and best threshold of each image."""

    ods: float
    ois: float
    threshold: float


def find_label_changes(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Borders ``(H, W) bool`` of a label map ``(H, W)``: where the next pixel to the right, below or both differs."""
    borders = np.zeros(labels.shape, bool)
    borders[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    borders[:-1] |= labels[:-1] != labels[1:]
    borders[:-1, :-1] |= labels[:-1, :-1] != labels[1:, 1:]
    return borders


def thin_contours(strength: NDArray[np.float32], *, sigma_px: float = 1.5) -> NDArray[np.float32]:
    """Keep the ridges of a strength map ``(H, W)``: what is lower than a neighbour across the contour becomes 0.

    Parameters
    ----------
    strength : (H, W) float32 in [0, 1]
    sigma_px : float
        Smoothing of the derivatives that give the direction.
    """
    smooth = cv2.GaussianBlur(strength, (0, 0), sigma_px)
    xx, yy, xy = (cv2.Sobel(smooth, cv2.CV_32F, dx, dy, ksize=5) for dx, dy in ((2, 0), (0, 2), (1, 1)))
    # Across a ridge the second derivative is most negative.
    normal = np.arctan2(-2 * xy, yy - xx) / 2
    # Equal neighbours on a plateau must not both survive: compared is a slightly smoothed map.
    fine = cv2.GaussianBlur(strength, (0, 0), 0.7)
    rows, columns = np.indices(strength.shape, np.float32)
    dx, dy = np.cos(normal).astype(np.float32), np.sin(normal).astype(np.float32)
    # Beside a ridge the surface is hollow across it and flat along it: no direction has a top.
    kept = (xx + yy) / 2 - np.hypot((xx - yy) / 2, xy) < -1e-3
    # Keep a pixel if neither neighbour across the contour, interpolated one pixel away, is stronger.
    for sign in (1, -1):
        beside = cv2.remap(
            fine, columns + sign * dx, rows + sign * dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        kept &= fine >= beside
    return np.where(kept, strength, 0).astype(np.float32)


def count_contours(
    thinned: NDArray[np.float32],
    drawn: Sequence[NDArray[np.bool_]],
    *,
    thresholds: NDArray[np.float64] = THRESHOLDS,
    max_distance: float = MAX_DISTANCE,
) -> ContourCounts:
    """Match the contours of one image with the borders of each annotator at each threshold.

    Parameters
    ----------
    thinned : (H, W) float32
        Strength in [0, 1], as of :func:`thin_contours`.
    drawn : sequence of (H, W) bool
        Border pixels of each annotator.
    thresholds : (T,) float
        Ascending.
    max_distance : float
        Maximum distance of matched pixels, as a share of the image's diagonal.

    Returns
    -------
    ContourCounts

    Differs from the paper: the number of pairs is the largest possible at every threshold, where
    the benchmark's own code minimises a cost over a sample of the candidates.
    """
    for borders in drawn:
        if borders.shape != thinned.shape:
            raise ValueError(f"borders of shape {borders.shape} for contours of shape {thinned.shape}")
    rows, columns = np.nonzero(thinned >= thresholds[0])
    strength = thinned[rows, columns]
    order = np.argsort(-strength, kind="stable")
    rows, columns, strength = rows[order], columns[order], strength[order]
    offsets = _list_offsets(max_distance * float(np.hypot(*thinned.shape)))
    # Pixels are added from strong to weak; one that finds a partner keeps one, so one pass serves all thresholds.
    matched = np.array([_match_in_order(rows, columns, borders, offsets) for borders in drawn]).reshape(-1, len(rows))
    # Number of pixels at least as strong as each threshold, (T,); running sums up to there count the matches.
    counts = np.searchsorted(-strength, -thresholds, side="right")

    def accumulate(values: Any) -> NDArray[np.int64]:
        return np.concatenate([[0], np.cumsum(values)]).astype(np.int64)[counts]

    total = np.full(len(thresholds), sum(int(borders.sum()) for borders in drawn), np.int64)
    return ContourCounts(counts.astype(np.int64), accumulate(matched.any(0)), total, accumulate(matched.sum(0)))


def score_contours(counts: Sequence[ContourCounts], thresholds: NDArray[np.float64] = THRESHOLDS) -> ContourScores:
    """ODS and OIS of the counts of a set of images, each counted at ``thresholds`` ``(T,)``.

    Raises
    ------
    ValueError
        If there are none.
    """
    if not counts:
        raise ValueError("there is no image to score")
    stacked = np.array(counts)  # (N, 4, T)
    # ODS takes one threshold for the whole set; for OIS, add the counts of each image at its own best threshold.
    over_set = _f_measure(stacked.sum(0))
    best = np.array([image[:, _f_measure(image).argmax()] for image in stacked]).sum(0)
    return ContourScores(float(over_set.max()), float(_f_measure(best)), float(thresholds[over_set.argmax()]))


def _f_measure(counts: NDArray[Any]) -> NDArray[np.float64]:
    found, found_matched, drawn, drawn_matched = counts
    precision = found_matched / np.maximum(found, 1)
    recall = drawn_matched / np.maximum(drawn, 1)
    return np.asarray(2 * precision * recall / np.maximum(precision + recall, 1e-12))


def _list_offsets(radius: float) -> NDArray[np.int64]:
    """Steps ``(K, 2)`` to all pixels within the radius, nearest first."""
    reach = int(radius)
    steps = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1).T
    distances = (steps**2).sum(1)
    near = distances <= radius**2
    return steps[near][np.argsort(distances[near], kind="stable")].astype(np.int64)


@njit(cache=True)
def _match_in_order(
    rows: NDArray[np.int64], columns: NDArray[np.int64], borders: NDArray[np.bool_], offsets: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which of the ordered pixels belong to a maximum matching; a pixel that was added stays in it."""
    height, width = borders.shape
    owner = np.full(height * width, -1, np.int64)  # pixel matched with a border pixel
    reached_by = np.full(height * width, -1, np.int64)
    stamp = np.full(height * width, -1, np.int64)
    dead = np.zeros(height * width, np.bool_)  # leads to no free border pixel, now and later
    queue = np.empty(len(rows), np.int64)
    matched = np.zeros(len(rows), np.bool_)
    partner = np.full(len(rows), -1, np.int64)
    # Find an augmenting path by breadth-first search: from the pixel to a border pixel that is still free.
    for start in range(len(rows)):
        queue[0] = start
        head, tail = 0, 1
        end = -1
        while head < tail and end < 0:
            pixel = queue[head]
            head += 1
            for k in range(len(offsets)):
                y, x = rows[pixel] + offsets[k, 0], columns[pixel] + offsets[k, 1]
                if y < 0 or x < 0 or y >= height or x >= width or not borders[y, x]:
                    continue
                place = y * width + x
                if dead[place] or stamp[place] == start:
                    continue
                stamp[place] = start
                reached_by[place] = pixel
                if owner[place] < 0:
                    end = place
                    break
                # The border pixel is taken: go on from the pixel that owns it.
                queue[tail] = owner[place]
                tail += 1
        # Without a path, no border pixel that the search reached can lead a later pixel to a free one.
        if end < 0:
            for position in range(tail):
                pixel = queue[position]
                for k in range(len(offsets)):
                    y, x = rows[pixel] + offsets[k, 0], columns[pixel] + offsets[k, 1]
                    if 0 <= y < height and 0 <= x < width and borders[y, x]:
                        dead[y * width + x] = True
            continue
        matched[start] = True
        while end >= 0:  # each pixel on the way takes the border pixel that the search reached from it
            pixel = reached_by[end]
            owner[end], end, partner[pixel] = pixel, partner[pixel], end
    return matched
