"""GrabCut in boxes of proposals, as OpenCV computes it but faster, and masks of the proposals' own segments."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from pseudogt.boxes import box_slices, check_boxes
from pseudogt.evidence.colour_edges import join_pixels
from pseudogt.evidence.colour_mixtures import (
    COMPONENTS,
    Mixtures,
    assign_components,
    compare_densities,
    fit_mixtures,
)
from pseudogt.evidence.grid_cut import DX, DY, SOURCE, Grid, cut_grid
from pseudogt.proposals.members import Members

LONG_SIDE_PX = 400
"""Longer side of the image in which boxes are cut."""

ITERATIONS = 5
"""Turns of fitting the colours and cutting."""

MIN_AREA_PX = 9
"""Boxes with fewer pixels in the resized image are not cut."""

BORDER_PX = 3
"""A box as large as the image is shrunk by this on every side: GrabCut needs something outside."""

CLUSTERING = (cv2.TERM_CRITERIA_MAX_ITER, 10, 0.0)
"""Stopping criterion of the clustering of colours that GrabCut starts from."""

UNITS = float(1 << 20)
"""Energy 1 in the whole numbers of the cut: the largest sums fit into 32 bits."""


class BoxMask(NamedTuple):
    """A mask in a part of an image; false elsewhere.

    Attributes
    ----------
    origin_xy : (x, y)
        Upper left corner of the part.
    mask : (h, w) bool
    """

    origin_xy: tuple[int, int]
    mask: NDArray[np.bool_]


class PlainGrabCut:
    """GrabCut from rectangles, with the image at 400 pixels (JTSM's object evidence).

    Gives the masks of OpenCV's ``grabCut`` in less time: all boxes of an image share its edges, the graph is the box
    alone, for nothing outside can be object, and a later iteration starts from the flow of the one before. Several
    threads may call it.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    seed : int
        Seed of OpenCV's generator, set again for each box.
    """

    def __init__(self, image: NDArray[np.uint8], *, seed: int = 0) -> None:
        self._shape, self._seed = image.shape[:2], seed
        height, width = self._shape
        scale = LONG_SIDE_PX / max(height, width)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        self._small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)
        self._edges = join_pixels(self._small, UNITS)

    def __call__(self, box_xyxy: ArrayLike) -> BoxMask:
        """Mask of the object in a box ``(4,)``, half-open and inside the image.

        It is the filled box if that has fewer than 9 pixels at 400 pixels, or if GrabCut leaves nothing of it.

        Raises
        ------
        ValueError
            For a box that is inverted, empty or outside the image.
        """
        box = check_boxes(box_xyxy, self._shape)[0]
        origin, filled = (int(box[0]), int(box[1])), np.ones((box[3] - box[1], box[2] - box[0]), bool)
        window = self._find_window(box)
        if window is None:
            return BoxMask(origin, filled)
        sides = np.zeros(self._small.shape[:2], np.uint8)
        sides[box_slices(window)] = 1
        self._cut(sides, window)
        # Resize the object to the image and cut at one half.
        share = cv2.resize(sides.astype(np.float32), self._shape[::-1], interpolation=cv2.INTER_LINEAR)
        found = np.asarray(share)[box_slices(box)] >= 0.5
        return BoxMask(origin, found if found.any() else filled)

    def _find_window(self, box: NDArray[np.int32]) -> NDArray[np.int32] | None:
        """The box in pixels of the resized image; None if it is too small, or leaves nothing outside."""
        (height, width), (small_height, small_width) = self._shape, self._small.shape[:2]
        scale = (small_width / width, small_height / height) * 2
        x0, y0, x1, y1 = (int(v * s) for v, s in zip(box, scale, strict=True))
        if (x1 - x0) * (y1 - y0) < MIN_AREA_PX:
            return None
        if (x1 - x0) * (y1 - y0) >= small_width * small_height:
            x0, y0, x1, y1 = BORDER_PX, BORDER_PX, small_width - BORDER_PX, small_height - BORDER_PX
        return np.array([x0, y0, x1, y1], np.int32) if x1 > x0 and y1 > y0 else None

    def _cut(self, sides: NDArray[np.uint8], window: NDArray[np.int32]) -> None:
        """Iterate colours and cuts; ``sides`` ``(h, w)`` of the resized image, 1 in the window, becomes the result."""
        pixels, flat, part = self._small.reshape(-1, 3), sides.reshape(-1), box_slices(window)
        components, mixtures = self._cluster(flat), Mixtures.empty()
        fit_mixtures(mixtures, pixels, flat, components)
        inner, leaving = split_edges(self._edges[part])
        grid = Grid.without_flow(inner)
        size = leaving.shape[0] + 2, leaving.shape[1] + 2
        excess, tree = (values.reshape(size)[1:-1, 1:-1] for values in (grid.excess, grid.tree))
        # Whatever is joined to the outside is joined to the background.
        excess -= leaving
        before = np.zeros_like(leaving)
        for _ in range(ITERATIONS):
            assign_components(mixtures, pixels, flat, components)
            fit_mixtures(mixtures, pixels, flat, components)
            ratios = np.rint(UNITS * compare_densities(mixtures, self._small[part])).astype(np.int32)
            excess += ratios - before
            before = ratios
            cut_grid(grid)
            sides[part] = tree == SOURCE

    def _cluster(self, sides: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Component ``(N,)`` of each pixel to start from: of five clusters of the colours on its side."""
        pixels, components = self._small.reshape(-1, 3), np.zeros(len(sides), np.int32)
        cv2.setRNGSeed(self._seed)
        for side in (0, 1):
            own = np.flatnonzero(sides == side)
            count = min(COMPONENTS, len(own))
            _, found, _ = cv2.kmeans(
                pixels[own].astype(np.float32), count, np.empty(0), CLUSTERING, 0, cv2.KMEANS_PP_CENTERS
            )
            components[own] = np.asarray(found)[:, 0]
        return components


def split_edges(capacity: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Split the edges ``(h, w, 8)`` of a part of an image: those inside it, and the sums ``(h, w)`` of the others."""
    inner, leaving = capacity.copy(), np.zeros(capacity.shape[:2], np.int32)
    for d, (dx, dy) in enumerate(zip(DX, DY, strict=True)):
        outward = np.zeros(leaving.shape, bool)
        if dy:
            outward[0 if dy < 0 else -1] = True
        if dx:
            outward[:, 0 if dx < 0 else -1] = True
        leaving += np.where(outward, inner[..., d], 0)
        inner[outward, d] = 0
    return inner, leaving


def take_segment(superpixels: NDArray[np.int32], members: Members, row: int, box_xyxy: ArrayLike) -> BoxMask:
    """The segment of one of the proposals in a map of superpixels ``(H, W)``, cut at its box ``(4,)``."""
    box = check_boxes(box_xyxy, superpixels.shape)[0]
    return BoxMask((int(box[0]), int(box[1])), members.mask(row, superpixels[box_slices(box)]))
