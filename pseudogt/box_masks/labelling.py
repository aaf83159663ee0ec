"""The label of an image from its box segmenters: their consensus in each box, merged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pseudogt.box_masks.consensus import combine_boxes, fuse_masks, measure_agreement, trust_agreement
from pseudogt.box_masks.scene import IS_OTHER, IS_THING, BoxScene, MaskOrProbability, PrepareScene
from pseudogt.boxes import box_slices
from pseudogt.classes import BACKGROUND, INSTANCE_DIVISOR, ClassTable
from pseudogt.pseudo_labels.instances import Overlap, compose_panoptic, number_boxes

SCORED_SURE = 0.7
"""``sure`` of the scores, if that of the masks is lower: at 0.5 no pixel is unsure, and every score would be 1."""


def label_boxes(
    scene: BoxScene,
    iscrowd: NDArray[np.bool_],
    segmenters: Sequence[PrepareScene],
    classes: ClassTable,
    *,
    sure: float,
    overlap: Overlap,
) -> tuple[NDArray[np.int32], dict[int, float]]:
    """Label the things in the boxes of an image.

    Parameters
    ----------
    scene : BoxScene
    iscrowd : (N,) bool
        True for a box around a group.
    segmenters : sequence of callable
        Those that must agree.
    classes : ClassTable
    sure : float
        See :func:`pseudogt.box_masks.consensus.fuse_masks`.
    overlap
        See :func:`pseudogt.box_masks.consensus.combine_boxes`.

    Returns
    -------
    panoptic_id : (H, W) int32
        Things; the category "background" where no thing is; no label where the segmenters disagree.
    scores : dict
        Panoptic id -> how likely a pixel of the mask is right, by the agreement of the segmenters on its box, with
        pixels that are less sure than ``SCORED_SURE`` counted as unsure.
    """
    found = segment_boxes(scene, segmenters)
    verdicts = fuse_boxes(found, scene, sure=sure)
    shape = (scene.image.shape[0], scene.image.shape[1])
    masks = combine_boxes(verdicts, scene.boxes_xyxy, scene.classes, iscrowd, shape, overlap=overlap)
    numbers = number_boxes(scene.classes, iscrowd)
    panoptic_id = compose_panoptic(masks.semantic, masks.owner, numbers, classes)
    scored = fuse_boxes(found, scene, sure=SCORED_SURE) if sure < SCORED_SURE else verdicts
    return panoptic_id, score_instances(scored, scene.classes, numbers, classes)


def segment_boxes(scene: BoxScene, segmenters: Sequence[PrepareScene]) -> list[list[MaskOrProbability]]:
    """Masks or probabilities ``(h, w)`` of each box of a scene, one of each segmenter."""
    prepared = [prepare(scene) for prepare in segmenters] if len(scene.boxes_xyxy) else []
    return [[segment(index) for segment in prepared] for index in range(len(scene.boxes_xyxy))]


def fuse_boxes(
    found: Sequence[Sequence[MaskOrProbability]], scene: BoxScene, *, sure: float
) -> list[NDArray[np.uint8]]:
    """Verdict ``(h, w)`` on each box of a scene, see :func:`pseudogt.box_masks.consensus.fuse_masks`.

    Labelled pixels decide whatever the segmenters say.
    """
    verdicts = []
    for index, (masks, train_id) in enumerate(zip(found, scene.classes.tolist(), strict=True)):
        verdict = fuse_masks(masks, train_id, sure=sure)
        certain = scene.find_certain(index)
        if certain is not None:
            in_box = certain[box_slices(scene.boxes_xyxy[index])]
            verdict[in_box == IS_THING] = train_id
            verdict[in_box == IS_OTHER] = BACKGROUND
        verdicts.append(verdict)
    return verdicts


def score_instances(
    verdicts: Sequence[NDArray[np.uint8]], box_classes: NDArray[Any], numbers: NDArray[np.int32], classes: ClassTable
) -> dict[int, float]:
    """How likely the mask of each instance is right by the agreement on its box, by panoptic id.

    Parameters
    ----------
    verdicts : sequence of (h, w) uint8
        On each of N boxes.
    box_classes : (N,) int
        Train ids.
    numbers : (N,) int32
        Instance numbers; a crowd has 0 and no score.
    classes : ClassTable
    """
    ids = classes.train_to_category[box_classes] * np.int32(INSTANCE_DIVISOR) + numbers
    return {
        int(panoptic_id): trust_agreement(measure_agreement(verdict, train_id))
        for panoptic_id, number, verdict, train_id in zip(ids, numbers, verdicts, box_classes, strict=True)
        if number
    }
