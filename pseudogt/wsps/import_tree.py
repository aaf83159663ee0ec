"""The command ``import``: a tree in the authors' layout as inputs of the workflow."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pseudogt.boxes import clip_boxes
from pseudogt.classes import BACKGROUND, IGNORE_LABEL, ClassTable
from pseudogt.config.dataset import DatasetSettings
from pseudogt.datasets import class_table
from pseudogt.files.io import replace_atomically
from pseudogt.files.labels import write_labels
from pseudogt.files.scores import write_scores
from pseudogt.pseudo_labels.cleaning import PAPER_BACKGROUND, find_crop_values
from pseudogt.pseudo_labels.instances import compose_panoptic, number_boxes
from pseudogt.pseudo_labels.refinement import assign_boxes
from pseudogt.weak_labels.crops import paper_crop_grid
from pseudogt.weak_labels.files import write_weak_labels
from pseudogt.weak_labels.records import ImageWeakLabels
from pseudogt.wsps.boxes import InstanceBoxes
from pseudogt.wsps.clean_labels import load_inputs
from pseudogt.wsps.label_generation import ImageInputs
from pseudogt.wsps.make_boxes import load_class_names
from pseudogt.wsps.mat_files import read_boxes
from pseudogt.wsps.options import Options
from pseudogt.wsps.tree import Tree, open_tree

PROVIDED_YAML = "provided.yaml"


class ImportedImage(NamedTuple):
    """One image as the workflow knows it.

    Attributes
    ----------
    weak : ImageWeakLabels
    label, confidence : (H, W) uint8
        Train ids with ``IGNORE_LABEL``; confidence, 0..255 for [0, 1].
    box_masks : (H, W) int32 or None
        Panoptic ids.
    """

    weak: ImageWeakLabels
    label: NDArray[np.uint8]
    confidence: NDArray[np.uint8]
    box_masks: NDArray[np.int32] | None


def add_import_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this command alone."""
    parser.add_argument("--classes", default="configs/classes/cityscapes.csv", help="class table of the workflow's run")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")


def run_import(
    root: Path, split: str, id_list: Path | None, options_file: Path | None, classes: str, out: Path
) -> None:
    """Write weak labels, scores and box masks of all images, and a config file that names them.

    Read is what ``clean`` would read under the same options: predictions and their scores, or CAMs
    (without ``run_score_thresh``), ground truth for crop tags, box masks; and always the boxes.
    """
    tree, image_ids = open_tree(root, split, id_list, options_file)
    names = load_class_names(tree)
    table = class_table(DatasetSettings.model_validate({"classes": classes}))
    check_classes(table, names, tree.options, classes)
    images = tqdm(load_images(image_ids, tree, names, table), total=len(image_ids), desc="import", unit="image")
    write_workflow_inputs(images, table, out)
    print(f"Add --configfile {out / PROVIDED_YAML} to a run of {classes}.")


def check_classes(classes: ClassTable, names: tuple[str, ...], options: Options, path: str) -> None:
    """Refuse a class table whose train ids mean something else than the tree's."""
    if classes.names != names:
        raise ValueError(f"{path}: its classes are {', '.join(classes.names)}, those of the tree {', '.join(names)}")
    if set(classes.thing_ids.tolist()) != set(options.thing_classes):
        raise ValueError(f"{path}: its things are {classes.thing_ids.tolist()}, thing_classes {options.thing_classes}")
    if options.ignore_label != IGNORE_LABEL:
        raise ValueError(f"ignore_label is {options.ignore_label}; only trees with {IGNORE_LABEL} can be imported")


def load_images(
    image_ids: Iterable[str], tree: Tree, names: tuple[str, ...], classes: ClassTable
) -> Iterator[ImportedImage]:
    """Read the images one by one; a ``ValueError`` names image and file."""
    for image_id in image_ids:
        try:
            inputs = load_inputs(image_id, tree, names)
            boxes = inputs.boxes or read_boxes(tree.locate_boxes(image_id), names)
            if inputs.gt_label is None and not boxes.isstuff.any():
                raise ValueError(
                    f"{tree.locate_boxes(image_id)}: no box of stuff, so nothing says which stuff is in the image; "
                    "set run_check_image_level_tags, or make boxes with is_panoptic"
                )
            yield convert_image(image_id, inputs._replace(boxes=boxes), tree.options, classes)
        except ValueError as error:
            raise ValueError(f"image {image_id}: {error}") from error


def convert_image(image_id: str, inputs: ImageInputs, options: Options, classes: ClassTable) -> ImportedImage:
    """Weak labels, label with confidence, and box masks of one image.

    Raises
    ------
    ValueError
        For a train id that is not in the class table, or a box mask of stuff.
    """
    assert inputs.boxes is not None
    weak = convert_weak_labels(image_id, inputs.pred.shape, inputs.boxes, inputs.gt_label, options, classes)
    _check_values(inputs.pred, np.arange(len(classes)), "the prediction")
    confidence = np.full(inputs.pred.shape, 255, np.uint8)
    if inputs.scores is not None:
        confidence = np.rint(np.clip(inputs.scores, 0, 1) * 255).astype(np.uint8)
    confidence[inputs.pred == IGNORE_LABEL] = 0
    masks = None if inputs.box_masks is None else convert_box_masks(inputs.box_masks, weak, classes)
    return ImportedImage(weak, inputs.pred, confidence, masks)


def convert_weak_labels(
    image_id: str,
    size: tuple[int, ...],
    boxes: InstanceBoxes,
    gt_label: NDArray[np.uint8] | None,
    options: Options,
    classes: ClassTable,
) -> ImageWeakLabels:
    """Boxes of things, and tags: of the crops if there is ground truth, else those of the stuff boxes."""
    height, width = size
    # Clipping makes boxes outside the image empty or inverted; they are left out.
    clipped = clip_boxes(boxes.boxes_xyxy, (height, width))
    isthing = ~boxes.isstuff & np.isin(boxes.classes, classes.thing_ids)
    kept = np.flatnonzero(isthing & (clipped[:, 2] > clipped[:, 0]) & (clipped[:, 3] > clipped[:, 1]))
    crops, crop_tags = np.zeros((0, 4), np.int32), np.zeros((0, len(classes)), bool)
    tags = classes.encode_tags(np.append(boxes.classes[boxes.isstuff], boxes.classes[kept]))
    if gt_label is not None:
        crops = paper_crop_grid(*options.canvas_size, *options.schk_crop_size)
        crop_tags = find_crop_values(gt_label, crops)[:, : len(classes)]
        tags = np.logical_or.reduce(crop_tags)
    return ImageWeakLabels(
        image_id=image_id,
        height=height,
        width=width,
        boxes_xyxy=clipped[kept],
        box_classes=boxes.classes[kept].astype(np.uint8),
        box_iscrowd=boxes.iscrowd[kept],
        tags=tags,
        crops_xyxy=crops,
        crop_tags=crop_tags,
    )


def convert_box_masks(masks: NDArray[np.uint8], weak: ImageWeakLabels, classes: ClassTable) -> NDArray[np.int32]:
    """Panoptic ids ``(H, W) int32`` of the authors' masks: instances by the nearest box of the class."""
    _check_values(masks, np.append(classes.thing_ids, PAPER_BACKGROUND), "the box masks")
    semantic = np.where(masks == PAPER_BACKGROUND, np.uint8(BACKGROUND), masks)
    semantic, owner = assign_boxes(semantic, weak, "nearest")
    return compose_panoptic(semantic, owner, number_boxes(weak.box_classes, weak.box_iscrowd), classes)


def _check_values(values: NDArray[np.uint8], known: NDArray[np.integer], what: str) -> None:
    unknown = np.setdiff1d(values, np.append(known, IGNORE_LABEL))
    if len(unknown):
        raise ValueError(f"{what} hold the values {unknown.tolist()}, known are {known.tolist()} and {IGNORE_LABEL}")


def write_workflow_inputs(images: Iterable[ImportedImage], classes: ClassTable, out: Path) -> None:
    """Write ``weak_labels.json``, ``cams.h5``, ``box_masks/`` and ``provided.yaml`` into one new folder."""
    no_scores, no_classes = np.zeros((0, 1, 1), np.float32), np.zeros(0, np.uint8)
    with replace_atomically(out) as folder:
        folder.mkdir()
        files = {"weak_labels": "weak_labels.json", "cams": "cams.h5"}
        weak_labels = []
        with (
            write_scores(folder / files["cams"], classes) as scores,
            write_labels(folder / "box_masks", classes) as masks,
        ):
            for image in images:
                weak_labels.append(image.weak)
                scores.add(image.weak.image_id, no_scores, no_classes, image.label, image.confidence)
                if image.box_masks is not None:
                    masks.add(image.weak.image_id, image.box_masks)
                    files["box_masks"] = "box_masks"
        write_weak_labels(folder / files["weak_labels"], weak_labels, classes)
        write_config(folder / PROVIDED_YAML, {key: out.resolve() / name for key, name in files.items()})


def write_config(path: Path, files: Mapping[str, Path]) -> None:
    """Override the section ``provided``; JSON strings are YAML, whatever a path holds."""
    lines = ["provided:", *(f"  {key}: {json.dumps(str(file))}" for key, file in files.items())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
