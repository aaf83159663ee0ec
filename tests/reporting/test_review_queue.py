"""The trust in each mask, and the order of the queue."""

from __future__ import annotations

import numpy as np
import pytest
from weak_label_testing import make_weak_labels

from pseudogt.classes import ClassTable
from pseudogt.reporting.review_queue import (
    HALF_FILLED,
    Suspect,
    measure_certainty,
    rank_images,
    review_image,
    summarise_suspects,
)

CLASSES = ClassTable(("road", "sky", "car"), (1, 2, 3), (False, False, True), ((9, 9, 9), (0, 0, 255), (255, 0, 0)))


def make_weak(boxes, *, tags=(True, True, True), crowd=False):
    return make_weak_labels((40, 60), tags, boxes=boxes, box_classes=2, crowd=crowd)


def review(weak, label, *, confidence=None, agreement=None, certainty=None):
    certainty = np.ones((10, 15), np.float32) if certainty is None else certainty
    return review_image(weak, label, confidence or {}, agreement, certainty, CLASSES)


@pytest.fixture
def label():
    label = np.full((40, 60), 1000, np.int32)
    label[10:20, 10:30] = 3001
    return label


def test_a_mask_that_fills_its_box_is_trusted(label):
    car, road, sky = review(
        make_weak([[10, 10, 30, 20]]), label, confidence={3001: 1.0, 1000: 1.0}, agreement={3001: 1.0}
    )
    assert car.signals == dict.fromkeys(("agreement", "tightness", "filled", "confidence", "certainty"), 1.0)
    assert car.trust == road.trust == 1 and not car.reasons
    assert (sky.kind, sky.trust, sky.reasons) == ("tag", 0.0, ["no pixels"])
    assert road.pixels == 40 * 60 - 200


def test_what_differs_from_the_box_is_said(label):
    car = review(make_weak([[10, 10, 50, 40]]), label, agreement={3001: 0.2})[0]
    assert car.signals["tightness"] == pytest.approx(200 / 1200)
    assert car.signals["filled"] == pytest.approx(200 / 1200 / HALF_FILLED)
    assert car.reasons == [
        "mask and box differ in extent", "box segmenters disagree", "mask covers little of the box",
    ]  # fmt: skip


def test_a_box_without_a_pixel_and_a_box_without_box_masks(label):
    first, second = review(make_weak([[10, 10, 30, 20], [0, 30, 5, 35]]), label, agreement={3001: 0.9})[:2]
    assert first.trust > 0.9 and second.trust == 0 and second.reasons == ["no pixels"]
    assert "agreement" not in review(make_weak([[10, 10, 30, 20]]), label)[0].signals


def test_groups_are_left_out_and_do_not_count_as_numbers(label):
    suspects = review(make_weak([[0, 0, 60, 40], [10, 10, 30, 20]], crowd=[True, False]), label)
    assert [s.kind for s in suspects] == ["box", "tag", "tag"]
    assert suspects[0].pixels == 200


def test_unsure_scores_lower_the_trust(label):
    certainty = np.ones((10, 15), np.float32)
    certainty[2:5, 2:8] = 0.1
    car, road, _ = review(make_weak([[10, 10, 30, 20]]), label, certainty=certainty)
    assert car.signals["certainty"] < 0.5 < road.signals["certainty"]


def test_certainty_is_one_minus_the_entropy():
    scores = np.array([[[1.0, 0.5, 0, 0.9]], [[0.0, 0.5, 0, 0.1]]], np.float32)
    found = measure_certainty(scores)
    expected = 1 + (0.9 * np.log(0.9) + 0.1 * np.log(0.1)) / np.log(2)
    np.testing.assert_allclose(found, [[1, 0, 0, expected]], atol=1e-6)
    np.testing.assert_array_equal(measure_certainty(np.ones((1, 2, 2), np.float32)), np.ones((2, 2)))


def test_queue_begins_where_a_mask_gains_most():
    def suspect(name, trust):
        return Suspect("box", name, [0, 0, 1, 1], 1, trust)

    reviewed = {
        "good": [suspect("car", 0.9)] * 4,
        "bad": [suspect("car", 0.2)] * 4,
        "rare": [suspect("bus", 0.2), suspect("car", 0.2)],
        "mixed": [suspect("car", 0.2)] * 2 + [suspect("car", 0.9)] * 6,
        "empty": [],
    }
    ranked = rank_images(reviewed)
    assert list(ranked) == ["rare", "bad", "mixed", "good", "empty"]
    assert ranked["empty"] == 0
    even = {"a": [suspect("car", 0.0)], "b": [suspect("bus", 0.0)]}
    assert rank_images(even) == {"a": 1.0, "b": 1.0}


def test_reasons_in_words(label):
    suspects = review(make_weak([[10, 10, 50, 40], [0, 30, 5, 35], [7, 30, 9, 35]]), label, agreement={3001: 0.2})
    assert summarise_suspects(suspects) == "no pixels: 2 car, sky; mask and box differ in extent: car"


def test_without_scores_only_boxes_are_reviewed(label):
    found = review_image(make_weak([[10, 10, 30, 20]]), label, {}, {3001: 0.5}, None, CLASSES)
    assert [(s.kind, set(s.signals)) for s in found] == [("box", {"agreement", "tightness", "filled"})]
    assert found[0].reasons == ["box segmenters disagree"]
