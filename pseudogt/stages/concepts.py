"""Find the tagged classes of a shard by their names: class scores, a label with its confidence, and instances.

It takes the place of the classifier and of the stage `cams`, whose files it writes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import torch

from models.pretrained.concepts import load_concept_model
from models.training import choose_device, choose_precision
from pseudogt.classes import find_crowds
from pseudogt.config.cams import CamsSettings
from pseudogt.files.ahead import load_in_threads
from pseudogt.files.labels import write_labels
from pseudogt.files.scores import write_scores
from pseudogt.pseudo_labels.concepts import ConceptPlan, find_asked, label_by_concepts
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser
from pseudogt.workflow.stage import Shard


def main(argv: Sequence[str] | None = None) -> None:
    """Write the score file and the instances of a shard."""
    parser = stage_parser(__doc__)
    parser.add_argument("--shard", type=Path, required=True)
    parser.add_argument("--weak-labels", type=Path, required=True)
    parser.add_argument("--prompts", required=True, help="JSON list: the words for each class, by train id")
    parser.add_argument("--out", type=Path, required=True, help="score file")
    parser.add_argument("--instances", type=Path, required=True, help="label folder of things")
    arguments = parser.parse_args(argv)
    settings = parse_settings(CamsSettings, arguments.settings)
    shard = Shard.open(arguments.shard, weak_labels=arguments.weak_labels)
    torch.set_num_threads(settings.torch_threads)
    device, plan = choose_device(settings.device), settings.fill(ConceptPlan)
    model = load_concept_model(
        settings.concept_model or "",
        json.loads(arguments.prompts),
        device,
        choose_precision(settings.precision, device),
        min_score=plan.min_probability,
    )
    read = load_in_threads(lambda number: shard[number].read(), range(len(shard)))
    with (
        write_scores(arguments.out, shard.classes) as scores,
        write_labels(arguments.instances, shard.classes) as instances,
        closing(read),
    ):
        for image, pixels in zip(shard.images("cams"), read, strict=True):
            asked = find_asked(image.weak)
            found = label_by_concepts(pixels, image.weak, shard.classes, model.ask(pixels, asked.tolist()), plan)
            scores.add(image.image_id, found.scores[asked], asked, found.label, found.confidence)
            crowds = find_crowds(found.panoptic_id, shard.classes)
            instances.add(image.image_id, found.panoptic_id, crowd_ids=crowds)


if __name__ == "__main__":
    run_stage(main)
