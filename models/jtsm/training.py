"""Train the JTSM network: its samples, the evidence that it learns from, and its accuracy on tags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.jtsm.backbones import STRIDE
from models.jtsm.model import JtsmModel
from models.jtsm.samples import (
    MiningAugmentation,
    MiningImage,
    Placement,
    choose_size,
    collate,
    draw_view,
    make_view,
    prepare_image,
)
from models.jtsm.step import Evidence
from models.training_set import Samples
from pseudogt.classes import ClassTable
from pseudogt.evidence.grabcut import BoxMask, take_segment
from pseudogt.evidence.store import MaskFinder
from pseudogt.metrics.tag_precision import summarise_tag_precision
from pseudogt.proposals.generation import Proposals
from pseudogt.proposals.windows import cut_out_proposals
from pseudogt.weak_labels.records import ImageWeakLabels


@dataclass(frozen=True)
class MiningBatches:
    """Batches of random views of the samples of a training set; ``multiple`` is that of the backbone."""

    samples: Samples[MiningImage]
    augmentation: MiningAugmentation
    max_proposals: int
    multiple: int = STRIDE

    def load(self, indices: NDArray[np.int64], generator: np.random.Generator) -> dict[str, Tensor]:
        """Batch of the samples ``(B,)``."""
        chosen = [self.samples[i] for i in indices]
        views = [draw_view(sample, self.augmentation, self.max_proposals, generator) for sample in chosen]
        return collate(chosen, indices.tolist(), views, self.multiple)


@dataclass(frozen=True)
class EvidencePlan:
    """What masks and stuff are learned from.

    Attributes
    ----------
    mask_evidence : {"grabcut", "segments"}
        Whether masks are learned from GrabCut in the boxes of proposals, or from the proposals' own segments.
    evidence : {"segments", "grabcut"}
        Whether stuff is learned from classes of proposals on their superpixels, or from GrabCut in their boxes.
    """

    mask_evidence: str
    evidence: str


def make_evidence(samples: Samples[MiningImage], plan: EvidencePlan, finder: MaskFinder) -> Evidence:
    """Return where a step finds its evidence: masks of GrabCut, by ``finder``, or the segments of proposals."""

    def cut(keys: Sequence[tuple[int, int]]) -> list[BoxMask]:
        masks = []
        for number, group in groupby(keys, key=itemgetter(0)):
            sample = samples[number]
            masks += finder.find_masks(sample.image, sample.boxes_xyxy[[row for _, row in group]])
        return masks

    def take(keys: Sequence[tuple[int, int]]) -> list[BoxMask]:
        read = [(samples[number], row) for number, row in keys]
        return [take_segment(each.superpixels, each.members, row, each.boxes_xyxy[row]) for each, row in read]

    return Evidence(
        find_masks=cut if plan.mask_evidence == "grabcut" else take,
        find_stuff=cut if plan.evidence == "grabcut" else None,
    )


def list_mining_samples(
    weak_labels: Sequence[ImageWeakLabels], kind: str, tagged: NDArray[np.integer] | None = None
) -> list[tuple[int, int | None]]:
    """All samples as (number of the image, number of its crop or None for the whole image).

    Parameters
    ----------
    weak_labels : sequence of ImageWeakLabels
    kind : {"image", "crop"}
        To learn from crops, all images must have tagged ones.
    tagged : (T,) int, optional
        Train ids of which a sample must have one; None takes all samples.

    Raises
    ------
    ValueError
        If an image has no tagged crops, or no sample a tag that it needs.
    """
    samples = _list_all_samples(weak_labels, kind)
    if tagged is None:
        return samples
    kept = [
        (number, crop)
        for number, crop in samples
        if (weak_labels[number].tags if crop is None else weak_labels[number].crop_tags[crop])[tagged].any()
    ]
    if not kept:
        raise ValueError("no image has a tagged thing; set mining.needs_things to false, or tag things")
    return kept


def _list_all_samples(weak_labels: Sequence[ImageWeakLabels], kind: str) -> list[tuple[int, int | None]]:
    if kind == "image":
        return [(number, None) for number in range(len(weak_labels))]
    without = next((weak.image_id for weak in weak_labels if not len(weak.crops_xyxy)), None)
    if without is not None:
        raise ValueError(f"samples: crop, but image {without!r} has no tagged crops; tag them, or set samples: image")
    return [(number, crop) for number, weak in enumerate(weak_labels) for crop in range(len(weak.crops_xyxy))]


def prepare_mining_sample(
    image: NDArray[np.uint8],
    proposals: Proposals,
    weak: ImageWeakLabels,
    crop: int | None,
    classes: ClassTable,
    *,
    name: str,
) -> MiningImage:
    """Combine an image, or one of its crops as an image of its own, with its weak labels.

    Parameters and errors are those of :func:`models.jtsm.samples.prepare_image`.
    """
    if crop is None:
        return prepare_image(image, proposals, weak.tags, weak.known, classes, name=name)
    x0, y0, x1, y1 = window = weak.crops_xyxy[crop].tolist()
    part = cut_out_proposals(proposals, weak.crops_xyxy[crop])
    tags = weak.crop_tags[crop]
    return prepare_image(image[y0:y1, x0:x1], part, tags, weak.known, classes, name=f"{name}, crop {window}")


def measure_presence(
    model: JtsmModel, samples: Samples[MiningImage], *, short_sides_px: Sequence[int], long_side_px: int
) -> dict[str, Any]:
    """Average precision of the presence of each class in samples that are seen whole.

    Parameters
    ----------
    model : JtsmModel
        Ends in evaluation mode.
    samples : Samples of MiningImage
    short_sides_px : sequence of int
        Lengths of the shorter side in training; samples are seen at the middle one.
    long_side_px : int
        Maximum length of the longer side.
    """
    short_side_px = sorted(short_sides_px)[len(short_sides_px) // 2]
    device = next(model.network.parameters()).device
    model.network.eval()
    presence, tags = [], []
    for number in range(len(samples)):
        sample = samples[number]
        height, width = sample.image.shape[:2]
        placement = Placement((0, 0, width, height), choose_size((height, width), short_side_px, long_side_px), False)
        view = make_view(sample, placement, model.max_proposals)
        tensors = collate([sample], [number], [view], model.network.backbone.multiple)
        batch = {name: tensor.to(device) for name, tensor in tensors.items()}
        with torch.inference_mode():
            presence.append(model.network(batch).mined.presence[0].cpu().numpy())
        tags.append(sample.tags)
    names = model.classes.names
    summary = summarise_tag_precision(
        np.stack(presence), np.stack(tags), [names[train_id] for train_id in model.classes.things_first]
    )
    return {"samples": len(samples), "map": summary["map"], "ap": {name: summary["ap"][name] for name in names}}
