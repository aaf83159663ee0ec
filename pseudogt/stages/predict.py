"""Label new images with a trained model: panoptic PNGs, COCO panoptic JSON and overlays to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from models.segmenter.inference import decode_prediction, predict_images
from models.segmenter.network import PanopticModel
from pseudogt.classes import ClassTable
from pseudogt.config.predictions import PredictionsSettings
from pseudogt.files.images import read_image, write_png
from pseudogt.files.io import replace_atomically
from pseudogt.files.labels import LabelFolder, write_labels
from pseudogt.reporting.overlays import draw_panoptic
from pseudogt.stages.predictions import DECODING, make_inference
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def main(argv: Sequence[str] | None = None) -> None:
    """Predict every image of a folder; the model file is all that is needed."""
    parser = stage_parser(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="folder of images")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of <image>.png, panoptic.json and overlays/")
    arguments = parser.parse_args(argv)
    settings = parse_settings(PredictionsSettings, arguments.settings)
    images = find_images(arguments.images)
    model = PanopticModel.load(arguments.model)
    with replace_atomically(arguments.out) as folder:
        predict_folder(images, model, folder, settings)
        draw_overlays(images, model.classes, folder)


def find_images(folder: Path) -> dict[str, Path]:
    """Map the name (without suffix) of each image in a folder to its path, sorted by name."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    images: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        if path.stem in images:
            raise ValueError(f"{path} and {images[path.stem].name} would have the same results; rename one")
        images[path.stem] = path
    if not images:
        raise ValueError(f"{folder}: there is no image ({', '.join(IMAGE_SUFFIXES)}) in this folder")
    return images


def predict_folder(images: dict[str, Path], model: PanopticModel, folder: Path, settings: PredictionsSettings) -> None:
    """Write the label folder of the images."""
    image_ids = list(images)
    sizes = [read_image(path).shape[:2] for path in images.values()]
    predictions = predict_images(
        model.network, sizes, lambda i: read_image(images[image_ids[i]]), make_inference(model.scale, settings)
    )
    with write_labels(folder, model.classes) as labels:
        for i, prediction in tqdm(predictions, total=len(images), desc="predict", mininterval=5):
            decoded = decode_prediction(
                prediction, sizes[i], model.classes, **settings.model_dump(include=set(DECODING))
            )
            labels.add(image_ids[i], decoded.panoptic_id, scores=decoded.scores)


def draw_overlays(images: dict[str, Path], classes: ClassTable, folder: Path) -> None:
    """Draw the labels of a folder over their images, into ``overlays/``."""
    labels = LabelFolder(folder)
    for image_id, path in images.items():
        picture = draw_panoptic(read_image(path), labels.read(image_id), classes)
        write_png(folder / "overlays" / f"{image_id}.png", picture)


if __name__ == "__main__":
    run_stage(main)
