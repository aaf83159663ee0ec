"""Contours against borders that people drew: F-measures and seconds on one core.

    python benchmarks/contours.py [--data DIR] [--quick] --json OUT

``--data`` has ``images/<id>.jpg``, ``segs/<id>_<k>.png`` (a label map of each annotator k) and
``val.txt`` with one id a line, as made from BSDS500; or it holds such a folder ``bsds500``. ``ods``
and ``ois`` are those of the network in ``models/pretrained/contours.pt``: thinned, matched one to one within
0.0075 of the diagonal, 99 thresholds, the best one for the whole set or for each image.
``seconds_480x360`` is the median over images of that size. ``gradient_...`` is the same of the
contours by differences of colour and texture, which involve no learning. Without data, images are
drawn, whose F-measures mean little.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

# One core, whatever numpy's libraries would take; they look when they are loaded.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import cv2
import numpy as np
import torch
from measurement import measure_in_turns, print_table, write_figures
from numpy.typing import NDArray

from models.pretrained.contours import ContourModel
from models.pretraining.contours import read_segmentations
from pseudogt.files.images import read_image
from pseudogt.metrics.contours import count_contours, find_label_changes, score_contours, thin_contours
from pseudogt.parsing.image_lists import read_id_list
from pseudogt.proposals.contours import find_gradient_contours
from pseudogt.workflow.weights import CONTOURS

Image = NDArray[np.uint8]
Segmentations = list[NDArray[np.integer]]

QUICK_IMAGES = 4
TIMED_IMAGES = 10


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder like BSDS500, or one that holds it as bsds500/")
    parser.add_argument("--quick", action="store_true", help="four images")
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    samples = read_samples(arguments.data) if arguments.data else [draw_sample(seed) for seed in range(8)]
    samples = samples[: QUICK_IMAGES if arguments.quick else None]
    model = ContourModel.load(CONTOURS)
    methods: dict[str, Callable[[Image], NDArray[np.float32]]] = {
        "": model.find_contours,
        "gradient_": lambda image: find_gradient_contours(image).strength,
    }
    figures: dict[str, float | None] = {"images": len(samples)}
    for prefix, find in methods.items():
        scores = score_contours(
            [
                count_contours(thin_contours(find(image)), [find_label_changes(labels) for labels in segmentations])
                for image, segmentations in samples
            ]
        )
        figures |= {f"{prefix}ods": scores.ods, f"{prefix}ois": scores.ois, f"{prefix}threshold": scores.threshold}
    for prefix, seconds in measure_seconds(methods, [image for image, _ in samples[:TIMED_IMAGES]]).items():
        figures[f"{prefix}seconds_480x360"] = seconds
    print_table(figures)
    write_figures(arguments.json, figures)


def read_samples(data: Path) -> list[tuple[Image, Segmentations]]:
    """Image and label maps of its annotators, for all of ``val.txt``."""
    folder = data / "bsds500" if (data / "bsds500").is_dir() else data
    return [
        (read_image(folder / "images" / f"{image_id}.jpg"), read_segmentations(folder, image_id))
        for image_id in read_id_list(folder / "val.txt")
    ]


def draw_sample(seed: int) -> tuple[Image, Segmentations]:
    """Ellipses on a noisy ground ``321x481``."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:321, :481]
    labels = np.zeros((321, 481), np.uint8)
    for k in range(1, 8):
        centre, radii = rng.random(2) * (321, 481), rng.uniform(15, 90, 2)
        labels[((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 <= 1] = k
    image = rng.integers(0, 255, (8, 3))[labels] + rng.normal(0, 12, (321, 481, 3))
    return np.clip(image, 0, 255).astype(np.uint8), [labels]


def measure_seconds(
    methods: dict[str, Callable[[Image], NDArray[np.float32]]], images: list[Image]
) -> dict[str, float]:
    """Median seconds for an image of 480x360 of each method."""
    scaled = [cv2.resize(image, (480, 360), interpolation=cv2.INTER_AREA).astype(np.uint8) for image in images]
    functions = {prefix: lambda find=find: [find(image) for image in scaled] for prefix, find in methods.items()}
    seconds, _ = measure_in_turns(functions)
    return {prefix: value / len(scaled) for prefix, value in seconds.items()}


if __name__ == "__main__":
    main()
