"""Segment the thing in each box of one shard by the consensus of segmenters.

python -m pseudogt.stages.box_masks --shard S.json --weak-labels F.json [--proposals F.h5] [--cams F.h5]
--out DIR --settings JSON

The label folder holds thing segments, the category "background" where no thing is, and no label
where the segmenters disagree. The ``score`` of an instance is their agreement on its box.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pseudogt.box_masks.consensus import combine_boxes, fuse_masks, measure_agreement
from pseudogt.box_masks.segmenters import BoxScene, PrepareScene, load_segmenters
from pseudogt.classes import INSTANCE_DIVISOR, ClassTable
from pseudogt.config.box_masks import BoxMasksSettings
from pseudogt.files.images import read_image
from pseudogt.files.index import read_shard
from pseudogt.files.labels import write_labels
from pseudogt.files.scores import ScoreFile
from pseudogt.proposals.files import ProposalFile
from pseudogt.pseudo_labels.instances import compose_panoptic, number_boxes
from pseudogt.weak_labels.records import read_weak_labels
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser


def main(argv: Sequence[str] | None = None) -> None:
    """Write the box masks of one shard."""
    parser = stage_parser(__doc__)
    parser.add_argument("--shard", type=Path, required=True, help="index/<shard>.json")
    parser.add_argument("--weak-labels", type=Path, required=True, help="of the shard")
    parser.add_argument("--proposals", type=Path, help="of the shard; read by the segmenter `proposal`")
    parser.add_argument("--cams", type=Path, help="score file of the shard; read with cam_prior")
    parser.add_argument("--out", type=Path, required=True, help="label folder to write")
    args = parser.parse_args(argv)
    settings = parse_settings(BoxMasksSettings, args.settings)
    records, classes = read_shard(args.shard)
    weak_labels, _ = read_weak_labels([args.weak_labels])
    proposals = ProposalFile(args.proposals) if args.proposals else None
    cams = ScoreFile(args.cams) if args.cams else None
    segmenters = load_segmenters(settings)
    with write_labels(args.out, classes) as labels:
        for record in tqdm(records, desc=f"box masks {args.shard.stem}", unit="image", mininterval=5):
            if record.image_id not in weak_labels:
                raise ValueError(f"{args.weak_labels}: no weak labels of image {record.image_id!r}")
            weak = weak_labels[record.image_id]
            scene = BoxScene(
                image=read_image(record.image),
                boxes_xyxy=weak.boxes_xyxy,
                classes=weak.box_classes,
                proposals=proposals.read(record.image_id) if proposals else None,
                cams=read_cams(cams, record.image_id) if cams else None,
            )
            verdicts = segment_boxes(scene, segmenters, settings)
            masks = combine_boxes(
                verdicts,
                weak.boxes_xyxy,
                weak.box_classes,
                weak.box_iscrowd,
                (record.height, record.width),
                overlap=settings.overlap,
            )
            numbers = number_boxes(weak.box_classes, weak.box_iscrowd)
            labels.add(
                record.image_id,
                compose_panoptic(masks.semantic, masks.owner, numbers, classes),
                scores=score_instances(verdicts, weak.box_classes, numbers, classes),
            )


def segment_boxes(
    scene: BoxScene, segmenters: Sequence[PrepareScene], settings: BoxMasksSettings
) -> list[NDArray[np.uint8]]:
    """What the segmenters say of each box: verdicts as of :func:`pseudogt.box_masks.consensus.fuse_masks`."""
    prepared = [prepare(scene) for prepare in segmenters] if len(scene.boxes_xyxy) else []
    return [
        fuse_masks([segment(index) for segment in prepared], train_id, sure=settings.sure)
        for index, train_id in enumerate(scene.classes.tolist())
    ]


def score_instances(
    verdicts: Sequence[NDArray[np.uint8]], box_classes: NDArray, numbers: NDArray[np.int32], classes: ClassTable
) -> dict[int, float]:
    """Agreement on the box of each instance, by panoptic id."""
    ids = classes.train_to_category[box_classes] * np.int32(INSTANCE_DIVISOR) + numbers
    return {
        int(panoptic_id): measure_agreement(verdict, train_id)
        for panoptic_id, number, verdict, train_id in zip(ids, numbers, verdicts, box_classes, strict=True)
        if number
    }


def read_cams(cams: ScoreFile, image_id: str) -> dict[int, NDArray[np.float32]]:
    """Score maps ``(h, w)`` of one image by train id."""
    scores, train_ids = cams.read(image_id)
    return dict(zip(train_ids.tolist(), scores, strict=True))


if __name__ == "__main__":
    run_stage(main)
