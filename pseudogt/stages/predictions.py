"""Apply a trained model to a shard: panoptic labels with scores and, for training images, class scores."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from models.segmenter.inference import measure_gpu_bytes, prepare_network
from models.segmenter.model import PanopticModel
from models.training import choose_device, choose_precision
from pseudogt.config.predictions import PredictionsSettings
from pseudogt.costs.memory import find_free_bytes
from pseudogt.files.labels import write_labels
from pseudogt.files.scores import write_scores
from pseudogt.prediction.card import LoadedModel
from pseudogt.prediction.decoding import Decoding, compute_probabilities
from pseudogt.prediction.passes import Passes, predict_images
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser
from pseudogt.workflow.stage import Shard, link_if_stopped


def main(argv: Sequence[str] | None = None) -> None:
    """Predict a shard, or link the prediction of the round before if its model is the same."""
    parser = stage_parser(__doc__)
    parser.add_argument("--shard", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="label folder")
    parser.add_argument("--weak-labels", type=Path, help="of the shard: the classes whose scores are kept")
    parser.add_argument("--scores", type=Path, help="score file; goes with --weak-labels")
    parser.add_argument("--record", type=Path, help="record.json of the model")
    parser.add_argument("--previous", type=Path, nargs="+", default=[], help="--out (and --scores) of the round before")
    arguments = parser.parse_args(argv)
    if (arguments.weak_labels is None) != (arguments.scores is None):
        parser.error("--weak-labels and --scores go together")
    settings = parse_settings(PredictionsSettings, arguments.settings)
    outputs = [arguments.out, arguments.scores] if arguments.scores else [arguments.out]
    if link_if_stopped(arguments.record, arguments.previous, outputs):
        return
    shard = Shard.open(arguments.shard, weak_labels=arguments.weak_labels)
    model = load_model(arguments.model, settings)
    shard.check_classes(model.card.classes, arguments.model)
    passes = settings.fill(
        Passes, scale=model.card.scale, tile_px=settings.fixed_tile_px, can_tile=model.card.kind.can_tile
    )
    decoding = settings.fill(Decoding)
    images = list(shard)
    predictions = predict_images(model.run, [image.size for image in images], lambda i: images[i].read(), passes)
    with ExitStack() as stack:
        labels = stack.enter_context(write_labels(arguments.out, shard.classes))
        scores = stack.enter_context(write_scores(arguments.scores, shard.classes)) if arguments.scores else None
        for i, maps in tqdm(predictions, total=len(images), desc=f"predictions {shard.name}", mininterval=5):
            image = images[i]
            decoded = model.card.kind.decode(maps, image.size, shard.classes, decoding)
            labels.add(image.image_id, decoded.panoptic_id, scores=decoded.scores)
            if scores is not None:
                kept = np.flatnonzero(image.weak.possible)
                scores.add(image.image_id, compute_probabilities(maps.semantic)[kept], kept)


def load_model(path: Path, settings: PredictionsSettings) -> LoadedModel:
    """Read a model file, and choose how to run it on this machine."""
    model = PanopticModel.load(path)
    torch.set_num_threads(settings.torch_threads)
    device = choose_device(settings.device)
    run = prepare_network(model.network, model.card.kind, device, choose_precision(settings.precision, device))
    return LoadedModel(model.card, run, find_free_bytes() if device.type == "cpu" else measure_gpu_bytes(device))


if __name__ == "__main__":
    run_stage(main)
