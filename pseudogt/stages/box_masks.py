"""Segment the thing in each box of one shard by the consensus of segmenters.

The label folder holds thing segments, the category "background" where no thing is, and no label
where the segmenters disagree. The ``score`` of an instance is their agreement on its box.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models.pretrained.loading import load_segmenters
from pseudogt.box_masks.labelling import label_boxes
from pseudogt.box_masks.scene import BoxScene
from pseudogt.config.box_masks import BoxMasksSettings
from pseudogt.files.labels import LabelFolder, write_labels
from pseudogt.files.scores import ScoreFile
from pseudogt.proposals.files import ProposalFile
from pseudogt.weak_labels.labelled import find_labelled_pixels
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser
from pseudogt.workflow.stage import Shard, ShardImage


def main(argv: Sequence[str] | None = None) -> None:
    """Write the box masks of one shard."""
    parser = stage_parser(__doc__)
    parser.add_argument("--shard", type=Path, required=True, help="index/<shard>.json")
    parser.add_argument("--weak-labels", type=Path, required=True, help="of the shard")
    parser.add_argument("--proposals", type=Path, help="of the shard; read by the segmenter `proposal`")
    parser.add_argument("--cams", type=Path, help="score file of the shard; read with cam_prior")
    parser.add_argument("--out", type=Path, required=True, help="label folder to write")
    parser.add_argument("--drawn", type=Path, help="label folder of hand-drawn things, copied unchanged")
    arguments = parser.parse_args(argv)
    settings = parse_settings(BoxMasksSettings, arguments.settings)
    shard = Shard.open(arguments.shard, weak_labels=arguments.weak_labels)
    proposals = ProposalFile(arguments.proposals) if arguments.proposals else None
    cams = ScoreFile(arguments.cams) if arguments.cams else None
    drawn = LabelFolder(arguments.drawn) if arguments.drawn else None
    segmenters = load_segmenters(settings)
    with write_labels(arguments.out, shard.classes) as labels:
        for image in shard.images("box masks"):
            if drawn is not None and image.image_id in drawn:
                labels.copy(drawn, image.image_id)
                continue
            panoptic_id, scores = label_boxes(
                read_scene(image, proposals, cams),
                image.weak.box_iscrowd,
                segmenters,
                shard.classes,
                sure=settings.sure,
                overlap=settings.overlap,
            )
            labels.add(image.image_id, panoptic_id, scores=scores)


def read_scene(image: ShardImage, proposals: ProposalFile | None, cams: ScoreFile | None) -> BoxScene:
    """Read an image and what earlier stages know of it."""
    return BoxScene(
        image=image.read(),
        boxes_xyxy=image.weak.boxes_xyxy,
        classes=image.weak.box_classes,
        proposals=proposals.read(image.image_id) if proposals else None,
        cams=cams.read_maps(image.image_id) if cams else None,
        labelled=find_labelled_pixels(image.weak) if len(image.weak.marks) else None,
    )


if __name__ == "__main__":
    run_stage(main)
