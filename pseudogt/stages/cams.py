"""Apply the tag classifier to a shard: class scores, and a label with its confidence."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import torch

from models.classifier.apply import CamPlan, label_by_cams
from models.classifier.model import ClassifierModel
from models.training import choose_device
from pseudogt.config.cams import CamsSettings
from pseudogt.files.ahead import load_in_threads
from pseudogt.files.scores import write_scores
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser
from pseudogt.workflow.stage import Shard


def main(argv: Sequence[str] | None = None) -> None:
    """Write the score file of a shard."""
    parser = stage_parser(__doc__)
    parser.add_argument("--shard", type=Path, required=True)
    parser.add_argument("--weak-labels", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="score file")
    arguments = parser.parse_args(argv)
    settings = parse_settings(CamsSettings, arguments.settings)
    shard = Shard.open(arguments.shard, weak_labels=arguments.weak_labels)
    model = ClassifierModel.load(arguments.model)
    shard.check_classes(model.classes, arguments.model)
    torch.set_num_threads(settings.torch_threads)
    model.network.to(choose_device(settings.device))
    plan = settings.fill(CamPlan)
    read = load_in_threads(lambda number: shard[number].read(), range(len(shard)))
    with write_scores(arguments.out, shard.classes) as scores, closing(read):
        for image, pixels in zip(shard.images("cams"), read, strict=True):
            found = label_by_cams(pixels, image.weak, model, plan)
            possible = image.weak.possible
            possible[image.weak.box_classes] = True
            kept = np.flatnonzero(possible)
            scores.add(image.image_id, found.scores[kept], kept, found.label, found.confidence)


if __name__ == "__main__":
    run_stage(main)
