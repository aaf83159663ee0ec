"""Proposals: overlap with annotated things at 100 to 5,000 proposals, seconds and memory on one core.

    python benchmarks/proposals.py [--data DIR] [--quick] [--variant NAME] [--plot FILE.png] --json OUT

``--data`` is a folder of folder datasets (``images/``, ``instances/``) in which ``voc2007_seg`` and
``coco_panoptic`` are looked for, or one folder dataset. Figures of the first set that is there have
no prefix, those of COCO begin with ``coco_``. ``single_ji``, ``single_r50`` and ``single_r70`` are
the mean best overlap (IoU) of the instances and the shares above 0.5 and 0.7 with all proposals of
mode single, ``single_ji_100`` and so on those with the first 100; ``multi_...`` the same of mode
multi. Void pixels are ignored. ``single_seconds`` is the median over the images.

These are of learned contours and learned ranking; ``gradient_...`` is the variant for which nothing
was learned, contours by differences and ranking by a rule. ``--variant`` measures one of both only.
``memory_gb`` is the highest memory of the process so far; the unlearned variant comes first, so that
``gradient_memory_gb`` is without torch. ``--plot`` measures seconds against image area, and images a
second against processes, and draws both. Without data, images are drawn, whose overlaps mean little.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

# One core, whatever numpy's libraries would take; they look when they are loaded.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import cv2
import numpy as np
from folder_images import AnnotatedImage, draw_image, read_images
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from measurement import print_table, write_figures
from numpy.typing import NDArray

from models.pretrained.loading import load_engine
from pseudogt.config.proposals import ProposalsSettings
from pseudogt.proposals.generation import Proposals
from pseudogt.proposals.overlaps import find_overlaps

COUNTS = (100, 500, 2000, 5000)
VARIANTS = {
    "gradient": {"contours": "gradient", "ranking": "rule"},
    "learned": {"contours": "learned", "ranking": "learned"},
}
MODES = {"single": {"mode": "single"}, "multi": {"mode": "multi", "max_proposals": 5200}}
AREAS_MP = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
IMAGES_PER_PROCESS = 6

Images = Callable[[], Iterator[AnnotatedImage]]


class Scaling(NamedTuple):
    """Seconds against image area in megapixels, by mode, and images a second against processes, of mode multi."""

    seconds: dict[str, dict[float, float]]
    images_per_second: dict[int, float]

    def list_figures(self) -> dict[str, float]:
        """All numbers by name."""
        figures = {
            f"{mode}_seconds_{area:g}mp": value for mode, row in self.seconds.items() for area, value in row.items()
        }
        return figures | {f"images_per_second_{n}": value for n, value in self.images_per_second.items()}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with voc2007_seg/ and coco_panoptic/, or one dataset")
    parser.add_argument("--quick", action="store_true", help="four images of each set")
    parser.add_argument("--variant", choices=tuple(VARIANTS), action="append", help="default: both")
    parser.add_argument("--plot", type=Path, help="also measure scaling, and draw it to this file")
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    figures: dict[str, float | None] = {}
    scaling: dict[str, Scaling] = {}
    for variant in VARIANTS:
        if variant not in (arguments.variant or VARIANTS):
            continue
        start = "" if variant == "learned" else f"{variant}_"
        for prefix, images in find_sets(arguments.data, 4 if arguments.quick else None):
            for mode in MODES:
                measured = measure(images, make_settings(variant, mode))
                figures |= {f"{start}{prefix}{mode}_{name}": value for name, value in measured.items()}
        figures[f"{start}memory_gb"] = read_peak_memory()
        figures |= {f"{start}{name}": value for name, value in measure_large(variant).items()}
        if arguments.plot:
            scaling[variant] = measure_scaling(variant)
            figures |= {f"{start}{name}": value for name, value in scaling[variant].list_figures().items()}
    if arguments.plot:
        draw_scaling(arguments.plot, scaling)
    print_table(figures)
    write_figures(arguments.json, figures)


def make_settings(variant: str, mode: str) -> ProposalsSettings:
    """Settings of a variant and a mode."""
    return ProposalsSettings.model_validate(VARIANTS[variant] | MODES[mode])


def find_sets(data: Path | None, limit: int | None) -> list[tuple[str, Images]]:
    """Prefix of the figures and images of each set; they are read when they are asked for."""
    if data is None:
        return [("", lambda: (draw_image(seed) for seed in range(limit or 8)))]
    known = [("", data / "voc2007_seg", "dev"), ("coco_", data / "coco_panoptic", "val_dev")]
    present = [(prefix, folder, split) for prefix, folder, split in known if folder.is_dir()]
    sets = present or [("", data, None)]
    return [
        (prefix, lambda folder=folder, split=split: read_images(folder, split, limit)) for prefix, folder, split in sets
    ]


def measure(images: Images, settings: ProposalsSettings) -> dict[str, float | None]:
    """Overlaps at each number of proposals, and seconds, of one mode."""
    segment = load_engine(settings)
    segment(draw_image(0).image)  # compiles
    best: list[list[float]] = []
    seconds, counts = [], []
    for image, masks, _, void in images():
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
) -> NDArray[np.float32]:
    """Best IoU ``(K, 5)`` of each mask among all proposals and among the first of each number in ``COUNTS``."""
    overlaps = find_overlaps(proposals.members, proposals.superpixels, masks, void)
    return np.stack([overlaps[:limit].max(0) for limit in (None, *COUNTS)], axis=1)


def draw_large(megapixels: float) -> NDArray[np.uint8]:
    """A drawn image, twice as wide as high, of this area."""
    height = round(1024 * (megapixels / 2.097152) ** 0.5)
    return cv2.resize(draw_image(0).image, (2 * height, height), interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def measure_large(variant: str) -> dict[str, float]:
    """Seconds and memory of mode multi on an image of 1024x2048."""
    seconds = time_image(draw_large(2.097152), make_settings(variant, "multi"), repeats=1)
    return {"multi_seconds_1024x2048": seconds, "memory_gb_1024x2048": read_peak_memory()}


def time_image(image: NDArray[np.uint8], settings: ProposalsSettings, *, repeats: int) -> float:
    """Median seconds for an image."""
    segment = load_engine(settings)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        segment(image)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def measure_scaling(variant: str) -> Scaling:
    """Seconds at several areas, and images a second with one process a core."""
    seconds = {
        mode: {area: time_image(draw_large(area), make_settings(variant, mode), repeats=5) for area in AREAS_MP}
        for mode in MODES
    }
    return Scaling(seconds, {n: measure_processes(variant, n) for n in range(1, (os.cpu_count() or 1) + 1)})


def measure_processes(variant: str, processes: int) -> float:
    """Images a second of mode multi, VOC's size, with several processes that are warm."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes) as pool:
        pool.map(segment_drawn, [(variant, 1)] * processes, chunksize=1)
        start = time.perf_counter()
        pool.map(segment_drawn, [(variant, IMAGES_PER_PROCESS)] * processes, chunksize=1)
        return processes * IMAGES_PER_PROCESS / (time.perf_counter() - start)


def segment_drawn(job: tuple[str, int]) -> None:
    """Segment a number of drawn images."""
    variant, count = job
    cv2.setNumThreads(1)
    segment = load_engine(make_settings(variant, "multi"))
    for seed in range(count):
        segment(draw_image(seed).image)


def draw_scaling(path: Path, scaling: dict[str, Scaling]) -> None:
    """Draw seconds against area and images a second against processes."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    of_area, of_processes = figure.subplots(1, 2)
    for variant, measured in scaling.items():
        for mode, row in measured.seconds.items():
            of_area.loglog(list(row), list(row.values()), marker="o", label=f"{variant}, {mode}")
        rates = measured.images_per_second
        of_processes.plot(list(rates), list(rates.values()), marker="o", label=f"{variant}, multi")
    of_area.set(xlabel="image area (megapixels)", ylabel="seconds an image, one core")
    of_processes.set(xlabel="processes", ylabel="images a second", ylim=(0, None))
    of_processes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (of_area, of_processes):
        axes.grid(alpha=0.3)
        axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def read_peak_memory() -> float:
    """Highest memory of this process so far in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main()
