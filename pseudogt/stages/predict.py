"""Label new images with a trained model: panoptic PNGs, COCO panoptic JSON and overlays."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from models.segmenter.inference import Decoding, decode_prediction, predict_images
from pseudogt.classes import ClassTable
from pseudogt.config.predictions import PredictionsSettings
from pseudogt.files.images import read_image, write_png
from pseudogt.files.io import replace_atomically
from pseudogt.files.labels import LabelFolder, write_labels
from pseudogt.files.listing import find_images
from pseudogt.reporting.overlays import draw_panoptic
from pseudogt.stages.predictions import load_model
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser


def main(argv: Sequence[str] | None = None) -> None:
    """Predict every image of a folder; the model file is all that is needed."""
    parser = stage_parser(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="folder of images")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of <image>.png, panoptic.json and overlays/")
    arguments = parser.parse_args(argv)
    settings = parse_settings(PredictionsSettings, arguments.settings)
    images, passed_over = find_images(arguments.images)
    for note in passed_over:
        print(f"warning: {note}", file=sys.stderr)
    model, inference = load_model(arguments.model, settings)
    decoding = settings.fill(Decoding)
    image_ids, paths = list(images), list(images.values())
    sizes = [read_image(path).shape[:2] for path in paths]
    predictions = predict_images(model.network, sizes, lambda i: read_image(paths[i]), inference)
    with replace_atomically(arguments.out) as folder:
        with write_labels(folder, model.classes) as labels:
            for i, prediction in tqdm(predictions, total=len(paths), desc="predict", mininterval=5):
                decoded = decode_prediction(prediction, sizes[i], model.classes, decoding)
                labels.add(image_ids[i], decoded.panoptic_id, scores=decoded.scores)
        draw_overlays(images, model.classes, folder)


def draw_overlays(images: Mapping[str, Path], classes: ClassTable, folder: Path) -> None:
    """Draw the labels of a folder over their images, into ``overlays/``."""
    labels = LabelFolder(folder)
    for image_id, path in images.items():
        picture = draw_panoptic(read_image(path), labels.read(image_id), classes)
        write_png(folder / "overlays" / f"{image_id}.png", picture)


if __name__ == "__main__":
    run_stage(main)
