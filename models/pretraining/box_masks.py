"""Train the network from boxes to masks, from the weights of the contour network.

    python -m models.pretraining.box_masks --segments DIR --things DIR --out FILE.pt [--steps 8000] [--scratch DIR]

``--segments`` is a folder as made from BSDS500 (see :mod:`models.pretraining.contours`) with segments that people
drew, without classes; the images of ``train.txt`` and ``val.txt`` are used. ``--things`` is a folder as made from COCO:
``images/``, ``train.txt`` and ``instances/<id>.png`` (16 bit, ``category * 256 + k`` for instance k, 0 for unknown
pixels). Only the images of ``train.txt`` are read. An interrupted training resumes from ``--scratch``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from models.pretrained.box_masks import (
    BOX_PX,
    build_from_contours,
    compute_box_mask_loss,
    cut_inputs,
    cut_map,
    normalise_inputs,
    place_window,
    save_box_masks,
)
from models.pretrained.contours import read_contours
from models.pretraining.contours import read_segmentations
from models.pretraining.plan import add_training_options, plan_training
from models.training import Batch, train
from pseudogt.files.images import read_image, read_png
from pseudogt.parsing.image_lists import read_id_list
from pseudogt.workflow import weights
from pseudogt.workflow.provenance import compute_code_digest, compute_input_digest

THING_SHARE = 0.6
"""Share of the samples that are things; the others are segments."""

MIN_AREA_PX, MAX_IMAGE_SHARE = 64, 0.5
"""Smaller things and segments, and larger segments, are left out."""

ENLARGE, SHIFT, COLOUR = (0.85, 1.15), 0.06, 0.25
"""Random changes of a window: its size, the move of its centre over its side, and gain and shift of its colours."""

BLUR_SHARE, BLUR_PX = 0.5, (10, 64)
"""Share of the windows that are shown as if the box had few pixels, and how many its longer side has then."""


class Sample(NamedTuple):
    """One thing or segment of an image.

    Attributes
    ----------
    image : (H, W, 3) uint8
    labels : (H, W) integer
        Shared by all samples of the image.
    label : int
    unknown : int
        Label of unknown pixels; -1 if there are none.
    box : (4,) int32
    others : (M, 4) int32
        Boxes of the image's other things.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.integer]
    label: int
    unknown: int
    box: NDArray[np.int32]
    others: NDArray[np.int32]


def main(argv: Sequence[str] | None = None) -> None:
    """Train and write the model file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segments", type=Path, required=True)
    parser.add_argument("--things", type=Path, required=True)
    add_training_options(parser, steps=8000, batch_size=10, scratch="box_masks")
    arguments = parser.parse_args(argv)
    plan = plan_training(
        steps=arguments.steps,
        batch_size=arguments.batch_size,
        learning_rate=1e-3,
        threads=arguments.threads,
        seed=arguments.seed,
    )
    cv2.setNumThreads(1)
    samples = list_box_samples(list(read_things(arguments.things)), list(read_drawn_segments(arguments.segments)))
    torch.manual_seed(plan.seed)
    network = build_from_contours(read_contours(weights.CONTOURS))
    facts = [repr(plan), compute_code_digest("models.pretraining.box_masks")]
    inputs = [arguments.segments / "segs", arguments.things / "instances", arguments.things / "train.txt"]
    key = compute_input_digest(facts, [*inputs, weights.CONTOURS])
    checkpoint = arguments.scratch / f"{key}.pt"
    train(
        network,
        sample_count=len(samples),
        load_batch=lambda indices, rng: load_box_batch([samples[i] for i in indices], rng),
        compute_losses=compute_box_losses,
        plan=plan,
        checkpoint=checkpoint,
        description="box masks",
    )
    save_box_masks(arguments.out, network.cpu())
    checkpoint.unlink(missing_ok=True)


def read_things(data: Path) -> Iterator[Sample]:
    """The things of the training images of a COCO-like folder."""
    for image_id in read_id_list(data / "train.txt"):
        labels = read_png(data / "instances" / f"{image_id}.png").astype(np.int32)
        image = read_image(data / "images" / f"{image_id}.jpg")
        found = [(label, box) for label, box, area in _list_boxes(labels) if label >= 256 and area >= MIN_AREA_PX]
        boxes = np.array([box for _, box in found], np.int32).reshape(-1, 4)
        for index, (label, box) in enumerate(found):
            yield Sample(image, labels, label, 0, box, np.delete(boxes, index, 0))


def read_drawn_segments(data: Path) -> Iterator[Sample]:
    """The segments of all images of a BSDS-like folder, of all who drew them."""
    no_boxes = np.zeros((0, 4), np.int32)
    for image_id in read_id_list(data / "train.txt") + read_id_list(data / "val.txt"):
        image = read_image(data / "images" / f"{image_id}.jpg")
        for labels in read_segmentations(data, image_id):
            shifted = labels.astype(np.int32) + 1
            for label, box, area in _list_boxes(shifted):
                if MIN_AREA_PX <= area <= MAX_IMAGE_SHARE * shifted.size:
                    yield Sample(image, shifted, label, -1, box, no_boxes)


def _list_boxes(labels: NDArray[np.int32]) -> Iterator[tuple[int, NDArray[np.int32], int]]:
    values, inverse, areas = np.unique(labels, return_inverse=True, return_counts=True)
    places = ndimage.find_objects(inverse.reshape(labels.shape).astype(np.int32) + 1)
    for value, place, area in zip(values, places, areas, strict=True):
        rows, columns = place
        yield int(value), np.array([columns.start, rows.start, columns.stop, rows.stop], np.int32), int(area)


def list_box_samples(things: list[Sample], segments: list[Sample]) -> list[Sample]:
    """Both kinds, things repeated until they have their share."""
    if not things or not segments:
        raise ValueError(f"found {len(things)} things and {len(segments)} segments to train on; both are needed")
    repeats = max(1, round(THING_SHARE / (1 - THING_SHARE) * len(segments) / len(things)))
    return things * repeats + segments


def load_box_batch(samples: Sequence[Sample], rng: np.random.Generator) -> dict[str, Tensor]:
    """Augmented windows: ``inputs (B, 6, S, S) uint8``, ``targets (B, S, S) float32``, negative where unknown."""
    windows = [cut_sample(sample, rng) for sample in samples]
    return {
        "inputs": torch.from_numpy(np.stack([inputs for inputs, _ in windows])),
        "targets": torch.from_numpy(np.stack([targets for _, targets in windows])),
    }


def cut_sample(sample: Sample, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Inputs ``(channels, h, w)`` and targets ``(h, w)`` of a sample, moved, enlarged, mirrored and recoloured."""
    window = place_window(
        sample.box, enlarge=np.exp(rng.uniform(*np.log(ENLARGE))), shift=rng.uniform(-SHIFT, SHIFT, 2)
    )
    others = sample.others if rng.random() < 0.8 else sample.others[:0]
    inputs = cut_inputs(sample.image, sample.box, others, window)
    x0, y0, x1, y1 = sample.box
    # The thing and the known pixels inside the box; outside, everything is unknown.
    inside = sample.labels[y0:y1, x0:x1]
    truth = np.full(sample.labels.shape, 0.0, np.float32)
    truth[y0:y1, x0:x1] = inside == sample.label
    known = np.zeros_like(truth)
    known[y0:y1, x0:x1] = inside != sample.unknown
    # A pixel of the window is used for training if it is in the box and most of what it covers is known.
    share, known_share = cut_map(truth, window), cut_map(known, window)
    targets = np.where((known_share > 0.5) & (inputs[3] > 0), share, -1).astype(np.float32)

    if rng.random() < BLUR_SHARE:
        inputs[:3] = _coarsen(inputs[:3], rng.uniform(*np.log(BLUR_PX)))
    if rng.random() < 0.5:
        inputs, targets = inputs[:, :, ::-1], targets[:, ::-1]
    inputs = inputs.copy()
    inputs[:3] = _recolour(inputs[:3], rng)
    return inputs, np.ascontiguousarray(targets)


def _coarsen(colours: NDArray[np.uint8], log_pixels: float) -> NDArray[np.uint8]:
    """Colours ``(3, S, S)`` as if the box's longer side had ``exp(log_pixels)`` pixels."""
    side = colours.shape[1]
    small = max(4, round(side * np.exp(log_pixels) / BOX_PX))
    reduced = cv2.resize(np.ascontiguousarray(colours.transpose(1, 2, 0)), (small, small), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(reduced, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8).transpose(2, 0, 1)


def _recolour(colours: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    # A gain for each channel, a shift for all, and for half of the windows another saturation.
    gain, shift = 1 + rng.uniform(-COLOUR, COLOUR, (3, 1, 1)), 255 * rng.uniform(-COLOUR, COLOUR) / 2
    grey = colours.mean(0, keepdims=True)
    saturation = rng.uniform(0, 1.3) if rng.random() < 0.5 else 1.0
    return np.clip((grey + saturation * (colours - grey)) * gain + shift, 0, 255).astype(np.uint8)


def compute_box_losses(network: torch.nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Losses of one batch."""
    inputs = normalise_inputs(batch["inputs"]).contiguous(memory_format=torch.channels_last)
    return compute_box_mask_loss(network(inputs), batch["targets"])


if __name__ == "__main__":
    main()
