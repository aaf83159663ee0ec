"""What the workflow itself costs: wall time of a run over the time that its jobs need.

Runs the chain in an empty folder and compares its wall time with the larger of the critical path
and the sum of threads x seconds over the cores, both from the benchmark files of the jobs.

    python benchmarks/overhead.py [--quick] --json OUT

``--quick`` runs the tiny chain of the tests instead of the embedded default.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measurement import REPOSITORY, print_table, write_figures

TINY = REPOSITORY / "tests" / "workflow" / "tiny.yaml"
MULTI_THREADED = {"index", "classifier", "cams", "segmenter", "predictions", "reference", "reference_predictions"}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "snakemake", "-s", str(REPOSITORY / "Snakefile"), "--directory", folder]
        command += ["--cores", str(arguments.cores), *(["--configfile", str(TINY)] if arguments.quick else [])]
        start = time.monotonic()
        subprocess.run(command, check=True, env=environment())
        wall = time.monotonic() - start
        seconds = read_benchmarks(next(Path(folder).glob("results/*/benchmarks")))
        dag = subprocess.run(
            [*command, "--forceall", "--dag", "dot"], check=True, env=environment(), capture_output=True, text=True
        ).stdout
    critical = longest_path(dag, seconds)
    busy = sum(s * (arguments.cores if job[0] in MULTI_THREADED else 1) for job, s in seconds.items()) / arguments.cores
    figures = {
        "wall_seconds": wall,
        "critical_path_seconds": critical,
        "busy_seconds": busy,
        "overhead": wall / max(critical, busy),
    }
    print_table(figures)
    write_figures(arguments.json, figures)


def environment() -> dict[str, str]:
    """The environment in which `python` is the interpreter that runs this."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


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
    rule = re.sub(r"(_val)?_shard$|_round$", "", rule)
    if rule.startswith("evaluation_"):
        subject = rule.removeprefix("evaluation_")
        return ("evaluation", f"{subject}-{values['round']}" if "round" in values else subject)
    return tuple(filter(None, (rule, values.get("round"), values.get("shard"))))


if __name__ == "__main__":
    main()
