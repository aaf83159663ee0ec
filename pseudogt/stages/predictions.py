"""Apply a trained model to a shard: panoptic labels with scores and, for training images, class scores."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from models.segmenter.inference import Inference, decode_prediction, predict_images
from models.segmenter.network import PanopticModel
from models.training import choose_device, choose_precision
from pseudogt.config.predictions import PredictionsSettings
from pseudogt.files.images import read_image
from pseudogt.files.index import read_shard
from pseudogt.files.io import read_json
from pseudogt.files.labels import write_labels
from pseudogt.files.scores import write_scores
from pseudogt.pseudo_labels.rounds import link_previous
from pseudogt.weak_labels.records import read_weak_labels
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser

DECODING = ("centre_threshold", "nms_cells", "min_stuff_fraction", "min_instance_px")
"""Settings that :func:`models.segmenter.inference.decode_prediction` takes."""


def main(argv: Sequence[str] | None = None) -> None:
    """Predict a shard, or link the prediction of the round before if its model is the same."""
    parser = stage_parser(__doc__)
    parser.add_argument("--shard", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="label folder")
    parser.add_argument("--weak-labels", type=Path, help="of the shard: the classes whose scores are kept")
    parser.add_argument("--scores", type=Path, help="score file; goes with --weak-labels")
    parser.add_argument("--record", type=Path, help="record.json of the model")
    parser.add_argument("--previous", type=Path, nargs="+", help="--out (and --scores) of the round before")
    arguments = parser.parse_args(argv)
    if (arguments.weak_labels is None) != (arguments.scores is None):
        parser.error("--weak-labels and --scores go together")
    settings = parse_settings(PredictionsSettings, arguments.settings)
    if arguments.record and read_json(arguments.record)["linked"]:
        outputs = [arguments.out, arguments.scores] if arguments.scores else [arguments.out]
        for previous, path in zip(arguments.previous, outputs, strict=True):
            link_previous(previous, path)
        return
    predict_shard(arguments, settings)


def predict_shard(arguments: argparse.Namespace, settings: PredictionsSettings) -> None:
    """Write the label folder of a shard and, with weak labels, its score file."""
    records, classes = read_shard(arguments.shard)
    model = PanopticModel.load(arguments.model)
    if model.classes != classes:
        raise ValueError(f"{arguments.model}: trained on another class table than that of {arguments.shard}")
    weak = read_weak_labels([arguments.weak_labels])[0] if arguments.weak_labels else {}
    sizes = [(record.height, record.width) for record in records]
    predictions = predict_images(
        model.network, sizes, lambda i: read_image(records[i].image), make_inference(model.scale, settings)
    )
    with ExitStack() as stack:
        labels = stack.enter_context(write_labels(arguments.out, classes))
        scores = stack.enter_context(write_scores(arguments.scores)) if arguments.scores else None
        for i, prediction in tqdm(predictions, total=len(records), desc=arguments.shard.stem, mininterval=5):
            image_id = records[i].image_id
            decoded = decode_prediction(prediction, sizes[i], classes, **settings.model_dump(include=set(DECODING)))
            labels.add(image_id, decoded.panoptic_id, scores=decoded.scores)
            if scores is not None:
                if image_id not in weak:
                    raise ValueError(f"{arguments.weak_labels}: no weak labels of image {image_id!r}")
                kept = np.flatnonzero(weak[image_id].possible)
                scores.add(image_id, prediction.semantic.softmax(0)[kept].numpy(), kept)


def make_inference(scale: float, settings: PredictionsSettings) -> Inference:
    """Return how to run the network on this machine."""
    torch.set_num_threads(settings.torch_threads)
    device = choose_device(settings.device)
    return Inference(
        scale=scale,
        batch_size=settings.batch_size,
        flip=settings.flip,
        device=device,
        dtype=choose_precision(settings.precision, device),
    )


if __name__ == "__main__":
    run_stage(main)
