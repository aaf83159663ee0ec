"""How jobs, time, memory and disk grow with the number of images.

Makes small images with boxes and tags and runs the whole chain on sets of several sizes; of larger sets,
only Snakemake's plan is made. Training is a few steps: what grows with the images is everything else.

    python benchmarks/scale.py [--quick] [--sizes N ...] [--dry-sizes N ...] [--repeats N N] [--folder DIR] --json OUT

Jobs on a shard cannot know how many others there are. Those on all images can: they run again on shards of the smallest
set, repeated under new names, which shows tens of thousands of images without an hour for each.

A finished run in ``--folder`` is read and not made again. Growth is the exponent of a power of the number of images:
1 is a straight line. That of a stage is of its processor time, which what else the machine does changes little; jobs on
all images at once (``_all``) are distinguished from those on a shard.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from measurement import print_table, write_figures
from workflow_runs import SNAKEMAKE, make_environment

from pseudogt.files.images import write_png
from pseudogt.files.io import read_json, write_json
from pseudogt.workflow.shards import abbreviate_paths

HEIGHT, WIDTH = 64, 96
CLASSES = [
    {"name": "sky", "id": 1, "isthing": False, "color": "#4682b4", "source_id": 0},
    {"name": "road", "id": 2, "isthing": False, "color": "#804080", "source_id": 1},
    {"name": "car", "id": 3, "isthing": True, "color": "#00008e", "source_id": 2},
]
TRAINING = {
    "steps": 4,
    "batch_size": 2,
    "decoder_channels": 8,
    "crop_height_px": HEIGHT,
    "crop_width_px": WIDTH,
    "torch_threads": 1,
}
SETTINGS = {
    "name": "scale",
    "shard_size": 64,
    "dataset": {"format": "folder", "classes": CLASSES, "void_values": [9]},
    "classifier": TRAINING,
    "segmenter": TRAINING,
    "box_masks": {"segmenters": ["grabcut", "ellipse"]},
    "proposals": {"contours": "gradient", "ranking": "rule"},
    "rounds": {"max": 2, "min": 2},
    "report": {"examples": 2, "worst": 2},
}
TARGETS = ("all", "export")
SHARD = re.compile(r"(train|val)-\d+")
REPEATED = ("index", "weak_labels", "ground_truth", "labels/0", "labels/2", "predictions/1")
"""Inputs of the jobs on all images."""

LEAST = {"cpu_seconds": 2.0, "mb": 100.0}
"""Minimum cost of a stage on the larger set for a growth to be reported; below, it is noise."""

SEEN_S = 0.3
"""Processor seconds of a job below which a stage has no growth: Snakemake looks at jobs twice a second."""


@dataclass(frozen=True)
class Call:
    """Output and costs of a Snakemake call; the memory is that of its largest process."""

    output: str
    seconds: float
    cpu_seconds: float
    mb: float


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="64 and 128 images in shards of 16, plans of up to 1,000")
    parser.add_argument("--sizes", type=int, nargs="+")
    parser.add_argument("--dry-sizes", type=int, nargs="+")
    parser.add_argument(
        "--repeats", type=int, nargs=2, help="how often the shards of the smallest set are repeated (8 and 40)"
    )
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--folder", type=Path, help="where data and results are kept (default: a temporary folder)")
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    sizes = arguments.sizes or ([64, 128] if arguments.quick else [500, 2975, 20000])
    dry_sizes = arguments.dry_sizes or ([500, 1000] if arguments.quick else [500, 2975, 20000, 200000])
    settings = SETTINGS | ({"shard_size": 16} if arguments.quick else {})
    with tempfile.TemporaryDirectory() as temporary:
        place = (arguments.folder or Path(temporary)).resolve()
        figures: dict[str, float | None] = {}
        for size in dry_sizes:
            figures |= measure_plan(place / f"plan-{size}", size, settings, arguments.cores)
        runs = {size: measure_run(place / f"run-{size}", size, settings, arguments.cores) for size in sizes}
        for size, run in runs.items():
            figures |= {f"{name}_{size}": value for name, value in run.items()}
        figures |= compare(runs[sizes[-2]], runs[sizes[-1]], sizes[-2], sizes[-1])
        repeats = arguments.repeats or ([2, 4] if arguments.quick else [8, 40])
        figures |= measure_repeats(place / f"run-{sizes[0]}", sizes[0], *repeats)
    print_table(figures)
    write_figures(arguments.json, figures)


def make_dataset(root: Path, size: int, *, images: bool) -> None:
    """Write ``size`` images, a tenth of them for validation, or with ``images=False`` the lists and one image."""
    image_ids = [f"{i:06d}" for i in range(size)]
    val = size // 10
    root.mkdir(parents=True, exist_ok=True)
    (root / "train.txt").write_text("\n".join(image_ids[val:]) + "\n")
    (root / "val.txt").write_text("\n".join(image_ids[:val]) + "\n")
    for number, image_id in enumerate(image_ids if images else image_ids[val : val + 1]):
        write_image(root, image_id, number)


def write_image(root: Path, image_id: str, seed: int) -> None:
    """Two cars on a road under a sky, with noise."""
    rng = np.random.default_rng(seed)
    semantic = np.zeros((HEIGHT, WIDTH), np.uint8)
    semantic[HEIGHT // 3 :] = 1
    instances = semantic.astype(np.uint16)
    for k in range(2):
        y, x = rng.integers(HEIGHT // 3, HEIGHT - 12), rng.integers(0, WIDTH // 2 - 16) + k * WIDTH // 2
        semantic[y : y + 10, x : x + 14] = 2
        instances[y : y + 10, x : x + 14] = 2000 + k
    colours = np.array([[120, 160, 220], [110, 100, 110], [150, 30, 40]])[semantic]
    image = np.clip(colours + rng.normal(0, 12, colours.shape), 0, 255).astype(np.uint8)
    write_png(root / "images" / f"{image_id}.png", image)
    write_png(root / "semantic" / f"{image_id}.png", semantic)
    write_png(root / "instances" / f"{image_id}.png", instances)


def snakemake(folder: Path, settings: dict, cores: int, *arguments: str) -> Call:
    """Run Snakemake on the targets in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings.json").write_text(json.dumps(settings | {"data_root": str(folder / "data")}))
    words = [*SNAKEMAKE[2:], "--directory", str(folder)]
    words += ["--configfile", str(folder / "settings.json"), "--cores", str(cores), *arguments, "--", *TARGETS]
    return call(folder, words)


def call(folder: Path, words: list[str]) -> Call:
    """Run a Python module in ``folder``."""
    command = [sys.executable, "-m", *words]
    with (folder / "output.txt").open("w+") as said:
        start = time.monotonic()
        process = subprocess.Popen(command, cwd=folder, env=make_environment(), stdout=said, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - start
        said.seek(0)
        output = said.read()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(output[-6000:])
    return Call(output, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e3)


def measure_plan(folder: Path, size: int, settings: dict, cores: int) -> dict[str, float]:
    """Seconds and jobs of a plan, and the memory it takes."""
    make_dataset(folder / "data", size, images=False)
    plan = snakemake(folder, settings, cores, "--dry-run", "--quiet", "rules")
    more = snakemake(folder, settings | {"rounds": {"max": 3, "min": 2}}, cores, "--dry-run", "--quiet", "rules")
    return {
        f"plan_seconds_{size}": plan.seconds,
        f"plan_cpu_seconds_{size}": plan.cpu_seconds,
        f"plan_mb_{size}": plan.mb,
        f"plan_jobs_{size}": count_jobs(plan.output),
        f"jobs_per_round_{size}": count_jobs(more.output) - count_jobs(plan.output),
    }


def count_jobs(output: str) -> int:
    """Jobs of a plan."""
    found = re.search(r"^total +(\d+)", output, re.MULTILINE)
    return int(found[1]) if found else 0


def measure_run(folder: Path, size: int, settings: dict, cores: int) -> dict[str, float]:
    """Run the chain and read what it took."""
    if not (folder / "wall.txt").is_file():
        make_dataset(folder / "data", size, images=True)
        wall = snakemake(folder, settings, cores, "--quiet", "all").seconds
        (folder / "wall.txt").write_text(str(wall))
    again = snakemake(folder, settings, cores, "--dry-run", "--quiet", "all")
    results = folder / "results" / "scale"
    figures = {
        "wall_seconds_per_image": float((folder / "wall.txt").read_text()) / size,
        "replan_seconds": again.seconds,
        "replan_cpu_seconds": again.cpu_seconds,
    }
    figures |= read_benchmarks(results / "benchmarks")
    parts = {path.name: [path] for path in sorted(results.iterdir()) if path.is_dir()}
    for name, folders in (parts | {"snakemake": [folder / ".snakemake", folder / "logs"]}).items():
        files = [file for path in folders for file in path.rglob("*") if file.is_file()]
        figures[f"files_per_image_{name}"] = len(files) / size
        figures[f"bytes_per_image_{name}"] = sum(file.stat().st_size for file in files) / size
    return figures


def read_benchmarks(folder: Path) -> dict[str, float]:
    """Seconds and processor seconds of all jobs, and highest memory (MB), by stage."""
    figures: dict[str, float] = defaultdict(float)
    for path in folder.rglob("*.tsv"):
        parts = path.relative_to(folder).with_suffix("").parts
        stage = parts[0] if SHARD.fullmatch(parts[-1]) else f"{parts[0]}_all"
        with path.open(newline="") as file:
            row = next(csv.DictReader(file, delimiter="\t"))
        figures[f"jobs_{stage}"] += 1
        figures[f"seconds_{stage}"] += float(row["s"])
        figures[f"cpu_seconds_{stage}"] += read_number(row["cpu_time"])
        figures[f"mb_{stage}"] = max(figures[f"mb_{stage}"], read_number(row["max_rss"]))
    return dict(figures)


def read_number(text: str) -> float:
    """A number of a benchmark file, where ``NA`` and ``-`` stand for what was not seen."""
    return 0.0 if text in ("NA", "-") else float(text)


def compare(small: dict[str, float], large: dict[str, float], few: int, many: int) -> dict[str, float]:
    """Growth of processor time and memory of each stage, the largest of them, and that of files and bytes."""
    figures: dict[str, float] = {}
    for kind, least in LEAST.items():
        growth = {
            name: math.log(large[name] / small[name]) / math.log(many / few)
            for name in large
            if name.startswith(f"{kind}_")
            and large[name] >= least
            and small.get(name, 0.0) > (0 if kind == "mb" else SEEN_S * small[name.replace(kind, "jobs")])
        }
        figures |= {f"growth_{name}": value for name, value in growth.items()}
        figures[f"largest_growth_{kind.removeprefix('cpu_')}"] = max(growth.values(), default=0.0)
    for kind in ("files", "bytes"):
        few_all, many_all = (
            sum(v for k, v in run.items() if k.startswith(f"{kind}_per_image_")) for run in (small, large)
        )
        figures[f"growth_{kind}"] = 1 + math.log(many_all / few_all) / math.log(many / few)
    return figures


def measure_repeats(folder: Path, size: int, few: int, many: int) -> dict[str, float]:
    """Processor time and memory of the jobs on all images, on ``few`` and ``many`` times the images of a run."""
    results = folder / "results" / "scale"
    for shard in sorted((results / "index").glob("train-*.json")):
        labels, part = results / "labels" / "2" / shard.stem, folder / "export_shards" / shard.stem
        if not part.is_dir():
            words = ["--format", "coco_panoptic", "--shard", str(shard), "--labels", str(labels), "--out", str(part)]
            call(folder, ["pseudogt.stages.export", "shard", *words])
    runs = []
    for times in (few, many):
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            place = Path(temporary)
            repeat_shards(results, place, times)
            calls = {name: call(place, words) for name, words in list_whole_jobs(place, results).items()}
        runs.append(
            {f"cpu_seconds_{name}_all": done.cpu_seconds for name, done in calls.items()}
            | {f"mb_{name}_all": done.mb for name, done in calls.items()}
        )
    figures = {
        f"{name}_{times * size}": v for times, run in zip((few, many), runs, strict=True) for name, v in run.items()
    }
    growth = {
        name: math.log(runs[1][name] / runs[0][name]) / math.log(many / few)
        for name in runs[1]
        if runs[1][name] >= LEAST[name.split("_")[0].replace("cpu", "cpu_seconds")]
    }
    figures |= {f"growth_repeated_{name}": value for name, value in growth.items()}
    return figures | {"largest_growth_repeated": max(growth.values(), default=0.0)}


def repeat_shards(results: Path, folder: Path, times: int) -> None:
    """Write every shard ``times`` times, with images of other names."""
    sources = [results / part for part in REPEATED] + [results.parents[1] / "export_shards"]
    for part, source in zip([*REPEATED, "export_shards"], sources, strict=True):
        for path in (p for p in source.iterdir() if SHARD.fullmatch(p.stem) and p.suffix != ".h5"):
            split, _, number = path.stem.partition("-")
            for k in range(times):
                repeat(path, folder / part / f"{split}-{int(number) * times + k:04d}{path.suffix}", k)


def repeat(path: Path, copy: Path, k: int) -> None:
    """Copy a file or folder of a shard; images get the prefix ``k``."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        for file in path.iterdir():
            name = f"{k:02d}{file.name}" if file.stem.isdecimal() else file.name
            repeat(file, copy / name, k)
    elif path.suffix == ".json":
        text = json.dumps(read_json(path))
        write_json(copy, json.loads(rename(text, k)), checksum='"sha256": "' in path.read_text())
    elif path.suffix == ".jsonl":
        copy.write_text(rename(path.read_text(), k))
    else:
        copy.hardlink_to(path)


def rename(text: str, k: int) -> str:
    """Give the image ids in a JSON document the prefix ``k``; paths of the images stay."""
    return re.sub(r'"(\d{6})(?=["\.])', rf'"{k:02d}\1', text)


def list_whole_jobs(folder: Path, results: Path) -> dict[str, list[str]]:
    """The commands of the jobs on all images, by name."""

    def shards(flag: str, part: str, split: str = "train") -> list[str]:
        paths = sorted(path for path in (folder / part).iterdir() if path.name.startswith(split))
        return [f"--{flag}", *abbreviate_paths(map(str, paths))]

    def out(name: str) -> list[str]:
        return ["--out", str(folder / name)]

    def training(section: str) -> list[str]:
        given = json.dumps(SETTINGS[section])
        return [*out(section), "--scratch", str(folder / "scratch" / section), "--settings", given]

    train = [*shards("shards", "index"), *shards("weak-labels", "weak_labels")]
    rounds = json.dumps(SETTINGS["rounds"])
    commands = {
        "weak_labels": ["merge", *shards("weak-labels", "weak_labels"), *out("weak_labels.json")],
        "classifier": [*train, *training("classifier")],
        "segmenter": [
            *train,
            *shards("labels", "labels/0"),
            "--round",
            "0",
            "--rounds",
            rounds,
            *training("segmenter"),
        ],
        "evaluation": [
            *("score", "--subject", "labels-2", *shards("ground-truth", "ground_truth"), *shards("labels", "labels/2")),
            *out("labels-2.json"),
        ],
        "evaluation_model": [
            *("score", "--subject", "model-1", "--scored", *shards("ground-truth", "ground_truth", "val")),
            *(*shards("labels", "predictions/1", "val"), *out("model-1.json")),
        ],
        "report": [
            *("--summary", str(results / "evaluation" / "summary.json"), *shards("weak-labels", "weak_labels")),
            *(*shards("shards", "index", ""), *shards("ground-truth", "ground_truth", "")),
            *("--labels", "0", *shards("labels", "labels/0")[1:], "--labels", "2", *shards("labels", "labels/2")[1:]),
            *(*shards("predictions", "predictions/1", ""), *out("report")),
            *("--scores", str(folder / "model-1.json"), "--settings", json.dumps(SETTINGS["report"])),
        ],
        "export": [
            *("merge", "--format", "coco_panoptic", *shards("shards", "index"), *shards("parts", "export_shards")),
            *out("export"),
        ],
    }
    return {name: [f"pseudogt.stages.{name.partition('_model')[0]}", *words] for name, words in commands.items()}


if __name__ == "__main__":
    main()
