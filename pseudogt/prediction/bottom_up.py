"""From the maps of the bottom-up network to panoptic ids; :mod:`models.segmenter.targets` is the inverse."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from pseudogt.classes import INSTANCE_DIVISOR, ClassTable
from pseudogt.maps import enlarge_rows
from pseudogt.prediction.decoding import Decoded, Decoding, name_segments, separate_parts, split_rows
from pseudogt.prediction.maps import OUTPUT_STRIDE, PanopticMaps


def decode_panoptic(maps: PanopticMaps, size: tuple[int, int], classes: ClassTable, decoding: Decoding) -> Decoded:
    """Group thing pixels around centres and give every segment its class.

    Parameters
    ----------
    maps : PanopticMaps
        Maps of one image.
    size : (H, W)
        Size of the image.
    classes : ClassTable
    decoding : Decoding

    Returns
    -------
    Decoded
        Pixels join the centre nearest to where their offset points. An instance has the thing class
        with the highest summed probability, and centre height times mean probability as score; stuff
        has the mean probability. In an image without any centre, each connected part of the thing pixels is an
        instance: an object that fills the image may have a centre too uncertain to be a peak.
    """
    return name_segments(
        maps.semantic,
        size,
        lambda things: group_things(things, maps, decoding),
        classes,
        decoding,
    )


def group_things(
    things: NDArray[np.bool_], maps: PanopticMaps, decoding: Decoding
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Find the instance of each thing pixel.

    Returns
    -------
    owner : (P,) int
        Number of the instance of each of the P thing pixels, row by row.
    heights : (N,) float32
        Height of the centre of each instance.
    """
    centres_yx, heights = find_centres(
        maps.centre[0], threshold=decoding.centre_threshold, nms_cells=decoding.nms_cells
    )
    if len(centres_yx):
        return assign_pixels(things, maps.offset, centres_yx), heights
    return separate_parts(things, maps.centre[0])


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
    input_height, input_width = (OUTPUT_STRIDE * extent for extent in offset.shape[1:])
    nearest = cKDTree(centres_yx)
    owners = []
    for strip in split_rows((height, width), len(offset)):
        rows, columns = np.nonzero(things[strip])
        full_y, full_x = enlarge_rows(offset, (height, width), strip)[:, rows, columns]
        # Where each pixel points, in pixels of the network's input: its own place there, and its offset added.
        pointed = np.stack(
            [
                (strip.start + rows + 0.5) * input_height / height - 0.5 + full_y,
                (columns + 0.5) * input_width / width - 0.5 + full_x,
            ],
            axis=1,
        )
        owners.append(nearest.query(pointed)[1])
    return np.concatenate(owners)
