"""How likely pixels and segments are right."""

from __future__ import annotations

import numpy as np
import pytest
from weak_label_testing import make_point, make_weak_labels

from pseudogt.box_masks.consensus import find_agreement, trust_agreement
from pseudogt.classes import ClassTable
from pseudogt.pseudo_labels.confidence import (
    find_seen_share,
    rate_pixels,
    rate_segments,
    spread_scores,
    temper,
    temper_levels,
)
from pseudogt.pseudo_labels.refinement import CleaningSteps
from pseudogt.pseudo_labels.round import RoundInputs, RoundPlan, label_image
from pseudogt.weak_labels.marks import NO_OBJECT

SKY, CAR = 0, 2
CLASSES = ClassTable(("sky", "road", "car"), (1, 2, 3), (False, False, True), ((0, 0, 0), (1, 1, 1), (2, 2, 2)))


def test_scores_keep_their_order_and_become_less_extreme():
    score = np.linspace(0, 1, 101)
    tempered = temper(score)
    assert (np.diff(tempered) > 0).all()
    assert (tempered[1:50] > score[1:50]).all() and (tempered[51:100] < score[51:100]).all()
    np.testing.assert_allclose(tempered + tempered[::-1], 1)
    levels = temper_levels(np.arange(256, dtype=np.uint8)[None])
    np.testing.assert_allclose(levels[0] / 255, temper(np.arange(256) / 255), atol=0.5 / 255 + 1e-6)


def test_each_pixel_has_the_confidence_of_what_gave_its_class():
    """Scores and mask agree; a mask alone; scores alone; neither; scores on a mask of which nothing is known."""
    semantic = np.array([[CAR, CAR, SKY, CAR, CAR]], np.uint8)
    label = np.array([[CAR, SKY, SKY, SKY, CAR]], np.uint8)
    masks = np.array([[CAR, CAR, SKY + 9, SKY + 9, CAR]], np.uint8)
    known = np.array([[0.9, 0.9, 0, 0, 0]], np.float32)
    rated = rate_pixels(semantic, label, np.full(label.shape, 0.6, np.float32), masks, known)
    np.testing.assert_allclose(rated, [[0.95, 0.72, 0.6, 0, 0.6]], rtol=1e-6)
    np.testing.assert_allclose(
        rate_pixels(semantic, label, np.full(label.shape, 0.6, np.float32)), [[0.6, 0, 0.6, 0, 0.6]]
    )


def test_segments_have_the_mean_of_their_pixels():
    panoptic_id = np.array([[0, 1000, 1000, 3001]], np.int32)
    confidence = np.array([[0.1, 0.2, 0.4, 0.9]], np.float32)
    assert rate_segments(panoptic_id, confidence) == pytest.approx({1000: 0.3, 3001: 0.9})
    spread = spread_scores(panoptic_id, {1000: 0.3, 3001: 0.9, 7001: 1.0})
    np.testing.assert_allclose(spread, [[0, 0.3, 0.3, 0.9]])


@pytest.mark.parametrize("value", [0.0, 0.25, 1.0])
def test_what_made_a_confidence_is_found_again(value):
    assert find_agreement(trust_agreement(value)) == pytest.approx(value)
    label = np.where(np.arange(100) < 100 * value, CAR, SKY).astype(np.uint8)[None]
    mask = np.full((1, 100), CAR, np.uint8)
    rated = rate_pixels(mask, label, np.ones((1, 100), np.float32), mask, np.full((1, 100), 0.9, np.float32))
    assert find_seen_share(float(rated.mean()), 0.9) == pytest.approx(value, abs=1e-5)


def test_pixels_that_were_labelled_are_sure():
    sky = np.full((8, 10), SKY, np.uint8)
    weak = make_weak_labels((8, 10), (True, True, False), marks=[make_point(1, NO_OBJECT, 4.5, 4.5, 1.0)])
    inputs = RoundInputs(None, (sky, np.full(sky.shape, 0.5, np.float32)), None, None, None, None, None)
    steps = CleaningSteps(0.0, check_crop_tags=False, keep_unsure_things=True, box_prior=False, fill_below=0.0)
    found = label_image(inputs, weak, CLASSES, RoundPlan("tags", 0.0, 0.0, 0.0, "nearest"), steps)
    assert found.scores == pytest.approx({1000: 0.5, 2000: 1.0})
