"""Proposals: overlap with annotated things at 100 to 5,000 proposals, and seconds on one core.

    python benchmarks/proposals.py [--data DIR] [--quick] --json OUT

``--data`` is a folder of folder datasets (``images/``, ``instances/``) in which ``voc2007_seg`` and
``coco_panoptic`` are looked for, or one folder dataset. Figures of the first set that is there have
no prefix, those of COCO begin with ``coco_``. ``single_ji``, ``single_r50`` and ``single_r70`` are
the mean best overlap (IoU) of the instances and the shares above 0.5 and 0.7 with all proposals of
mode single, ``single_ji_100`` and so on those with the first 100; ``multi_...`` the same of mode
multi. Void pixels count for nobody. ``single_seconds`` is the median over the images, ``memory_gb``
the highest memory of the process so far. Without data, images are drawn, whose overlaps mean little.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

# One core, whatever numpy's libraries would take; they look when they are loaded.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import cv2
import numpy as np
from measurement import REPOSITORY, print_table, write_figures
from numpy.typing import NDArray

sys.path.insert(0, str(REPOSITORY))

from pseudogt.config.proposals import ProposalsSettings
from pseudogt.io import read_image, read_png
from pseudogt.proposals.generation import Proposals
from pseudogt.segmentation import prepare_segmentation

COUNTS = (100, 500, 2000, 5000)
SETTINGS = {
    "single": ProposalsSettings(),
    "multi": ProposalsSettings(mode="multi", max_proposals=5200),
}
COCO_THINGS = range(1, 91)

Image = tuple[NDArray[np.uint8], list[NDArray[np.bool_]], NDArray[np.bool_]]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with voc2007_seg/ and coco_panoptic/, or one dataset")
    parser.add_argument("--quick", action="store_true", help="four images of each set")
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    limit = 4 if arguments.quick else None
    figures: dict[str, float | None] = {}
    for prefix, images in find_sets(arguments.data, limit):
        for mode, settings in SETTINGS.items():
            measured = measure(images, settings)
            figures |= {f"{prefix}{mode}_{name}": value for name, value in measured.items()}
    figures["memory_gb"] = read_peak_memory()
    figures |= measure_large()
    print_table(figures)
    write_figures(arguments.json, figures)


def find_sets(data: Path | None, limit: int | None) -> list[tuple[str, list[Image]]]:
    """Prefix of the figures and images of each set."""
    if data is None:
        return [("", [draw_image(seed) for seed in range(limit or 8)])]
    known = [("", data / "voc2007_seg", "dev"), ("coco_", data / "coco_panoptic", "val_dev")]
    present = [(prefix, folder, split) for prefix, folder, split in known if folder.is_dir()]
    sets = present or [("", data, None)]
    return [(prefix, list(read_images(folder, split, limit))) for prefix, folder, split in sets]


def read_images(folder: Path, split: str | None, limit: int | None) -> Iterator[Image]:
    """Images, masks of their things and their void pixels of a folder dataset, or of one of its splits."""
    listed = folder / f"{split}.txt"
    ids = listed.read_text().split() if split and listed.is_file() else []
    ids = ids or sorted(path.stem for path in (folder / "instances").glob("*.png"))
    if not ids:
        raise SystemExit(f"{folder / 'instances'}: no PNG files")
    # COCO's 90 things do not fit into class * 1000 + k; its files say class * 256 + k.
    is_coco = (folder / "categories.json").is_file()
    for image_id in ids[:limit]:
        instances = read_png(folder / "instances" / f"{image_id}.png").astype(np.int64)
        path = next((folder / "images").glob(f"{image_id}.*"))
        ids_here = np.unique(instances)
        if is_coco:
            things = [v for v in ids_here if v >= 256 and v // 256 in COCO_THINGS]
            void = instances == 0
        else:
            things = [v for v in ids_here if v >= 1000]
            void = instances == 255
        yield read_image(path), [instances == v for v in things], void


def draw_image(seed: int) -> Image:
    """Ellipses of two colours each on a noisy ground ``375x500``."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:375, :500]
    image = rng.integers(0, 200, 3) + rng.normal(0, 12, (375, 500, 3))
    owner = np.zeros((375, 500), int)
    for k in range(1, 8):
        centre, radii = rng.random(2) * (375, 500), rng.uniform(15, 90, 2)
        inside = (((y, x) - centre[:, None, None]) / radii[:, None, None]) ** 2
        mask = inside.sum(0) <= 1
        owner[mask] = k
        for half in (y < centre[0], y >= centre[0]):
            image[mask & half] = rng.integers(0, 255, 3) + rng.normal(0, 12, ((mask & half).sum(), 3))
    masks = [owner == k for k in range(1, 8) if (owner == k).sum() > 100]
    return np.clip(image, 0, 255).astype(np.uint8), masks, np.zeros((375, 500), bool)


def measure(images: list[Image], settings: ProposalsSettings) -> dict[str, float | None]:
    """Overlaps at each number of proposals, and seconds, of one mode."""
    segment = prepare_segmentation(settings)
    segment(images[0][0])  # compiles
    best: list[list[float]] = []
    seconds, counts = [], []
    for image, masks, void in images:
        start = time.perf_counter()
        proposals = segment(image).proposals
        seconds.append(time.perf_counter() - start)
        counts.append(len(proposals.scores))
        best += find_best_overlaps(proposals, masks, void).tolist()
    figures: dict[str, float | None] = {"proposals": statistics.mean(counts), "seconds": statistics.median(seconds)}
    overlaps = np.array(best).reshape(-1, len(COUNTS) + 1)
    for column, suffix in enumerate(("", *(f"_{count}" for count in COUNTS))):
        values = overlaps[:, column]
        figures[f"ji{suffix}"] = float(values.mean()) if len(values) else None
        figures[f"r50{suffix}"] = float((values >= 0.5).mean()) if len(values) else None
        figures[f"r70{suffix}"] = float((values >= 0.7).mean()) if len(values) else None
    return figures


def find_best_overlaps(
    proposals: Proposals, masks: list[NDArray[np.bool_]], void: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Best IoU ``(K, 5)`` of each mask among all proposals and among the first of each number in ``COUNTS``."""
    if not masks:
        return np.zeros((0, len(COUNTS) + 1))
    superpixels, count = proposals.superpixels, proposals.members.shape[1]
    members = proposals.members.astype(np.float32)
    of_things = np.stack([np.bincount(superpixels[mask], minlength=count) for mask in masks], axis=1)
    intersection = members @ of_things.astype(np.float32)
    areas = members @ np.bincount(superpixels[~void], minlength=count).astype(np.float32)
    overlaps = intersection / (areas[:, None] + of_things.sum(0) - intersection)
    return np.stack([overlaps[:limit].max(0) for limit in (None, *COUNTS)], axis=1)


def measure_large() -> dict[str, float]:
    """Seconds of mode multi on an image of 1024x2048."""
    image = cv2.resize(draw_image(0)[0], (2048, 1024), interpolation=cv2.INTER_CUBIC)
    segment = prepare_segmentation(SETTINGS["multi"])
    start = time.perf_counter()
    segment(image)
    seconds = time.perf_counter() - start
    return {"multi_seconds_1024x2048": seconds, "memory_gb_1024x2048": read_peak_memory()}


def read_peak_memory() -> float:
    """Highest memory of this process so far in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main()
