"""Mixtures of colours against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from pseudogt.evidence.colour_mixtures import (
    COMPONENTS,
    NOISE,
    Mixtures,
    assign_components,
    compare_densities,
    fit_mixtures,
)


@pytest.fixture
def drawn():
    """Pixels, their sides and components, and mixtures fitted to them; component 4 of the object is empty."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (600, 3)).astype(np.uint8)
    sides, components = rng.integers(0, 2, 600).astype(np.uint8), rng.integers(0, COMPONENTS, 600).astype(np.int32)
    components[(sides == 1) & (components == 4)] = 0
    mixtures = Mixtures.empty()
    fit_mixtures(mixtures, pixels, sides, components)
    return pixels, sides, components, mixtures


def compute_densities(pixels, own):
    """Density ``(N,)`` of a normal distribution with the moments of the pixels ``own``, without the factor of pi."""
    covariance = np.cov(own.T.astype(float), bias=True)
    away = pixels - own.mean(0)
    distance = np.einsum("ni,ij,nj->n", away, np.linalg.inv(covariance), away)
    return np.exp(-distance / 2) / np.sqrt(np.linalg.det(covariance))


def test_densities_are_those_of_the_moments(drawn):
    pixels, sides, components, mixtures = drawn
    expected = []
    for side in (0, 1):
        parts = [pixels[(sides == side) & (components == k)] for k in range(COMPONENTS)]
        parts = [part for part in parts if len(part)]
        total = sum(map(len, parts))
        expected.append(sum(len(part) / total * compute_densities(pixels, part) for part in parts))
    ratios = compare_densities(mixtures, pixels.reshape(20, 30, 3))
    np.testing.assert_allclose(ratios.ravel(), np.log(expected[1] / expected[0]), atol=1e-9)
    assert mixtures.weights.sum(1) == pytest.approx([1, 1])
    assert mixtures.weights[1, 4] == 0


def test_the_likeliest_component_is_assigned(drawn):
    pixels, sides, components, mixtures = drawn
    found = np.empty_like(components)
    assign_components(mixtures, pixels, sides, found)
    for side in (0, 1):
        own = pixels[sides == side]
        used = range(COMPONENTS - side)
        table = [compute_densities(own, pixels[(sides == side) & (components == k)]) for k in used]
        np.testing.assert_array_equal(found[sides == side], np.argmax(table, axis=0))


def test_a_colour_without_spread_gets_some():
    pixels, zeros = np.full((4, 3), 7, np.uint8), np.zeros(4, np.int32)
    mixtures = Mixtures.empty()
    fit_mixtures(mixtures, pixels, zeros.astype(np.uint8), zeros)
    assert mixtures.determinants[0, 0] == pytest.approx(NOISE**3)
    assert mixtures.inverses[0, 0].tolist() == pytest.approx([1 / NOISE, 0, 0, 1 / NOISE, 0, 1 / NOISE])
