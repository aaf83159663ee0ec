"""The command ``clean``: ground truth for the next training from predictions, as the authors' ``run_sub`` makes it."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pseudogt.weak_labels.crops import paper_crop_grid
from pseudogt.wsps.drawing import draw_results
from pseudogt.wsps.label_generation import ImageInputs, cut_instances, generate_labels, needs_boxes
from pseudogt.wsps.make_boxes import load_class_names, load_palette
from pseudogt.wsps.mat_files import read_boxes, read_scores
from pseudogt.wsps.options import Options
from pseudogt.wsps.palette import read_label, write_label
from pseudogt.wsps.processing import process_images
from pseudogt.wsps.tree import Tree, open_tree


class Outcome(NamedTuple):
    """Outcome of an image."""

    image_id: str
    processed: bool
    missing_instances: int


def run_clean(root: Path, split: str, id_list: Path | None, options_file: Path | None, workers: int) -> None:
    """Write semantic and instance labels for every image of the list."""
    tree, image_ids = open_tree(root, split, id_list, options_file)
    check_crop_size(tree.options)
    names, palette = load_class_names(tree), load_palette(tree)
    work = partial(clean_image, tree=tree, names=names, palette=palette)
    outcomes = process_images(work, image_ids, workers=workers, description="clean")
    report_missing_instances(outcomes)
    processed = [outcome.image_id for outcome in outcomes if outcome.processed]
    if tree.options.visualise_results and processed:
        inputs = load_inputs(processed[-1], tree, names)
        draw_results(tree.locate_figure(processed[-1]), inputs, tree.options, names, palette)


def check_crop_size(options: Options) -> None:
    """Refuse crops that the authors' rule can't place before hours of work are done."""
    if options.run_check_image_level_tags:
        try:
            paper_crop_grid(*options.canvas_size, *options.schk_crop_size)
        except ValueError as error:
            sizes = f"schk_crop_size {options.schk_crop_size} on canvas_size {options.canvas_size}"
            raise ValueError(f"{sizes}: {error}; choose smaller crops") from error


def clean_image(image_id: str, tree: Tree, names: tuple[str, ...], palette: NDArray[np.uint8]) -> Outcome:
    """Labels of one image, unless they are there and may stay."""
    options = tree.options
    save_ins = options.save_ins and options.run_ins_box_process
    semantic_path, instances_path = tree.locate_semantic(image_id), tree.locate_instances(image_id)
    if is_done(
        save_sem=options.save_sem,
        save_ins=save_ins,
        force_overwrite=options.force_overwrite,
        sem_exists=semantic_path.exists(),
        ins_exists=instances_path.exists(),
    ):
        return Outcome(image_id, processed=False, missing_instances=0)
    inputs = load_inputs(image_id, tree, names)
    label = generate_labels(inputs, options)["final_pred"]
    missing = 0
    if options.run_ins_box_process:
        assert inputs.boxes is not None  # load_inputs reads them for this step
        instances = cut_instances(label, inputs.boxes, options)
        missing = len(instances.missing)
        if save_ins:
            write_label(instances_path, instances.ins_pred, palette)
    if options.save_sem:
        write_label(semantic_path, label, palette)
    return Outcome(image_id, processed=True, missing_instances=missing)


def is_done(*, save_sem: bool, save_ins: bool, force_overwrite: bool, sem_exists: bool, ins_exists: bool) -> bool:
    """Whether an image is skipped, because every requested file exists and need not be remade.

    Differs from what you may expect: with nothing to save every image is done, unless
    ``force_overwrite``; if one of two files is missing, both are written again; what is in a file
    is not looked at.
    """
    return not force_overwrite and (not save_sem or sem_exists) and (not save_ins or ins_exists)


def load_inputs(image_id: str, tree: Tree, names: tuple[str, ...]) -> ImageInputs:
    """Read what the enabled steps need of one image.

    Raises
    ------
    ValueError
        Naming the file that is missing, broken or of another size than the prediction.
    """
    options = tree.options
    pred_path = tree.locate_prediction(image_id)
    pred = read_label(pred_path)
    _check_canvas(pred_path, pred.shape, options)
    scores = gt_label = box_masks = boxes = None
    if options.run_score_thresh:
        path = tree.locate_scores(image_id)
        scores = read_scores(path)
        _check_same_size(path, scores.shape, pred_path, pred.shape)
    if options.run_check_image_level_tags:
        path = tree.locate_gt_label(image_id)
        gt_label = read_label(path)
        _check_covers_canvas(path, gt_label.shape, options)
    if options.run_merge_with_mcg_and_grabcut:
        path = tree.locate_box_masks(image_id)
        box_masks = read_label(path)
        _check_same_size(path, box_masks.shape, pred_path, pred.shape)
    if needs_boxes(options):
        boxes = read_boxes(tree.locate_boxes(image_id), names)
    return ImageInputs(pred, scores, gt_label, box_masks, boxes)


def _check_canvas(path: Path, size: tuple[int, ...], options: Options) -> None:
    """The box masks of the prior have the size of the canvas; the other steps take larger predictions, too."""
    _check_covers_canvas(path, size, options)
    if options.run_apply_bbox_prior and size != options.canvas_size:
        _refuse_size(path, size, options)


def _check_covers_canvas(path: Path, size: tuple[int, ...], options: Options) -> None:
    if size[0] < options.canvas_size[0] or size[1] < options.canvas_size[1]:
        _refuse_size(path, size, options)


def _refuse_size(path: Path, size: tuple[int, ...], options: Options) -> None:
    raise ValueError(
        f"{path}: its height and width are {size}, canvas_size is {options.canvas_size}; nothing is resized here, so "
        "set canvas_size to the size of your images or replace the file"
    )


def _check_same_size(path: Path, size: tuple[int, ...], pred_path: Path, pred_size: tuple[int, ...]) -> None:
    if size != pred_size:
        raise ValueError(
            f"{path}: its height and width are {size}, those of the prediction {pred_path} are {pred_size}; nothing "
            "is resized here, so replace the one that has another size than the image"
        )


def report_missing_instances(outcomes: list[Outcome]) -> None:
    """The authors' warning "sanity not preserved", once for all images."""
    affected = [outcome for outcome in outcomes if outcome.missing_instances]
    if affected:
        boxes = sum(outcome.missing_instances for outcome in affected)
        print(
            f"{len(affected)} of {len(outcomes)} images have boxes whose instance has no pixel ({boxes} in all, "
            f"first in {affected[0].image_id})",
            file=sys.stderr,
        )
