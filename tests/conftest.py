"""Fixtures shared by all tests: real data where it is there, tiny datasets where it is not needed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pseudogt.config.dataset import DatasetSettings
from pseudogt.files.images import write_png

REPOSITORY = Path(__file__).resolve().parents[1]


FINISHED_RUN = ("test_chain.py", "test_graph.py", "test_provided_runs.py")
"""Files of tests that read one run of a whole chain."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Runs of whole chains first, so that none is left for one process alone at the end."""
    items.sort(key=lambda item: "workflow" not in item.path.parts)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With ``-n``, processes share the tests file by file; those that read one run are in one process."""
    from xdist.scheduler import LoadScopeScheduling

    class FileScheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "finished run" if file.endswith(FINISHED_RUN) else file

    config.option.loadscopereorder = False
    return FileScheduling(config, log)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with real images and golden files; tests that need it are skipped elsewhere."""
    folder = Path(os.environ.get("PSEUDOGT_SHARED", REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}; set PSEUDOGT_SHARED")
    return folder


@pytest.fixture(scope="session")
def shared_data(shared: Path) -> Path:
    """Folder with one real dataset in each subfolder."""
    return shared / "data"


@pytest.fixture
def folder_settings() -> DatasetSettings:
    """Settings of ``folder_dataset``: sky 0, road 1, car 2, void 9."""
    classes = [
        {"name": "sky", "id": 1, "isthing": False, "color": "#4682b4", "source_id": 0},
        {"name": "road", "id": 2, "isthing": False, "color": "#804080", "source_id": 1},
        {"name": "car", "id": 3, "isthing": True, "color": "#00008e", "source_id": 2},
    ]
    return DatasetSettings.model_validate({"format": "folder", "classes": classes, "void_values": [9]})


@pytest.fixture
def folder_dataset(tmp_path: Path) -> Path:
    """Three images of 20x30 in the folder layout: two cars and a group on a road under a sky, some void."""
    root = tmp_path / "dataset"
    rng = np.random.default_rng(0)
    semantic = np.zeros((20, 30), np.uint8)
    semantic[8:] = 1
    semantic[10:14, 2:9] = semantic[12:16, 12:20] = semantic[9:11, 24:27] = 2
    semantic[19] = 9
    instances = semantic.astype(np.uint16)
    instances[10:14, 2:9] = 2000
    instances[12:16, 12:20] = 2001
    for image_id in "abc":
        write_png(root / "images" / f"{image_id}.png", rng.integers(0, 255, (20, 30, 3), np.uint8))
        write_png(root / "semantic" / f"{image_id}.png", semantic)
        write_png(root / "instances" / f"{image_id}.png", instances)
    (root / "train.txt").write_text("a\nb\n")
    (root / "val.txt").write_text("c\n")
    return root
