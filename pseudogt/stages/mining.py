"""Train the JTSM network, which learns from tags which segment proposals are what."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from torch import Tensor, nn

import pseudogt
from models.jtsm.model import JtsmModel
from models.jtsm.network import SEMANTIC_CHANNELS, Evidence, build_jtsm_network
from models.jtsm.samples import (
    MiningAugmentation,
    MiningImage,
    Placement,
    choose_size,
    collate,
    draw_view,
    make_view,
)
from models.training import TrainingPlan, is_main_process, train
from pseudogt.box_masks.evidence import BoxMask, EvidenceCache, segment_by_plain_grabcut, take_segment
from pseudogt.classes import ClassTable
from pseudogt.config.mining import MiningSettings
from pseudogt.files.images import read_image
from pseudogt.files.index import ImageRecord, read_shards
from pseudogt.files.io import write_json
from pseudogt.metrics.tag_precision import average_precisions
from pseudogt.proposals.files import ProposalFile
from pseudogt.proposals.generation import Proposals
from pseudogt.proposals.windows import cut_out_proposals
from pseudogt.weak_labels.records import ImageWeakLabels, read_weak_labels
from pseudogt.workflow.cli import parse_settings, run_stage, stage_parser
from pseudogt.workflow.provenance import compute_input_digest

ARCHITECTURE = ("backbone", "levels", "freeze", "dropout", "refinements", "top_k", "mask_limit")
"""Settings that :func:`models.jtsm.network.build_jtsm_network` takes as they are."""


def main(argv: Sequence[str] | None = None) -> None:
    """Train on the shards and write ``model.pt`` and ``record.json``."""
    parser = stage_parser(__doc__)
    for name in ("shards", "weak-labels", "proposals"):
        parser.add_argument(f"--{name}", type=Path, nargs="+", required=True)
        parser.add_argument(f"--val-{name}", type=Path, nargs="*", default=[])
    parser.add_argument(
        "--weights", type=Path, help="file that the backbone starts from; default: that of the settings"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of model.pt and record.json")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for the checkpoint of an unfinished run")
    arguments = parser.parse_args(argv)
    mine(arguments, parse_settings(MiningSettings, arguments.settings))


def mine(arguments: argparse.Namespace, settings: MiningSettings) -> None:
    """Train, measure on val, write."""
    store = MiningStore(arguments.shards, arguments.weak_labels, arguments.proposals, settings)
    model = build_model(store.classes, settings, arguments.weights)
    augmentation = MiningAugmentation(**settings.model_dump(include={f.name for f in fields(MiningAugmentation)}))
    inputs = [*arguments.shards, *arguments.weak_labels, *arguments.proposals]
    inputs += [arguments.weights] if arguments.weights else []
    checkpoint = arguments.scratch / f"{compute_input_digest(settings.model_dump(mode='json'), inputs)}.pt"

    def load_batch(indices: NDArray[np.int64], generator: np.random.Generator) -> dict[str, Tensor]:
        samples = [store[i] for i in indices]
        views = [draw_view(sample, augmentation, settings.max_proposals, generator) for sample in samples]
        return collate(samples, indices.tolist(), views)

    record = train(
        model.network,
        sample_count=len(store),
        load_batch=load_batch,
        compute_losses=make_loss_function(store, settings),
        plan=TrainingPlan(**settings.model_dump(include={f.name for f in fields(TrainingPlan)})),
        checkpoint=checkpoint,
        description="mining",
    )
    if not is_main_process():
        return
    model.save(arguments.out / "model.pt")
    versions = {"pseudogt": pseudogt.__version__, "torch": torch.__version__, "torchvision": torchvision.__version__}
    document = {
        **record,
        "init": settings.init,
        "samples": len(store),
        "val": measure_presence(model, arguments, settings) if arguments.val_shards else None,
        "settings": settings.model_dump(mode="json"),
        "versions": versions,
    }
    write_json(arguments.out / "record.json", document)
    checkpoint.unlink(missing_ok=True)


def build_model(classes: ClassTable, settings: MiningSettings, weights: Path | None) -> JtsmModel:
    """Build the network with what its backbone starts from."""
    torch.manual_seed(settings.seed)
    heads: dict[str, Any] = {
        **settings.model_dump(include=set(ARCHITECTURE)),
        "things": len(classes.thing_ids),
        "stuff": len(classes.stuff_ids),
        "mask_channels": settings.mask_channels if settings.masks else 0,
        "semantic_channels": SEMANTIC_CHANNELS if settings.semantic else 0,
        "decoder_channels": int(settings.decoder),
    }
    start = weights or settings.weights
    network = build_jtsm_network(**heads, init=settings.init, weights=start, neck_widths=settings.neck_widths)
    # A classifier and a default say more than the settings do.
    found = {
        "levels": network.backbone.architecture["levels"],
        "decoder_channels": network.backbone.architecture.get("decoder_channels", 0),
        "neck_widths": (network.neck.fc1.out_features, network.neck.fc2.out_features),
    }
    return JtsmModel(network, heads | found, classes, settings.max_proposals, settings.model_dump(mode="json"))


def make_loss_function(
    store: MiningStore, settings: MiningSettings
) -> Callable[[nn.Module, Mapping[str, Tensor]], dict[str, Tensor]]:
    """Return the function that gives a batch's losses by name."""

    def cut(number: int, row: int) -> BoxMask:
        sample = store[number]
        return segment_by_plain_grabcut(sample.image, sample.boxes_xyxy[row])

    def take(number: int, row: int) -> BoxMask:
        sample = store[number]
        return take_segment(sample.superpixels, sample.members[row], sample.boxes_xyxy[row])

    cache = EvidenceCache(cut, capacity_gb=settings.cache_gb / 2, workers=settings.torch_threads)
    segments = EvidenceCache(take, capacity_gb=0, workers=1)
    evidence = Evidence(
        find_masks=(cache if settings.mask_evidence == "grabcut" else segments).find_masks,
        find_stuff=cache.find_masks if settings.evidence == "grabcut" else None,
    )
    return lambda network, batch: network(batch, evidence)


def measure_presence(model: JtsmModel, arguments: argparse.Namespace, settings: MiningSettings) -> dict[str, Any]:
    """Average precision of the presence of each class in the images of val (the crops, if they are the samples)."""
    store = MiningStore(arguments.val_shards, arguments.val_weak_labels, arguments.val_proposals, settings)
    if store.classes != model.classes:
        raise ValueError("the class table of the val shards differs from that of the training shards")
    device = next(model.network.parameters()).device
    model.network.eval()
    side = sorted(settings.short_sides_px)[len(settings.short_sides_px) // 2]
    presence, tags = [], []
    for number in range(len(store)):
        sample = store[number]
        height, width = sample.image.shape[:2]
        size = choose_size((height, width), side, settings.long_side_px)
        view = make_view(sample, Placement((0, 0, width, height), size, False), settings.max_proposals)
        batch = {name: tensor.to(device) for name, tensor in collate([sample], [number], [view]).items()}
        with torch.inference_mode():
            presence.append(model.network.propose(batch).mined.presence[0].cpu().numpy())
        tags.append(sample.tags)
    precisions = average_precisions(np.stack(presence), np.stack(tags))
    known = precisions[~np.isnan(precisions)]
    return {
        "samples": len(store),
        "map": round(float(known.mean()), 6) if len(known) else None,
        "ap": {
            model.classes.names[train_id]: None if np.isnan(value) else round(float(value), 6)
            for train_id, value in sorted(zip(model.order, precisions, strict=True))
        },
    }


class MiningStore:
    """Images, or their crops, with proposals and tags, kept in memory as far as they fit."""

    def __init__(
        self,
        shards: Iterable[Path],
        weak_labels: Iterable[Path],
        proposals: Iterable[Path],
        settings: MiningSettings,
    ) -> None:
        self._records, self.classes = read_shards(shards)
        self._weak, weak_classes = read_weak_labels(weak_labels)
        if weak_classes != self.classes:
            raise ValueError("the class table of the weak labels differs from that of the shards")
        self._files = {image_id: file for file in map(ProposalFile, proposals) for image_id in file.image_ids}
        for record in self._records:
            if record.image_id not in self._weak:
                raise ValueError(f"image {record.image_id!r} has no weak labels")
            if record.image_id not in self._files:
                raise ValueError(f"image {record.image_id!r} has no proposals in the files given")
        self._samples = list_samples([self._weak[r.image_id] for r in self._records], settings.samples)
        self._room = settings.cache_gb * 2**30 / 2
        self._kept: dict[int, MiningImage] = {}

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, number: int) -> MiningImage:
        if number in self._kept:
            return self._kept[number]
        index, crop = self._samples[number]
        record = self._records[index]
        proposals = self._files[record.image_id].read(record.image_id)
        sample = prepare_sample(record, proposals, self._weak[record.image_id], self.classes, crop)
        size = sample.image.nbytes + sample.superpixels.nbytes + sample.members.nbytes
        if size <= self._room:
            self._room -= size
            self._kept[number] = sample
        return sample


def list_samples(weak: Sequence[ImageWeakLabels], kind: str) -> list[tuple[int, int | None]]:
    """All (image, crop) to learn from: whole images, or crops.

    Raises
    ------
    ValueError
        If an image has no tagged crops.
    """
    if kind == "image":
        return [(index, None) for index in range(len(weak))]
    without = next((image.image_id for image in weak if not len(image.crops_xyxy)), None)
    if without is not None:
        raise ValueError(f"samples: crop, but image {without!r} has no tagged crops; tag them, or take samples: image")
    return [(index, crop) for index, image in enumerate(weak) for crop in range(len(image.crops_xyxy))]


def prepare_sample(
    record: ImageRecord, proposals: Proposals, weak: ImageWeakLabels, classes: ClassTable, crop: int | None
) -> MiningImage:
    """Put an image, or one of its crops, and what is known of it together.

    Raises
    ------
    ValueError
        Naming the image, if there are no proposals in it or they are of another one.
    """
    image, tags = read_image(record.image), weak.tags
    if crop is not None:
        x0, y0, x1, y1 = weak.crops_xyxy[crop]
        proposals = cut_out_proposals(proposals, weak.crops_xyxy[crop])
        image, tags = image[y0:y1, x0:x1], weak.crop_tags[crop]
    order = classes.things_first
    sample = MiningImage(
        image=image,
        superpixels=proposals.superpixels,
        members=proposals.members,
        boxes_xyxy=proposals.boxes_xyxy,
        scores=proposals.scores.astype(np.float32),
        tags=tags[order],
        known=weak.known[order],
    )
    try:
        sample.check(len(classes))
    except ValueError as error:
        place = "" if crop is None else f", crop {weak.crops_xyxy[crop].tolist()}"
        raise ValueError(f"image {record.image_id!r}{place}: {error}") from error
    return sample


if __name__ == "__main__":
    run_stage(main)
