"""Two optimiser steps of a network of a recipe at its full crop size on the CPU; prints the megabytes that they take.

    python recipe_step.py RECIPE {classifier,segmenter} CROPS

A program of its own, so that its peak is that of the steps: the second one has the optimiser's state beside all else.
Images and labels are made up; the weights are random.
"""

from __future__ import annotations

import json
import resource
import sys

import numpy as np
import torch
import yaml
from snakemake.utils import update_config
from weak_label_testing import make_weak_labels

from models.augmentation import Augmentation
from models.classifier.batches import TagSample, make_tag_batch
from models.classifier.losses import ClassifierLoss
from models.classifier.network import STRIDE, build_tag_classifier
from models.segmenter.batches import make_batch
from models.segmenter.bottom_up import Loss, build_network
from models.segmenter.training import prepare_sample
from models.training import TrainingPlan, train
from pseudogt.classes import INSTANCE_DIVISOR, VOID, ClassTable
from pseudogt.config.classifier import ClassifierSettings
from pseudogt.config.dataset import REPOSITORY
from pseudogt.config.run import RunConfig
from pseudogt.config.segmenter import SegmenterSettings
from pseudogt.datasets import class_table
from pseudogt.weak_labels.records import ImageWeakLabels

BOXES = 20
"""Things of an image."""


def read_recipe(name: str) -> RunConfig:
    """A file of ``configs/``, merged as Snakemake does."""
    config = yaml.safe_load((REPOSITORY / "config.yaml").read_text())
    update_config(config, yaml.safe_load((REPOSITORY / "configs" / f"{name}.yaml").read_text()))
    return RunConfig.model_validate(config | {"data_root": "somewhere"})


def make_sample(
    size: tuple[int, int], classes: ClassTable, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, ImageWeakLabels]:
    """An image of noise, its label, a third of it void, and weak labels: stripes of stuff, things of 40 pixels."""
    image = generator.integers(0, 256, (*size, 3), np.uint8)
    stripes = generator.choice(classes.stuff_ids, size[0] // 32 + 1).repeat(32)[: size[0]]
    panoptic_id = np.repeat(classes.train_to_category[stripes][:, None] * np.int32(INSTANCE_DIVISOR), size[1], axis=1)
    corners = generator.integers(0, np.array(size) - 40, (BOXES, 2))
    kinds = generator.choice(classes.thing_ids, BOXES)
    for number, (y, x) in enumerate(corners):
        panoptic_id[y : y + 40, x : x + 40] = classes.train_to_category[kinds[number]] * INSTANCE_DIVISOR + number + 1
    panoptic_id[:, : size[1] // 3] = VOID
    tags = np.zeros(len(classes), bool)
    tags[[*kinds, *stripes]] = True
    boxes = np.concatenate([corners[:, ::-1], corners[:, ::-1] + 40], axis=1)
    weak = make_weak_labels(size, tags, boxes=boxes, box_classes=kinds)
    return image, panoptic_id, weak


def prepare(settings: ClassifierSettings | SegmenterSettings, classes: ClassTable, crops: int):
    """Network, losses, and a batch of ``crops`` crops."""
    generator = np.random.default_rng(0)
    size = (settings.crop_height_px, settings.crop_width_px)
    augmentation = Augmentation(crop_size=size, zoom=(1, 1), flip=0, colour=0.2)
    made = [make_sample(size, classes, generator) for _ in range(crops)]
    shape = {"backbone": settings.backbone, "class_count": len(classes)}
    if isinstance(settings, ClassifierSettings):
        network = build_tag_classifier(**shape, levels=settings.levels, channels=settings.decoder_channels)
        batch = make_tag_batch([TagSample(i, w) for i, _, w in made], classes, augmentation, STRIDE, generator)
        return network, settings.fill(ClassifierLoss, narrowness=(0.0,) * len(classes)), batch
    network = build_network(**shape, decoder_channels=settings.decoder_channels)
    batch = make_batch([prepare_sample(i, p, w, classes, 1.0) for i, p, w in made], augmentation, generator)
    return network, settings.fill(Loss, class_weights=torch.ones(len(classes))), batch


def main(recipe: str, section: str, crops: str) -> None:
    """Train two steps and print JSON: megabytes before the network is built, and at the peak."""
    config = read_recipe(recipe)
    changes = {"batch_size": int(crops), "images_per_pass": 0, "device": "cpu", "precision": "fp32", "steps": 2}
    settings = getattr(config, section).model_copy(update=changes)
    start_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    network, losses, batch = prepare(settings, class_table(config.dataset), int(crops))
    record = train(
        network,
        sample_count=int(crops),
        load_batch=lambda indices, generator: batch,
        compute_losses=losses,
        plan=settings.fill(TrainingPlan),
    )
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    weights = sum(p.numel() for p in network.parameters())
    print(json.dumps({"start_mb": start_mb, "peak_mb": peak_mb, "weights": weights, "seconds": record["seconds"]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
