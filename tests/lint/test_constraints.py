import re
import tomllib
from importlib.metadata import PackageNotFoundError
from importlib.metadata import metadata as read_metadata
from pathlib import Path

from packaging.specifiers import SpecifierSet

REPOSITORY = Path(__file__).parents[2]


def test_pinned_packages_run_on_the_oldest_python_that_we_promise():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    (oldest,) = re.fullmatch(r">=([\d.]+)", project["requires-python"]).groups()
    refused = {}
    for name in re.findall(r"^([\w.-]+)==", (REPOSITORY / "constraints.txt").read_text(), re.MULTILINE):
        try:
            needed = read_metadata(name).get("Requires-Python")
        except PackageNotFoundError:
            continue  # of another system
        if needed and not SpecifierSet(needed).contains(f"{oldest}.0"):
            refused[name] = needed
    assert refused == {}
