"""The label of one image in one round: from scores, box masks and weak labels to panoptic ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pseudogt.classes import ClassTable, panoptic_to_semantic
from pseudogt.maps import find_colour_regions, pool_over_regions, resize_maps
from pseudogt.pseudo_labels.cams import keep_shares
from pseudogt.pseudo_labels.confidence import rate_pixels, rate_segments
from pseudogt.pseudo_labels.refinement import (
    CleaningSteps,
    adopt_instances,
    choose_classes,
    clean_label,
    find_allowed_classes,
    make_panoptic,
    mix_scores,
)
from pseudogt.weak_labels.labelled import find_labelled_pixels
from pseudogt.weak_labels.records import ImageWeakLabels

MIN_REGION_PX = 16
"""Smallest region over which scores are averaged."""

SMALLEST_SCORE = np.float32(1e-6)
"""Lower scores count as this one when shares are kept, which bounds the factors of classes."""

ScoreMaps = tuple[NDArray[np.float32], NDArray[np.uint8]]
"""Scores ``(T, h, w)`` in [0, 1] and their train ids ``(T,)``."""

SureLabel = tuple[NDArray[np.uint8], NDArray[np.float32]]
"""Train ids ``(H, W)`` and their confidence, ``(H, W)`` in [0, 1]."""


@dataclass(frozen=True)
class RoundPlan:
    """How scores become labels.

    Attributes
    ----------
    gate : {"crops", "tags", "none"}
        Which classes a pixel may take, see :func:`pseudogt.pseudo_labels.refinement.find_allowed_classes`.
    region_scale : float
        Scores are averaged over regions of even colour of this scale; 0 leaves them as they are.
    first_scores_weight : float
        Weight of the first scores in a mean with the model's.
    min_share : float
        Share of the pixels that each class with a tag and without a box wins, as in the first scores; 0 leaves the
        scores as they are.
    overlap : {"nearest", "ignore"}
        What becomes of pixels in several boxes of their class.
    """

    gate: str
    region_scale: float
    first_scores_weight: float
    min_share: float
    overlap: str


class RoundInputs(NamedTuple):
    """Inputs of an image's label.

    Attributes
    ----------
    image : (H, W, 3) uint8 RGB or None
        Read by ``region_scale`` only.
    label : (train ids, confidence) or None
        Label of the first round, which comes with its scores.
    scores : (scores, train ids) or None
        Scores of a model, in later rounds.
    first_scores : (scores, train ids) or None
        What the first round was made from.
    box_masks : (H, W) uint8 or None
        Train ids of things, ``BACKGROUND`` or ``IGNORE_LABEL``; None leaves the merge out.
    box_confidence : (H, W) float32 or None
        How likely the box masks are right, in [0, 1]; 0 where nothing is known.
    instances : (H, W) int32 or None
        Panoptic ids of a model whose instances take the place of boxes.
    keeps_shown : bool
        Whether they do so only for things of which no box and no mark shows an object.
    """

    image: NDArray[np.uint8] | None
    label: SureLabel | None
    scores: ScoreMaps | None
    first_scores: ScoreMaps | None
    box_masks: NDArray[np.uint8] | None
    box_confidence: NDArray[np.float32] | None
    instances: NDArray[np.int32] | None
    keeps_shown: bool = False


class RoundLabel(NamedTuple):
    """The label of an image.

    Attributes
    ----------
    panoptic_id : (H, W) int32
    crowd_ids : set of int
        Panoptic ids of thing pixels without instance.
    scores : dict
        Panoptic id -> how likely a pixel of the segment is right, see
        :func:`pseudogt.pseudo_labels.confidence.rate_pixels`.
    """

    panoptic_id: NDArray[np.int32]
    crowd_ids: set[int]
    scores: dict[int, float]


def label_image(
    inputs: RoundInputs, weak: ImageWeakLabels, classes: ClassTable, plan: RoundPlan, steps: CleaningSteps
) -> RoundLabel:
    """Label an image: best class of each pixel, the cleaning steps of WSPS, instances."""
    label, confidence = inputs.label or choose_from_scores(inputs, weak, classes, plan)
    semantic = clean_label(label, confidence, weak, classes, inputs.box_masks, steps)
    panoptic_id, crowd_ids = make_panoptic(semantic, weak, classes, plan.overlap)
    if inputs.instances is not None:
        shown = np.unique(weak.object_classes) if inputs.keeps_shown else np.zeros(0, np.uint8)
        panoptic_id, crowd_ids = adopt_instances(panoptic_id, inputs.instances, classes, shown)
    final = panoptic_to_semantic(panoptic_id, classes)
    rated = rate_pixels(final, label, confidence, inputs.box_masks, inputs.box_confidence)
    if len(weak.marks):
        labelled = find_labelled_pixels(weak)
        rated[labelled.rows, labelled.columns] = 1
    return RoundLabel(panoptic_id, crowd_ids, rate_segments(panoptic_id, rated))


def choose_from_scores(inputs: RoundInputs, weak: ImageWeakLabels, classes: ClassTable, plan: RoundPlan) -> SureLabel:
    """Best allowed class by a model's scores, and by the first scores as far as they count, at the image's size."""
    assert inputs.scores is not None
    size = (weak.height, weak.width)
    values, train_ids = inputs.scores
    full_size = resize_maps(values, size)
    if inputs.first_scores is not None:
        first, first_ids = inputs.first_scores
        full_size = mix_scores(full_size, train_ids, resize_maps(first, size), first_ids, plan.first_scores_weight)
    if plan.region_scale:
        assert inputs.image is not None
        regions = find_colour_regions(inputs.image, scale=plan.region_scale, min_area_px=MIN_REGION_PX)
        full_size = pool_over_regions(full_size, regions)
    allowed = find_allowed_classes(weak, classes, plan.gate)
    if plan.min_share:
        logits = np.log(np.maximum(full_size, SMALLEST_SCORE))
        bias = keep_shares(logits, allowed[train_ids], weak.tagged_only[train_ids], plan.min_share)
        # A bias of logarithms is a factor of scores; those that are 0 stay 0 and win nothing.
        full_size = full_size * np.exp(bias)[:, None, None]
    return choose_classes(full_size, train_ids, allowed)
