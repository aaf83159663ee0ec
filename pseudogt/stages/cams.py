"""Apply the tag classifier to a shard: class scores, and a label with its confidence."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from models.classifier.gradcam import compute_gradcams
from models.classifier.network import STRIDE, ClassifierModel, pool_regions, resize_for_classifier
from models.training import autocast, choose_device, choose_precision
from pseudogt.config.cams import CamsSettings
from pseudogt.files.images import read_image
from pseudogt.files.index import read_shard
from pseudogt.files.scores import write_scores
from pseudogt.maps import find_colour_regions, pool_over_regions, resize_maps
from pseudogt.pseudo_labels.cams import choose_label, normalise_cams, normalise_logits, stitch_crops
from pseudogt.weak_labels.candidates import candidate_classes
from pseudogt.weak_labels.records import ImageWeakLabels, read_weak_labels
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser

Maps = NDArray[np.float32]


def main(argv: Sequence[str] | None = None) -> None:
    """Write the score file of a shard."""
    parser = stage_parser(__doc__)
    parser.add_argument("--shard", type=Path, required=True)
    parser.add_argument("--weak-labels", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="score file")
    arguments = parser.parse_args(argv)
    write_cams(arguments, parse_settings(CamsSettings, arguments.settings))


def write_cams(arguments: argparse.Namespace, settings: CamsSettings) -> None:
    """Compute and write scores, label and confidence of each image of the shard."""
    records, classes = read_shard(arguments.shard)
    weak_labels, _ = read_weak_labels([arguments.weak_labels])
    model = ClassifierModel.load(arguments.model)
    if model.classes != classes:
        raise ValueError(f"{arguments.model}: trained on another class table than that of {arguments.shard}")
    torch.set_num_threads(settings.torch_threads)
    model.network.to(choose_device(settings.device))
    with write_scores(arguments.out) as writer:
        for record in tqdm(records, desc=arguments.shard.stem, mininterval=5):
            if record.image_id not in weak_labels:
                raise ValueError(f"{arguments.weak_labels}: no weak labels of image {record.image_id!r}")
            weak = weak_labels[record.image_id]
            scores, label, confidence = label_image(read_image(record.image), weak, model, settings)
            possible = weak.possible
            possible[weak.box_classes] = True
            kept = np.flatnonzero(possible)
            writer.add(record.image_id, scores[kept], kept, label, confidence)


def label_image(
    image: NDArray[np.uint8], weak: ImageWeakLabels, model: ClassifierModel, settings: CamsSettings
) -> tuple[Maps, NDArray[np.uint8], NDArray[np.uint8]]:
    """Scores ``(C, h, w)`` at the network's stride, and label and confidence ``(H, W)``."""

    def find_candidates(size: tuple[int, int]) -> NDArray[np.bool_]:
        return candidate_classes(weak, model.classes, things_in_boxes=settings.things_in_boxes, size=size)

    scaled = resize_for_classifier(image, model.scale)
    grid = (scaled.shape[0] // STRIDE, scaled.shape[1] // STRIDE)
    raw = np.mean([compute_maps(image, weak, model, settings, factor, grid) for factor in settings.scales], axis=0)
    normalise = normalise_logits if settings.method == "probability" else normalise_cams
    scores = normalise(raw, find_candidates(grid))

    # At the scaled image's size again, so that no border of the candidates is blurred by the stride.
    fine_candidates = find_candidates(scaled.shape[:2])
    fine = normalise(resize_maps(raw, scaled.shape[:2]), fine_candidates)
    if settings.region_scale:
        regions = find_colour_regions(scaled, scale=settings.region_scale, min_area_px=settings.region_min_area_px)
        fine = pool_over_regions(fine, regions)
    label, confidence = choose_label(
        resize_maps(fine, image.shape[:2]),
        find_candidates(image.shape[:2]),
        min_confidence=settings.min_confidence,
    )
    return scores, label, confidence


def compute_maps(
    image: NDArray[np.uint8],
    weak: ImageWeakLabels,
    model: ClassifierModel,
    settings: CamsSettings,
    factor: float,
    grid: tuple[int, int],
) -> Maps:
    """Logits or Grad-CAMs ``(C, h, w)`` of an image, the mean over the image and its mirror image."""
    scale = model.scale * factor
    if settings.view == "image" or not len(weak.crops_xyxy):
        tags = torch.from_numpy(weak.tags)[None]
        return resize_maps(run_network(resize_for_classifier(image, scale)[None], tags, model, settings)[0], grid)
    crops = np.stack([resize_for_classifier(image[y0:y1, x0:x1], scale) for x0, y0, x1, y1 in weak.crops_xyxy])
    maps = run_network(crops, torch.from_numpy(weak.crop_tags), model, settings)
    return stitch_crops(maps, weak.crops_xyxy, image.shape[:2], grid)


def run_network(images: NDArray[np.uint8], tags: Tensor, model: ClassifierModel, settings: CamsSettings) -> Maps:
    """Compute maps ``(B, C, h, w)`` of images ``(B, H, W, 3)`` of one size, averaged over their mirror images.

    A batch is an image with its mirror image (a crop set with its mirror images), whatever the
    shard, so that results do not depend on which images share a shard.
    """
    device = next(model.network.parameters()).device
    batch = torch.from_numpy(images).permute(0, 3, 1, 2).to(device).float()
    batch = torch.cat([batch, batch.flip(-1)])
    with autocast(choose_precision(settings.precision, device), device):
        if settings.method == "gradcam":
            layer = find_layer(model.network, settings.layer)
            both = torch.cat([tags, tags]).to(device)
            maps = compute_gradcams(model.network, layer, batch, both, score=lambda z: score_whole(z, model.sharpness))
        else:
            with torch.inference_mode():
                maps = model.network(batch)
    straight, mirrored = maps.float().chunk(2)
    return ((straight + mirrored.flip(-1)) / 2).cpu().numpy()


def score_whole(logits: Tensor, sharpness: float) -> Tensor:
    """Score ``(B, C)`` of each whole image, pooled as in training."""
    rows = torch.ones(len(logits), 1, logits.shape[2], device=logits.device)
    columns = torch.ones(len(logits), 1, logits.shape[3], device=logits.device)
    return pool_regions(logits, rows, columns, sharpness)[:, 0]


def find_layer(network: nn.Module, name: str) -> nn.Module:
    """Return a module of the network by its dotted name."""
    try:
        return network.get_submodule(name)
    except AttributeError as error:
        names = ", ".join(n for n, _ in network.named_modules() if n and n.count(".") < 3)
        raise ValueError(f"layer {name!r} is no module of the classifier; some are {names}") from error


if __name__ == "__main__":
    run_stage(main)
