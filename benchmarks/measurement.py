"""Shared parts of the benchmarks: timing, the printed table and the written JSON."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
# Benchmarks import this module first, so that they measure this checkout, whatever else is installed.
sys.path.insert(0, str(REPOSITORY))

TURN_S, MAX_CALLS = 0.05, 100
PACKAGES = ("numpy", "opencv-python-headless", "torch", "torchvision", "snakemake")


def measure_in_turns(
    functions: Mapping[str, Callable[[], Any]], repeats: int = 5
) -> tuple[dict[str, float], dict[str, Any]]:
    """Median seconds and last result of each function.

    They take turns, so that what else happens on the machine meets all of them and ratios hold on a
    busy one. A first call of each warms up; what it takes tells how often a short function is
    called in a turn, so that what the one before left in the caches matters little.
    """
    results, calls = {}, {}
    for name, function in functions.items():
        start = time.perf_counter()
        results[name] = function()
        calls[name] = math.ceil(min(MAX_CALLS, TURN_S / (time.perf_counter() - start)))
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            for _ in range(calls[name]):
                results[name] = function()
            seconds[name].append((time.perf_counter() - start) / calls[name])
    return {name: statistics.median(values) for name, values in seconds.items()}, results


def print_table(figures: dict[str, float | None]) -> None:
    """Print the figures one below the other."""
    width = max(map(len, figures))
    for name, value in figures.items():
        print(f"{name:<{width}}  {'-' if value is None else f'{value:.4g}'}")


def describe_commit() -> str | None:
    """Commit of the repository, marked if files differ from it; None outside of git."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    return described.stdout.strip() or None


def write_figures(path: Path, figures: dict[str, float | None]) -> None:
    """Write the figures with what they were measured on."""
    document = {
        "figures": figures,
        "commit": describe_commit(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")
