"""Segment the boxes of a shard's best proposals with GrabCut; mining then finds the masks in the store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from models.classifier.model import ClassifierModel
from models.jtsm.evidence import open_mask_finder, rank_by_classifier
from models.jtsm.training import list_mining_samples, prepare_mining_sample
from pseudogt.config.mining import MiningSettings
from pseudogt.files.io import write_json
from pseudogt.proposals.files import ProposalFile
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser
from pseudogt.workflow.stage import Shard


def main(argv: Sequence[str] | None = None) -> None:
    """Fill the store, and write how many masks were asked for and computed."""
    parser = stage_parser(__doc__)
    parser.add_argument("--shard", type=Path, required=True, help="index/<shard>.json")
    parser.add_argument("--weak-labels", type=Path, required=True, help="of the shard")
    parser.add_argument("--proposals", type=Path, required=True, help="of the shard")
    parser.add_argument("--boxes", type=int, required=True, help="best proposals of each image")
    parser.add_argument("--classifier", type=Path, help="tag classifier that ranks proposals; default: their scores")
    parser.add_argument("--cores", type=int, help="cores of the job; those that it may run on by default")
    parser.add_argument("--evidence", type=Path, required=True, help="folder of masks that trainings share")
    parser.add_argument("--out", type=Path, required=True, help="JSON to write")
    arguments = parser.parse_args(argv)
    settings = parse_settings(MiningSettings, arguments.settings)
    shard = Shard.open(arguments.shard, weak_labels=arguments.weak_labels)
    file = ProposalFile(arguments.proposals)
    classifier = ClassifierModel.load(arguments.classifier) if arguments.classifier else None
    torch.set_num_threads(settings.torch_threads)
    finder = open_mask_finder(arguments.evidence, arguments.cores)
    for image in shard.images("evidence"):
        pixels, found, name = image.read(), file.read(image.image_id), f"{file.path}: image {image.image_id!r}"
        for _, crop in list_mining_samples([image.weak], settings.samples):
            sample = prepare_mining_sample(pixels, found, image.weak, crop, shard.classes, name=name)
            order = np.arange(len(sample.boxes_xyxy))
            if classifier:
                order = rank_by_classifier(sample, classifier, stuff=settings.evidence == "grabcut")
            finder.find_masks(sample.image, sample.boxes_xyxy[order[: arguments.boxes]])
    write_json(arguments.out, finder.counts)


if __name__ == "__main__":
    run_stage(main)
