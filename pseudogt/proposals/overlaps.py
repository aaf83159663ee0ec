"""How well proposals fit given masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from pseudogt.proposals.members import Members


def find_overlaps(
    members: Members,
    superpixels: NDArray[np.int32],
    masks: Sequence[NDArray[np.bool_]],
    void: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """IoU ``(N, K) float32`` of proposals with masks; void pixels are ignored.

    Parameters
    ----------
    members : Members
        Superpixels of N proposals.
    superpixels : (H, W) int32
    masks : sequence of K (H, W) bool
    void : (H, W) bool
    """
    count = int(superpixels.max()) + 1
    # Pixels of each superpixel under each mask: (S, K).
    of_masks = np.zeros((count, len(masks)), np.float32)
    for column, mask in enumerate(masks):
        of_masks[:, column] = np.bincount(superpixels[mask & ~void], minlength=count)
    # Pixels of each proposal under each mask, (N, K), by a sparse incidence matrix (N, S).
    weights = np.ones(len(members.indices), np.float32)
    chosen = csr_array((weights, members.indices, members.starts), shape=(len(members.lengths), count))
    intersection = chosen @ of_masks
    areas = chosen @ np.bincount(superpixels[~void], minlength=count).astype(np.float32)
    union = areas[:, None] + of_masks.sum(0) - intersection
    return intersection / np.maximum(union, 1)
