"""Where the authors' inputs and outputs lie, and how tests compare with them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat

SHARED = Path(os.environ.get("PSEUDOGT_SHARED", Path(__file__).parents[3] / "shared"))
GOLDEN = SHARED / "golden" / "wsps"

needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"{GOLDEN} is absent; set PSEUDOGT_SHARED")


def read_golden_json(name: str) -> Any:
    """JSON of the golden folder; None where it is absent, so that tests can be collected."""
    return json.loads((GOLDEN / name).read_text()) if GOLDEN.is_dir() else None


def copy_files(files: dict[str, Path], root: Path) -> None:
    """Copy golden files, which may be read-only, to their places below ``root``."""
    for place, source in files.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, root / place)


def assert_equal_png(path: Path, golden: Path) -> None:
    """Same pixels, same palette, and the encoding of the authors' files: 8 bits, 256 colours, no transparency."""
    with Image.open(path) as ours, Image.open(golden) as theirs:
        np.testing.assert_array_equal(np.array(ours), np.array(theirs), err_msg=str(path))
        assert ours.mode == theirs.mode == "P"
        assert ours.getpalette() == theirs.getpalette()
        assert len(ours.getpalette()) == 768
        assert "transparency" not in ours.info
    assert path.read_bytes()[24] == 8  # bit depth in the header


def assert_equal_mat(path: Path, golden: Path) -> None:
    """Same variables, fields in the same order, types, shapes and values; nested all the way down."""
    ours, theirs = (loadmat(each, mat_dtype=True) for each in (path, golden))
    assert {n for n in ours if not n.startswith("__")} == {n for n in theirs if not n.startswith("__")}
    assert_equal_nested(ours["dets"], theirs["dets"], "dets")


def assert_equal_nested(ours: np.ndarray, theirs: np.ndarray, place: str) -> None:
    assert ours.dtype == theirs.dtype, place
    assert ours.shape == theirs.shape, place
    if ours.dtype.names:
        for index in np.ndindex(ours.shape):
            for field in ours.dtype.names:
                assert_equal_nested(ours[index][field], theirs[index][field], f"{place}{list(index)}.{field}")
    else:
        np.testing.assert_array_equal(ours, theirs, err_msg=place)
