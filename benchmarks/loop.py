"""The main benchmark: the weak loop beside the same network trained on full labels.

    python benchmarks/loop.py --run streets --json OUT
    python benchmarks/loop.py --run camvid --data DIR --json OUT
    python benchmarks/loop.py --run dsb2018 --data DIR --seeds 0 1 2 --json OUT

Runs the workflow with `configs/<run>.yaml` in the current folder (results/<run>; with several seeds
results/<run>-<seed>) and prints scores and ratios; a finished run is only read. ``--tags image``
gives the classifier tags of whole images instead of crops; those runs are named <run>-image.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from measurement import REPOSITORY, print_table, write_figures

SCORES = ("pq", "pq_th", "pq_st", "miou", "ap")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="streets", help="streets, or the name of a file in configs/")
    parser.add_argument("--data", type=Path, help="the dataset's folder, for all but streets")
    parser.add_argument("--tags", choices=["crop", "image"], default="crop")
    parser.add_argument("--seeds", type=int, nargs="*", default=[], help="seeds of the split, one run each")
    parser.add_argument("--quick", action="store_true", help="the tiny chain of the tests; shows that it runs")
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    name = "tiny" if arguments.quick else arguments.run
    name += "-image" if arguments.tags == "image" else ""
    if arguments.seeds:
        runs = [run(f"{name}-{seed}", arguments, [f"dataset={{split_seed: {seed}}}"]) for seed in arguments.seeds]
    else:
        runs = [run(name, arguments, [])]
    figures = collect_figures(runs)
    print_table(figures)
    write_figures(arguments.json, figures)


def run(name: str, arguments: argparse.Namespace, config: list[str]) -> dict:
    """Run the workflow and return its summary."""
    command = [sys.executable, "-m", "snakemake", "-s", str(REPOSITORY / "Snakefile"), "--cores", "all"]
    if arguments.quick:
        command += ["--configfile", str(REPOSITORY / "tests" / "workflow" / "tiny.yaml")]
    elif arguments.run != "streets":
        command += ["--configfile", str(REPOSITORY / "configs" / f"{arguments.run}.yaml")]
    command += ["--config", f"name={name}", f"weak_labels={{tags: {arguments.tags}}}", *config]
    command += [f"data_root={arguments.data.resolve()}"] if arguments.data else []
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(command, check=True, env=os.environ | {"PATH": path})
    return json.loads(Path("results", name, "evaluation", "summary.json").read_text())


def collect_figures(summaries: list[dict]) -> dict[str, float | None]:
    """Mean scores of the last round and of the reference, and their ratios with the spread over runs."""
    figures: dict[str, float | None] = {}
    for score in SCORES:
        weak = [s["rounds"][-1]["model"]["val"][score] for s in summaries]
        full = [s["reference"]["val"][score] for s in summaries]
        ratio = [s["ratio"][score] for s in summaries]
        for column, values in (("weak", weak), ("reference", full), ("ratio", ratio)):
            known = [v for v in values if v is not None]
            figures[f"{score}_{column}"] = statistics.mean(known) if known else None
        known = [r for r in ratio if r is not None]
        if len(known) > 1:
            figures[f"{score}_ratio_stdev"] = statistics.stdev(known)
    figures["seconds"] = statistics.mean(sum(s["seconds"].values()) for s in summaries)
    return figures


if __name__ == "__main__":
    main()
