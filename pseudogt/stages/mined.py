"""Apply the mined network to a shard: panoptic labels and, for training images, class scores and a label."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing, nullcontext
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.jtsm.detection import DetectionPlan, detect
from models.jtsm.model import JtsmModel
from models.jtsm.samples import prepare_image
from models.loader import load_in_threads
from models.training import choose_device, choose_precision
from pseudogt.classes import panoptic_to_semantic
from pseudogt.config.mined import MinedSettings
from pseudogt.files.labels import write_labels
from pseudogt.files.scores import write_scores
from pseudogt.proposals.files import ProposalFile
from pseudogt.proposals.generation import Proposals
from pseudogt.pseudo_labels.mined import MinedPlan, label_by_detections, measure_pixel_confidence, shrink_maps
from pseudogt.weak_labels.candidates import candidate_classes
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser
from pseudogt.workflow.stage import Shard


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
    settings = parse_settings(MinedSettings, arguments.settings)
    shard = Shard.open(arguments.shard, weak_labels=arguments.weak_labels)
    proposals, model = ProposalFile(arguments.proposals), JtsmModel.load(arguments.model)
    shard.check_classes(model.classes, arguments.model)
    torch.set_num_threads(settings.torch_threads)
    device = choose_device(settings.device)
    model.network.to(device)
    precision = choose_precision(settings.precision, device)
    views = settings.fill(DetectionPlan, max_proposals=model.max_proposals, device=device, dtype=precision)
    plan, unknown = settings.fill(MinedPlan), np.zeros(len(shard.classes), bool)
    write_maps = write_scores(arguments.scores) if arguments.scores else nullcontext()

    def read_inputs(number: int) -> tuple[NDArray[np.uint8], Proposals]:
        return shard[number].read(), proposals.read(shard[number].image_id)

    read = load_in_threads(read_inputs, range(len(shard)))
    with write_labels(arguments.out, shard.classes) as labels, write_maps as scores, closing(read):
        for image, (pixels, found) in zip(shard.images("mined"), read, strict=True):
            name = f"{proposals.path}: image {image.image_id!r}"
            sample = prepare_image(pixels, found, unknown, unknown, shard.classes, name=name)
            allowed = candidate_classes(image.weak, shard.classes) if image.weak_labels else None
            tags = None if allowed is None else np.asarray(allowed.any((1, 2)))[shard.classes.things_first]
            detections = detect(model.network, sample, views, tags=tags)
            label = label_by_detections(detections, found, shard.classes, plan, allowed)
            labels.add(image.image_id, label.panoptic_id, crowd_ids=label.crowd_ids, scores=label.scores)
            if scores is not None:
                train_ids = np.flatnonzero(image.weak.possible)
                semantic = panoptic_to_semantic(label.panoptic_id, shard.classes)
                confidence = measure_pixel_confidence(semantic, label.maps)
                scores.add(image.image_id, shrink_maps(label.maps[train_ids]), train_ids, semantic, confidence)


if __name__ == "__main__":
    run_stage(main)
