"""Time and memory to import and check a large set: 20,000 images with 500,000 boxes in COCO's JSON.

Makes such a set (or takes one: a folder with ``images/`` and ``annotations.json``), then measures, in processes of
their own, the header check of everything (`pseudogt.stages.check`) and the conversion of the boxes to weak labels by
shards (`pseudogt.stages.annotations`), and beside them pycocotools' reading of the JSON with Pillow's of the headers.

    python benchmarks/datasets.py [--data DIR] [--quick] [--repeats N] --json OUT

``--quick`` makes a twentieth of the images, once.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from measurement import REPOSITORY, print_table, write_figures

IMAGES, BOXES_PER_IMAGE, CLASSES = 20_000, 25, 80
HEIGHT, WIDTH = 480, 640
SHARD_SIZE = 64
PEER = """
import sys
from pathlib import Path
from PIL import Image
from pycocotools.coco import COCO
coco = COCO(sys.argv[1])
for path in Path(sys.argv[2]).iterdir():
    with Image.open(path) as image:
        image.size
"""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with images/ and annotations.json")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each; their median is printed")
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        data = arguments.data or make_set(Path(scratch) / "set", IMAGES // 20 if arguments.quick else IMAGES)
        figures = measure(data, Path(scratch), repeats=1 if arguments.quick else arguments.repeats)
    print_table(figures)
    write_figures(arguments.json, figures)


def make_set(folder: Path, count: int) -> Path:
    """Images that differ in a comment, and their boxes with four-cornered masks."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    jpeg = cv2.imencode(".jpg", np.full((HEIGHT, WIDTH, 3), 128, np.uint8))[1].tobytes()
    document: dict = {
        "images": [],
        "annotations": [],
        "categories": [{"id": i + 1, "name": f"class {i}"} for i in range(CLASSES)],
    }
    for i in range(count):
        name = f"{i:012d}.jpg"
        comment = b"\xff\xfe" + (14).to_bytes(2) + f"{i:012d}".encode()
        (folder / "images" / name).write_bytes(jpeg[:2] + comment + jpeg[2:])
        document["images"].append({"id": i, "file_name": name, "height": HEIGHT, "width": WIDTH})
    corners = rng.uniform(0, [WIDTH - 40, HEIGHT - 40], (count * BOXES_PER_IMAGE, 2)).round(2)
    sizes = rng.uniform(2, 40, corners.shape).round(2)
    for i, ((x, y), (w, h)) in enumerate(zip(corners.tolist(), sizes.tolist(), strict=True)):
        polygon = [x, y, x + w, y, x + w, y + h, x, y + h]
        box = {"id": i + 1, "image_id": i // BOXES_PER_IMAGE, "category_id": i % CLASSES + 1, "bbox": [x, y, w, h]}
        document["annotations"].append(box | {"area": w * h, "iscrowd": 0, "segmentation": [polygon]})
    (folder / "annotations.json").write_text(json.dumps(document))
    return folder


def measure(data: Path, scratch: Path, repeats: int) -> dict[str, float | None]:
    """Seconds (medians) and memory (largest) of both stages and of the peer."""
    config = make_config(data)
    shards = write_shards(data, config, scratch / "index")
    stages = [sys.executable, "-m", "pseudogt.stages"]
    check = [f"{stages[2]}.check", "--data-root", str(data), "--out", str(scratch / "check.json"), "--threads", "2"]
    convert = [f"{stages[2]}.annotations", "--data-root", str(data), "--out-dir", str(scratch / "weak_labels")]
    commands = {
        "check": [*stages[:2], *check, "--settings", json.dumps(config)],
        "convert": [*stages[:2], *convert, "--shards", *shards, "--settings", json.dumps(config["annotations"])],
        "peer": [sys.executable, "-c", PEER, str(data / "annotations.json"), str(data / "images")],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    busy: dict[str, list[float]] = {name: [] for name in commands}
    gigabytes = dict.fromkeys(commands, 0.0)
    for _ in range(repeats):
        for name, command in commands.items():
            taken, used, memory = run_measured(command)
            seconds[name].append(taken)
            busy[name].append(used)
            gigabytes[name] = max(gigabytes[name], memory)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "images": float(len(list((data / "images").iterdir()))),
        "check_seconds": median["check"],
        "convert_seconds": median["convert"],
        "import_20k_seconds": median["check"] + median["convert"],
        "import_20k_cpu_seconds": statistics.median(busy["check"]) + statistics.median(busy["convert"]),
        "import_20k_gb": max(gigabytes["check"], gigabytes["convert"]),
        "import_over_pycocotools": (median["check"] + median["convert"]) / median["peer"],
        "pycocotools_gb": gigabytes["peer"],
    }


def make_config(data: Path) -> dict:
    """Configuration of a run on the set."""
    categories = json.loads((data / "annotations.json").read_text())["categories"]
    classes = {c["name"]: "thing" for c in categories} | {"rest": "stuff"}
    return {
        "name": "benchmark",
        "data_root": str(data),
        "dataset": {"format": "images", "train_split": "images", "val_split": None, "classes": classes},
        "annotations": {"format": "coco", "path": "annotations.json", "background": "outside_boxes"},
    }


def write_shards(data: Path, config: dict, folder: Path) -> list[str]:
    """Write what the stage `index` would: records of all images by shards."""
    from pseudogt.config.dataset import DatasetSettings
    from pseudogt.datasets import class_table
    from pseudogt.files.index import ImageRecord, write_shard

    classes = class_table(DatasetSettings.model_validate(config["dataset"]))
    images = json.loads((data / "annotations.json").read_text())["images"]
    records = [
        ImageRecord(Path(i["file_name"]).stem, str(data / "images" / i["file_name"]), i["height"], i["width"], "")
        for i in images
    ]
    paths = []
    for number, start in enumerate(range(0, len(records), SHARD_SIZE)):
        paths.append(folder / f"train-{number:04d}.json")
        write_shard(paths[-1], records[start : start + SHARD_SIZE], classes)
    return [str(path) for path in paths]


def run_measured(command: list[str]) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and GB of memory (the largest resident set) of a process."""
    start = time.perf_counter()
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[2]}: {errors.decode()[-2000:]}")
    scale = 1e9 if sys.platform == "darwin" else 1e6
    memory = usage.ru_maxrss / scale  # kB on Linux, bytes on macOS
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, memory


if __name__ == "__main__":
    main()
