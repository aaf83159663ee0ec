"""The main benchmark: the weak loop beside the same network trained on full labels.

    python benchmarks/loop.py --run streets --json OUT
    python benchmarks/loop.py --run camvid --data DIR --seeds 0 1 2 --json OUT
    python benchmarks/loop.py --run dsb2018 --data DIR --split-seeds 0 1 2 --json OUT

Runs the workflow with `configs/<run>.yaml` in the current folder and prints the mean scores and ratios; a finished run
is only read. ``--seeds`` trains every network with these seeds, one run each; ``--split-seeds`` draws the split of
`dataset.val_fraction`; with both, each split is trained with each seed. ``--tags`` replaces the tags that the
config asks for. ``--configfile`` and ``--config`` replace settings of `configs/<run>.yaml`, for instance by weights on
this machine: ``--config 'segmenter={backbone: resnet50, weights: resnet50.pth}'``.

Results lie in results/<run>, with `-image` or `-crop` for ``--tags``, `-split<seed>` and `-seed<seed>` behind the name,
and the settings of the command line in `loop.json` there.
A `name` in ``--config`` takes the place of `<run>`: give one where two sets of settings must not share a folder.
"""

from __future__ import annotations

import argparse
import copy
import statistics
from pathlib import Path
from typing import Any

from measurement import REPOSITORY, print_table, write_figures
from snakemake.utils import update_config
from workflow_runs import TINY, parse_assignments, run_workflow

from pseudogt.files.io import read_json

SCORES = ("pq", "pq_th", "pq_st", "miou", "ap")


def main() -> None:
    """Run the benchmark."""
    arguments = parse_arguments()
    runs = [run(arguments, settings) for settings in plan_runs(arguments)]
    figures = collect_figures(runs)
    print_table(figures)
    write_figures(arguments.json, figures)


def parse_arguments(command: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="streets", help="streets, or the name of a file in configs/")
    parser.add_argument("--data", type=Path, help="the dataset's folder, for all but streets")
    parser.add_argument("--tags", choices=["crop", "image"], help="tags of crops or of whole images")
    parser.add_argument("--seeds", type=int, nargs="+", default=[None], help="seeds of all trainings, one run each")
    parser.add_argument("--split-seeds", type=int, nargs="+", default=[None], help="seeds of the split, one run each")
    parser.add_argument("--configfile", type=Path, action="append", default=[], help="another config file")
    parser.add_argument("--config", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="more settings")
    parser.add_argument("--quick", action="store_true", help="the tiny chain of the tests; shows that it runs")
    parser.add_argument("--json", type=Path, required=True)
    return parser.parse_args(command)


def plan_runs(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Settings of each run that the command line asks for, its name among them."""
    given: dict[str, Any] = {"name": "tiny" if arguments.quick else arguments.run}
    update_config(given, parse_assignments(arguments.config))
    if arguments.data:
        given["data_root"] = str(arguments.data.resolve())
    if arguments.tags:
        update_config(given, {"weak_labels": {"tags": arguments.tags}})
        given["name"] += f"-{arguments.tags}"
    runs = []
    for split_seed in arguments.split_seeds:
        for seed in arguments.seeds:
            settings = copy.deepcopy(given)
            if split_seed is not None:
                update_config(settings, {"dataset": {"split_seed": split_seed}})
                settings["name"] += f"-split{split_seed}"
            if seed is not None:
                update_config(settings, {"optimisation": {"seed": seed}})
                settings["name"] += f"-seed{seed}"
            runs.append(settings)
    return runs


def run(arguments: argparse.Namespace, settings: dict[str, Any]) -> dict[str, Any]:
    """Run the workflow and return its summary."""
    files = list(arguments.configfile)
    if arguments.quick:
        files.insert(0, TINY)
    elif arguments.run != "streets":
        files.insert(0, REPOSITORY / "configs" / f"{arguments.run}.yaml")
    return read_json(run_workflow(files, settings) / "evaluation" / "summary.json")


def collect_figures(summaries: list[dict[str, Any]]) -> dict[str, float | None]:
    """Mean scores of the last round and of the reference, their ratios, and the spread of each over runs."""
    figures: dict[str, float | None] = {"runs": len(summaries)}
    for score in SCORES:
        weak = [s["rounds"][-1]["model"]["val"][score] for s in summaries]
        full = [s["reference"]["val"][score] for s in summaries]
        ratio = [s["ratio"][score] for s in summaries]
        for column, values in (("weak", weak), ("reference", full), ("ratio", ratio)):
            known = [v for v in values if v is not None]
            figures[f"{score}_{column}"] = statistics.mean(known) if known else None
            if len(known) > 1:
                figures[f"{score}_{column}_stdev"] = statistics.stdev(known)
    figures["seconds"] = statistics.mean(sum(s["seconds"].values()) for s in summaries)
    return figures


if __name__ == "__main__":
    main()
