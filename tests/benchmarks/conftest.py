"""Let tests import benchmarks, which are scripts and not a package."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def benchmarks_are_importable() -> Iterator[None]:
    """Hide them from other tests again: a benchmark may have the name of an installed package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield


def import_benchmark(name: str) -> Any:
    """Make a fixture of a benchmark's functions, called like the benchmark."""

    @pytest.fixture(scope="module", name=name)
    def module() -> Any:
        return import_module(name)

    return module


faults = import_benchmark("faults")
jtsm = import_benchmark("jtsm")
loop = import_benchmark("loop")
scale = import_benchmark("scale")
wsps_images = import_benchmark("wsps_images")
