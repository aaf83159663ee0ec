"""What tests of proposals share: comparing them, and writing them as MCG does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.io import savemat

from pseudogt.proposals.generation import Proposals


def assert_same(a: Proposals, b: Proposals) -> None:
    """All arrays are equal, and of one type."""
    for x, y in zip((*a.members, a.superpixels, *a[2:]), (*b.members, b.superpixels, *b[2:]), strict=True):
        np.testing.assert_array_equal(x, y)
        assert x.dtype == y.dtype


def write_mcg(path: Path, proposals: Proposals) -> None:
    """Write the proposals of an image: numbers from 1, and a cell array with the superpixels of each proposal."""
    labels = np.empty((len(proposals.scores), 1), object)
    for row, own in enumerate(np.split(proposals.members.indices, proposals.members.starts[1:-1])):
        labels[row, 0] = own[None] + 1
    variables = {"superpixels": proposals.superpixels + 1, "labels": labels, "scores": proposals.scores[:, None]}
    path.parent.mkdir(exist_ok=True)
    savemat(path, variables, do_compression=True)
