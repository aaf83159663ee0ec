"""Labels from a model that finds what words name, as far as the weak labels allow them.

A tag says that a class is in an image, so what the model thinks of its presence counts only where there is no tag.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from pseudogt.classes import IGNORE_LABEL, INSTANCE_DIVISOR, VOID, ClassTable
from pseudogt.maps import find_colour_regions, pool_over_regions, resize_maps
from pseudogt.pseudo_labels.cams import choose_label
from pseudogt.pseudo_labels.panoptic_merge import fill_things, merge_panoptic
from pseudogt.pseudo_labels.spreading import blend, spread_marks
from pseudogt.weak_labels.candidates import candidate_classes
from pseudogt.weak_labels.labelled import find_labelled_pixels
from pseudogt.weak_labels.records import ImageWeakLabels

LONGEST_SIDE = 512
"""Size at which borders follow colours and instances compete: above that of the models' masks, 288 to 352."""

SCORE_STRIDE = 4
"""Pixels of that size per cell of the maps in score files."""

MIN_REGION_PX = 20
"""Smaller regions of even colour are merged into a neighbour; in pixels of that size."""

MAX_OVERLAP = 0.5
"""Instances of which more is taken by surer ones are dropped."""

REACH_PX = 8
"""How far beyond its mask an instance takes pixels of its class, in pixels of that size."""


class ConceptAnswer(NamedTuple):
    """What a model finds of one concept in an image.

    Attributes
    ----------
    probability : (h, w) float32
        That a pixel belongs to the concept, over the whole image.
    presence : float
        Probability that the concept is in the image at all.
    masks : (N, h, w) bool
        Its instances, if it is there; they may overlap.
    scores : (N,) float32
        How sure each instance is, in [0, 1].
    tells_instances : bool
        Whether the model looks for instances at all.
    """

    probability: NDArray[np.float32]
    presence: float
    masks: NDArray[np.bool_]
    scores: NDArray[np.float32]
    tells_instances: bool


@dataclass(frozen=True)
class ConceptPlan:
    """How answers become scores, a label and instances.

    Attributes
    ----------
    things_in_boxes : bool
        Whether a thing is possible inside its boxes only.
    region_scale : float
        Probabilities are averaged over regions of even colour of this scale; 0 leaves them as they are.
    min_probability : float
        Pixels and instances below it are not found.
    min_confidence : float
        Pixels whose best score is lower get no label.
    point_spread : float
        Weight of what marks say in the rest of the regions that they lie in.
    """

    things_in_boxes: bool
    region_scale: float
    min_probability: float
    min_confidence: float
    point_spread: float


class ConceptLabel(NamedTuple):
    """Scores and label of an image.

    Attributes
    ----------
    scores : (C, h, w) float32
        By train id; at a pixel they add up to at most 1.
    label : (H, W) uint8
        Train ids and ``IGNORE_LABEL``.
    confidence : (H, W) uint8
        Score of the label times 255.
    panoptic_id : (H, W) int32
        Things alone, cut into instances.
    """

    scores: NDArray[np.float32]
    label: NDArray[np.uint8]
    confidence: NDArray[np.uint8]
    panoptic_id: NDArray[np.int32]


def find_asked(weak: ImageWeakLabels) -> NDArray[np.intp]:
    """Train ids ``(A,)``, ascending, of the classes that a model is asked for: tagged, boxed, or unknown."""
    possible = weak.possible.copy()
    possible[weak.box_classes] = True
    return np.flatnonzero(possible)


def share_probabilities(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Let classes share a pixel: probabilities ``(C, h, w)`` that add up to more than 1 are divided by their sum."""
    return probabilities / np.maximum(probabilities.sum(0), np.float32(1))


def label_by_concepts(
    image: NDArray[np.uint8],
    weak: ImageWeakLabels,
    classes: ClassTable,
    answers: Mapping[int, ConceptAnswer],
    plan: ConceptPlan,
) -> ConceptLabel:
    """Score and label an image by the answers to its classes.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB
    weak : ImageWeakLabels
    classes : ClassTable
    answers : mapping
        By train id, of :func:`find_asked`.
    plan : ConceptPlan
    """
    size = _shrink(image.shape[:2])
    answers = {t: a if weak.tags[t] or t in weak.box_classes else _doubt(a) for t, a in answers.items()}

    def find_candidates(at: tuple[int, int]) -> NDArray[np.bool_]:
        return candidate_classes(weak, classes, things_in_boxes=plan.things_in_boxes, size=at)

    # Probability of each class where it is possible, at the size at which borders follow colours.
    found = np.zeros((len(classes), *size), np.float32)
    for train_id, answer in answers.items():
        found[train_id] = resize_maps(answer.probability[None], size)[0]
    candidates = find_candidates(size)
    found[~candidates] = 0
    if plan.region_scale or len(weak.marks):
        found = _follow_image(found, image, weak, candidates, plan)
    # Scores are means over cells.
    grid = (max(size[0] // SCORE_STRIDE, 1), max(size[1] // SCORE_STRIDE, 1))
    coarse = np.array([cv2.resize(one, grid[::-1], interpolation=cv2.INTER_AREA) for one in found], np.float32)

    # The label at the size of the image; its confidence is the share of the best among the possible classes.
    allowed = find_candidates(image.shape[:2])
    fine = resize_maps(found, image.shape[:2])
    label, best = choose_label(fine, allowed, min_confidence=plan.min_probability)
    total = np.maximum(np.where(allowed, fine, 0).sum(0), 1)
    confidence = np.round(best / total).astype(np.uint8)
    label[confidence < 255 * plan.min_confidence] = IGNORE_LABEL
    panoptic_id = separate_things(label, answers, classes, plan.min_probability)
    return ConceptLabel(share_probabilities(coarse), label, confidence, panoptic_id)


def _shrink(size: tuple[int, int]) -> tuple[int, int]:
    """Size (h, w) with the same aspect whose longer side is no more than ``LONGEST_SIDE``."""
    factor = min(1.0, LONGEST_SIDE / max(size))
    return max(round(size[0] * factor), 1), max(round(size[1] * factor), 1)


def _doubt(answer: ConceptAnswer) -> ConceptAnswer:
    """The answer where nothing but the model says that the concept is there."""
    presence = np.float32(answer.presence)
    return answer._replace(probability=answer.probability * presence, scores=answer.scores * presence)


def _follow_image(
    found: NDArray[np.float32],
    image: NDArray[np.uint8],
    weak: ImageWeakLabels,
    candidates: NDArray[np.bool_],
    plan: ConceptPlan,
) -> NDArray[np.float32]:
    """Let probabilities ``(C, h, w)`` follow regions of even colour, and marks."""
    size, regions = found.shape[1:], None
    if plan.region_scale:
        small = np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)
        regions = find_colour_regions(small, scale=plan.region_scale, min_area_px=MIN_REGION_PX)
        found = pool_over_regions(found, regions)
    if len(weak.marks):
        labelled = find_labelled_pixels(weak)
        spread = spread_marks(labelled, image.shape[:2], (size[0], size[1]), regions, plan.point_spread)
        found = blend(found, spread, candidates)
    return found


def separate_things(
    label: NDArray[np.uint8], answers: Mapping[int, ConceptAnswer], classes: ClassTable, min_score: float
) -> NDArray[np.int32]:
    """Cut the things of a label into instances.

    Parameters
    ----------
    label : (H, W) uint8
        Train ids and ``IGNORE_LABEL``.
    answers : mapping
        By train id.
    classes : ClassTable
    min_score : float
        Instances that are less sure are left out.

    Returns
    -------
    (H, W) int32
        Panoptic ids of things, ``VOID`` elsewhere. A pixel belongs to the nearest instance of its class if that is
        within reach, else to none. Of a model that knows no instances, connected parts are instances.
    """
    things = [t for t in classes.thing_ids.tolist() if t in answers]
    panoptic_id = np.full(label.shape, VOID, np.int32)
    fill_things(panoptic_id, label, classes, with_instances=not any(answers[t].tells_instances for t in things))
    # Instances that are sure enough, the surer ones in front.
    size = _shrink(label.shape)
    masks = [
        (train_id, float(score), cv2.resize(mask.astype(np.float32), size[::-1]) > 0.5)
        for train_id in things
        for mask, score in zip(answers[train_id].masks, answers[train_id].scores, strict=True)
        if score >= min_score
    ]
    if not masks:
        return panoptic_id
    train_ids, scores, stack = zip(*masks, strict=True)
    nothing = np.full(size, IGNORE_LABEL, np.uint8)
    merged = merge_panoptic(
        np.stack(stack), scores, train_ids, nothing, classes, min_score=min_score, max_overlap=MAX_OVERLAP
    ).panoptic_id
    # Each class takes its pixels of the label from its own instances.
    for train_id in set(train_ids):
        category_id = classes.category_ids[train_id]
        owners = _extend(np.where(merged // INSTANCE_DIVISOR == category_id, merged, VOID))
        owners = np.asarray(cv2.resize(owners, label.shape[::-1], interpolation=cv2.INTER_NEAREST), np.int32)
        inside = (label == train_id) & (owners > 0)
        panoptic_id[inside] = owners[inside]
    return panoptic_id


def _extend(ids: NDArray[np.int32]) -> NDArray[np.int32]:
    """Give pixels without id that of the nearest pixel that has one, within ``REACH_PX``."""
    if not ids.any():
        return ids
    distance, nearest = distance_transform_edt(ids == 0, return_indices=True)
    return np.where(distance <= REACH_PX, ids[tuple(nearest)], 0).astype(np.int32)
