"""Train the panoptic network on the labels of a round."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from models.augmentation import Augmentation
from models.backbones import Freeze
from models.segmenter.batches import PanopticSample
from models.segmenter.losses import compute_class_weights
from models.segmenter.model import NETWORKS, PanopticModel
from models.segmenter.training import (
    PanopticBatches,
    check_labelled,
    measure_fixed_loss,
    prepare_sample,
    repeat_full,
)
from models.training import TrainingPlan, is_main_process, list_drawn, train, write_training
from models.training_set import Preparation, TrainingSet
from pseudogt.classes import ClassTable
from pseudogt.config.machine import UNRECORDED
from pseudogt.config.rounds import RoundsSettings
from pseudogt.config.segmenter import QUERY_NETWORKS, SegmenterSettings
from pseudogt.files.io import link_atomically, read_json, write_json
from pseudogt.files.labels import LabelFolder, read_label_folders
from pseudogt.pseudo_labels.rounds import StopRule, is_worth_another_round
from pseudogt.workflow.cli import parse_settings, run_stage, training_parser
from pseudogt.workflow.provenance import name_training_files
from pseudogt.workflow.stage import Shard


@dataclass(frozen=True)
class SegmenterInputs:
    """The files that a training reads.

    Attributes
    ----------
    shards, weak_labels, labels : sequence of Path
        One of each shard.
    full_labels : sequence of Path
        Label folders of images with full labels, which are drawn more often (``segmenter.full_share``).
    init : Path or None
        Model file to start from.
    """

    shards: Sequence[Path]
    weak_labels: Sequence[Path]
    labels: Sequence[Path]
    full_labels: Sequence[Path] = ()
    init: Path | None = None


def main(argv: Sequence[str] | None = None) -> None:
    """Train a round, or link the round before if the rounds have ended."""
    parser = segmenter_parser(__doc__)
    parser.add_argument("--init", type=Path, help="model file of the round before, to start from its weights")
    parser.add_argument("--earlier-records", type=Path, nargs="*", default=[], help="record.json of all rounds before")
    parser.add_argument(
        "--full-labels", type=Path, nargs="*", default=[], help="label folders of images with full labels"
    )
    parser.add_argument("--round", type=int, required=True)
    arguments = parser.parse_args(argv)
    rounds = parse_settings(RoundsSettings, arguments.rounds)
    settings = parse_settings(SegmenterSettings, arguments.settings)

    losses = [read_json(path)["fixed_loss"] for path in arguments.earlier_records]
    if losses and not is_worth_another_round(losses, rounds.fill(StopRule)):
        if is_main_process():
            link_round(arguments.earlier_records[-1].parent, arguments.out, arguments.round)
        return
    train_segmenter(
        SegmenterInputs(
            arguments.shards, arguments.weak_labels, arguments.labels, arguments.full_labels, arguments.init
        ),
        settings,
        steps=settings.steps,
        facts={"round": arguments.round},
        out=arguments.out,
        scratch=arguments.scratch,
        cores=arguments.cores,
    )


def segmenter_parser(description: str | None) -> argparse.ArgumentParser:
    """Return the command line that the segmenter and its reference share."""
    parser = training_parser(description)
    parser.add_argument("--labels", type=Path, nargs="+", required=True, help="label folders, one per shard")
    parser.add_argument("--rounds", default="{}", help="the config section `rounds` as JSON")
    return parser


def link_round(previous: Path, out: Path, number: int) -> None:
    """Let a round after the stop share the model of the round before."""
    print(f"round {number}: the loss has stopped falling; linked to {previous}")
    link_atomically(previous / "model.pt", out / "model.pt")
    write_json(out / "record.json", {**read_json(previous / "record.json"), "round": number, "linked": True})


def train_segmenter(
    inputs: SegmenterInputs,
    settings: SegmenterSettings,
    *,
    steps: int,
    facts: Mapping[str, Any],
    out: Path,
    scratch: Path,
    cores: int | None,
) -> None:
    """Train for a number of steps and write model and record, with ``facts`` in it."""
    shard = Shard.open(inputs.shards, weak_labels=inputs.weak_labels)
    labels = read_label_folders(inputs.labels)
    shard.check_images(labels, inputs.labels[0])
    pixels = count_pixels(shard, labels)
    check_labelled(pixels, shard.classes, inputs.labels[0])
    if settings.network in QUERY_NETWORKS:
        warn_of_crowded_images(shard, labels, settings.queries)
    source = PanopticSource(shard, labels, settings.scale)
    resolved = settings.model_dump(mode="json", exclude=UNRECORDED)
    sides = [max(image.size) for image in shard]
    model = replace(build_model(shard.classes, settings, resolved, inputs.init), usual_px=round(median(sides)))
    augmentation = settings.fill(Augmentation)
    class_weights = compute_class_weights(torch.from_numpy(pixels), settings.class_balance)
    compute_losses = settings.fill(NETWORKS.load(settings.network).Loss, class_weights=class_weights)
    plan = settings.fill(TrainingPlan, steps=steps, cores=cores)
    full = read_label_folders(inputs.full_labels)
    order = repeat_full(np.array([image.image_id in full for image in shard], bool), settings.full_share)
    drawn = np.unique(order[list_drawn(plan, len(order))])
    paths = [*inputs.shards, *inputs.weak_labels, *inputs.labels, *inputs.full_labels]
    paths += [inputs.init] if inputs.init else []
    sample_facts = [settings.scale, drawn.tolist()]
    files = name_training_files(scratch, __spec__.name, [resolved, steps], sample_facts, paths)
    samples = TrainingSet(files.samples, drawn, PanopticSample)
    record = train(
        model.network,
        sample_count=len(order),
        load_batch=PanopticBatches(samples, augmentation, order).load,
        compute_losses=compute_losses,
        plan=plan,
        preparation=Preparation(source, samples),
        checkpoint=files.checkpoint,
        description=f"{out.parent.name}/{out.name}",
    )
    if is_main_process():
        fixed_loss = measure_fixed_loss(model.network, source, compute_losses)
        facts = {**facts, "linked": False, **record, "fixed_loss": fixed_loss, "images": len(source)}
        write_training(out, model, facts, files.checkpoint, samples)


def build_model(
    classes: ClassTable, settings: SegmenterSettings, resolved: dict[str, Any], init: Path | None
) -> PanopticModel:
    """Build the model to train; it records the ``resolved`` settings."""
    return PanopticModel.build(
        classes,
        network=settings.network,
        **vars(settings.fill(NETWORKS.load(settings.network).NetworkShape)),
        backbone=settings.backbone,
        weights=settings.weights,
        scale=settings.scale,
        seed=settings.seed,
        settings=resolved,
        init=init,
        freeze=settings.fill(Freeze),
    )


@dataclass(frozen=True)
class PanopticSource:
    """The images of a shard and their labels at the network's resolution, read when asked for."""

    shard: Shard
    labels: Mapping[str, LabelFolder]
    scale: float

    def __len__(self) -> int:
        return len(self.shard)

    def __getitem__(self, number: int) -> PanopticSample:
        image = self.shard[number]
        folder = self.labels[image.image_id]
        panoptic_id = folder.read(image.image_id)
        image.check_size(panoptic_id.shape, f"its label in {folder.path}")
        return prepare_sample(image.read(), panoptic_id, image.weak, self.shard.classes, self.scale)


def count_pixels(shard: Shard, labels: Mapping[str, LabelFolder]) -> np.ndarray:
    """Read how many labelled pixels ``(C,) int64`` each class has in all images."""
    pixels = np.zeros(len(shard.classes), np.int64)
    for image in shard:
        for segment in labels[image.image_id].segments(image.image_id):
            train_id = shard.classes.category_to_train[segment["category_id"]]
            if train_id < len(shard.classes):
                pixels[train_id] += segment["area"]
    return pixels


def warn_of_crowded_images(shard: Shard, labels: Mapping[str, LabelFolder], queries: int) -> None:
    """Say how many images have more segments than a network has queries: some of these train no query."""
    crowded = [image.image_id for image in shard if len(labels[image.image_id].segments(image.image_id)) > queries]
    if crowded:
        print(
            f"warning: {len(crowded)} training images, such as {crowded[0]!r}, have more segments than there are "
            f"queries; the segmenter would find more with segmenter.queries above {queries}",
            file=sys.stderr,
        )


if __name__ == "__main__":
    run_stage(main)
