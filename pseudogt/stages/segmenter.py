"""Train the panoptic network on the labels of a round."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from numpy.typing import NDArray
from torch import Tensor, nn

import pseudogt
from models.augmentation import Augmentation, jitter_colours
from models.segmenter.batches import PanopticSample, index_candidates, make_batch
from models.segmenter.losses import candidate_loss, centre_loss, compute_class_weights, offset_loss, semantic_loss
from models.segmenter.network import PanopticModel, build_panoptic_network, choose_network_size
from models.segmenter.targets import encode_targets, find_instance_targets
from models.training import TrainingPlan, is_main_process, train
from pseudogt.classes import BACKGROUND, IGNORE_LABEL, ClassTable, panoptic_to_semantic
from pseudogt.config.rounds import RoundsSettings
from pseudogt.config.segmenter import SegmenterSettings
from pseudogt.files.images import read_image
from pseudogt.files.index import ImageRecord, read_shards
from pseudogt.files.io import read_json, write_json
from pseudogt.files.labels import LabelFolder, read_label_folders
from pseudogt.pseudo_labels.rounds import is_worth_another_round, link_previous
from pseudogt.weak_labels.candidates import candidate_classes
from pseudogt.weak_labels.records import ImageWeakLabels, read_weak_labels
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser
from pseudogt.workflow.provenance import compute_input_digest


def main(argv: Sequence[str] | None = None) -> None:
    """Train a round, or link the round before if the stop rule says so."""
    parser = training_parser(__doc__)
    parser.add_argument("--init", type=Path, help="model file of the round before, to start from its weights")
    parser.add_argument("--earlier-records", type=Path, nargs="*", default=[], help="record.json of all rounds before")
    parser.add_argument("--round", type=int, required=True)
    arguments = parser.parse_args(argv)
    rounds = parse_settings(RoundsSettings, arguments.rounds)
    settings = parse_settings(SegmenterSettings, arguments.settings)

    losses = [read_json(path)["fixed_loss"] for path in arguments.earlier_records]
    if losses and not is_worth_another_round(losses, rounds):
        if is_main_process():
            link_round(arguments.earlier_records[-1].parent, arguments.out, arguments.round)
        return
    train_segmenter(arguments, settings, steps=settings.steps, init=arguments.init, facts={"round": arguments.round})


def training_parser(description: str | None) -> argparse.ArgumentParser:
    """Return the command line that the segmenter and its reference share."""
    parser = stage_parser(description)
    parser.add_argument("--shards", type=Path, nargs="+", required=True)
    parser.add_argument("--weak-labels", type=Path, nargs="+", required=True)
    parser.add_argument("--labels", type=Path, nargs="+", required=True, help="label folders, one per shard")
    parser.add_argument("--rounds", default="{}", help="the config section `rounds` as JSON")
    parser.add_argument("--out", type=Path, required=True, help="folder of model.pt and record.json")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for the checkpoint of an unfinished run")
    return parser


def link_round(previous: Path, out: Path, number: int) -> None:
    """Let a round after the stop share the model of the round before."""
    print(f"round {number}: the loss has stopped falling; linked to {previous}")
    link_previous(previous / "model.pt", out / "model.pt")
    write_json(out / "record.json", {**read_json(previous / "record.json"), "round": number, "linked": True})


def train_segmenter(
    arguments: argparse.Namespace,
    settings: SegmenterSettings,
    *,
    steps: int,
    init: Path | None,
    facts: Mapping[str, Any],
) -> None:
    """Train on the labels of ``arguments`` for ``steps`` and write model and record, with ``facts`` in it."""
    store = SampleStore(arguments.shards, arguments.weak_labels, arguments.labels, settings)
    model = build_model(store.classes, settings, init)
    inputs = [*arguments.shards, *arguments.weak_labels, *arguments.labels, *([init] if init else [])]
    digest = compute_input_digest([settings.model_dump(mode="json"), steps], inputs)
    checkpoint = arguments.scratch / f"{digest}.pt"
    augmentation = Augmentation(
        crop_size=(settings.crop_height_px, settings.crop_width_px),
        zoom=(settings.zoom_min, settings.zoom_max),
        flip=settings.flip,
        colour=settings.colour,
    )
    compute_losses = make_loss_function(settings, compute_class_weights(store.count_pixels(), settings.class_balance))
    record = train(
        model.network,
        sample_count=len(store),
        load_batch=lambda indices, generator: make_batch([store[i] for i in indices], augmentation, generator),
        compute_losses=compute_losses,
        plan=make_plan(settings, steps),
        checkpoint=checkpoint,
        description=f"{arguments.out.parent.name}/{arguments.out.name}",
    )
    if not is_main_process():
        return
    fixed_loss = measure_fixed_loss(model.network, store, compute_losses, settings.fixed_images)
    model.save(arguments.out / "model.pt")
    versions = {"pseudogt": pseudogt.__version__, "torch": torch.__version__, "torchvision": torchvision.__version__}
    document = {
        **facts,
        "linked": False,
        **record,
        "fixed_loss": fixed_loss,
        "images": len(store),
        "settings": settings.model_dump(mode="json"),
        "versions": versions,
    }
    write_json(arguments.out / "record.json", document)
    checkpoint.unlink(missing_ok=True)


def make_plan(settings: SegmenterSettings, steps: int) -> TrainingPlan:
    """Return the part of the settings that the training loop reads."""
    values = settings.model_dump(include={f.name for f in fields(TrainingPlan)})
    return TrainingPlan(**{**values, "steps": steps})


def build_model(classes: ClassTable, settings: SegmenterSettings, init: Path | None) -> PanopticModel:
    """Build the network with random weights, or with those of ``init``."""
    torch.manual_seed(settings.seed)
    architecture: dict[str, Any] = {
        "backbone": settings.backbone,
        "class_count": len(classes),
        "decoder_channels": settings.decoder_channels,
    }
    network = build_panoptic_network(**architecture, weights=settings.weights)
    if init is not None:
        first = PanopticModel.load(init)
        if first.architecture != architecture or first.classes != classes:
            raise ValueError(f"{init}: trained with another network or class table; start from scratch")
        network.load_state_dict(first.network.state_dict())
    return PanopticModel(network, architecture, classes, settings.scale, settings.model_dump(mode="json"))


def make_loss_function(
    settings: SegmenterSettings, class_weights: Tensor
) -> Callable[[nn.Module, Mapping[str, Tensor]], dict[str, Tensor]]:
    """Return the function that gives a batch's weighted losses by name."""

    def compute_losses(network: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        output = network(jitter_colours(batch["images"], batch["colour_factors"]))
        semantic, instance, candidate_set = batch["maps"].long().unbind(-1)
        logits = F.interpolate(output.semantic.float(), size=semantic.shape[1:], mode="bilinear", align_corners=False)
        target = encode_targets(instance, batch["centres_yx"], batch["sizes"])
        losses = {
            "semantic": semantic_loss(logits, semantic, class_weights.to(logits.device)),
            "centre": settings.centre_weight * centre_loss(output.centre, target.centre, target.centre_weight),
            "offset": settings.offset_weight * offset_loss(output.offset, target.offset, target.offset_weight),
        }
        if settings.candidate_weight:
            possible = candidate_loss(logits, semantic, candidate_set, batch["candidates"])
            losses["candidates"] = settings.candidate_weight * possible
        return losses

    return compute_losses


def measure_fixed_loss(
    network: nn.Module,
    store: SampleStore,
    compute_losses: Callable[[nn.Module, Mapping[str, Tensor]], Mapping[str, Tensor]],
    count: int,
) -> float:
    """Mean loss over ``count`` whole training images that are spread evenly, without augmentation."""
    device = next(network.parameters()).device
    network.eval()
    totals = []
    with torch.inference_mode():
        for i in np.unique(np.linspace(0, len(store) - 1, min(count, len(store))).astype(int)):
            sample = store[i]
            whole = Augmentation(crop_size=sample.image.shape[:2], zoom=(1, 1), flip=0, colour=0)
            batch = make_batch([sample], whole, np.random.default_rng(0))
            losses = compute_losses(network, {name: tensor.to(device) for name, tensor in batch.items()})
            totals.append(sum(float(value) for value in losses.values()))
    return float(np.mean(totals))


class SampleStore:
    """The training images with their labels at the network's resolution, kept in memory as far as they fit."""

    def __init__(
        self, shards: Iterable[Path], weak_labels: Iterable[Path], labels: Iterable[Path], settings: SegmenterSettings
    ) -> None:
        self.records, self.classes = read_shards(shards)
        self._weak, weak_classes = read_weak_labels(weak_labels)
        self._labels = read_label_folders(labels)
        self._settings = settings
        self._cache: dict[int, PanopticSample] = {}
        self._cached_bytes = 0
        if weak_classes != self.classes:
            raise ValueError("the class table of the weak labels differs from that of the shards")
        for record in self.records:
            if record.image_id not in self._weak:
                raise ValueError(f"image {record.image_id!r} has no weak labels")
            if record.image_id not in self._labels:
                raise ValueError(f"image {record.image_id!r} has no label in the folders given")

    def __len__(self) -> int:
        return len(self.records)

    def count_pixels(self) -> Tensor:
        """Labelled pixels ``(C,)`` of each class in all images."""
        pixels = torch.zeros(len(self.classes), dtype=torch.int64)
        for record in self.records:
            for segment in self._labels[record.image_id].segments(record.image_id):
                train_id = self.classes.category_to_train[segment["category_id"]]
                if train_id < len(self.classes):
                    pixels[train_id] += segment["area"]
        return pixels

    def __getitem__(self, index: int) -> PanopticSample:
        if index in self._cache:
            return self._cache[index]
        record = self.records[index]
        sample = prepare_sample(
            record, self._labels[record.image_id], self._weak[record.image_id], self.classes, self._settings.scale
        )
        self._cached_bytes += sample.image.nbytes + sample.maps.nbytes
        if self._cached_bytes <= self._settings.cache_gb * 1e9:
            self._cache[index] = sample
        return sample


def prepare_sample(
    record: ImageRecord, labels: LabelFolder, weak: ImageWeakLabels, classes: ClassTable, scale: float
) -> PanopticSample:
    """Read an image and its label and bring both to the network's resolution."""
    image = read_image(record.image)
    panoptic_id = labels.read(record.image_id)
    if panoptic_id.shape != image.shape[:2]:
        raise ValueError(
            f"{labels.folder}: the label of {record.image_id!r} is {panoptic_id.shape}, its image {image.shape[:2]}"
        )
    size = choose_network_size(image.shape[:2], scale)
    panoptic_id = np.asarray(cv2.resize(panoptic_id, size[::-1], interpolation=cv2.INTER_NEAREST), np.int32)
    semantic = panoptic_to_semantic(panoptic_id, classes)
    semantic[semantic == BACKGROUND] = IGNORE_LABEL

    possible_things = np.flatnonzero(weak.possible & np.array(classes.isthing))
    boxes_are_complete = bool(np.isin(possible_things, weak.box_classes).all())
    single = ~weak.box_iscrowd
    instances = find_instance_targets(
        panoptic_id,
        scale_boxes(weak.boxes_xyxy[single], (weak.height, weak.width), size),
        weak.box_classes[single],
        classes,
        boxes_are_complete=boxes_are_complete,
    )
    possible = candidate_classes(weak, classes, things_in_boxes=boxes_are_complete, size=size)
    candidate_set, candidates = index_candidates(possible, semantic)
    return PanopticSample(
        image=np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA), np.uint8),
        maps=np.stack([semantic.astype(np.int16), instances.instance, candidate_set], axis=-1),
        centres_yx=instances.centres_yx,
        sizes=instances.sizes,
        candidates=candidates,
    )


def scale_boxes(boxes_xyxy: NDArray[np.int32], size: tuple[int, int], to: tuple[int, int]) -> NDArray[np.int32]:
    """Boxes ``(N, 4)`` of an image of ``size`` (H, W) for the image resized ``to``, rounded outwards."""
    factor = np.array([to[1] / size[1], to[0] / size[0]])
    low, high = np.floor(boxes_xyxy[:, :2] * factor), np.ceil(boxes_xyxy[:, 2:] * factor)
    return np.hstack([low, high]).astype(np.int32)


if __name__ == "__main__":
    run_stage(main)
