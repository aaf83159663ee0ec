"""Boxes segmented by the segment proposal that fits best."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pseudogt.box_masks.scene import BoxScene, BoxSegmenter, PrepareScene, SegmenterOptions
from pseudogt.boxes import box_iou, box_slices, measure_thing_radius

MIN_PROPOSAL_IOU = 0.4
"""A box that no proposal's box overlaps more is not covered by the proposals."""


def load_proposal(options: SegmenterOptions) -> PrepareScene:
    """The proposal whose box fits best, the one with the higher score among equals; cut at the box.

    A box that no proposal fits (IoU of boxes under 0.4) gets the ellipse.
    """

    def prepare(scene: BoxScene) -> BoxSegmenter:
        if scene.proposals is None:
            raise ValueError("segmenter `proposal` needs the proposals of the shard; give --proposals")
        superpixels, members, scores, boxes = scene.proposals
        fits = box_iou(scene.boxes_xyxy, boxes)
        # A fit counts in full at the best score and half at score 0, so that fit comes before score.
        trust = 0.5 + 0.5 * np.asarray(scores) / max(np.max(scores, initial=0), 1e-9)

        def segment(index: int) -> NDArray[np.bool_]:
            box = scene.boxes_xyxy[index]
            if fits[index].max(initial=0) < MIN_PROPOSAL_IOU:
                return measure_thing_radius(box, superpixels.shape) <= 1
            return members.mask((fits[index] * trust).argmax(), superpixels[box_slices(box)])

        return segment

    return prepare
