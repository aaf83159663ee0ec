"""Label new images with a trained model: panoptic PNGs, COCO panoptic JSON and overlays."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from pseudogt.classes import ClassTable
from pseudogt.config.predictions import PredictionsSettings
from pseudogt.costs.memory import count_pixels_in_memory, find_free_bytes
from pseudogt.files.images import read_image, write_png
from pseudogt.files.io import replace_atomically
from pseudogt.files.labels import LabelFolder, write_labels
from pseudogt.files.listing import find_images
from pseudogt.parsing.problems import read_each, shorten_list
from pseudogt.prediction.card import LoadedModel
from pseudogt.prediction.decoding import Decoding
from pseudogt.prediction.exported import ExportedModel
from pseudogt.prediction.passes import Passes, find_tiled, predict_images
from pseudogt.reporting.overlays import draw_panoptic
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser


def main(argv: Sequence[str] | None = None) -> None:
    """Predict every image of a folder; the model file is all that is needed."""
    parser = stage_parser(__doc__)
    parser.add_argument("--images", type=Path, required=True, help="folder of images")
    trained = parser.add_mutually_exclusive_group(required=True)
    trained.add_argument("--model", type=Path, help="model file of a training")
    trained.add_argument("--onnx", type=Path, help="model exported to ONNX; torch is not imported")
    parser.add_argument("--out", type=Path, required=True, help="folder of <image>.png, panoptic.json and overlays/")
    arguments = parser.parse_args(argv)
    settings = parse_settings(PredictionsSettings, arguments.settings)
    images, passed_over = find_images(arguments.images)
    for note in passed_over:
        print(f"warning: {note}", file=sys.stderr)
    model = open_onnx_model(arguments.onnx, settings) if arguments.onnx else load_torch_model(arguments.model, settings)
    classes, decoding = model.card.classes, settings.fill(Decoding)
    image_ids, paths = list(images), list(images.values())
    sizes = measure_images(paths)
    for note in model.card.describe_sizes(sizes):
        print(f"warning: {note}", file=sys.stderr)
    free_pixels = None if model.free_bytes is None else count_pixels_in_memory(model.card, model.free_bytes)
    passes = settings.fill(
        Passes,
        scale=model.card.scale,
        tile_px=settings.fixed_tile_px,
        can_tile=model.card.kind.can_tile,
        only_px=model.card.only_px,
        max_pixels=free_pixels if settings.tile_px == "auto" else None,
    )
    for tile, count in find_tiled(sizes, passes).items():
        print(f"{count} of {len(sizes)} images are cut into tiles of {tile[1]}x{tile[0]} pixels", file=sys.stderr)
    predictions = predict_images(model.run, sizes, lambda i: read_image(paths[i]), passes)
    with replace_atomically(arguments.out) as folder:
        with write_labels(folder, classes) as labels:
            for i, maps in tqdm(predictions, total=len(paths), desc="predict", mininterval=5):
                decoded = model.card.kind.decode(maps, sizes[i], classes, decoding)
                labels.add(image_ids[i], decoded.panoptic_id, scores=decoded.scores)
        draw_overlays(images, classes, folder)


def measure_images(paths: Sequence[Path]) -> list[tuple[int, int]]:
    """Height and width of each image.

    Raises
    ------
    ValueError
        If some can't be read; the message names several of them, so that all can be fixed at once.
    """
    found = list(read_each(paths, lambda path: read_image(path).shape[:2]))
    problems = [str(error) for _, _, error in found if error is not None]
    if problems:
        raise ValueError("\n".join(shorten_list(problems)))
    return [(size[0], size[1]) for _, size, _ in found if size is not None]


def load_torch_model(path: Path, settings: PredictionsSettings) -> LoadedModel:
    """Read the model file of a training; only here torch is imported."""
    from pseudogt.stages.predictions import load_model

    return load_model(path, settings)


def open_onnx_model(path: Path, settings: PredictionsSettings) -> LoadedModel:
    """Open an exported model; onnxruntime does not tell how much memory of a GPU is free."""
    model = ExportedModel.open(path, device=settings.device, threads=settings.torch_threads)
    return LoadedModel(model.card, model.run, find_free_bytes() if model.device == "cpu" else None)


def draw_overlays(images: Mapping[str, Path], classes: ClassTable, folder: Path) -> None:
    """Draw the labels of a folder over their images, into ``overlays/``."""
    labels = LabelFolder(folder)
    for image_id, path in images.items():
        picture = draw_panoptic(read_image(path), labels.read(image_id), classes)
        write_png(folder / "overlays" / f"{image_id}.png", picture)


if __name__ == "__main__":
    run_stage(main)
