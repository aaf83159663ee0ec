"""Every export format out and in again: pixels that differ, seconds, and memory of small and large sets.

    python benchmarks/exports.py [--data DIR --config configs/camvid.yaml --split val] [--quick] --json OUT

Without ``--data`` the labels are those of drawn street scenes. For each format the labels that come
back are compared with what the format can hold: all of it, renumbered instances, classes alone, or
things alone. ``roundtrip_pixel_errors`` is the sum over all formats but yolo, whose polygons lose
pixels: its own figures are the share of the thing pixels that differ and the mean IoU of the things.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml
from measurement import REPOSITORY, print_table, write_figures
from numpy.typing import NDArray

from pseudogt.annotations.matching import find_path
from pseudogt.classes import INSTANCE_DIVISOR, ClassTable
from pseudogt.config.dataset import DatasetSettings
from pseudogt.config.streets import StreetsSettings
from pseudogt.datasets import class_table, list_images
from pseudogt.datasets.ground_truth import read_panoptic
from pseudogt.export import FORMATS
from pseudogt.files.index import ImageRecord, write_shard
from pseudogt.files.io import read_json, write_json
from pseudogt.files.labels import LabelFolder, write_labels
from pseudogt.stages import export, streets

STREETS = {"train_images": 40, "val_images": 1}
QUICK_IMAGES = 5
COPIES = {"small": 1, "large": 10}
"""How often the labels are repeated, under new names, to see what memory depends on."""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of a dataset; default: drawn street scenes")
    parser.add_argument("--config", type=Path, help="config file with the section dataset, for --data")
    parser.add_argument("--split", choices=["train", "val"], default="train")
    parser.add_argument("--quick", action="store_true", help="five images")
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        settings, data = prepare_dataset(arguments, root)
        classes = class_table(settings)
        limit = QUICK_IMAGES if arguments.quick else None
        write_shards(root, settings, data, classes, arguments.split, limit)
        figures: dict[str, float | None] = {"images": len(LabelFolder(root / "labels" / "small").image_ids)}
        for name in FORMATS.names:
            figures |= measure_format(root, name, classes)
        figures["roundtrip_pixel_errors"] = sum(
            figures[f"{name}_pixel_errors"] or 0 for name in FORMATS.names if name != "yolo"
        )
        figures |= measure_memory(root)
    print_table(figures)
    write_figures(arguments.json, figures)


def prepare_dataset(arguments: argparse.Namespace, root: Path) -> tuple[DatasetSettings, Path]:
    """Settings and folder of the dataset, which is drawn if none is given."""
    config = yaml.safe_load((arguments.config or REPOSITORY / "config.yaml").read_text(encoding="utf-8"))
    settings = DatasetSettings.model_validate(config["dataset"])
    if arguments.data is not None:
        return settings, arguments.data
    drawn = StreetsSettings(**STREETS | ({"train_images": QUICK_IMAGES} if arguments.quick else {}))
    streets.main(["--out", str(root / "streets"), "--settings", drawn.model_dump_json()])
    return settings, root / "streets"


def write_shards(
    root: Path, settings: DatasetSettings, data: Path, classes: ClassTable, split: str, limit: int | None
) -> None:
    """Write the ground truth as labels of a small shard, and of a large one that repeats it."""
    images = list_images(settings, data)
    image_ids = images.ids[split][:limit]
    for size, copies in COPIES.items():
        records = []
        with write_labels(root / "labels" / size, classes) as writer:
            for image_id in image_ids:
                panoptic_id, crowds = read_panoptic(images.locate(image_id), settings, classes)
                path = images.locate(image_id).image
                for copy in range(copies):
                    name = f"{image_id}-{copy}" if copy else image_id
                    writer.add(name, panoptic_id, crowd_ids=crowds)
                    records.append(ImageRecord(name, str(path), *panoptic_id.shape, ""))
        write_shard(root / "index" / f"train-{size}.json", records, classes)


def run_export(root: Path, size: str, name: str, *, images: bool = False) -> Path:
    """Export a shard in a format and return the set's folder."""
    for command in list_commands(root, size, name, images=images):
        export.main(command)
    return root / "sets" / size / name


def list_commands(root: Path, size: str, name: str, *, images: bool = False) -> list[list[str]]:
    """The two command lines that make a set of one shard."""
    index, part = root / "index" / f"train-{size}.json", root / "parts" / size / name
    common = ["--format", name, "--settings", json.dumps({"images": images})]
    return [
        ["shard", *common, "--shard", str(index), "--labels", str(root / "labels" / size), "--out", str(part)],
        ["merge", *common, "--shards", str(index), "--parts", str(part), "--out", str(root / "sets" / size / name)],
    ]


def measure_format(root: Path, name: str, classes: ClassTable) -> dict[str, float | None]:
    """Pixels that differ after the round trip, and seconds an image for the way out."""
    labels = LabelFolder(root / "labels" / "small")
    start = time.perf_counter()
    folder = run_export(root, "small", name)
    seconds = (time.perf_counter() - start) / len(labels.image_ids)
    if name == "yolo":
        folder = run_export(root, "small", name, images=True)
    if name == "label_studio":
        accept_predictions(folder / "tasks.json")
    found = FORMATS.load(name).read_set(folder, classes)
    names = match_names(found.image_ids, root / "index" / "train-small.json")
    errors = thing_pixels = 0
    overlaps: list[float] = []
    for image_id in labels.image_ids:
        expected = reduce_label(labels.read(image_id), name, classes)
        after = found.read(names[image_id])
        errors += int(np.count_nonzero(expected != after))
        if name == "yolo":
            thing_pixels += int(np.count_nonzero(expected))
            overlaps += [measure_iou(expected == i, after == i) for i in np.unique(expected[expected > 0])]
    figures: dict[str, float | None] = {f"{name}_pixel_errors": errors, f"{name}_seconds_an_image": seconds}
    if name == "yolo":
        figures["yolo_share_of_thing_pixels"] = errors / thing_pixels if thing_pixels else None
        figures["yolo_mean_iou"] = float(np.mean(overlaps)) if overlaps else None
    return figures


def match_names(names: list[str], index: Path) -> dict[str, str]:
    """Image id -> name in the set, which is the id or the name of the image's file."""
    by_stem = {find_path(name).stem: name for name in names} | {name: name for name in names}
    records = read_json(index)["images"]
    return {r["image_id"]: by_stem.get(r["image_id"]) or by_stem[Path(r["image"]).stem] for r in records}


def accept_predictions(path: Path) -> None:
    """Take over the pre-annotations, as a person does in Label Studio before the export."""
    tasks = read_json(path)
    for task in tasks:
        task["annotations"] = [{"result": task.pop("predictions")[0]["result"]}]
    write_json(path, tasks)


def reduce_label(panoptic_id: NDArray[np.int32], name: str, classes: ClassTable) -> NDArray[np.int32]:
    """What a format can hold of a label."""
    if name == "semantic":
        return panoptic_id // INSTANCE_DIVISOR * INSTANCE_DIVISOR
    if name in ("coco_panoptic", "cityscapes"):
        return panoptic_id
    table = number_segments(np.unique(panoptic_id), name, classes)
    ids, index = np.unique(panoptic_id, return_inverse=True)
    return np.array([table[i] for i in ids.tolist()], np.int32)[index.reshape(panoptic_id.shape)]


def number_segments(ids: NDArray[np.int32], name: str, classes: ClassTable) -> dict[int, int]:
    """Id -> id after the round trip: formats renumber things, and some also renumber crowds."""
    table, last = {0: 0}, {}
    for segment_id in ids[ids > 0].tolist():
        category_id, number = divmod(segment_id, INSTANCE_DIVISOR)
        isthing = classes.isthing[classes.category_ids.index(category_id)]
        table[segment_id] = segment_id
        is_lost = not isthing and name in ("yolo", "coco_instances")
        if is_lost or (name == "yolo" and not number):
            table[segment_id] = 0
        elif isthing and (number or name in ("label_studio", "cvat")):
            last[category_id] = last.get(category_id, category_id * INSTANCE_DIVISOR) + 1
            table[segment_id] = last[category_id]
    return table


def measure_iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """IoU of two masks, one of which is not empty."""
    return float(np.count_nonzero(a & b) / np.count_nonzero(a | b))


def measure_memory(root: Path) -> dict[str, float | None]:
    """Highest memory of the stage in processes of its own, and how much more ten times the images take."""
    peaks = {}
    for size in COPIES:
        for command in list_commands(root, size, "coco_panoptic"):
            full = [sys.executable, "-m", "pseudogt.stages.export", *command]
            subprocess.run(full, cwd=REPOSITORY, check=True, capture_output=True)
        # Of all children so far, so the small set comes first.
        peaks[size] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {"peak_mb": peaks["large"], "memory_growth_mb": peaks["large"] - peaks["small"]}


if __name__ == "__main__":
    main()
