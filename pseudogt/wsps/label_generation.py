"""The authors' ``clean_label`` and ``ins_box_process`` on arrays, in their order and under their options."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pseudogt.boxes import clip_boxes, fill_class_masks
from pseudogt.pseudo_labels.cleaning import (
    apply_box_prior,
    check_crop_tags,
    fill_low_coverage,
    find_crop_values,
    merge_box_masks,
    threshold_scores,
)
from pseudogt.pseudo_labels.instances import assign_instances
from pseudogt.weak_labels.crops import paper_crop_grid
from pseudogt.wsps.boxes import InstanceBoxes
from pseudogt.wsps.options import Options

MAX_INSTANCE = 255
"""The authors keep instance numbers in bytes, where larger ones saturate."""


class ImageInputs(NamedTuple):
    """Inputs of one image's label; None for inputs that no enabled step needs.

    Attributes
    ----------
    pred : (H, W) uint8
        Train ids, at least as large as the canvas.
    scores : (H, W) floating, optional
        For ``run_score_thresh``.
    gt_label : (H', W') uint8, optional
        For ``run_check_image_level_tags``; only its top-left canvas is read.
    box_masks : (H, W) uint8, optional
        For ``run_merge_with_mcg_and_grabcut``: train ids of things, 0 = no thing.
    boxes : InstanceBoxes, optional
        For the last two steps and the instances; they may reach outside the canvas.
    """

    pred: NDArray[np.uint8]
    scores: NDArray[np.floating[Any]] | None = None
    gt_label: NDArray[np.uint8] | None = None
    box_masks: NDArray[np.uint8] | None = None
    boxes: InstanceBoxes | None = None


class GeneratedInstances(NamedTuple):
    """Instances of one image.

    Attributes
    ----------
    ins_pred : (H, W) uint8
        Number of the instance, 0 in no box of the pixel's class, the ignore label where unknown.
    classes : (n,) int32
        Train id of instance 1, 2, ...
    missing : (m,) int32
        Numbers that no pixel carries: the authors' warning "sanity not preserved".
    """

    ins_pred: NDArray[np.uint8]
    classes: NDArray[np.int32]
    missing: NDArray[np.int32]


def needs_boxes(options: Options) -> bool:
    """Whether a step that the options enable reads boxes."""
    return options.run_apply_bbox_prior or options.run_check_low_iou or options.run_ins_box_process


def generate_labels(inputs: ImageInputs, options: Options) -> dict[str, NDArray[np.uint8]]:
    """The cleaning steps that the options enable, each on the result of the one before.

    Returns
    -------
    dict
        The authors' name -> label ``(H, W) uint8``, in the order of the steps: ``pred_threshed``,
        ``pred_schk``, ``pred_merge_w_mandg``, ``pred_bbox_prior``, ``pred_ichk`` as far as enabled,
        and ``final_pred``, equal to the last of them or to the prediction.

    Raises
    ------
    ValueError
        If an enabled step lacks its input, sizes differ, or the crops don't form the paper's grid.
    """
    ignore, canvas = options.ignore_label, options.canvas_size
    stages: dict[str, NDArray[np.uint8]] = {}
    label = inputs.pred
    if options.run_score_thresh:
        scores = _require(inputs.scores, "scores", "run_score_thresh")
        label = threshold_scores(label, scores, options.score_thresh, ignore_label=ignore)
        stages["pred_threshed"] = label
    if options.run_check_image_level_tags:
        gt_label = _require(inputs.gt_label, "ground truth", "run_check_image_level_tags")
        crops = paper_crop_grid(*canvas, *options.schk_crop_size)
        label = check_crop_tags(label, crops, find_crop_values(gt_label, crops), ignore_label=ignore)
        stages["pred_schk"] = label
    if options.run_merge_with_mcg_and_grabcut:
        label = merge_box_masks(
            _require(inputs.box_masks, "box masks", "run_merge_with_mcg_and_grabcut"),
            label,
            stuff_ids=options.stuff_classes,
            thing_ids=options.thing_classes,
            ignore_label=ignore,
        )
        stages["pred_merge_w_mandg"] = label
    if options.run_apply_bbox_prior:
        boxes = _require(inputs.boxes, "boxes", "run_apply_bbox_prior")
        masks = fill_class_masks(clip_boxes(boxes.boxes_xyxy, canvas), boxes.classes, canvas)
        label = apply_box_prior(label, masks, thing_ids=options.thing_classes, ignore_label=ignore)
        stages["pred_bbox_prior"] = label
    if options.run_check_low_iou:
        boxes = _require(inputs.boxes, "boxes", "run_check_low_iou")
        label = fill_low_coverage(
            label,
            clip_boxes(boxes.boxes_xyxy, canvas),
            boxes.classes,
            boxes.iscrowd,
            threshold=options.ichk_thresh,
            keep_things=options.ichk_do_not_alter_existing_things,
            ignore_label=ignore,
        )
        stages["pred_ichk"] = label
    return {**stages, "final_pred": label}


def cut_instances(label: NDArray[np.uint8], boxes: InstanceBoxes, options: Options) -> GeneratedInstances:
    """The authors' ``ins_box_process``: instances of a cleaned label ``(H, W) uint8`` by the boxes.

    Differs from what you may expect: numbers saturate at 255, so that from the 255th box on an
    instance can't be told from the usual ignore label; boxes are compared after they were clipped
    to the canvas; see also :func:`pseudogt.pseudo_labels.instances.assign_instances`.
    """
    step = assign_instances(
        label,
        clip_boxes(boxes.boxes_xyxy, options.canvas_size),
        boxes.classes,
        boxes.iscrowd,
        ignore_label=options.ignore_label,
        ignore_id=options.ignore_label,
        max_id=MAX_INSTANCE,
    )
    return GeneratedInstances(step.instances.astype(np.uint8), boxes.classes[step.box_indices], step.missing)


def _require(value: Any, what: str, option: str) -> Any:
    if value is None:
        raise ValueError(f"{option} needs {what}")
    return value
