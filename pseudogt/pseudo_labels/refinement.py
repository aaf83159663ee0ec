"""From class scores, box masks and weak labels to a panoptic label: the paper's steps in their order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pseudogt.boxes import box_slices, fill_class_masks
from pseudogt.classes import (
    BACKGROUND,
    IGNORE_LABEL,
    INSTANCE_DIVISOR,
    ClassTable,
    combine_semantic_and_instances,
    find_crowds,
    panoptic_to_semantic,
)
from pseudogt.pseudo_labels.cleaning import (
    apply_box_prior,
    check_crop_tags,
    fill_low_coverage,
    merge_box_masks,
    threshold_scores,
)
from pseudogt.pseudo_labels.growing import grow_objects
from pseudogt.pseudo_labels.instances import NO_OWNER, assign_instances, compose_panoptic, find_owners, number_boxes
from pseudogt.weak_labels.candidates import candidate_classes
from pseudogt.weak_labels.labelled import find_labelled_pixels
from pseudogt.weak_labels.records import ImageWeakLabels


def find_allowed_classes(weak: ImageWeakLabels, classes: ClassTable, gate: str) -> NDArray[np.bool_]:
    """Classes ``(C, H, W) bool`` that the weak labels allow at each pixel, see ``LabelsSettings.gate``."""
    if gate == "crops":
        return candidate_classes(weak, classes)
    allowed = weak.possible if gate == "tags" else np.ones(len(classes), bool)
    return np.broadcast_to(allowed[:, None, None], (len(classes), weak.height, weak.width))


def mix_scores(
    scores: NDArray[np.float32],
    train_ids: NDArray[np.uint8],
    first_scores: NDArray[np.float32],
    first_ids: NDArray[np.uint8],
    first_scores_weight: float,
) -> NDArray[np.float32]:
    """Weighted mean of a model's scores and the first scores, which hold back what the rounds would amplify.

    A model trained on its own labels enlarges their mistakes from round to round; the first
    scores come from the tags, which do not change.

    Parameters
    ----------
    scores : (T, H, W) float32
        In [0, 1].
    train_ids : (T,) uint8
    first_scores : (S, H, W) float32
        In [0, 1].
    first_ids : (S,) uint8
    first_scores_weight : float
        Weight of ``first_scores`` in [0, 1].

    Returns
    -------
    (T, H, W) float32
        Classes without first scores keep their share of the model's scores; first scores of other classes are left out.
    """
    if scores.shape[1:] != first_scores.shape[1:]:
        raise ValueError(f"scores {scores.shape} and first scores {first_scores.shape} differ in size")
    # Each first score is added to the row of its class; classes that the model lacks are skipped.
    mixed = scores * np.float32(1 - first_scores_weight)
    positions = {int(train_id): row for row, train_id in enumerate(train_ids)}
    for first, train_id in zip(first_scores, first_ids.tolist(), strict=True):
        if train_id in positions:
            mixed[positions[train_id]] += np.float32(first_scores_weight) * first
    return mixed


def choose_classes(
    scores: NDArray[np.float32], train_ids: NDArray[np.uint8], allowed: NDArray[np.bool_]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Best allowed class of each pixel and its share of the allowed classes' scores.

    Parameters
    ----------
    scores : (T, H, W) float32
        In [0, 1].
    train_ids : (T,) uint8
    allowed : (C, H, W) bool

    Returns
    -------
    label : (H, W) uint8
        ``IGNORE_LABEL`` where no class with a score is allowed.
    confidence : (H, W) float32
        In [0, 1]; 0 where the label is ``IGNORE_LABEL``.
    """
    if scores.shape[1:] != allowed.shape[1:]:
        raise ValueError(f"scores {scores.shape} and allowed classes {allowed.shape} differ in size")
    if not len(train_ids):
        return np.full(allowed.shape[1:], IGNORE_LABEL, np.uint8), np.zeros(allowed.shape[1:], np.float32)
    # Score and row of the best allowed class of each pixel: (H, W).
    gated = np.where(allowed[train_ids], scores, np.float32(0))
    best = gated.argmax(0)
    top = np.take_along_axis(gated, best[None], 0)[0]
    confidence = top / np.maximum(gated.sum(0), np.finfo(np.float32).tiny)
    label = np.where(top > 0, train_ids[best], np.uint8(IGNORE_LABEL)).astype(np.uint8)
    return label, confidence.astype(np.float32)


def find_unboxed_things(weak: ImageWeakLabels, classes: ClassTable) -> NDArray[np.uint8]:
    """Train ids of things that may be in an image although none of its boxes is of their class."""
    possible = weak.possible & np.array(classes.isthing)
    possible[weak.box_classes] = False
    return np.flatnonzero(possible).astype(np.uint8)


@dataclass(frozen=True)
class CleaningSteps:
    """Which steps of WSPS ``clean_label`` are taken, and how far.

    Attributes
    ----------
    min_confidence : float
        Pixels that are less sure are ignored.
    check_crop_tags : bool
        Ignore pixels whose class lacks a tag in a crop that covers them.
    keep_unsure_things : bool
        Where box masks are unsure, keep the things of the label.
    box_prior : bool
        Ignore thing pixels outside the boxes of their class.
    fill_below : float
        A box whose class covers less than this share of it is filled, other things spared; 0 = never.
    """

    min_confidence: float
    check_crop_tags: bool
    keep_unsure_things: bool
    box_prior: bool
    fill_below: float


def clean_label(
    label: NDArray[np.uint8],
    confidence: NDArray[np.float32],
    weak: ImageWeakLabels,
    classes: ClassTable,
    box_masks: NDArray[np.uint8] | None,
    steps: CleaningSteps,
) -> NDArray[np.uint8]:
    """The five cleaning steps of WSPS ``clean_label``, each only if it is enabled.

    Differs from the paper: pixels of a class whose presence in the image is unknown are
    ignored, and labelled pixels keep their class whatever the steps change.

    Parameters
    ----------
    label : (H, W) uint8
    confidence : (H, W) float32
        In [0, 1].
    weak : ImageWeakLabels
    classes : ClassTable
    box_masks : (H, W) uint8 or None
        Train ids of things, ``BACKGROUND`` or ``IGNORE_LABEL``; None leaves the merge out.
    steps : CleaningSteps

    Returns
    -------
    (H, W) uint8
        Train ids and ``IGNORE_LABEL``.
    """
    cleaned = threshold_scores(label, confidence, threshold=steps.min_confidence)
    cleaned[np.isin(cleaned, weak.unknown_ids)] = IGNORE_LABEL
    if steps.check_crop_tags and len(weak.crops_xyxy):
        cleaned = check_crop_tags(cleaned, weak.crops_xyxy, weak.crop_tags)
    # Things without boxes are handled like stuff: neither box masks nor boxes count against them.
    unboxed = find_unboxed_things(weak, classes)
    boxed = np.setdiff1d(classes.thing_ids, unboxed)
    by_tags = cleaned
    if box_masks is not None:
        cleaned = merge_box_masks(
            box_masks,
            cleaned,
            stuff_ids=np.concatenate([classes.stuff_ids, unboxed]),
            thing_ids=boxed,
            background=BACKGROUND,
            keep_unsure_things=steps.keep_unsure_things,
        )
    if steps.box_prior:
        masks = fill_class_masks(weak.boxes_xyxy, weak.box_classes, label.shape)
        cleaned = apply_box_prior(cleaned, masks, thing_ids=boxed)
    if steps.fill_below:
        cleaned = fill_low_coverage(
            cleaned,
            weak.boxes_xyxy,
            weak.box_classes,
            weak.box_iscrowd,
            threshold=steps.fill_below,
            stuff_ids=classes.stuff_ids.tolist(),
            whole_box=True,
        )
    return hold_marks(cleaned, by_tags, weak) if len(weak.marks) else cleaned


def hold_marks(cleaned: NDArray[np.uint8], by_tags: NDArray[np.uint8], weak: ImageWeakLabels) -> NDArray[np.uint8]:
    """Restore what marks say after the cleaning steps.

    Parameters
    ----------
    cleaned : (H, W) uint8
        A label after all steps.
    by_tags : (H, W) uint8
        The same before the steps that look at boxes.
    weak : ImageWeakLabels

    Returns
    -------
    (H, W) uint8
        Labelled pixels have their class. If boxes cover only some objects of a thing class, its pixels outside the
        boxes are kept where nothing else was found.
    """
    held = cleaned.copy()
    masks = fill_class_masks(weak.boxes_xyxy, weak.box_classes, cleaned.shape)
    for train_id in weak.partly_boxed_ids:
        held[(by_tags == train_id) & ~masks[train_id] & (cleaned == IGNORE_LABEL)] = train_id
    labelled = find_labelled_pixels(weak)
    held[labelled.rows, labelled.columns] = labelled.classes
    return held


def assign_boxes(
    semantic: NDArray[np.uint8], weak: ImageWeakLabels, overlap: str
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Which box each thing pixel belongs to.

    Parameters
    ----------
    semantic : (H, W) uint8
    weak : ImageWeakLabels
    overlap : {"nearest", "ignore"}
        Pixels in several boxes of their class belong to the box whose middle is nearest, measured in
        box sizes, or are ignored as in the paper.

    Returns
    -------
    semantic : (H, W) uint8
        As given, with contested pixels ignored if ``overlap`` says so.
    owner : (H, W) int32
        Position of a box; ``NO_OWNER`` where no box of the pixel's class, groups apart, covers the pixel.
    """
    if overlap == "nearest":
        claims = [
            (semantic[box_slices(box)] == train_id) & ~crowd
            for box, train_id, crowd in zip(weak.boxes_xyxy, weak.box_classes, weak.box_iscrowd, strict=True)
        ]
        return semantic, find_owners(claims, weak.boxes_xyxy, semantic.shape, "nearest")
    step = assign_instances(semantic, weak.boxes_xyxy, weak.box_classes, weak.box_iscrowd)
    # Box of each instance number; number 0, in no box of the class, has none.
    owners = np.append(NO_OWNER, step.box_indices).astype(np.int32)
    return np.where(step.instances < 0, np.uint8(IGNORE_LABEL), semantic), owners[np.maximum(step.instances, 0)]


def make_panoptic(
    semantic: NDArray[np.uint8], weak: ImageWeakLabels, classes: ClassTable, overlap: str
) -> tuple[NDArray[np.int32], set[int]]:
    """The instance step by boxes and marks: panoptic ids ``(H, W) int32`` and those of them that are crowds.

    Parameters
    ----------
    semantic : (H, W) uint8
    weak : ImageWeakLabels
    classes : ClassTable
    overlap : {"nearest", "ignore"}
        What becomes of pixels in several boxes of their class.

    Returns
    -------
    panoptic_id : (H, W) int32
    crowd_ids : set of int
        Thing pixels that belong to no single box, nor to an object that marks show: groups.
    """
    labelled, owner = assign_boxes(semantic, weak, overlap)
    object_classes = weak.object_classes
    if len(weak.marks):
        owner = grow_objects(labelled, owner, find_labelled_pixels(weak), object_classes, len(weak.boxes_xyxy))
    # Only boxes are of groups; objects without box are numbered after them.
    iscrowd = np.pad(weak.box_iscrowd, (0, len(object_classes) - len(weak.box_iscrowd)))
    panoptic_id = compose_panoptic(labelled, owner, number_boxes(object_classes, iscrowd), classes)
    return panoptic_id, find_crowds(panoptic_id, classes)


def adopt_instances(
    panoptic_id: NDArray[np.int32],
    proposed: NDArray[np.int32],
    classes: ClassTable,
    shown: NDArray[np.uint8],
) -> tuple[NDArray[np.int32], set[int]]:
    """The instance step where nothing shows the objects: things keep the instances that a model found.

    Parameters
    ----------
    panoptic_id : (H, W) int32
        After the step by boxes and marks.
    proposed : (H, W) int32
        Panoptic ids of the model.
    classes : ClassTable
    shown : (K,) uint8
        Train ids of things whose objects boxes or marks show; these keep their instances.

    Returns
    -------
    panoptic_id : (H, W) int32
        The instance of another thing's pixel is the model's there, whichever thing the model takes it for: tags correct
        its class, and say nothing about where objects end.
    crowd_ids : set of int
        Thing pixels without instance.
    """
    semantic = panoptic_to_semantic(panoptic_id, classes)
    # The model's ids tell its instances apart, also where two of different classes meet in pixels of one class.
    is_instance = np.isin(panoptic_to_semantic(proposed, classes), classes.thing_ids) & (
        proposed % INSTANCE_DIVISOR > 0
    )
    adopted = combine_semantic_and_instances(semantic, np.where(is_instance, proposed, 0), classes)
    adopted = np.where(np.isin(semantic, shown), panoptic_id, adopted)
    return adopted, find_crowds(adopted, classes)
