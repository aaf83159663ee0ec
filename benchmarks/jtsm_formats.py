"""JTSM on real images in real formats: does it run, what does it take, does the loss fall, are its files valid.

    python benchmarks/jtsm_formats.py --voc DIR --coco DIR --json OUT

``--voc`` and ``--coco`` hold a few images in the folder layout, with the classes of VOC and with those of COCO and
COCO-Stuff (``categories.json``, instances as ``class * 256 + number``). For each: the whole chain with a small
network, time and memory of each stage, and the mining loss in the first and the last tenth of the steps. Then, on
VOC, two steps of mining of one image each at the authors' sizes (ResNet-WS-18, neck of 4096, image sides to 1216,
2,000 proposals) from random numbers.
So few images teach nothing, and no accuracy is claimed.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from measurement import REPOSITORY, print_table, write_figures
from PIL import Image
from workflow_runs import run_workflow

STAGES = ("proposals", "classifier", "mining", "mined", "labels", "segmenter", "predictions")

SMALL: dict[str, Any] = {
    "method": "jtsm",
    "shard_size": 50,
    "weak_labels": {"tags": "image", "boxes": False},
    "classifier": {"steps": 200, "scale": 0.5, "crop_height_px": 192, "crop_width_px": 256},
    "proposals": {"max_proposals": 400},
    "mining": {"steps": 200, "freeze": "all", "optimiser": "adamw", "learning_rate": 0.001, "mask_limit": 8},
    "mined": {"short_sides_px": [224]},
    "rounds": {"max": 1},
    "segmenter": {"steps": 100, "scale": 0.5, "crop_height_px": 192, "crop_width_px": 256},
}

PAPER: dict[str, Any] = {"init": "scratch", "weights": None, "steps": 2, "batch_size": 1, "torch_threads": 2}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voc", type=Path, required=True)
    parser.add_argument("--coco", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    figures = measure("voc", SMALL | describe_voc(arguments.voc))
    figures |= measure("coco", SMALL | describe_coco(arguments.coco))
    figures |= measure_paper_size(SMALL | describe_voc(arguments.voc))
    print_table(figures)
    write_figures(arguments.json, figures)


def describe_voc(folder: Path) -> dict[str, Any]:
    """The dataset's part of a configuration."""
    classes = str(REPOSITORY / "configs" / "classes" / "voc.csv")
    dataset = {"format": "folder", "classes": classes, "void_values": [255], "train_split": find_split(folder)}
    return {"data_root": str(folder.resolve()), "dataset": dataset | {"val_split": None, "val_fraction": 0.2}}


def describe_coco(folder: Path) -> dict[str, Any]:
    """The same; the class table is made from ``categories.json``."""
    path = Path("classes-coco.csv").resolve()
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "id", "isthing", "color", "source_id"])
        for number, category in enumerate(json.loads((folder / "categories.json").read_text()), start=1):
            writer.writerow([category["name"], number, category["isthing"], f"#{number:06x}", category["id"]])
    dataset = {"format": "folder", "classes": str(path), "void_values": [0], "instance_divisor": 256}
    return {
        "data_root": str(folder.resolve()),
        "dataset": dataset | {"train_split": "train", "val_split": find_split(folder, but="train")},
    }


def find_split(folder: Path, but: str | None = None) -> str:
    """Name of the list of images in a folder."""
    names = sorted(path.stem for path in folder.glob("*.txt") if path.stem != but)
    if len(names) != 1:
        raise SystemExit(f"{folder}: {len(names)} lists of images; one is expected")
    return names[0]


def measure(dataset: str, config: dict[str, Any]) -> dict[str, float | None]:
    """Run the chain, and report its costs and its output."""
    results = run_workflow([], {"name": f"{dataset}-formats"} | config)
    figures: dict[str, float | None] = {}
    for stage in STAGES:
        seconds, memory = read_costs(results / "benchmarks" / stage)
        figures[f"{dataset}_{stage}_seconds"] = seconds
        figures[f"{dataset}_{stage}_gb"] = memory
    losses = [step["loss"] for step in json.loads((results / "mining" / "record.json").read_text())["loss_curve"]]
    tenth = max(1, len(losses) // 10)
    figures[f"{dataset}_loss_first"] = float(np.mean(losses[:tenth]))
    figures[f"{dataset}_loss_last"] = float(np.mean(losses[-tenth:]))
    folders = [path.parent for stage in ("mined", "labels", "predictions") for path in find_documents(results / stage)]
    figures[f"{dataset}_panoptic_files"] = float(sum(len(list(folder.glob("*.png"))) for folder in folders))
    figures[f"{dataset}_panoptic_faults"] = float(sum(map(count_faults, folders)))
    return figures


def find_documents(folder: Path) -> list[Path]:
    """The JSON of each label folder below a folder."""
    return sorted(folder.rglob("panoptic.json"))


def read_costs(place: Path) -> tuple[float, float]:
    """Seconds, and the most memory in GB, of all jobs of a stage."""
    files = [place.with_suffix(".tsv")] if place.with_suffix(".tsv").is_file() else sorted(place.rglob("*.tsv"))
    rows = [row for file in files for row in csv.DictReader(file.open(), delimiter="\t")]
    return sum(float(row["s"]) for row in rows), max(float(row["max_rss"]) for row in rows) / 1024


def count_faults(folder: Path) -> int:
    """Images of a label folder that are not what COCO's panoptic format says: ids in PNG and JSON, sizes, classes."""
    document = json.loads((folder / "panoptic.json").read_text())
    categories = {category["id"] for category in document["categories"]}
    sizes = {image["id"]: (image["width"], image["height"]) for image in document["images"]}
    faults = 0
    for annotation in document["annotations"]:
        with Image.open(folder / annotation["file_name"]) as image:
            size, colours = image.size, np.asarray(image.convert("RGB")).astype(np.int64)
        found = set(np.unique(colours @ np.array([1, 256, 256**2])).tolist()) - {0}
        listed = {segment["id"] for segment in annotation["segments_info"]}
        known = {segment["category_id"] for segment in annotation["segments_info"]} <= categories
        faults += found != listed or size != sizes[annotation["image_id"]] or not known
    return faults


def measure_paper_size(config: dict[str, Any]) -> dict[str, float | None]:
    """Seconds of a step and memory of mining at the authors' sizes."""
    paper = yaml.safe_load((REPOSITORY / "configs" / "voc2012-jtsm.yaml").read_text())["mining"] | PAPER
    proposals = {"max_proposals": 2000}
    settings = config | {"name": "paper-size", "mining": paper, "proposals": proposals}
    results = run_workflow([], settings, ["mining"])
    record = json.loads((results / "mining" / "record.json").read_text())
    _, memory = read_costs(results / "benchmarks" / "mining")
    return {"paper_step_seconds": record["seconds"] / record["steps"], "paper_gb": memory}


if __name__ == "__main__":
    main()
