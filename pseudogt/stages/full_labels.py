"""Write the full labels of a shard's images, and the weak labels derived from them.

``--out`` holds the full labels, ``--weak-out`` the weak labels of all images. An image may have only a full label;
it need not be in ``--weak-labels``. With ``stages.weak_labels`` this is all that training knows of the ground truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pseudogt.annotations.masks import read_masks
from pseudogt.annotations.matching import match_label_names
from pseudogt.classes import INSTANCE_DIVISOR, VOID, find_crowds
from pseudogt.config.annotations import AnnotationsSettings
from pseudogt.config.full_labels import FullLabelsSettings
from pseudogt.config.weak_labels import WeakLabelsSettings
from pseudogt.export.annotation_sets import AnnotationSet
from pseudogt.export.opening import open_labels
from pseudogt.export.segments import LabelSource
from pseudogt.files.labels import LabelFolder, write_labels
from pseudogt.parsing.problems import shorten_list
from pseudogt.weak_labels.files import write_weak_labels
from pseudogt.weak_labels.from_masks import derive_weak_labels
from pseudogt.weak_labels.records import ImageWeakLabels
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser
from pseudogt.workflow.stage import Shard

Sources = dict[str, tuple[LabelSource, str]]
"""Image id -> what has its full label, and its name there."""


def main(argv: Sequence[str] | None = None) -> None:
    """Write full and weak labels of one shard."""
    parser = stage_parser(__doc__)
    parser.add_argument("--shard", type=Path, required=True, help="index/<shard>.json")
    parser.add_argument(
        "--all-shards", type=Path, nargs="+", required=True, help="all images of the dataset; others are an error"
    )
    parser.add_argument("--weak-labels", type=Path, required=True, help="of the shard, as given")
    parser.add_argument("--ground-truth", type=Path, help="label folder of the shard, for the listed images")
    parser.add_argument("--listed", nargs="+", default=[], help="ids of images whose labels of the dataset are used")
    parser.add_argument("--out", type=Path, required=True, help="label folder to write")
    parser.add_argument("--weak-out", type=Path, required=True, help="weak-label file to write")
    parser.add_argument("--weak-settings", required=True, help="the config section `weak_labels` as JSON")
    parser.add_argument("--data-root", type=Path, default=Path(), help="folder in which paths of annotations start")
    parser.add_argument("--annotations", default="{}", help="the config section `annotations` as JSON, for polygons")
    parser.add_argument("--things-out", type=Path, help="label folder to write, of things with polygons")
    arguments = parser.parse_args(argv)
    settings = parse_settings(FullLabelsSettings, arguments.settings)
    weak_settings = parse_settings(WeakLabelsSettings, arguments.weak_settings)
    shard = Shard.open(arguments.shard, weak_labels=arguments.weak_labels, may_miss=True)
    # Where an image has several full labels, the last one counts.
    sources: Sources = {}
    if arguments.ground_truth is not None:
        truth = LabelFolder(arguments.ground_truth)
        sources |= {image_id: (truth, image_id) for image_id in arguments.listed}
    everything = Shard.open(arguments.all_shards) if settings.polygons or settings.folder is not None else shard
    if settings.polygons:
        annotations = parse_settings(AnnotationsSettings, arguments.annotations)
        drawn = read_masks(annotations, arguments.data_root, everything.records, shard.classes)
        if drawn.problems:
            raise ValueError("; ".join(shorten_list(drawn.problems)))
        masks = AnnotationSet(drawn.full, shard.classes, background=drawn.background)
        sources |= {image_id: (masks, image_id) for image_id in masks.image_ids}
        write_things(arguments.things_out, shard, AnnotationSet(drawn.things, shard.classes))
    if settings.folder is not None:
        sources |= open_folder(Path(settings.folder), shard, everything)
    without = [image.image_id for image in shard if image.weak_labels is None and image.image_id not in sources]
    if without:
        raise ValueError(f"{arguments.weak_labels}: image {without[0]!r} has neither weak nor full labels")
    derived = write_full_labels(arguments.out, shard, sources, weak_settings)
    weak_labels = [derived.get(image.image_id) or image.weak for image in shard]
    write_weak_labels(arguments.weak_out, weak_labels, shard.classes)


def write_full_labels(
    out: Path, shard: Shard, sources: Sources, settings: WeakLabelsSettings
) -> dict[str, ImageWeakLabels]:
    """Write the full labels of the images that have one, and return the weak labels derived from each."""
    derived = {}
    with write_labels(out, shard.classes) as labels:
        for image in shard.images("full labels"):
            if image.image_id in sources:
                source, name = sources[image.image_id]
                panoptic_id = source.read(name)
                image.check_size(panoptic_id.shape, "its full label")
                crowd_ids = find_crowds(panoptic_id, shard.classes)
                labels.add(image.image_id, panoptic_id, crowd_ids=crowd_ids)
                unknown = source.unknown_categories(name) if isinstance(source, LabelFolder) else ()
                facts = image.image_id, panoptic_id, crowd_ids, shard.classes
                derived[image.image_id] = derive_weak_labels(*facts, settings, unknown)
    return derived


def write_things(folder: Path, shard: Shard, masks: AnnotationSet) -> None:
    """Write the drawn things of a shard's images in the form of box masks.

    Images in which some objects have no box of their own, for example because two boxes are equal, are left out,
    because box masks number instances like boxes.
    """
    background = shard.classes.background_category_id * INSTANCE_DIVISOR
    with write_labels(folder, shard.classes) as labels:
        for image in shard.images("polygons"):
            if image.weak_labels is None or image.image_id not in masks.image_ids:
                continue
            if masks.count_objects(image.image_id) == len(image.weak.boxes_xyxy):
                panoptic_id = masks.read(image.image_id)
                image.check_size(panoptic_id.shape, "its polygons")
                labels.add(image.image_id, np.where(panoptic_id == VOID, background, panoptic_id).astype(np.int32))


def open_folder(folder: Path, shard: Shard, everything: Shard) -> Sources:
    """Read which images of a shard a folder has labels of: the labels, and the name in them, of each.

    ``everything`` holds the images of all shards, to tell other images of the dataset from unknown ones.
    """
    labels = open_labels(folder, shard.classes)
    if not labels.image_ids:
        raise ValueError(
            f"{folder}: holds no full label; put labels into it (docs/mixed.md), or set full_labels.folder to null"
        )
    names = match_label_names(labels.image_ids, {r.image_id: r.image for r in everything.records}, folder)
    return {image.image_id: (labels, names[image.image_id]) for image in shard if image.image_id in names}


if __name__ == "__main__":
    run_stage(main)
