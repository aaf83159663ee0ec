"""The label of an image from the detections of the JTSM network: instances, stuff and scores of all classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pseudogt.classes import IGNORE_LABEL, INSTANCE_DIVISOR, VOID, ClassTable, find_crowds
from pseudogt.proposals.generation import Proposals
from pseudogt.proposals.members import Members
from pseudogt.pseudo_labels.class_order import find_semantic_labels, find_train_ids, merge_things
from pseudogt.pseudo_labels.panoptic_merge import fill_things, merge_panoptic

SCORE_STRIDE = 4
"""Pixels of the image per cell of the score maps."""

MIN_PRESENCE = 0.5
"""Without tags, classes take part whose presence in the image is above this."""


class Detections(NamedTuple):
    """Detections of the network in an image, best first.

    Attributes
    ----------
    boxes_xyxy : (N, 4) float32
    scores : (N,) float32
    classes : (N,) int64
        Positions in the network's order, which are things.
    masks : (N, H, W) bool
        At the size of the image.
    semantic : (S, H, W) float32
        Probabilities by semantic label; stuff alone is certain without a semantic branch.
    presence : (C,) float32
        How sure it is that a class is in the image, in the network's order.
    proposal_classes : (R, C) float32
        Scores of the mining head alone for each of the first R proposals.
    superpixel_classes : (P, C) float32 or None
        Scores of the tag classifier for each superpixel, if it is part of the network.
    """

    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]
    masks: NDArray[np.bool_]
    semantic: NDArray[np.float32]
    presence: NDArray[np.float32]
    proposal_classes: NDArray[np.float32]
    superpixel_classes: NDArray[np.float32] | None


@dataclass(frozen=True)
class MinedPlan:
    """How detections become a label.

    Attributes
    ----------
    stuff : {"branch", "segments"}
        Whether the semantic branch says where stuff is, or classes of proposals spread over their superpixels.
    things : {"detections", "components"}
        Whether connected parts of thing pixels that no detection has are instances too; else they are crowds.
    min_instance_score, max_overlap : float
    min_stuff_area_px : int
        See :func:`pseudogt.pseudo_labels.panoptic_merge.merge_panoptic`.
    """

    stuff: str
    things: str
    min_instance_score: float
    max_overlap: float
    min_stuff_area_px: int


class MinedLabel(NamedTuple):
    """The label of an image.

    Attributes
    ----------
    panoptic_id : (H, W) int32
    crowd_ids : set of int
        Panoptic ids of thing pixels without instance.
    scores : dict
        Panoptic id -> score of the instance, or mean probability of the stuff in its segment.
    found : Detections
        What was detected, as far as it is allowed; see :func:`summarise_scores`.
    """

    panoptic_id: NDArray[np.int32]
    crowd_ids: set[int]
    scores: dict[int, float]
    found: Detections


def label_by_detections(
    found: Detections,
    proposals: Proposals,
    classes: ClassTable,
    plan: MinedPlan,
    allowed: NDArray[np.bool_] | None = None,
) -> MinedLabel:
    """Label an image with what was detected in it.

    Parameters
    ----------
    found : Detections
    proposals : Proposals
        Those that the network saw.
    classes : ClassTable
    plan : MinedPlan
    allowed : (C, H, W) bool, optional
        Classes that are possible at each pixel, by train id; None for all.
    """
    if allowed is not None:
        found = keep_allowed(found, allowed, classes)
    if plan.stuff == "segments":
        semantic = label_pixels_by_proposals(found, proposals, classes, allowed)
        # One-hot maps by semantic label, (S, H, W), take the place of the branch's probabilities.
        labels = find_semantic_labels(classes)[semantic]
        found = found._replace(semantic=np.equal.outer(np.arange(len(found.semantic)), labels).astype(np.float32))
    else:
        # Best stuff class of each pixel; where the tags have zeroed all probabilities, none.
        best = find_train_ids(classes)[found.semantic.argmax(0)]
        semantic = np.where(found.semantic.any(0), best, np.uint8(IGNORE_LABEL))
    panoptic_id, scores = merge_panoptic(
        found.masks,
        found.scores,
        classes.things_first[found.classes],
        semantic,
        classes,
        min_score=plan.min_instance_score,
        max_overlap=plan.max_overlap,
        min_stuff_area_px=plan.min_stuff_area_px,
    )
    left = np.where(panoptic_id == VOID, semantic, IGNORE_LABEL)
    fill_things(panoptic_id, left, classes, with_instances=plan.things == "components")
    return MinedLabel(
        panoptic_id,
        crowd_ids=find_crowds(panoptic_id, classes),
        scores=scores | score_stuff(panoptic_id, found.semantic, classes),
        found=found,
    )


def keep_allowed(found: Detections, allowed: NDArray[np.bool_], classes: ClassTable) -> Detections:
    """Leave out the pixels of instances and of stuff whose class is not allowed ``(C, H, W)``, by train id."""
    masks = found.masks & allowed[classes.things_first[found.classes]]
    return found._replace(masks=masks, semantic=found.semantic * merge_things(allowed, classes))


def label_pixels_by_proposals(
    found: Detections, proposals: Proposals, classes: ClassTable, allowed: NDArray[np.bool_] | None
) -> NDArray[np.uint8]:
    """Train ids ``(H, W)`` by the mining head's scores on superpixels; ``IGNORE_LABEL`` where there are none.

    If the tag classifier is part of the network, its scores of each superpixel are multiplied with the
    head's scores of the proposals that contain it.

    Parameters
    ----------
    found : Detections
    proposals : Proposals
    classes : ClassTable
    allowed : (C, H, W) bool or None
        By train id; without it the classes whose presence is above ``MIN_PRESENCE`` take part.
    """
    superpixels = proposals.superpixels
    members = proposals.take(len(found.proposal_classes)).members
    # Scores (C, S) of the classes on each superpixel.
    scores = score_superpixels(found.proposal_classes, members, np.bincount(superpixels.ravel()))
    if found.superpixel_classes is not None:
        scores *= found.superpixel_classes.T
    if allowed is None:
        scores[found.presence <= MIN_PRESENCE] = 0
    # The class of the highest score at each pixel; of equal ones, the first in the network's order.
    best, label = np.zeros(superpixels.shape, np.float32), np.full(superpixels.shape, IGNORE_LABEL, np.uint8)
    for train_id, of_class in zip(classes.things_first.tolist(), scores, strict=True):
        value = of_class[superpixels]
        better = value > best if allowed is None else (value > best) & allowed[train_id]
        best[better], label[better] = value[better], train_id
    return label


def score_superpixels(
    probabilities: NDArray[np.float32], members: Members, areas: NDArray[np.integer]
) -> NDArray[np.float32]:
    """Score of each class on each superpixel by the proposals that hold it.

    It is the class's mean probability over these proposals, each weighted by one over its area: a
    small one says more about its pixels.

    Differs from the paper's code, in which shares (probabilities times the softmax over proposals)
    are added: they are large for one proposal of each class and say nothing of the others.

    Parameters
    ----------
    probabilities : (R, C) float32
        Probabilities by the mining head, for each proposal by itself.
    members : Members
        Superpixels of the proposals; those from S on are left out.
    areas : (S,) int
        Pixels of the superpixels.

    Returns
    -------
    (C, S) float32
        0 where no proposal is.
    """
    # Weight of each proposal on its superpixels, (N, S): one over its area in pixels.
    dense = members.to_dense(len(areas))
    weights = (dense / np.maximum(dense @ areas, 1)[:, None]).astype(np.float32)
    return (probabilities.T @ weights) / np.maximum(weights.sum(0), np.float32(1e-12))


def score_stuff(panoptic_id: NDArray[np.int32], semantic: NDArray[np.float32], classes: ClassTable) -> dict[int, float]:
    """Mean probability of each stuff segment's pixels, by panoptic id: from ids ``(H, W)`` and maps ``(S, H, W)``."""
    scores = {}
    for label, train_id in zip(find_semantic_labels(classes)[classes.stuff_ids], classes.stuff_ids, strict=True):
        segment_id = classes.category_ids[train_id] * INSTANCE_DIVISOR
        inside = panoptic_id == segment_id
        if inside.any():
            scores[segment_id] = float(semantic[label][inside].mean())
    return scores


def summarise_scores(
    found: Detections, label: NDArray[np.uint8], train_ids: NDArray[np.integer], classes: ClassTable
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Scores of some classes, and the confidence of each pixel's label; one class after the other, to bound memory.

    Parameters
    ----------
    found : Detections
    label : (H, W) uint8
        Train ids.
    train_ids : (T,) int
        All classes of the label are among them.
    classes : ClassTable

    Returns
    -------
    scores : (T, h, w) float32
        Means over cells of ``SCORE_STRIDE`` pixels, in [0, 1].
    confidence : (H, W) uint8
        Score, 0..255, of the class that each pixel has; 0 without one.
    """
    confidence = np.zeros(label.shape, np.uint8)
    height, width = (max(1, -(-extent // SCORE_STRIDE)) for extent in label.shape)
    scores = np.empty((len(train_ids), height, width), np.float32)
    for of_class, train_id in zip(scores, train_ids.tolist(), strict=True):
        spread = spread_class(found, train_id, classes)
        of_class[:] = cv2.resize(spread, (width, height), interpolation=cv2.INTER_AREA)
        inside = label == train_id
        confidence[inside] = np.round(255 * np.clip(spread[inside], 0, 1))
    return scores, confidence


def spread_class(found: Detections, train_id: int, classes: ClassTable) -> NDArray[np.float32]:
    """Score ``(H, W)`` of a class: of stuff its probability, of a thing that of its surest instance at the pixel."""
    if not classes.isthing[train_id]:
        return found.semantic[find_semantic_labels(classes)[train_id]]
    spread = np.zeros(found.semantic.shape[1:], np.float32)
    for position in np.flatnonzero(classes.things_first[found.classes] == train_id):
        mask = found.masks[position]
        spread[mask] = np.maximum(spread[mask], found.scores[position])
    return spread
