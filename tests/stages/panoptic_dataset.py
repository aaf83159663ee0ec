"""A tiny panoptic dataset in the workflow's files, and the segmenter's commands on it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from weak_label_testing import make_weak_labels

from pseudogt.classes import ClassTable
from pseudogt.files.images import write_png
from pseudogt.files.index import ImageRecord, write_shard
from pseudogt.files.io import read_json
from pseudogt.files.labels import write_labels
from pseudogt.weak_labels.files import write_weak_labels

CLASSES = ClassTable(("road", "sky", "car"), (1, 2, 3), (False, False, True), ((9, 9, 9), (0, 0, 255), (255, 0, 0)))
TINY = {
    "steps": 4,
    "batch_size": 2,
    "decoder_channels": 8,
    "scale": 1.0,
    "crop_height_px": 64,
    "crop_width_px": 64,
    "torch_threads": 1,
    "device": "cpu",
}


def write_dataset(folder, count, *, seed=0):
    """Images of cars on a road under a sky, their labels (with void) and weak labels."""
    rng = np.random.default_rng(seed)
    records, weak = [], []
    with write_labels(folder / "labels", CLASSES) as labels:
        for i in range(count):
            panoptic_id = np.full((64, 96), 1000, np.int32)
            panoptic_id[:30] = 2000
            panoptic_id[30:32] = 0
            boxes = [[4 + 6 * i, 36, 24 + 6 * i, 50], [60, 40, 84, 60]]
            for k, (x0, y0, x1, y1) in enumerate(boxes):
                panoptic_id[y0:y1, x0:x1] = 3001 + k
            image = np.array([[0, 0, 0], [90, 90, 90], [120, 160, 220], [200, 30, 30]], np.uint8)[panoptic_id // 1000]
            noisy = np.clip(image + rng.normal(0, 12, image.shape), 0, 255).astype(np.uint8)
            path = folder / "images" / f"image{i}.png"
            write_png(path, noisy)
            labels.add(f"image{i}", panoptic_id)
            records.append(ImageRecord(f"image{i}", str(path), 64, 96, ""))
            weak.append(
                make_weak_labels((64, 96), (True, True, True), boxes=boxes, box_classes=2, image_id=f"image{i}")
            )
    write_shard(folder / "shard.json", records, CLASSES)
    write_weak_labels(folder / "weak.json", weak, CLASSES)
    return folder


def segmenter_arguments(dataset, out, **settings):
    return [
        "--shards", str(dataset / "shard.json"),
        "--weak-labels", str(dataset / "weak.json"),
        "--labels", str(dataset / "labels"),
        "--out", str(out),
        "--scratch", str(out.parent / "scratch"),
        "--settings", json.dumps(TINY | settings),
    ]  # fmt: skip


def train_segmenter(dataset, out, *extra, **settings):
    from pseudogt.stages import segmenter

    segmenter.main([*segmenter_arguments(dataset, out, **settings), "--round", "0", *extra])
    return read_json(out / "record.json")


@pytest.fixture(scope="session")
def panoptic_dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("dataset"), 5)


@pytest.fixture(scope="session")
def panoptic_model(panoptic_dataset, tmp_path_factory):
    """Folder with a model that has learned the dataset, more or less."""
    out = tmp_path_factory.mktemp("trained") / "0"
    train_segmenter(panoptic_dataset, out, steps=80, batch_size=4, learning_rate=5e-3, zoom_min=1, zoom_max=1, colour=0)
    return out
