"""Proposals of a part of an image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pseudogt.proposals.generation import Proposals
from pseudogt.proposals.regions import find_member_boxes, find_superpixel_boxes


def cut_out_proposals(proposals: Proposals, window_xyxy: NDArray[np.integer], *, min_area_px: int = 16) -> Proposals:
    """Proposals of a window of an image, as if the window were an image of its own.

    Parameters
    ----------
    proposals : Proposals
    window_xyxy : (4,) int
        Half-open, inside the image.
    min_area_px : int
        Proposals with fewer pixels in the window are left out.

    Returns
    -------
    Proposals
        Superpixels are renumbered. Of proposals that are equal within the window, the first is kept.
    """
    x0, y0, x1, y1 = (int(v) for v in window_xyxy)
    present, renumbered = np.unique(proposals.superpixels[y0:y1, x0:x1], return_inverse=True)
    superpixels = renumbered.reshape(y1 - y0, x1 - x0).astype(np.int32)
    inside = np.zeros(int(proposals.superpixels.max()) + 1, bool)
    inside[present] = True
    members = proposals.members.keep_superpixels(inside)
    first = members.find_distinct()
    kept = first[members.measure_areas(np.bincount(superpixels.ravel()))[first] >= max(min_area_px, 1)]
    members = members.take(kept)
    boxes = find_member_boxes(members, find_superpixel_boxes(superpixels)).astype(np.int32)
    return Proposals(superpixels, members, proposals.scores[kept], boxes)
