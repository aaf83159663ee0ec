"""Segment the thing in each box of one shard by the consensus of independent segmenters.

python -m pseudogt.stages.box_masks --shard S.json --weak-labels F.json --out DIR --settings JSON

The label folder holds thing segments, the category "background" where no thing is, and no label
where the segmenters disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pseudogt.box_segmenters import BOX_SEGMENTERS
from pseudogt.cli import parse_settings, run_stage, stage_parser
from pseudogt.config.box_masks import BoxMasksSettings
from pseudogt.consensus import BoxLabels, combine_boxes, fuse_masks
from pseudogt.index import read_shard
from pseudogt.instances import compose_panoptic, number_boxes
from pseudogt.io import read_image
from pseudogt.label_files import write_labels
from pseudogt.weak_labels import ImageWeakLabels, read_weak_labels


def main(argv: Sequence[str] | None = None) -> None:
    """Write the box masks of one shard."""
    parser = stage_parser(__doc__)
    parser.add_argument("--shard", type=Path, required=True, help="index/<shard>.json")
    parser.add_argument("--weak-labels", type=Path, required=True, help="of the shard")
    parser.add_argument("--out", type=Path, required=True, help="label folder to write")
    args = parser.parse_args(argv)
    settings = parse_settings(BoxMasksSettings, args.settings)
    records, classes = read_shard(args.shard)
    weak_labels, _ = read_weak_labels([args.weak_labels])
    with write_labels(args.out, classes) as labels:
        for record in tqdm(records, desc=f"box masks {args.shard.stem}", unit="image", mininterval=5):
            if record.image_id not in weak_labels:
                raise ValueError(f"{args.weak_labels}: no weak labels of image {record.image_id!r}")
            weak = weak_labels[record.image_id]
            masks = segment_boxes(read_image(record.image), weak, settings)
            numbers = number_boxes(weak.box_classes, weak.box_iscrowd)
            labels.add(record.image_id, compose_panoptic(masks.semantic, masks.owner, numbers, classes))


def segment_boxes(image: NDArray[np.uint8], weak: ImageWeakLabels, settings: BoxMasksSettings) -> BoxLabels:
    """Box labels of one image ``(H, W, 3) uint8 RGB``."""
    boxes = weak.boxes_xyxy
    segmenters = [BOX_SEGMENTERS[name](image, settings.seed) for name in settings.segmenters] if len(boxes) else []
    verdicts = [
        fuse_masks([segment(box, np.delete(boxes, index, 0)) for segment in segmenters], train_id)
        for index, (box, train_id) in enumerate(zip(boxes, weak.box_classes, strict=True))
    ]
    shape = image.shape[:2]
    return combine_boxes(verdicts, boxes, weak.box_classes, weak.box_iscrowd, shape, overlap=settings.overlap)


if __name__ == "__main__":
    run_stage(main)
