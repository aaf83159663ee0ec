"""Make the labels of a round: CAMs and box masks (or mined labels) at first, the last model's scores later."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pseudogt.classes import ClassTable, panoptic_to_semantic
from pseudogt.config.labels import LabelsSettings
from pseudogt.files.images import read_image
from pseudogt.files.index import ImageRecord, read_shard
from pseudogt.files.io import read_json
from pseudogt.files.labels import LabelFolder, LabelWriter, write_labels
from pseudogt.files.scores import ScoreFile
from pseudogt.maps import find_colour_regions, pool_over_regions, resize_maps
from pseudogt.pseudo_labels.confidence import measure_segment_confidence
from pseudogt.pseudo_labels.refinement import (
    adopt_instances,
    choose_classes,
    clean_label,
    find_allowed_classes,
    make_panoptic,
    mix_scores,
)
from pseudogt.pseudo_labels.rounds import link_previous
from pseudogt.weak_labels.records import ImageWeakLabels, read_weak_labels
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser


def main(argv: Sequence[str] | None = None) -> None:
    """Label a shard, or link the labels of the round before if no model was trained since."""
    parser = stage_parser(__doc__)
    parser.add_argument("--shard", type=Path, required=True)
    parser.add_argument("--weak-labels", type=Path, required=True)
    parser.add_argument("--scores", type=Path, required=True, help="CAMs (or mined) in round 0, then the model's")
    parser.add_argument("--cams", type=Path, help="the scores of round 0, for `cam_weight` in later rounds")
    parser.add_argument("--box-masks", type=Path, help="label folder; leave out to trust the scores alone")
    parser.add_argument(
        "--instances", type=Path, help="label folder of a model whose instances take the place of boxes"
    )
    parser.add_argument("--full-labels", type=Path, help="label folder of images whose labels stay as they are")
    parser.add_argument("--round", type=int, required=True)
    parser.add_argument("--record", type=Path, help="record.json of the model that gave the scores")
    parser.add_argument("--previous", type=Path, help="--out of the round before")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(argv)
    settings = parse_settings(LabelsSettings, arguments.settings)
    if arguments.record and read_json(arguments.record)["linked"]:
        link_previous(arguments.previous, arguments.out)
        return
    label_shard(arguments, settings)


def label_shard(arguments: argparse.Namespace, settings: LabelsSettings) -> None:
    """Write the label folder of a shard."""
    records, classes = read_shard(arguments.shard)
    weak, weak_classes = read_weak_labels([arguments.weak_labels])
    if weak_classes != classes:
        raise ValueError(f"{arguments.weak_labels}: its categories differ from those of {arguments.shard}")
    scores = ScoreFile(arguments.scores)
    box_masks = LabelFolder(arguments.box_masks) if arguments.box_masks else None
    instances = LabelFolder(arguments.instances) if arguments.instances else None
    full_labels = LabelFolder(arguments.full_labels) if arguments.full_labels else None
    from_cams = arguments.round == 0
    if settings.cam_weight and not from_cams and arguments.cams is None:
        raise ValueError("cam_weight needs the scores of the CAMs; give --cams, or set cam_weight to 0")
    cams = ScoreFile(arguments.cams) if settings.cam_weight and arguments.cams else None
    with write_labels(arguments.out, classes) as writer:
        for record in tqdm(records, desc=f"labels {arguments.round} {arguments.shard.stem}", mininterval=5):
            if full_labels is not None and record.image_id in full_labels:
                copy_label(full_labels, record.image_id, writer)
                continue
            if record.image_id not in weak:
                raise ValueError(f"{arguments.weak_labels}: no weak labels of image {record.image_id!r}")
            image = weak[record.image_id]
            if from_cams:
                label, confidence = read_cam_label(scores, record.image_id)
            else:
                label, confidence = choose_from_scores(scores, cams, record, image, classes, settings)
            semantic = clean_label(
                label,
                confidence,
                image,
                classes,
                read_box_masks(box_masks, record.image_id, classes),
                settings,
                min_confidence=settings.min_confidence_cams if from_cams else settings.min_confidence,
            )
            if instances is None:
                panoptic_id, crowd_ids = make_panoptic(semantic, image, classes, settings.instances)
            else:
                panoptic_id, crowd_ids = adopt_instances(semantic, instances.read(record.image_id), classes)
            sure = measure_segment_confidence(
                panoptic_id, panoptic_to_semantic(panoptic_id, classes), label, confidence
            )
            writer.add(record.image_id, panoptic_id, crowd_ids=crowd_ids, scores=sure)


def copy_label(source: LabelFolder, image_id: str, writer: LabelWriter) -> None:
    """Take over a label as it is."""
    crowd_ids = {segment["id"] for segment in source.segments(image_id) if segment["iscrowd"]}
    writer.add(image_id, source.read(image_id), crowd_ids=crowd_ids)


def read_cam_label(scores: ScoreFile, image_id: str) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The CAM stage's own label and confidence."""
    label, confidence = scores.read_label(image_id)
    return label, confidence.astype(np.float32) / np.float32(255)


def choose_from_scores(
    scores: ScoreFile,
    cams: ScoreFile | None,
    record: ImageRecord,
    weak: ImageWeakLabels,
    classes: ClassTable,
    settings: LabelsSettings,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Best class by a model's scores, and the CAMs' as far as they count, at the size of the image."""
    size = (record.height, record.width)
    values, train_ids = scores.read(record.image_id)
    full_size = resize_maps(values, size)
    if cams is not None:
        cam_values, cam_ids = cams.read(record.image_id)
        full_size = mix_scores(full_size, train_ids, resize_maps(cam_values, size), cam_ids, settings.cam_weight)
    if settings.region_scale:
        regions = find_colour_regions(read_image(record.image), scale=settings.region_scale, min_area_px=16)
        full_size = pool_over_regions(full_size, regions)
    return choose_classes(full_size, train_ids, find_allowed_classes(weak, classes, settings.gate))


def read_box_masks(folder: LabelFolder | None, image_id: str, classes: ClassTable) -> NDArray[np.uint8] | None:
    """The box masks of an image as train ids, if they take part."""
    return None if folder is None else panoptic_to_semantic(folder.read(image_id), classes)


if __name__ == "__main__":
    run_stage(main)
