"""Shared parts of the benchmarks that run the workflow: its command, its environment and its configuration."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from measurement import REPOSITORY
from snakemake.utils import update_config

from pseudogt.config.run import RunConfig
from pseudogt.files.io import write_json

TINY = REPOSITORY / "tests" / "workflow" / "tiny.yaml"
"""Config of the tiny street scenes, for ``--quick``."""

SNAKEMAKE = (sys.executable, "-m", "snakemake", "-s", str(REPOSITORY / "Snakefile"))
"""Start of a command that runs the workflow of this checkout."""


def make_environment() -> dict[str, str]:
    """The environment in which `python`, the word of jobs, is the interpreter that runs this."""
    return os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
    }


def run_workflow(files: Sequence[Path], settings: Mapping[str, Any], targets: Sequence[str | Path] = ()) -> Path:
    """Run the workflow up to ``targets``, by default all of it; return its results, in the current folder."""
    results = Path("results", settings["name"])
    # In a file: Snakemake's --config takes every value inside braces for text, null among them.
    own = results / "loop.json"
    write_json(own, settings)
    command = [*SNAKEMAKE, "--cores", "all", "--configfile", *map(str, [*files, own])]
    command += ["--", *map(str, targets)] if targets else []
    subprocess.run(command, check=True, env=make_environment())
    return results


@cache
def read_yaml(path: Path) -> dict[str, Any]:
    """A config file; it is read once, and must not be changed."""
    given: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return given


def merge_files(files: Iterable[Path]) -> dict[str, Any]:
    """The embedded default with config files over it, later ones over earlier ones."""
    merged = copy.deepcopy(read_yaml(REPOSITORY / "config.yaml"))
    for path in files:
        update_config(merged, read_yaml(path))
    return merged


def resolve_config(files: Iterable[Path], settings: Mapping[str, Any]) -> RunConfig:
    """The whole configuration of a run."""
    merged = merge_files(files)
    update_config(merged, settings)
    return RunConfig.model_validate(merged)


def parse_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    """Settings that are given as KEY=VALUE, values in YAML."""
    given: dict[str, Any] = {}
    for setting in assignments:
        key, equals, value = setting.partition("=")
        if not equals:
            raise SystemExit(f"--config {setting}: not of the form KEY=VALUE")
        update_config(given, {key: yaml.safe_load(value)})
    return given
