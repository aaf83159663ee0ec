"""Panoptic quality: ours against cityscapesScripts and torchmetrics on the same pairs of maps.

    python benchmarks/pq.py [--data DIR] [--quick] --json OUT

All three start from decoded arrays in one thread: what cityscapesScripts would read and decode is
handed to it. A second figure includes reading the PNG files and takes our label files against its
own reader. Without ``--data`` the maps are generated, 1024x2048 with about 60 segments. ``--data``
is a folder with ``instances/*.png`` (16 bit, ``class * 1000 + k``, a bare class for stuff and
groups); the prediction is the ground truth, shifted, with some segments removed or renamed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch
from measurement import REPOSITORY, print_table, write_figures
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torchmetrics.detection import PanopticQuality

sys.path.insert(0, str(REPOSITORY))
# Cityscapes' scripts print where they look for data when no folder is set.
os.environ.setdefault("CITYSCAPES_DATASET", os.curdir)

import cityscapesscripts.evaluation.evalPanopticSemanticLabeling as cityscapes  # noqa: N813

from pseudogt.io import read_png
from pseudogt.label_files import LabelFolder, describe_segments, write_labels
from pseudogt.labels import INSTANCE_DIVISOR, VOID, ClassTable
from pseudogt.metrics import Counts, count_image, summarise

REPEATS = 5
Pair = tuple[NDArray[np.int32], NDArray[np.int32]]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with instances/*.png")
    parser.add_argument("--quick", action="store_true", help="one image")
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    count = 1 if arguments.quick else 3
    truths = read_maps(arguments.data, count) if arguments.data else [make_map(seed) for seed in range(count)]
    classes = find_classes(truths)
    pairs = [(truth, disturb(truth, seed)) for seed, truth in enumerate(truths)]
    figures = compare(pairs, classes)
    print_table(figures)
    write_figures(arguments.json, figures)


def make_map(seed: int) -> NDArray[np.int32]:
    """Voronoi cells of 8 stuff and 8 thing classes, some void, some crowds ``(1024, 2048) int32``."""
    rng = np.random.default_rng(seed)
    points = rng.random((60, 2)) * (1024, 2048)
    category_id = rng.integers(0, 17, len(points))
    k = np.where((category_id > 8) & (rng.random(len(points)) < 0.9), np.arange(len(points)) + 1, 0)
    ids = np.where(category_id == 0, VOID, category_id * INSTANCE_DIVISOR + k).astype(np.int32)
    pixels = np.stack(np.mgrid[:1024, :2048], axis=-1) + rng.normal(0, 1.5, (1024, 2048, 2))
    return ids[cKDTree(points).query(pixels)[1]]


def read_maps(data: Path, count: int) -> list[NDArray[np.int32]]:
    """Panoptic ids of the first images of a folder; class 0 becomes category 1, and so on."""
    maps = []
    for path in sorted((data / "instances").glob("*.png"))[:count]:
        ids = read_png(path).astype(np.int32)
        has_instance = ids >= INSTANCE_DIVISOR
        category_id = np.where(has_instance, ids // INSTANCE_DIVISOR, ids) + 1
        maps.append(
            (category_id * INSTANCE_DIVISOR + np.where(has_instance, ids % INSTANCE_DIVISOR + 1, 0)).astype(np.int32)
        )
    if not maps:
        raise SystemExit(f"{data / 'instances'}: no PNG files")
    return maps


def find_classes(truths: list[NDArray[np.int32]]) -> ClassTable:
    """Make a class table of the categories that occur; things are those with instances."""
    ids = np.unique(np.concatenate([np.unique(truth) for truth in truths]))
    ids = ids[ids != VOID]
    categories = tuple(np.unique(ids // INSTANCE_DIVISOR).tolist())
    things = set((ids[ids % INSTANCE_DIVISOR > 0] // INSTANCE_DIVISOR).tolist())
    return ClassTable(
        tuple(f"class {c}" for c in categories),
        categories,
        tuple(c in things for c in categories),
        ((0, 0, 0),) * len(categories),
    )


def disturb(truth: NDArray[np.int32], seed: int) -> NDArray[np.int32]:
    """Make a prediction: shifted by a few pixels, a tenth of the segments void, a tenth another segment."""
    rng = np.random.default_rng(seed)
    ids, position = np.unique(truth, return_inverse=True)
    changed = ids.copy()
    changed[rng.random(len(ids)) < 0.1] = VOID
    renamed = rng.random(len(ids)) < 0.1
    changed[renamed] = rng.choice(ids, renamed.sum())
    return np.roll(changed[position.reshape(truth.shape)], rng.integers(-4, 5, 2), axis=(0, 1))


def compare(pairs: list[Pair], classes: ClassTable) -> dict[str, float | None]:
    """Milliseconds per image of each, their ratios, and by how much the PQ differs."""
    thing_crowds = {classes.category_ids[i] * INSTANCE_DIVISOR for i in classes.thing_ids}
    # cityscapesScripts knows no thing without instance in a prediction; to it such pixels must be void.
    predicted = [np.where(np.isin(p, list(thing_crowds)), VOID, p).astype(np.int32) for _, p in pairs]
    pairs = [(truth, p) for (truth, _), p in zip(pairs, predicted, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        annotations = write_both(Path(folder), pairs, classes, thing_crowds)
        ours, counts = measure(lambda: sum((count_image(t, p, classes) for t, p in pairs), Counts.zeros(len(classes))))
        theirs, counted = measure(lambda: run_cityscapes_on_arrays(annotations, pairs, classes))
        metric = PanopticQuality(
            things={classes.category_ids[i] for i in classes.thing_ids},
            stuffs={classes.category_ids[i] for i in classes.stuff_ids},
            allow_unknown_preds_category=True,
        )
        tensors = [tuple(map(split_ids, pair)) for pair in pairs]
        torch_seconds, _ = measure(lambda: run_torchmetrics(metric, tensors))
        ours_files, _ = measure(lambda: run_ours_on_files(Path(folder), classes))
        theirs_files, _ = measure(lambda: run_cityscapes(annotations, Path(folder), classes))
    categories = {c["id"]: c for c in classes.to_categories()}
    pq = summarise(counts, classes)["pq"]
    expected = cityscapes.PQStat.pq_average(counted, categories, isthing=None)[0]["pq"]
    per_image = 1000 / len(pairs)
    return {
        "images": len(pairs),
        "ours_ms": ours * per_image,
        "cityscapesscripts_ms": theirs * per_image,
        "torchmetrics_ms": torch_seconds * per_image,
        "cityscapesscripts_over_ours": theirs / ours,
        "torchmetrics_over_ours": torch_seconds / ours,
        "faster_peer_over_ours": min(theirs, torch_seconds) / ours,
        "ours_from_files_ms": ours_files * per_image,
        "cityscapesscripts_from_files_ms": theirs_files * per_image,
        "cityscapesscripts_from_files_over_ours": theirs_files / ours_files,
        "pq": pq,
        "pq_difference_to_cityscapesscripts": abs(pq - expected),
    }


def measure(function: Callable) -> tuple[float, object]:
    """Median seconds of several calls after one that warms up, and the last result."""
    result = function()
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        result = function()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), result


def write_both(folder: Path, pairs: list[Pair], classes: ClassTable, thing_crowds: set[int]) -> list[tuple[dict, dict]]:
    """Write the maps as COCO panoptic; return the annotations of each pair."""
    annotations = []
    with write_labels(folder / "truth", classes) as truths, write_labels(folder / "predicted", classes) as predictions:
        for i, (truth, predicted) in enumerate(pairs):
            truths.add(str(i), truth, crowd_ids=thing_crowds)
            predictions.add(str(i), predicted)
            both = ((truth, thing_crowds), (predicted, set()))
            annotations.append(
                tuple(
                    {"image_id": str(i), "file_name": f"{i}.png", "segments_info": describe_segments(ids, crowds, {})}
                    for ids, crowds in both
                )
            )
    return annotations


def run_cityscapes(annotations: list[tuple[dict, dict]], folder: Path, classes: ClassTable) -> object:
    categories = {c["id"]: c for c in classes.to_categories()}
    with contextlib.redirect_stdout(io.StringIO()):
        return cityscapes.pq_compute_single_core(0, annotations, folder / "truth", folder / "predicted", categories)


def run_cityscapes_on_arrays(annotations: list[tuple[dict, dict]], pairs: list[Pair], classes: ClassTable) -> object:
    """Run its function with reader and decoder replaced by a look-up of the array."""
    arrays = {
        str(Path(kind) / f"{i}.png"): m for i, pair in enumerate(pairs) for kind, m in zip("tp", pair, strict=True)
    }
    categories = {c["id"]: c for c in classes.to_categories()}
    with (
        mock.patch.object(cityscapes, "Image", SimpleNamespace(open=arrays.__getitem__)),
        mock.patch.object(cityscapes, "rgb2id", lambda ids: ids),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        return cityscapes.pq_compute_single_core(0, annotations, "t", "p", categories)


def split_ids(panoptic_id: NDArray[np.int32]) -> torch.Tensor:
    pair = np.stack([panoptic_id // INSTANCE_DIVISOR, panoptic_id % INSTANCE_DIVISOR], axis=-1)
    return torch.from_numpy(pair[None])


def run_torchmetrics(metric: PanopticQuality, tensors: list[tuple[torch.Tensor, ...]]) -> float:
    metric.reset()
    for truth, predicted in tensors:
        metric.update(predicted, truth)
    return float(metric.compute())


def run_ours_on_files(folder: Path, classes: ClassTable) -> Counts:
    truths, predictions = LabelFolder(folder / "truth"), LabelFolder(folder / "predicted")
    images = (count_image(truths.read(i), predictions.read(i), classes) for i in truths.image_ids)
    return sum(images, Counts.zeros(len(classes)))


if __name__ == "__main__":
    main()
