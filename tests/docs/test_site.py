"""The documentation: every page is in the menu, every link leads somewhere, and the site builds strictly."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import pseudogt

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
PAGES = sorted(path for path in (*DOCS.rglob("*.md"), *REPOSITORY.glob("*.md")))


def list_menu(entries):
    for entry in entries:
        for value in entry.values():
            yield from [value] if isinstance(value, str) else list_menu(value)


def test_every_page_is_in_the_menu():
    site = tomllib.loads((REPOSITORY / "zensical.toml").read_text())["project"]
    pages = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
    assert sorted(list_menu(site["nav"])) == pages


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page):
    """Those to images and to files outside the docs, too, which the builder does not look for."""
    text = re.sub(r"`[^`]*`", "", page.read_text(encoding="utf-8"))
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)]
    missing = [t for t in targets if t and "://" not in t and not (page.parent / t).exists()]
    assert not missing


@pytest.mark.parametrize(
    "path", [*PAGES, *sorted(REPOSITORY.glob("configs/*.yaml"))], ids=lambda path: str(path.relative_to(REPOSITORY))
)
def test_commands_can_be_copied(path):
    """Snakemake refuses to start without a number of cores; a dry run and a profile of a cluster need none."""
    commands = re.findall(r"(?m)^(?:#   |    )(snakemake .*(?:\\\n.*)*)", path.read_text(encoding="utf-8"))
    needed = re.compile(r"--cores|-n\b|--workflow-profile|^snakemake \.\.\.")
    assert not [command for command in commands if not needed.search(command)]


def test_the_site_builds(tmp_path):
    if importlib.util.find_spec("zensical") is None:
        reason = "zensical is not installed: pip install -c constraints.txt -e '.[dev]'"
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    shutil.copytree(DOCS, tmp_path / "docs")
    shutil.copy(REPOSITORY / "zensical.toml", tmp_path)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    built = {path.relative_to(tmp_path / "site" / "docs").with_suffix("") for path in tmp_path.rglob("*.html")}
    assert built >= {path.relative_to(DOCS).with_suffix("") for path in DOCS.rglob("*.md")}


def test_versions_agree():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert citation["version"] == pseudogt.__version__


def test_make_lists_its_targets():
    text = (REPOSITORY / "Makefile").read_text()
    described = set(re.findall(r"(?m)^#> (\w+)", text))
    assert described | {"help"} == set(re.search(r"(?m)^\.PHONY: (.*)$", text)[1].split())
    done = subprocess.run(["make"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert all(f"\n  {target} " in done.stdout for target in described)


@pytest.mark.parametrize("path", sorted((REPOSITORY / ".github").rglob("*.yaml")), ids=lambda path: path.name)
def test_github_files_are_yaml(path):
    content = yaml.safe_load(path.read_text())
    assert content["name"] and ("jobs" in content or content["body"])


def test_the_workflow_tests_what_is_supported():
    workflow = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "test.yaml").read_text())
    versions = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    required = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["requires-python"]
    assert required == f">={versions[0]}"
