"""Apply the mined network to a shard: panoptic labels and, for training images, class scores and a label."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from models.jtsm.detection import DetectionPlan, Detections, detect
from models.jtsm.model import JtsmModel
from models.jtsm.samples import MiningImage
from models.jtsm.semantic import score_segments
from models.training import choose_device, choose_precision
from pseudogt.classes import IGNORE_LABEL, INSTANCE_DIVISOR, VOID, ClassTable, find_crowds, panoptic_to_semantic
from pseudogt.config.mined import MinedSettings
from pseudogt.files.images import read_image
from pseudogt.files.index import ImageRecord, read_shard
from pseudogt.files.labels import write_labels
from pseudogt.files.scores import write_scores
from pseudogt.proposals.files import ProposalFile
from pseudogt.pseudo_labels.panoptic_merge import MergedPanoptic, fill_things, merge_panoptic
from pseudogt.weak_labels.candidates import candidate_classes
from pseudogt.weak_labels.records import read_weak_labels
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser

MERGE = ("max_overlap", "min_stuff_area_px")
"""Settings that :func:`pseudogt.pseudo_labels.panoptic_merge.merge_panoptic` takes as they are."""

SCORE_STRIDE = 4
"""Pixels of the image per cell of the score maps."""


def main(argv: Sequence[str] | None = None) -> None:
    """Label a shard; with its weak labels, with the classes that these allow."""
    parser = stage_parser(__doc__)
    parser.add_argument("--shard", type=Path, required=True)
    parser.add_argument("--proposals", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="label folder")
    parser.add_argument("--weak-labels", type=Path, help="of the shard: the classes that may be found")
    parser.add_argument("--scores", type=Path, help="score file; goes with --weak-labels")
    arguments = parser.parse_args(argv)
    if (arguments.weak_labels is None) != (arguments.scores is None):
        parser.error("--weak-labels and --scores go together")
    label_shard(arguments, parse_settings(MinedSettings, arguments.settings))


def label_shard(arguments: argparse.Namespace, settings: MinedSettings) -> None:
    """Write the label folder of a shard and, with weak labels, its score file."""
    records, classes = read_shard(arguments.shard)
    model = JtsmModel.load(arguments.model)
    if model.classes != classes:
        raise ValueError(f"{arguments.model}: trained on another class table than that of {arguments.shard}")
    weak = read_weak_labels([arguments.weak_labels])[0] if arguments.weak_labels else {}
    proposals = ProposalFile(arguments.proposals)
    plan = make_plan(model, settings)
    with ExitStack() as stack:
        labels = stack.enter_context(write_labels(arguments.out, classes))
        scores = stack.enter_context(write_scores(arguments.scores)) if arguments.scores else None
        for record in tqdm(records, desc=arguments.shard.stem, mininterval=5):
            sample = read_sample(record, proposals, len(classes))
            if scores is None:
                merged, _ = label_image(model, sample, plan, settings, None)
            else:
                if record.image_id not in weak:
                    raise ValueError(f"{arguments.weak_labels}: no weak labels of image {record.image_id!r}")
                allowed = candidate_classes(weak[record.image_id], classes)
                merged, maps = label_image(model, sample, plan, settings, allowed)
                train_ids = np.flatnonzero(weak[record.image_id].possible)
                label = panoptic_to_semantic(merged.panoptic_id, classes)
                confidence = measure_confidence(label, maps)
                small = [shrink(maps[train_id]) for train_id in train_ids]
                size = shrink(maps[0]).shape
                stacked = np.array(small, np.float32).reshape(-1, *size)
                scores.add(record.image_id, stacked, train_ids, label, confidence)
            labels.add(
                record.image_id,
                merged.panoptic_id,
                crowd_ids=find_crowds(merged.panoptic_id, classes),
                scores=merged.scores,
            )


def make_plan(model: JtsmModel, settings: MinedSettings) -> DetectionPlan:
    """How to run the network on this machine; it is moved there."""
    torch.set_num_threads(settings.torch_threads)
    device = choose_device(settings.device)
    model.network.to(device)
    names = {f.name for f in fields(DetectionPlan)}
    return DetectionPlan(
        **settings.model_dump(include=names - {"device"}),
        max_proposals=model.max_proposals,
        device=device,
        dtype=choose_precision(settings.precision, device),
    )


def read_sample(record: ImageRecord, proposals: ProposalFile, class_count: int) -> MiningImage:
    """An image with its proposals; nothing is known of its tags."""
    found = proposals.read(record.image_id)
    unknown = np.zeros(class_count, bool)
    sample = MiningImage(
        image=read_image(record.image),
        superpixels=found.superpixels,
        members=found.members,
        boxes_xyxy=found.boxes_xyxy,
        scores=found.scores.astype(np.float32),
        tags=unknown,
        known=unknown,
    )
    try:
        sample.check(class_count)
    except ValueError as error:
        raise ValueError(f"{proposals.path}: image {record.image_id!r}: {error}") from error
    return sample


def label_image(
    model: JtsmModel,
    sample: MiningImage,
    plan: DetectionPlan,
    settings: MinedSettings,
    allowed: NDArray[np.bool_] | None,
) -> tuple[MergedPanoptic, NDArray[np.float32]]:
    """Panoptic label of an image, and scores ``(C, H, W)`` of all classes in [0, 1].

    Parameters
    ----------
    model : JtsmModel
    sample : MiningImage
    plan : DetectionPlan
    settings : MinedSettings
    allowed : (C, H, W) bool or None
        Classes that may be found at each pixel, by train id; None for all.
    """
    classes = model.classes
    tags = None if allowed is None else np.asarray(allowed.any((1, 2)))[model.order]
    found = detect(model.network, sample, plan, tags=tags)
    if allowed is not None:
        found = keep_allowed(found, allowed, classes)
    if settings.stuff == "segments":
        semantic = label_by_segments(found, sample, classes, allowed)
        is_stuff = np.equal.outer(classes.stuff_ids, semantic)
        is_thing = np.isin(semantic[None], classes.thing_ids)
        found = found._replace(semantic=np.concatenate([is_thing, is_stuff]).astype(np.float32))
    else:
        of_labels = np.append(IGNORE_LABEL, classes.stuff_ids).astype(np.uint8)
        semantic = np.where(found.semantic.any(0), of_labels[found.semantic.argmax(0)], np.uint8(IGNORE_LABEL))
    merged = merge_panoptic(
        found.masks,
        found.scores,
        classes.thing_ids[found.classes],
        semantic,
        classes,
        min_score=settings.min_instance_score,
        **settings.model_dump(include=set(MERGE)),
    )
    left = np.where(merged.panoptic_id == VOID, semantic, IGNORE_LABEL)
    fill_things(merged.panoptic_id, left, classes, with_instances=settings.things == "components")
    return add_stuff_scores(merged, found, classes), spread_scores(found, classes)


def keep_allowed(found: Detections, allowed: NDArray[np.bool_], classes: ClassTable) -> Detections:
    """Leave out the pixels of instances and of stuff whose tags say that the class is not there."""
    stuff = np.concatenate([allowed[classes.thing_ids].any(0, keepdims=True), allowed[classes.stuff_ids]])
    return found._replace(
        masks=found.masks & allowed[classes.thing_ids[found.classes]], semantic=found.semantic * stuff
    )


def label_by_segments(
    found: Detections, sample: MiningImage, classes: ClassTable, allowed: NDArray[np.bool_] | None
) -> NDArray[np.uint8]:
    """Train ids ``(H, W)`` by the mining head's scores on superpixels; ``IGNORE_LABEL`` where it says nothing.

    Where the tag classifier is part of the network, what it says of each superpixel is multiplied with
    what the head says of the proposals that hold it.

    Parameters
    ----------
    found : Detections
    sample : MiningImage
    classes : ClassTable
    allowed : (C, H, W) bool or None
        By train id; without it the classes whose presence is above 0.5 take part.
    """
    areas = np.bincount(sample.superpixels.ravel(), minlength=sample.members.shape[1])
    scores = score_segments(found.proposal_classes, sample.members[: len(found.proposal_classes)], areas)
    if found.superpixel_classes is not None:
        scores *= found.superpixel_classes.T
    if allowed is None:
        scores[found.presence <= 0.5] = 0
    shape = sample.superpixels.shape
    best, label = np.zeros(shape, np.float32), np.full(shape, IGNORE_LABEL, np.uint8)
    for train_id, of_class in zip(classes.things_first.tolist(), scores, strict=True):
        value = of_class[sample.superpixels]
        better = value > best if allowed is None else (value > best) & allowed[train_id]
        best[better], label[better] = value[better], train_id
    return label


def add_stuff_scores(merged: MergedPanoptic, found: Detections, classes: ClassTable) -> MergedPanoptic:
    """Give each stuff segment the mean probability of its pixels."""
    scores = dict(merged.scores)
    for row, train_id in enumerate(classes.stuff_ids, start=1):
        segment_id = classes.category_ids[train_id] * INSTANCE_DIVISOR
        inside = merged.panoptic_id == segment_id
        if inside.any():
            scores[segment_id] = float(found.semantic[row][inside].mean())
    return MergedPanoptic(merged.panoptic_id, scores)


def spread_scores(found: Detections, classes: ClassTable) -> NDArray[np.float32]:
    """Scores ``(C, H, W)``: of stuff its probability, of a thing the score of its surest instance at the pixel."""
    scores = np.zeros((len(classes), *found.semantic.shape[1:]), np.float32)
    scores[classes.stuff_ids] = found.semantic[1:]
    for mask, score, position in zip(found.masks, found.scores, found.classes, strict=True):
        of_class = scores[classes.thing_ids[position]]
        of_class[mask] = np.maximum(of_class[mask], score)
    return scores


def measure_confidence(label: NDArray[np.uint8], scores: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Score ``(H, W)``, 0..255, of the class that each pixel of a label has; 0 where it has none."""
    known = label < len(scores)
    chosen = np.take_along_axis(scores, np.where(known, label, 0)[None].astype(np.int64), axis=0)[0]
    return np.where(known, np.round(255 * np.clip(chosen, 0, 1)), 0).astype(np.uint8)


def shrink(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean over cells of ``SCORE_STRIDE`` pixels."""
    height, width = (max(1, -(-extent // SCORE_STRIDE)) for extent in scores.shape)
    return np.asarray(cv2.resize(scores, (width, height), interpolation=cv2.INTER_AREA), np.float32)


if __name__ == "__main__":
    run_stage(main)
