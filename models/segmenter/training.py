"""Train a panoptic network of any kind: its samples, and the loss that decides when rounds stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.augmentation import Augmentation
from models.segmenter.batches import PanopticSample, index_candidates, make_batch
from models.segmenter.targets import find_instance_targets
from models.training_set import Samples
from pseudogt.boxes import scale_boxes
from pseudogt.classes import BACKGROUND, IGNORE_LABEL, ClassTable, panoptic_to_semantic
from pseudogt.prediction.maps import choose_network_size
from pseudogt.weak_labels.candidates import candidate_classes
from pseudogt.weak_labels.records import ImageWeakLabels

FIXED_IMAGES = 64
"""Images of the fixed, un-augmented training subset whose loss decides when rounds stop."""


@dataclass(frozen=True)
class PanopticBatches:
    """Augmented batches of the samples of a training set.

    Attributes
    ----------
    samples : Samples
    augmentation : Augmentation
    order : (N,), optional
        Numbers of the samples in an epoch, see :func:`repeat_full`; each once if it is not given.
    """

    samples: Samples[PanopticSample]
    augmentation: Augmentation
    order: NDArray[np.int64] | None = None

    def load(self, indices: NDArray[np.int64], generator: np.random.Generator) -> dict[str, Tensor]:
        """Batch of the samples at the places ``(B,)`` of the order."""
        numbers = indices if self.order is None else self.order[indices]
        return make_batch([self.samples[i] for i in numbers], self.augmentation, generator)


def repeat_full(full: NDArray[np.bool_], share: float) -> NDArray[np.int64]:
    """List the samples of an epoch, those with full labels as often as it takes.

    Parameters
    ----------
    full : (N,)
        Whether an image has a full label.
    share : float
        Least share of the epoch that images with full labels make up, below 1, where there are both kinds.

    Returns
    -------
    (M,) int64
        Each number in 0..N-1 once, and those with full labels as many more times as the share needs.
    """
    order = np.arange(len(full))
    if not full.any() or full.all():
        return order
    weak_count, full_count = int((~full).sum()), int(full.sum())
    # k copies of f full labels beside w weak ones make up k f / (k f + w).
    copies = max(1, math.ceil(share * weak_count / ((1 - share) * full_count)))
    return np.concatenate([order, np.tile(order[full], copies - 1)])


def prepare_sample(
    image: NDArray[np.uint8],
    panoptic_id: NDArray[np.int32],
    weak: ImageWeakLabels,
    classes: ClassTable,
    scale: float,
) -> PanopticSample:
    """Bring an image ``(H, W, 3)`` and its label ``(H, W)`` to the network's resolution, with all it learns from."""
    size = choose_network_size((image.shape[0], image.shape[1]), scale)
    panoptic_id = np.asarray(cv2.resize(panoptic_id, size[::-1], interpolation=cv2.INTER_NEAREST), np.int32)
    semantic = panoptic_to_semantic(panoptic_id, classes)
    semantic[semantic == BACKGROUND] = IGNORE_LABEL

    # Boxes count as complete if each thing that may be in the image has any, and no mark shows that there are more.
    possible_things = np.flatnonzero(weak.possible & np.array(classes.isthing))
    boxes_are_complete = bool(np.isin(possible_things, weak.box_classes).all()) and not weak.partly_boxed_ids
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
        semantic=semantic,
        instance=instances.instance,
        candidate_set=candidate_set,
        centres_yx=instances.centres_yx,
        sizes=instances.sizes,
        candidates=candidates,
    )


def check_labelled(pixels: NDArray[np.int64], classes: ClassTable, folder: Path) -> None:
    """Raise ``ValueError`` if no loss of a training has a term.

    Parameters
    ----------
    pixels : (C,)
        Labelled pixels of each class in the training set.
    classes : ClassTable
    folder : Path
        Labels of the first images, for the message.
    """
    if not pixels.any():
        raise ValueError(
            f"{folder}: there is nothing to learn from: no pixel of the training labels has a class, neither "
            f"{' nor '.join(classes.names)}; their images need boxes, tags or full labels of these (snakemake check)"
        )


def measure_fixed_loss(
    network: nn.Module,
    samples: Samples[PanopticSample],
    compute_losses: Callable[[nn.Module, Mapping[str, Tensor]], Mapping[str, Tensor]],
) -> float:
    """Mean loss over ``FIXED_IMAGES`` whole training images that are spread evenly, without augmentation."""
    device = next(network.parameters()).device
    network.eval()
    totals = []
    with torch.inference_mode():
        for i in np.unique(np.linspace(0, len(samples) - 1, min(FIXED_IMAGES, len(samples))).astype(int)):
            sample = samples[i]
            whole = Augmentation(crop_size=sample.image.shape[:2], zoom=(1, 1), flip=0, colour=0)
            batch = make_batch([sample], whole, np.random.default_rng(0))
            losses = compute_losses(network, {name: tensor.to(device) for name, tensor in batch.items()})
            totals.append(sum(float(value) for value in losses.values()))
    return float(np.mean(totals))
