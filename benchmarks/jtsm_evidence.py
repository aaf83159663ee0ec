"""GrabCut evidence of JTSM: its speed against OpenCV's GrabCut, and how much of it a training finds in the store.

    python benchmarks/jtsm_evidence.py --images DIR --json OUT
    python benchmarks/jtsm_evidence.py --images DIR --run results/NAME --json OUT

``--images`` is a folder of photos, in which boxes are drawn: groups that overlap, as the boxes near a pseudo box do.
Times are processor seconds of one thread. ``different_pixels`` is the share of pixels on which the masks differ from
OpenCV's. ``--run`` is a run of the workflow with method jtsm; its record of mining says how many masks were asked for,
how many of them were computed, and how long the steps waited for them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from measurement import print_table, write_figures
from numpy.typing import NDArray

from pseudogt.evidence.grabcut import ITERATIONS, LONG_SIDE_PX, PlainGrabCut
from pseudogt.evidence.store import pack_mask
from pseudogt.files.images import read_image

GROUPS, GROUP_BOXES = 3, 4
"""Boxes drawn in an image: so many groups of so many."""

SHIFT = 0.15
"""Largest difference between the boxes of a group, as a share of their sides."""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="folder of photos")
    parser.add_argument("--count", type=int, default=10, help="photos to take")
    parser.add_argument("--run", type=Path, help="results of a run")
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    figures = measure_evidence(choose_photos(arguments.images, arguments.count))
    if arguments.run:
        figures |= read_record(arguments.run / "mining" / "record.json")
    print_table(figures)
    write_figures(arguments.json, figures)


def choose_photos(folder: Path, count: int) -> list[Path]:
    """Some photos of a folder, evenly spaced by name."""
    paths = sorted(path for path in folder.glob("*") if path.suffix in (".jpg", ".png"))
    if not paths:
        raise SystemExit(f"{folder}: no .jpg and no .png")
    return paths[:: max(1, len(paths) // count)][:count]


def measure_evidence(paths: list[Path]) -> dict[str, float | None]:
    """Masks a second of one core by OpenCV and by ours, their difference, and bytes of a mask in the store."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    before, after, prepared, sizes, different, pixels = [], [], [], [], 0, 0
    PlainGrabCut(read_image(paths[0]))(np.array([1, 1, 60, 60]))  # compiles
    for path in paths:
        image = enlarge(read_image(path))
        start = time.process_time()
        segment = PlainGrabCut(image)
        prepared.append(time.process_time() - start)
        for box in draw_boxes(image.shape[:2], rng):
            start = time.process_time()
            expected = cut_by_opencv(image, box)
            middle = time.process_time()
            found = segment(box)
            before.append(middle - start)
            after.append(time.process_time() - middle)
            different += int((found.mask != expected).sum())
            pixels += expected.size
            sizes.append(len(pack_mask(found)))
    return {
        "boxes": float(len(before)),
        "opencv_evidence_per_second": 1 / statistics.mean(before),
        "evidence_per_second": 1 / statistics.mean(after),
        "opencv_seconds_longest": max(before),
        "seconds_longest": max(after),
        "seconds_per_image": statistics.mean(prepared),
        "different_pixels": different / pixels,
        "bytes_per_mask": statistics.mean(sizes),
    }


def enlarge(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image at the size of GrabCut, so that masks can be compared pixel by pixel."""
    scale = LONG_SIDE_PX / max(image.shape[:2])
    size = round(image.shape[1] * scale), round(image.shape[0] * scale)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def draw_boxes(size: tuple[int, int], rng: np.random.Generator) -> Iterator[NDArray[np.int32]]:
    """Boxes ``(4,)`` in an image ``(h, w)``."""
    extent = np.array([size[1], size[0]])
    for _ in range(GROUPS):
        sides = extent * rng.uniform(0.2, 0.95, 2)
        corner = rng.uniform(0, extent - sides)
        for _ in range(GROUP_BOXES):
            shift = rng.uniform(-SHIFT, SHIFT, 4) * np.tile(sides, 2)
            box = np.concatenate([corner, corner + sides]) + shift
            yield np.clip(box, 1, np.tile(extent - 1, 2)).astype(np.int32)


def cut_by_opencv(image: NDArray[np.uint8], box: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Mask in a box by OpenCV's GrabCut, the filled box if nothing is left of it."""
    x0, y0, x1, y1 = box.tolist()
    states = np.zeros(image.shape[:2], np.uint8)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)
    cv2.grabCut(image, states, (x0, y0, x1 - x0, y1 - y0), *models, ITERATIONS, cv2.GC_INIT_WITH_RECT)
    found = (states[y0:y1, x0:x1] & 1).astype(bool)
    return found if found.any() else ~found


def read_record(path: Path) -> dict[str, float | None]:
    """Shares of a training: masks that were computed, and time of the steps that evidence took."""
    record = json.loads(path.read_text())
    # Each process counts the seconds for which it waits.
    counts, seconds = record["evidence"], record["processes"] * record["seconds"]
    figures: dict[str, float | None] = {
        "asked_per_step": counts["asked"] / record["steps"],
        "miss_rate": counts["computed"] / counts["asked"],
        "waiting_share": counts["seconds"] / seconds,
    }
    for number, part in enumerate(counts["curve"]):
        figures[f"miss_rate_{number}"] = part["computed"] / max(part["asked"], 1)
        figures[f"waiting_share_{number}"] = part["seconds"] / (seconds / len(counts["curve"]))
    return figures


if __name__ == "__main__":
    main()
