"""Whether batches are loaded as fast as a network takes them, and what their prepared images take on disk.

    python benchmarks/training.py [--images DIR] [--count N] [--device cuda] [--quick] --json OUT

Trains on images of 1024x2048 pixels, crops of 512x1024, with drawn labels; on those of ``--images``, enlarged to this
size, or on drawn ones. ``--quick`` takes an eighth of the size.

``prepare_ms_per_image``
    On one core: decoding, finding targets, writing. Once per training.
``loader_ms_per_sample``, ``loader_scaling``
    Of one worker after the first epoch, and how much faster two are.
``waiting_share``, ``waiting_share_auto``, ``waiting_share_before``
    Share of the time spent waiting for batches if a step takes as long as the workers need for a batch: two here, and
    eight times as fast on a machine with sixteen. On two cores, two workers leave none to the process that receives the
    batches; ``auto`` is one worker, which leaves it one, as ``loader_workers: auto`` does. Before: one thread that
    decodes each image whenever it is drawn, one batch ahead.
``step_over_compute``, ``step_over_compute_before``
    A step of the small panoptic network with batches that are loaded, over one with a batch that is there.
``bytes_on_disk_per_image``
    Of the prepared images.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from measurement import print_table, write_figures

from models.augmentation import Augmentation
from models.loader import load_batches, load_in_order
from models.segmenter.batches import PanopticSample
from models.segmenter.bottom_up import Loss
from models.segmenter.model import PanopticModel
from models.segmenter.training import PanopticBatches, prepare_sample
from models.training import TrainingPlan, choose_device, select_samples, train
from models.training_set import Preparation, Samples, TrainingSet
from pseudogt.classes import ClassTable
from pseudogt.config.segmenter import SegmenterSettings
from pseudogt.files.images import read_image, write_png
from pseudogt.files.index import ImageRecord, write_shard
from pseudogt.files.labels import LabelFolder, write_labels
from pseudogt.files.listing import find_images
from pseudogt.weak_labels.files import write_weak_labels
from pseudogt.weak_labels.records import ImageWeakLabels
from pseudogt.workflow.stage import Shard

SIZE, CROP = (1024, 2048), (512, 1024)
PIECE = 4
"""Samples that are loaded together."""

BATCHES, WARM_UP = 20, 12
"""Batches of a turn that are timed, and those before them, some of which were loaded while others had their turn."""

MANY = range(1_000_000)
"""Numbers of batches, more than are loaded."""

TURNS, STEP_TURNS, STEPS = 12, 3, 3
"""Turns of the loaders, turns of the trainings and steps of each that are timed. The fastest counts, for whatever else
runs on the machine can only slow it down."""

STUFF, THINGS = 11, 8
CLASSES = ClassTable(
    tuple(f"class{i}" for i in range(STUFF + THINGS)),
    tuple(range(1, STUFF + THINGS + 1)),
    (False,) * STUFF + (True,) * THINGS,
    ((0, 0, 0),) * (STUFF + THINGS),
)


@dataclass(frozen=True)
class NumberedBatches:
    """Pieces of batches by number, as a training asks for them."""

    samples: Samples[PanopticSample]
    crop: tuple[int, int]

    def load(self, number: int) -> dict[str, torch.Tensor]:
        """Load a piece."""
        batches = PanopticBatches(self.samples, Augmentation(self.crop, zoom=(0.75, 1.5), flip=0.5, colour=0.3))
        indices = select_samples(number, PIECE, len(self.samples), seed=0)
        return batches.load(indices, np.random.default_rng(number))


@dataclass(frozen=True)
class DrawnSamples:
    """Samples that are read when asked for, as the segmenter does."""

    shard: Shard
    labels: LabelFolder

    def __len__(self) -> int:
        return len(self.shard)

    def __getitem__(self, number: int) -> PanopticSample:
        image = self.shard[number]
        label = self.labels.read(image.image_id)
        return prepare_sample(image.read(), label, image.weak, self.shard.classes, scale=1.0)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="folder of images to take in place of drawn ones")
    parser.add_argument("--count", type=int, default=32, help="number of images")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="of the network whose steps are timed")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    shrink = 8 if arguments.quick else 1
    size, crop = ((height // shrink, width // shrink) for height, width in (SIZE, CROP))
    with tempfile.TemporaryDirectory() as folder:
        source = write_dataset(Path(folder), arguments.images, arguments.count, size)
        target = TrainingSet(Path(folder) / "prepared.samples", np.arange(len(source)), PanopticSample)
        figures: dict[str, float | None] = {"prepare_ms_per_image": prepare(Preparation(source, target))}
        figures |= measure_loader(source, target, crop)
        figures |= measure_steps(source, target, crop, arguments.device)
        figures["bytes_on_disk_per_image"] = sum(f.stat().st_size for f in target.folder.iterdir()) / len(target)
    print_table(figures)
    write_figures(arguments.json, figures)


def write_dataset(folder: Path, images: Path | None, count: int, size: tuple[int, int]) -> DrawnSamples:
    """Write images with labels as the stages read them."""
    paths = list(find_images(images)[0].values()) if images else []
    records, weak = [], []
    with write_labels(folder / "labels", CLASSES) as labels:
        for number in range(count):
            rng = np.random.default_rng(number)
            panoptic_id, boxes, box_classes = draw_label(rng, size)
            drawn = cv2.resize(read_image(paths[number % len(paths)]), size[::-1]) if paths else draw_image(rng, size)
            path = folder / "images" / f"{number}.png"
            write_png(path, np.asarray(drawn))
            labels.add(str(number), panoptic_id)
            records.append(ImageRecord(str(number), str(path), *size, ""))
            nothing = np.zeros((0, 4), np.int32), np.zeros((0, len(CLASSES)), bool)
            tags = rng.random(len(CLASSES)) < 0.7
            tags[box_classes] = True
            crowds = np.zeros(len(boxes), bool)
            weak.append(ImageWeakLabels(str(number), *size, boxes, box_classes, crowds, tags, *nothing))
    write_shard(folder / "shard.json", records, CLASSES)
    write_weak_labels(folder / "weak.json", weak, CLASSES)
    shard = Shard.open(folder / "shard.json", weak_labels=folder / "weak.json")
    return DrawnSamples(shard, LabelFolder(folder / "labels"))


def draw_image(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Smooth colours with some noise, which take as long to decode as a photo."""
    coarse = rng.integers(0, 256, (size[0] // 32, size[1] // 32, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth + rng.normal(0, 3, (*size, 3)), 0, 255).astype(np.uint8)


def draw_label(rng: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bands of stuff, some of it void, and twenty things: panoptic ids, boxes and their classes."""
    height, width = size
    bands = rng.permutation(STUFF)[:8].repeat(-(-height // 8))[:height]
    panoptic_id = np.repeat((bands + 1)[:, None] * 1000, width, axis=1).astype(np.int32)
    panoptic_id[:, : width // 4] = 0
    boxes, classes = [], []
    for number in range(20):
        train_id = STUFF + int(rng.integers(THINGS))
        y, x = int(rng.integers(height * 3 // 4)), int(rng.integers(width * 3 // 4))
        h, w = (int(rng.integers(extent // 16, extent // 4)) for extent in size)
        panoptic_id[y : y + h, x : x + w] = (train_id + 1) * 1000 + number + 1
        boxes.append((x, y, x + w, y + h))
        classes.append(train_id)
    return panoptic_id, np.array(boxes, np.int32), np.array(classes, np.uint8)


def prepare(preparation: Preparation[PanopticSample]) -> float:
    """Make the files on one core; milliseconds per image."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(0)
    start = time.perf_counter()
    for file in preparation.target.list_missing():
        preparation.write_file(file)
    cv2.setNumThreads(threads)
    return 1e3 * (time.perf_counter() - start) / len(preparation.target)


def measure_loader(
    source: DrawnSamples, target: TrainingSet[PanopticSample], crop: tuple[int, int]
) -> dict[str, float]:
    """How fast one and two workers are, and how long a step that is as fast as two waits for them.

    All have been started before anything is timed, and take turns; those whose turn it is not have loaded what they may
    load ahead, and rest.
    """
    prepared, decoded = NumberedBatches(target, crop), NumberedBatches(source, crop)
    for number in range(len(target) // PIECE):
        prepared.load(number)  # the first epoch
    seconds: dict[int, list[float]] = {1: [], 2: []}
    waiting: dict[int, list[float]] = {0: [], 1: [], 2: []}
    with ExitStack() as stack:
        one, two = (stack.enter_context(closing(load_batches(prepared.load, MANY, workers=n))) for n in (1, 2))
        before = stack.enter_context(closing(load_in_order(decoded.load, MANY)))
        for _ in range(TURNS):
            seconds[1].append(time_batches(one))
            seconds[2].append(time_batches(two))
        # What workers sustain, not their best moment: nobody could keep up with that.
        step_s = {workers: statistics.median(times) for workers, times in seconds.items()}
        for _ in range(TURNS):
            waiting[1].append(measure_waiting(one, step_s[1], BATCHES))
            waiting[2].append(measure_waiting(two, step_s[2], BATCHES))
        waiting[0].append(measure_waiting(before, step_s[2], BATCHES // 2))
    return {
        "loader_ms_per_sample": 1e3 * min(seconds[1]) / PIECE,
        "loader_scaling": min(seconds[1]) / min(seconds[2]),
        "waiting_share": statistics.median(waiting[2]),
        "waiting_share_auto": statistics.median(waiting[1]),
        "waiting_share_before": statistics.median(waiting[0]),
    }


def time_batches(batches: Iterator[Any]) -> float:
    """Seconds from one batch to the next on an otherwise idle machine."""
    for _ in range(WARM_UP):
        next(batches)
    start = time.perf_counter()
    for _ in range(BATCHES):
        next(batches)
    return (time.perf_counter() - start) / BATCHES


def measure_waiting(batches: Iterator[Any], step_s: float, count: int) -> float:
    """Share of the time in which a network waits that takes ``step_s`` for a batch, without using the processor."""
    waited = 0.0
    for number in range(WARM_UP + count):
        start = time.perf_counter()
        next(batches)
        waited += time.perf_counter() - start if number >= WARM_UP else 0
        time.sleep(step_s)
    return waited / (waited + count * step_s)


def measure_steps(
    source: DrawnSamples, target: TrainingSet[PanopticSample], crop: tuple[int, int], device: str
) -> dict[str, float]:
    """Steps with batches that are loaded, as now and as before, over steps with one batch that is there."""
    batch = NumberedBatches(target, crop).load(0)
    augmentation = Augmentation(crop, zoom=(0.75, 1.5), flip=0.5, colour=0.3)
    loads: dict[str, tuple[Callable[..., Any], int | str]] = {
        "resident": (lambda indices, generator: batch, 0),
        "now": (PanopticBatches(target, augmentation).load, "auto"),
        "before": (PanopticBatches(source, augmentation).load, 0),
    }
    seconds: dict[str, list[float]] = {name: [] for name in loads}
    for _ in range(STEP_TURNS):
        for name, (load, workers) in loads.items():
            seconds[name].append(time_steps(load, workers, len(target), device))
    fastest = {name: min(each) for name, each in seconds.items()}
    return {
        "step_seconds": fastest["now"],
        "step_over_compute": fastest["now"] / fastest["resident"],
        "step_over_compute_before": fastest["before"] / fastest["resident"],
    }


def time_steps(load: Callable[..., Any], workers: int | str, samples: int, device: str) -> float:
    """Seconds from one step to the next, of the fastest after the first."""
    settings = SegmenterSettings(device=device, batch_size=PIECE, steps=STEPS + 2)  # type: ignore[arg-type]
    model = PanopticModel.build(
        CLASSES, backbone="small", weights=None, decoder_channels=48, scale=1.0, seed=0, settings={}
    )
    compute = settings.fill(Loss, class_weights=torch.ones(len(CLASSES)))
    starts: list[float] = []

    def compute_losses(network: Any, batch: Any) -> Any:
        if choose_device(device).type == "cuda":
            torch.cuda.synchronize()
        starts.append(time.perf_counter())
        return compute(network, batch)

    plan = settings.fill(TrainingPlan, loader_workers=workers)
    train(model.network, sample_count=samples, load_batch=load, compute_losses=compute_losses, plan=plan)
    return float(np.diff(starts[1:]).min())


if __name__ == "__main__":
    main()
