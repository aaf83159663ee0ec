"""A copy of the workflow in which files may be edited, and one finished run of the tiny chain."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "config.yaml", "configs", "rules", "pseudogt", "models", "envs", "profiles", "docs")
TINY = Path(__file__).with_name("tiny.yaml")


class Workspace:
    """A folder with the workflow in it, and the calls that tests make there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def results(self) -> Path:
        return self.folder / "results" / "tiny"

    def snakemake(self, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "snakemake", "--configfile", str(TINY), "--cores", "2", *arguments]
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | (env or {})
        # Stages are started as `python`: the one that runs the tests, unless the caller has another.
        if "PATH" not in (env or {}):
            environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=900
        )

    def run(self, *arguments: str) -> None:
        done = self.snakemake(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr

    def planned_jobs(self, *arguments: str, env: dict[str, str] | None = None) -> Counter[str]:
        """Jobs that a run would start, by rule."""
        done = self.snakemake("--dry-run", "--quiet=rules", *arguments, env=env)
        text = done.stdout + done.stderr
        assert done.returncode == 0, text
        table = re.search(r"^job +count\n[- ]+\n(.*?)\ntotal", text, re.MULTILINE | re.DOTALL)
        jobs = Counter[str]()
        for line in table.group(1).splitlines() if table else []:
            rule, count = line.split()
            jobs[rule] = int(count)
        return jobs


def copy_workflow(folder: Path) -> Workspace:
    folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        source = REPOSITORY / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / part)
    return Workspace(folder)


@pytest.fixture(scope="session")
def make_workspace() -> Callable[[Path], Workspace]:
    """Make a workflow without any results in a folder."""
    return copy_workflow


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The tiny chain, run once. Tests must leave its files as they are."""
    workspace = copy_workflow(tmp_path_factory.mktemp("finished") / "a folder")
    workspace.run()
    return workspace


@pytest.fixture
def workspace(finished: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the finished run in which anything may be changed."""
    shutil.copytree(finished.folder, tmp_path / "a folder", symlinks=True)
    return Workspace(tmp_path / "a folder")


@pytest.fixture
def fresh(tmp_path: Path) -> Workspace:
    """The workflow without any results."""
    return copy_workflow(tmp_path / "fresh")
