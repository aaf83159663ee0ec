"""Train the tag classifier, whose score map says which class is where, on tags and boxes."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from torch import Tensor, nn

import pseudogt
from models.augmentation import Augmentation, jitter_colours
from models.classifier.batches import TagSample, cut_out_crop, list_tag_regions, locate_cells, make_tag_batch
from models.classifier.network import (
    PRESENCE_SHARPNESS,
    STRIDE,
    ClassifierModel,
    build_tag_classifier,
    candidate_map_loss,
    keep_candidates,
    pool_regions,
    presence_loss,
    region_tag_loss,
    resize_for_classifier,
)
from models.training import TrainingPlan, is_main_process, train
from pseudogt.classes import ClassTable
from pseudogt.config.classifier import ClassifierSettings
from pseudogt.files.images import read_image
from pseudogt.files.index import read_shards
from pseudogt.files.io import write_json
from pseudogt.metrics.tag_precision import average_precisions
from pseudogt.weak_labels.records import ImageWeakLabels, read_weak_labels
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser
from pseudogt.workflow.provenance import compute_input_digest


def main(argv: Sequence[str] | None = None) -> None:
    """Train on the shards and write ``model.pt`` and ``record.json``."""
    parser = stage_parser(__doc__)
    parser.add_argument("--shards", type=Path, nargs="+", required=True)
    parser.add_argument("--weak-labels", type=Path, nargs="+", required=True)
    parser.add_argument("--val-shards", type=Path, nargs="*", default=[])
    parser.add_argument("--val-weak-labels", type=Path, nargs="*", default=[])
    parser.add_argument("--out", type=Path, required=True, help="folder of model.pt and record.json")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for the checkpoint of an unfinished run")
    arguments = parser.parse_args(argv)
    train_classifier(arguments, parse_settings(ClassifierSettings, arguments.settings))


def train_classifier(arguments: argparse.Namespace, settings: ClassifierSettings) -> None:
    """Train, measure on val, write."""
    store = TagStore(arguments.shards, arguments.weak_labels, settings)
    samples = list_crops(store) if settings.samples == "crop" else [(i, None) for i in range(len(store))]
    model = build_model(store.classes, settings)
    augmentation = Augmentation(
        crop_size=(settings.crop_height_px, settings.crop_width_px),
        zoom=(settings.zoom_min, settings.zoom_max),
        flip=settings.flip,
        colour=settings.colour,
    )
    inputs = [*arguments.shards, *arguments.weak_labels]
    checkpoint = arguments.scratch / f"{compute_input_digest(settings.model_dump(mode='json'), inputs)}.pt"

    def load_batch(indices: np.ndarray, generator: np.random.Generator) -> dict[str, Tensor]:
        chosen = [store.get(*samples[i]) for i in indices]
        return make_tag_batch(chosen, store.classes, augmentation, STRIDE, generator)

    record = train(
        model.network,
        sample_count=len(samples),
        load_batch=load_batch,
        compute_losses=make_loss_function(settings),
        plan=TrainingPlan(**settings.model_dump(include={f.name for f in fields(TrainingPlan)})),
        checkpoint=checkpoint,
        description="classifier",
    )
    if not is_main_process():
        return
    val = TagStore(arguments.val_shards, arguments.val_weak_labels, settings) if arguments.val_shards else None
    model.save(arguments.out / "model.pt")
    versions = {"pseudogt": pseudogt.__version__, "torch": torch.__version__, "torchvision": torchvision.__version__}
    document = {
        **record,
        "images": len(store),
        "val": measure_tag_precision(model, val) if val else None,
        "settings": settings.model_dump(mode="json"),
        "versions": versions,
    }
    write_json(arguments.out / "record.json", document)
    checkpoint.unlink(missing_ok=True)


def build_model(classes: ClassTable, settings: ClassifierSettings) -> ClassifierModel:
    """Build a classifier with random weights, or with a backbone's of ``settings.weights``."""
    torch.manual_seed(settings.seed)
    architecture: dict[str, Any] = {
        "backbone": settings.backbone,
        "class_count": len(classes),
        "levels": settings.levels,
        "channels": settings.decoder_channels,
    }
    return ClassifierModel(
        network=build_tag_classifier(**architecture, weights=settings.weights),
        architecture=architecture,
        classes=classes,
        scale=settings.scale,
        sharpness=settings.sharpness,
        settings=settings.model_dump(mode="json"),
    )


def make_loss_function(
    settings: ClassifierSettings,
) -> Callable[[nn.Module, Mapping[str, Tensor]], dict[str, Tensor]]:
    """Return the function that gives a batch's weighted losses by name."""

    def compute_losses(network: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        logits = network(jitter_colours(batch["images"], batch["colour_factors"]))
        scores = pool_regions(logits, batch["rows"], batch["columns"], settings.sharpness)
        log_probabilities = logits.float().log_softmax(1)
        candidates = batch["candidates"]
        presence = pool_regions(
            keep_candidates(log_probabilities, candidates), batch["rows"], batch["columns"], PRESENCE_SHARPNESS
        )
        return {
            "regions": settings.region_weight * region_tag_loss(scores, batch["tags"], batch["known"]),
            "candidates": settings.candidate_weight * candidate_map_loss(log_probabilities, candidates),
            "presence": settings.presence_weight * presence_loss(presence, batch["tags"]),
        }

    return compute_losses


def measure_tag_precision(model: ClassifierModel, store: TagStore) -> dict[str, Any]:
    """Average precision of the tags of the crops (of the images, if there are no crops)."""
    if store.classes != model.classes:
        raise ValueError("the class table of the val shards differs from that of the training shards")
    device = next(model.network.parameters()).device
    model.network.eval()
    scores, tags = [], []
    for i in range(len(store)):
        sample = store.get(i, None)
        areas_only = without_boxes(sample.weak)
        rows, columns = locate_cells(sample, np.eye(2, 3), sample.image.shape[:2], STRIDE)
        regions = list_tag_regions(areas_only, rows, columns)
        image = torch.from_numpy(sample.image).permute(2, 0, 1)[None].to(device)
        with torch.inference_mode():
            logits = model.network(image)
            in_rows, in_columns = (torch.from_numpy(s)[None].to(device) for s in (regions.rows, regions.columns))
            scores.append(pool_regions(logits, in_rows, in_columns, model.sharpness)[0].cpu().numpy())
        tags.append(regions.tags)
    precisions = average_precisions(np.concatenate(scores), np.concatenate(tags))
    per_class = {
        name: None if np.isnan(value) else round(float(value), 6)
        for name, value in zip(model.classes.names, precisions, strict=True)
    }
    known = precisions[~np.isnan(precisions)]
    return {
        "images": len(store),
        "crops": sum(map(len, tags)),
        "map": round(float(known.mean()), 6) if len(known) else None,
        "ap": per_class,
    }


def without_boxes(weak: ImageWeakLabels) -> ImageWeakLabels:
    """Return the weak labels of an image less its boxes."""
    return ImageWeakLabels(
        **{
            **vars(weak),
            "boxes_xyxy": weak.boxes_xyxy[:0],
            "box_classes": weak.box_classes[:0],
            "box_iscrowd": weak.box_iscrowd[:0],
        }
    )


class TagStore:
    """Images at the network's resolution with their weak labels, kept in memory as far as they fit."""

    def __init__(self, shards: Iterable[Path], weak_labels: Iterable[Path], settings: ClassifierSettings) -> None:
        self._records, self.classes = read_shards(shards)
        self._weak, weak_classes = read_weak_labels(weak_labels)
        if weak_classes != self.classes:
            raise ValueError("the class table of the weak labels differs from that of the shards")
        missing = [r.image_id for r in self._records if r.image_id not in self._weak]
        if missing:
            raise ValueError(f"image {missing[0]!r} has no weak labels")
        self._scale = settings.scale
        self._room = settings.cache_gb * 1e9
        self._images: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self._records)

    def weak(self, index: int) -> ImageWeakLabels:
        """Weak labels of an image."""
        return self._weak[self._records[index].image_id]

    def get(self, index: int, crop: int | None) -> TagSample:
        """Return an image, or one of its crops as an image of its own."""
        sample = TagSample(self._read(index), self.weak(index))
        return sample if crop is None else cut_out_crop(sample, crop)

    def _read(self, index: int) -> np.ndarray:
        if index not in self._images:
            image = resize_for_classifier(read_image(self._records[index].image), self._scale)
            if image.nbytes > self._room:
                return image
            self._room -= image.nbytes
            self._images[index] = image
        return self._images[index]


def list_crops(store: TagStore) -> list[tuple[int, int | None]]:
    """All (image, crop); an image without crops is one itself."""
    crops: list[tuple[int, int | None]] = []
    for i in range(len(store)):
        count = len(store.weak(i).crops_xyxy)
        crops.extend((i, crop) for crop in (range(count) if count else [None]))
    return crops


if __name__ == "__main__":
    run_stage(main)
