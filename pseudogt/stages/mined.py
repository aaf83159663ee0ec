"""Apply the mined network to a shard: panoptic labels, detections and, for training images, scores of classes.

Labels of training images hold only tagged classes. Detections are always made without tags, because they are scored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from models.jtsm.detection import DetectionPlan, SeenImage, describe_seen, find_instances, see_images
from models.jtsm.model import JtsmModel
from models.jtsm.network import JtsmNetwork
from models.jtsm.samples import MiningImage, prepare_image
from models.jtsm.views import group_by_size
from models.training import choose_device, choose_precision, explain_lack_of_memory
from pseudogt.classes import panoptic_to_semantic
from pseudogt.config.mined import MinedSettings
from pseudogt.files.ahead import load_in_threads
from pseudogt.files.detections import write_detections
from pseudogt.files.labels import write_labels
from pseudogt.files.scores import write_scores
from pseudogt.metrics.detection import ScoredBoxes, describe_found
from pseudogt.proposals.files import ProposalFile
from pseudogt.proposals.generation import Proposals
from pseudogt.pseudo_labels.mined import MinedPlan, label_by_detections, summarise_scores
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
    parser.add_argument("--detections", type=Path, required=True, help="file of detections to write")
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
    network = model.network.to(device)
    precision = choose_precision(settings.precision, device)
    views = settings.fill(DetectionPlan, max_proposals=model.max_proposals, device=device, dtype=precision)
    plan = settings.fill(MinedPlan)
    write_maps = write_scores(arguments.scores, shard.classes) if arguments.scores else nullcontext()
    with (
        explain_lack_of_memory("lower mined.images_per_pass, or leave out the largest of mined.short_sides_px"),
        write_labels(arguments.out, shard.classes) as labels,
        write_detections(arguments.detections) as detections,
        write_maps as scores,
    ):
        for number, found, seen in read_and_see(network, shard, proposals, views, settings.images_per_pass):
            image = shard[number]
            allowed = candidate_classes(image.weak, shard.classes) if image.weak_labels else None
            tags = None if allowed is None else np.asarray(allowed.any((1, 2)))[shard.classes.things_first]
            described = describe_seen(network, seen, views, tags=tags)
            label = label_by_detections(described, found, shard.classes, plan, allowed)
            labels.add(image.image_id, label.panoptic_id, crowd_ids=label.crowd_ids, scores=label.scores)
            if scores is not None:
                train_ids = np.flatnonzero(image.weak.possible)
                semantic = panoptic_to_semantic(label.panoptic_id, shard.classes)
                maps, confidence = summarise_scores(label.found, semantic, train_ids, shard.classes)
                scores.add(image.image_id, maps, train_ids, semantic, confidence)
            things = described if tags is None else find_instances(network, seen, views)
            of_classes = shard.classes.things_first[things.classes]
            boxes = ScoredBoxes(things.boxes_xyxy, of_classes, things.scores, things.masks)
            detections.add(image.image_id, describe_found(boxes, shard.classes))


def read_and_see(
    network: JtsmNetwork, shard: Shard, proposals: ProposalFile, views: DetectionPlan, images_per_pass: int
) -> Iterator[tuple[int, Proposals, SeenImage]]:
    """Number of each image in the shard, its proposals, and what the network sees in it."""
    groups = group_by_size([image.size for image in shard], images_per_pass)
    numbers = [number for group in groups for number in group]
    with closing(load_in_threads(open_samples(shard, proposals), numbers)) as read:
        for group in tqdm(groups, desc=f"mined {shard.name}", unit="pass", mininterval=5):
            inputs = [next(read) for _ in group]
            seen = see_images(network, [sample for _, sample in inputs], views)
            for number, (found, _), each in zip(group, inputs, seen, strict=True):
                yield number, found, each


def open_samples(shard: Shard, proposals: ProposalFile) -> Callable[[int], tuple[Proposals, MiningImage]]:
    """Return a function that reads an image with its proposals, without tags."""
    unknown = np.zeros(len(shard.classes), bool)

    def read_sample(number: int) -> tuple[Proposals, MiningImage]:
        image = shard[number]
        found = proposals.read(image.image_id)
        name = f"{proposals.path}: image {image.image_id!r}"
        return found, prepare_image(image.read(), found, unknown, unknown, shard.classes, name=name)

    return read_sample


if __name__ == "__main__":
    run_stage(main)
