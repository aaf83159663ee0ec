"""Strength of the edges between pixels, worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pseudogt.evidence.colour_edges import STRENGTH, join_pixels
from pseudogt.evidence.grid_cut import DX, DY


def test_edges_are_weaker_across_contrast_and_diagonals():
    # Squared differences: 100 across, 0 down, 100 on both diagonals; their mean is 400 / 6.
    image = np.zeros((2, 2, 3), np.uint8)
    image[:, 1, 1] = 10
    capacity = join_pixels(image, 1000.0)
    falloff = 1 / (2 * 400 / 6)
    across, down = STRENGTH * math.exp(-100 * falloff), STRENGTH
    expected = {(1, 0): across, (0, 1): down, (1, 1): across / math.sqrt(2)}
    assert capacity[0, 0].tolist() == [round(1000 * expected.get((dx, dy), 0)) for dx, dy in zip(DX, DY, strict=True)]


def test_edges_are_the_same_from_both_ends():
    capacity = join_pixels(np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8), 1e6)
    for d in range(8):
        shifted = np.roll(capacity[..., 7 - d], (-DY[d], -DX[d]), (0, 1))
        np.testing.assert_array_equal(capacity[..., d], shifted)


@pytest.mark.parametrize("size", [(1, 1), (3, 4)])
def test_an_even_image_has_equal_edges(size):
    capacity = join_pixels(np.full((*size, 3), 9, np.uint8), 1.0)
    assert set(np.unique(capacity)) <= {0, round(STRENGTH / math.sqrt(2)), round(STRENGTH)}
    assert (capacity > 0).sum() == (0 if size == (1, 1) else 58)
