"""The cost of the workflow itself, and the cost of a busy machine for a training.

Runs the chain in an empty folder and compares its wall time with the larger of the critical path
and the sum of threads x seconds over the cores, both from the benchmark files of the jobs. Then
trains the classifier of that run for a few steps, alone and beside two busy loops, each without and
with the environment that the workflow gives its jobs: seconds of a step, and how many different
models came out of it (1 if the environment changes no bit).

    python benchmarks/overhead.py [--quick] [--only-training] --json OUT

``--quick`` runs the tiny chain of the tests instead of the embedded default.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml
from measurement import print_table, write_figures
from workflow_runs import SNAKEMAKE, TINY, make_environment

from pseudogt.files.io import read_json
from pseudogt.workflow.plan import JOB_ENVIRONMENT

MULTI_THREADED = {"index", "classifier", "cams", "segmenter", "predictions", "reference", "reference_predictions"}
TRAINED_STEPS = 10
BUSY_LOOPS = 2
REPEATS = 5


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only-training", action="store_true", help="make no more of the chain than a training reads")
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [*SNAKEMAKE, "--directory", folder]
        command += ["--cores", str(arguments.cores), *(["--configfile", str(TINY)] if arguments.quick else [])]
        figures: dict[str, float | None] = {}
        if arguments.only_training:
            subprocess.run([*command, "--", "index", "weak_labels"], check=True, env=strip_environment())
        else:
            figures |= measure_chain(command, Path(folder), arguments.cores)
        settings = yaml.safe_load(TINY.read_text())["classifier"] if arguments.quick else {}
        settings |= {"steps": TRAINED_STEPS}
        figures |= measure_training(next(Path(folder).glob("results/*")), settings, 1 if arguments.quick else REPEATS)
    print_table(figures)
    write_figures(arguments.json, figures)


def measure_chain(command: Sequence[str], folder: Path, cores: int) -> dict[str, float]:
    """Run the chain; its wall time, and what its jobs alone would have taken."""
    start = time.monotonic()
    subprocess.run(command, check=True, env=strip_environment())
    wall = time.monotonic() - start
    seconds = read_benchmarks(next(folder.glob("results/*/benchmarks")))
    dag = subprocess.run(
        [*command, "--forceall", "--dag", "dot"], check=True, env=strip_environment(), capture_output=True, text=True
    ).stdout
    critical = longest_path(dag, seconds)
    busy = sum(s * (cores if job[0] in MULTI_THREADED else 1) for job, s in seconds.items()) / cores
    return {
        "wall_seconds": wall,
        "critical_path_seconds": critical,
        "busy_seconds": busy,
        "overhead": wall / max(critical, busy),
    }


def measure_training(results: Path, settings: Mapping[str, object], repeats: int) -> dict[str, float]:
    """Seconds of a step of the classifier, idle and beside busy loops, before and after the workflow's environment.

    The four take turns, so that what else happens on the machine meets all of them.
    """
    cases = {
        f"{situation}{suffix}": (loops, environment)
        for situation, loops in (("idle", 0), ("busy", BUSY_LOOPS))
        for suffix, environment in (("_before", {}), ("", JOB_ENVIRONMENT))
    }
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    models = set()
    for _ in range(repeats):
        for name, (loops, environment) in cases.items():
            with occupy_cores(loops):
                taken, model = train_classifier(results, settings, environment)
            seconds[name].append(taken)
            models.add(model)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        **{f"step_seconds_{name}": value for name, value in medians.items()},
        **{f"step_speedup_{name}": medians[f"{name}_before"] / medians[name] for name in ("idle", "busy")},
        "different_models": len(models),
    }


@contextmanager
def occupy_cores(count: int) -> Iterator[None]:
    """Run busy loops beside the block."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def train_classifier(
    results: Path, settings: Mapping[str, object], environment: Mapping[str, str]
) -> tuple[float, str]:
    """Seconds of a step of a training of its own, and the checksum of its model."""
    with tempfile.TemporaryDirectory() as out:
        words = ["--shards", *map(str, sorted((results / "index").glob("train-*.json")))]
        words += ["--weak-labels", *map(str, sorted((results / "weak_labels").glob("train-*.json")))]
        words += ["--out", out, "--scratch", f"{out}/scratch", "--settings", json.dumps(settings)]
        subprocess.run(
            [sys.executable, "-m", "pseudogt.stages.classifier", *words],
            check=True, env=strip_environment() | environment, cwd=results.parents[1], stderr=subprocess.DEVNULL,
        )  # fmt: skip
        record = read_json(Path(out) / "record.json")
        checksum = hashlib.sha256((Path(out) / "model.pt").read_bytes()).hexdigest()
    return record["seconds"] / record["steps"], checksum


def strip_environment() -> dict[str, str]:
    """The environment of the workflow, without what it gives its jobs."""
    return {name: value for name, value in make_environment().items() if name not in JOB_ENVIRONMENT}


def read_benchmarks(folder: Path) -> dict[tuple[str, ...], float]:
    """Seconds of each job, by the parts of its benchmark file's path: stage, round, shard."""
    seconds = {}
    for path in folder.rglob("*.tsv"):
        with path.open(newline="") as file:
            row = next(csv.DictReader(file, delimiter="\t"))
        seconds[path.relative_to(folder).with_suffix("").parts] = float(row["s"])
    return seconds


def longest_path(dag: str, seconds: dict[tuple[str, ...], float]) -> float:
    """Seconds along the slowest chain of jobs in Snakemake's graph (dot)."""
    cost = {number: seconds.get(name_job(label), 0.0) for number, label in re.findall(r'(\d+)\[label = "([^"]*)"', dag)}
    before: dict[str, list[str]] = {number: [] for number in cost}
    for earlier, later in re.findall(r"(\d+) -> (\d+)", dag):
        before[later].append(earlier)
    finished: dict[str, float] = {}

    def finish(number: str) -> float:
        if number not in finished:
            finished[number] = cost[number] + max((finish(n) for n in before[number]), default=0.0)
        return finished[number]

    return max(finish(number) for number in cost)


def name_job(label: str) -> tuple[str, ...]:
    """The benchmark path of a job from its label in the graph: rule name and wildcards."""
    rule, *wildcards = label.replace("\\n", "\n").split("\n")
    values = dict(part.split(": ", 1) for part in wildcards if ": " in part)
    rule = re.sub(r"(_val)?_shard$|_round$|_subject$", "", rule)
    return tuple(filter(None, (rule, values.get("subject"), values.get("round"), values.get("shard"))))


if __name__ == "__main__":
    main()
