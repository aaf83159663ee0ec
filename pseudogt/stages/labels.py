"""Make the labels of a round: from first scores and box masks in round 0, from the last model's scores later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pseudogt.classes import panoptic_to_semantic
from pseudogt.config.labels import LabelsSettings
from pseudogt.files.labels import LabelFolder, write_labels
from pseudogt.files.scores import ScoreFile
from pseudogt.pseudo_labels.confidence import spread_scores
from pseudogt.pseudo_labels.refinement import CleaningSteps
from pseudogt.pseudo_labels.round import RoundInputs, RoundPlan, SureLabel, label_image
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser
from pseudogt.workflow.stage import Shard, ShardImage, link_if_stopped


def main(argv: Sequence[str] | None = None) -> None:
    """Label a shard, or link the labels of the round before if no model was trained since."""
    parser = stage_parser(__doc__)
    parser.add_argument("--shard", type=Path, required=True)
    parser.add_argument("--weak-labels", type=Path, required=True)
    parser.add_argument("--scores", type=Path, required=True, help="first scores in round 0, then the model's")
    parser.add_argument("--first-scores", type=Path, help="those of round 0, in later rounds")
    parser.add_argument("--box-masks", type=Path, help="label folder; leave out to trust the scores alone")
    parser.add_argument("--instances", type=Path, help="label folder of a model whose instances replace boxes")
    parser.add_argument("--keep-shown", action="store_true", help="not of things that boxes or marks show")
    parser.add_argument("--full-labels", type=Path, help="label folder of images whose labels stay as they are")
    parser.add_argument(
        "--min-share", type=float, default=0.0, help="that classes with tags alone win, in later rounds"
    )
    parser.add_argument("--round", type=int, required=True)
    parser.add_argument("--record", type=Path, help="record.json of the model that gave the scores")
    parser.add_argument("--previous", type=Path, help="--out of the round before")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(argv)
    settings = parse_settings(LabelsSettings, arguments.settings)
    if link_if_stopped(arguments.record, [arguments.previous], [arguments.out]):
        return
    is_first = arguments.round == 0
    mixes = bool(settings.first_scores_weight) and not is_first
    if mixes and arguments.first_scores is None:
        raise ValueError("first_scores_weight needs the scores of round 0; give --first-scores, or set it to 0")
    shard = Shard.open(arguments.shard, weak_labels=arguments.weak_labels)
    sources = LabelSources(
        scores=ScoreFile(arguments.scores),
        first_scores=ScoreFile(arguments.first_scores) if mixes else None,
        box_masks=LabelFolder(arguments.box_masks) if arguments.box_masks else None,
        instances=LabelFolder(arguments.instances) if arguments.instances else None,
        keeps_shown=arguments.keep_shown,
        is_first=is_first,
        reads_images=bool(settings.region_scale),
    )
    full_labels = LabelFolder(arguments.full_labels) if arguments.full_labels else None
    plan = settings.fill(RoundPlan, min_share=arguments.min_share)
    steps = settings.fill(
        CleaningSteps, min_confidence=settings.min_confidence_first if is_first else settings.min_confidence
    )
    with write_labels(arguments.out, shard.classes) as labels:
        for image in shard.images(f"labels {arguments.round}"):
            if full_labels is not None and image.image_id in full_labels:
                labels.copy(full_labels, image.image_id)
                continue
            found = label_image(sources.read(image, shard), image.weak, shard.classes, plan, steps)
            labels.add(image.image_id, found.panoptic_id, crowd_ids=found.crowd_ids, scores=found.scores)


@dataclass(frozen=True)
class LabelSources:
    """The files that labels of a shard are made from; None where one takes no part.

    Attributes
    ----------
    scores : ScoreFile
    first_scores : ScoreFile or None
        What round 0 was made from.
    box_masks, instances : LabelFolder or None
    keeps_shown : bool
        Whether things that boxes or marks show keep their instances.
    is_first : bool
        Whether the scores are those of round 0, which come with a label.
    reads_images : bool
        Whether the images themselves are needed.
    """

    scores: ScoreFile
    first_scores: ScoreFile | None
    box_masks: LabelFolder | None
    instances: LabelFolder | None
    keeps_shown: bool
    is_first: bool
    reads_images: bool

    def read(self, image: ShardImage, shard: Shard) -> RoundInputs:
        """Sources of one image's label."""
        image_id, later = image.image_id, not self.is_first
        masks, box_scores = None, dict[int, float]()
        if self.box_masks is not None:
            masks, box_scores = self.box_masks.read(image_id), self.box_masks.scores(image_id)
        return RoundInputs(
            image=image.read() if self.reads_images and later else None,
            label=self._read_label(image_id) if self.is_first else None,
            scores=self.scores.read(image_id) if later else None,
            first_scores=self.first_scores.read(image_id) if self.first_scores else None,
            box_masks=None if masks is None else panoptic_to_semantic(masks, shard.classes),
            box_confidence=None if masks is None else spread_scores(masks, box_scores),
            instances=self.instances.read(image_id) if self.instances else None,
            keeps_shown=self.keeps_shown,
        )

    def _read_label(self, image_id: str) -> SureLabel:
        label, confidence = self.scores.read_label(image_id)
        return label, confidence.astype(np.float32) / np.float32(255)


if __name__ == "__main__":
    run_stage(main)
