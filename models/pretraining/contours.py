"""Train the contour network from random weights.

    python -m models.pretraining.contours --data DIR --out FILE.pt [--steps 6000] [--scratch DIR]

``DIR`` has ``images/<id>.jpg``, ``segs/<id>_<k>.png`` (a label map of each annotator k) and
``train.txt`` with one id a line, as made from BSDS500. An interrupted training resumes from
``--scratch``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.backbones import normalise_images
from models.pretrained.contours import ContourNetwork, compute_contour_loss, save_contours
from models.pretraining.plan import add_training_options, plan_training
from models.training import Batch, train
from pseudogt.files.images import read_image, read_png
from pseudogt.metrics.contours import find_label_changes
from pseudogt.parsing.image_lists import read_id_list
from pseudogt.workflow.provenance import compute_code_digest, compute_input_digest

WINDOW_PX = 224
"""Height and width of the windows that are learned from."""

ZOOM, COLOUR = (0.6, 1.6), 0.3
"""Random changes of a window: its scale, and gain and shift of its colours."""


def main(argv: Sequence[str] | None = None) -> None:
    """Train and write the model file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    add_training_options(parser, steps=6000, batch_size=8, scratch="contours")
    arguments = parser.parse_args(argv)
    plan = plan_training(
        steps=arguments.steps,
        batch_size=arguments.batch_size,
        learning_rate=2e-3,
        threads=arguments.threads,
        seed=arguments.seed,
    )
    cv2.setNumThreads(1)
    image_ids = read_id_list(arguments.data / "train.txt")
    samples = [read_contour_sample(arguments.data, image_id) for image_id in image_ids]
    torch.manual_seed(plan.seed)
    network = ContourNetwork()
    facts = [repr(plan), compute_code_digest("models.pretraining.contours")]
    key = compute_input_digest(facts, [arguments.data / "segs", arguments.data / "train.txt"])
    checkpoint = arguments.scratch / f"{key}.pt"
    train(
        network,
        sample_count=len(samples),
        load_batch=lambda indices, rng: load_contour_batch([samples[i] for i in indices], rng),
        compute_losses=compute_contour_losses,
        plan=plan,
        checkpoint=checkpoint,
        description="contours",
    )
    save_contours(arguments.out, network.cpu())
    checkpoint.unlink(missing_ok=True)


def read_segmentations(data: Path, image_id: str) -> list[NDArray[np.integer]]:
    """Label map ``(H, W)`` of each annotator of an image."""
    paths = sorted((data / "segs").glob(f"{image_id}_*.png"))
    if not paths:
        raise ValueError(f"{data / 'segs'}: no segmentation of image {image_id!r}")
    return [read_png(path) for path in paths]


def read_contour_sample(data: Path, image_id: str) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Image ``(H, W, 3)`` and share of the annotators with a border within one pixel ``(H, W) float32``."""
    kernel = np.ones((3, 3), np.uint8)
    drawn = [find_label_changes(labels).astype(np.uint8) for labels in read_segmentations(data, image_id)]
    votes = np.stack([cv2.dilate(borders, kernel) for borders in drawn]).mean(0)
    return read_image(data / "images" / f"{image_id}.jpg"), votes.astype(np.float32)


def load_contour_batch(
    samples: Sequence[tuple[NDArray[np.uint8], NDArray[np.float32]]], rng: np.random.Generator
) -> dict[str, Tensor]:
    """Randomly turned, zoomed, mirrored and recoloured windows: ``images (B, 3, S, S) uint8``, ``votes (B, S, S)``."""
    windows = [cut_window(image, votes, rng) for image, votes in samples]
    images = np.stack([image.transpose(2, 0, 1) for image, _ in windows])
    return {"images": torch.from_numpy(images), "votes": torch.from_numpy(np.stack([votes for _, votes in windows]))}


def cut_window(
    image: NDArray[np.uint8], votes: NDArray[np.float32], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """One augmented window ``(h, w, 3)`` of an image and its votes ``(h, w)``; -1 outside the image."""
    height, width = votes.shape
    zoom = np.exp(rng.uniform(*np.log(ZOOM)))
    angle = rng.uniform(0, 360) if rng.random() < 0.5 else 90.0 * rng.integers(4)
    matrix = cv2.getRotationMatrix2D((rng.uniform(0, width), rng.uniform(0, height)), angle, zoom)
    # The centre of the window is a random point that is not too near the image's border.
    middle = np.array([rng.uniform(0.2, 0.8) * width, rng.uniform(0.2, 0.8) * height, 1.0])
    matrix[:, 2] += WINDOW_PX / 2 - matrix @ middle
    size = (WINDOW_PX, WINDOW_PX)
    turned = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    # Values outside are so far below 0 that a pixel with more than a small share of them becomes unknown.
    target = cv2.warpAffine(votes, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=-9)
    target = np.where(target < 0, -1, target).astype(np.float32)
    if rng.random() < 0.5:
        turned, target = turned[:, ::-1], target[:, ::-1]
    # A gain for each channel, a shift for all, and for half of the windows another saturation.
    gain, shift = 1 + rng.uniform(-COLOUR, COLOUR, 3), 255 * rng.uniform(-COLOUR, COLOUR) / 2
    grey = turned.mean(2, keepdims=True)
    saturation = rng.uniform(0, 1.3) if rng.random() < 0.5 else 1.0
    recoloured = (grey + saturation * (turned - grey)) * gain + shift
    return np.clip(recoloured, 0, 255).astype(np.uint8), np.ascontiguousarray(target)


def compute_contour_losses(network: torch.nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Loss of one batch."""
    images = normalise_images(batch["images"]).contiguous(memory_format=torch.channels_last)
    return {"contours": compute_contour_loss(network(images), batch["votes"])}


if __name__ == "__main__":
    main()
