"""Average precision of tags against scikit-learn's."""

import numpy as np
import pytest

from pseudogt.metrics.tag_precision import average_precisions

sklearn_metrics = pytest.importorskip("sklearn.metrics")


@pytest.mark.parametrize("levels", [3, 1000])
def test_equals_scikit_learn_with_and_without_ties(levels: int) -> None:
    rng = np.random.default_rng(levels)
    scores = rng.integers(0, levels, (60, 5)) / levels
    tags = rng.random((60, 5)) < 0.3
    expected = [sklearn_metrics.average_precision_score(t, s) for s, t in zip(scores.T, tags.T, strict=True)]
    np.testing.assert_allclose(average_precisions(scores, tags), expected, rtol=1e-12)


def test_a_class_that_never_occurs_has_none() -> None:
    precisions = average_precisions(np.zeros((3, 2)), np.array([[True, False]] * 3))
    assert precisions[0] == 1 and np.isnan(precisions[1])


def test_shapes_that_differ_are_an_error() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        average_precisions(np.zeros((3, 2)), np.zeros((3, 1), bool))
