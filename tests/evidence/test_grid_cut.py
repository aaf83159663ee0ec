"""Minimum cuts of a grid against an outside implementation, and cuts that start from an earlier flow."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from pseudogt.evidence.grid_cut import DX, DY, SOURCE, Grid, cut_grid


def draw_capacities(rng, height, width):
    """Symmetric capacities ``(h, w, 8)`` of edges that stay inside."""
    capacity = np.zeros((height, width, 8), np.int32)
    for y in range(height):
        for x in range(width):
            for d in range(4):
                below, right = y - DY[d], x - DX[d]
                if 0 <= below < height and 0 <= right < width:
                    capacity[y, x, 7 - d] = capacity[below, right, d] = rng.integers(0, 8)
    return capacity


def cut_by_scipy(capacity, excess):
    """Pixels on the source's side of the minimum cut that has the fewest there."""
    height, width = excess.shape
    source, sink = height * width, height * width + 1
    dense = np.zeros((sink + 1, sink + 1), np.int32)
    for y in range(height):
        for x in range(width):
            for d in np.flatnonzero(capacity[y, x]):
                dense[y * width + x, (y + DY[d]) * width + x + DX[d]] = capacity[y, x, d]
    dense[source, :source], dense[:source, sink] = np.maximum(excess.ravel(), 0), np.maximum(-excess.ravel(), 0)
    left = dense - maximum_flow(csr_array(dense), source, sink).flow.toarray()
    reached = breadth_first_order(csr_array(left > 0), source, return_predecessors=False)
    return np.isin(np.arange(source), reached).reshape(height, width)


def view(values, shape):
    return values.reshape(shape[0] + 2, shape[1] + 2)[1:-1, 1:-1]


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (6, 5), (9, 12)])
def test_cuts_are_minimal_from_any_flow(shape):
    rng = np.random.default_rng(shape)
    for _ in range(5):
        capacity = draw_capacities(rng, *shape)
        grid, before = Grid.without_flow(capacity), np.zeros(shape, np.int32)
        # The terminals change twice; the flow stays.
        for _ in range(3):
            excess = rng.integers(-15, 16, shape).astype(np.int32)
            view(grid.excess, shape)[:] += excess - before
            before = excess
            cut_grid(grid)
            np.testing.assert_array_equal(view(grid.tree, shape) == SOURCE, cut_by_scipy(capacity, excess))
