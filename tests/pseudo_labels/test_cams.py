"""Normalising, stitching and gating class activation maps, and the label made of them."""

import numpy as np
import pytest

from pseudogt.classes import IGNORE_LABEL
from pseudogt.maps import find_colour_regions, pool_over_regions, resize_maps
from pseudogt.pseudo_labels.cams import choose_label, keep_shares, normalise_cams, normalise_logits, stitch_crops

RNG = np.random.default_rng(0)


def test_normalised_logits_are_a_softmax_over_the_candidates() -> None:
    logits = RNG.normal(size=(4, 5, 6)).astype(np.float32) * 30
    candidates = RNG.random((4, 5, 6)) < 0.5
    scores = normalise_logits(logits, candidates)
    powers = np.exp(logits.astype(np.float64)) * candidates
    expected = np.divide(powers, powers.sum(0), out=np.zeros_like(powers), where=powers.sum(0) > 0)
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert scores.dtype == np.float32
    assert (scores[~candidates] == 0).all()


def test_a_constant_added_to_all_logits_changes_nothing() -> None:
    logits = RNG.normal(size=(3, 4, 4)).astype(np.float32)
    candidates = np.ones((3, 4, 4), bool)
    np.testing.assert_allclose(
        normalise_logits(logits + 500, candidates), normalise_logits(logits, candidates), atol=1e-4
    )


def count_wins(logits, candidates, bias):
    label, _ = choose_label(normalise_logits(logits + bias[:, None, None], candidates), candidates, min_confidence=0)
    return np.bincount(label[label != IGNORE_LABEL], minlength=len(logits))


def test_classes_keep_their_shares_by_the_least_bias() -> None:
    logits = RNG.normal(size=(4, 30, 30)).astype(np.float32)
    logits[2:] -= 20  # classes 2 and 3 win nowhere
    candidates = np.ones((4, 30, 30), bool)
    candidates[3, 15:] = False
    kept = np.array([True, False, True, True])
    bias = keep_shares(logits, candidates, kept, 0.1)
    assert bias[:2].tolist() == [0, 0] and (bias[2:] > 10).all()
    assert count_wins(logits, candidates, np.zeros(4, np.float32))[2:].tolist() == [0, 0]
    wins = count_wins(logits, candidates, bias)
    assert (np.abs(wins[2:] - 90) <= 2).all() and wins[1] > 200
    fewer = bias - np.array([0, 0, 0.5, 0], np.float32)
    assert count_wins(logits, candidates, fewer)[2] < 80


def test_shares_of_many_classes_leave_half_of_the_image() -> None:
    logits = RNG.normal(size=(6, 20, 20)).astype(np.float32)
    logits[0] += 30
    bias = keep_shares(logits, np.ones((6, 20, 20), bool), np.arange(6) > 0, 0.4)
    wins = count_wins(logits, np.ones((6, 20, 20), bool), bias)
    assert wins[0] >= 190 and (wins[1:] >= 35).all()


def test_shares_need_candidates() -> None:
    logits = np.zeros((2, 4, 4), np.float32)
    nothing = np.zeros((2, 4, 4), bool)
    assert keep_shares(logits, nothing, np.array([True, True]), 0.2).tolist() == [0, 0]
    alone = nothing.copy()
    alone[1] = True
    assert keep_shares(logits, alone, np.array([True, True]), 0.2).tolist() == [0, 0]


def test_normalised_cams_do_not_depend_on_the_scale_of_a_class() -> None:
    cams = RNG.random((3, 4, 5)).astype(np.float32)
    candidates = RNG.random((3, 4, 5)) < 0.7
    scores = normalise_cams(cams, candidates)
    np.testing.assert_allclose(
        normalise_cams(cams * np.array([1, 10, 1000], np.float32)[:, None, None], candidates), scores, rtol=1e-5
    )
    assert scores.max((1, 2)).tolist() == [1, 1, 1]
    assert (scores[~candidates] == 0).all()


@pytest.mark.parametrize("normalise", [normalise_logits, normalise_cams])
@pytest.mark.parametrize("classes", [1, 3])
def test_without_candidates_all_scores_are_zero(normalise, classes: int) -> None:
    maps = np.ones((classes, 2, 3), np.float32)
    assert not normalise(maps, np.zeros((classes, 2, 3), bool)).any()


def test_a_single_class_is_certain_where_it_is_possible() -> None:
    candidates = np.array([[[True, False]]])
    scores = normalise_logits(np.float32([[[-3, 4]]]), candidates)
    label, confidence = choose_label(scores, candidates, min_confidence=0)
    assert label.tolist() == [[0, IGNORE_LABEL]] and confidence.tolist() == [[255, 0]]


@pytest.mark.parametrize(
    ("score", "possible", "label", "confidence"),
    [
        (0.8, True, 1, 204),
        (0.5, True, 1, 128),
        (0.4, True, IGNORE_LABEL, 102),
        (0.0, True, IGNORE_LABEL, 0),
        (0.8, False, IGNORE_LABEL, 0),
    ],
)
def test_truth_table_of_the_label(score: float, possible: bool, label: int, confidence: int) -> None:
    scores = np.float32([[[0.9]], [[score]]])
    candidates = np.array([[[False]], [[possible]]])
    got_label, got_confidence = choose_label(scores, candidates, min_confidence=0.5)
    assert got_label.dtype == got_confidence.dtype == np.uint8
    assert got_label.item() == label and got_confidence.item() == confidence


def test_a_higher_threshold_only_ignores_more() -> None:
    scores = RNG.random((3, 8, 8)).astype(np.float32)
    candidates = RNG.random((3, 8, 8)) < 0.8
    low, _ = choose_label(scores, candidates, min_confidence=0.3)
    high, _ = choose_label(scores, candidates, min_confidence=0.7)
    assert ((high == low) | (high == IGNORE_LABEL)).all()
    assert (high == IGNORE_LABEL).sum() > (low == IGNORE_LABEL).sum()


def test_stitching_averages_where_crops_overlap() -> None:
    maps = np.stack([np.full((1, 2, 2), v, np.float32) for v in (1, 3)])
    crops = np.array([[0, 0, 8, 4], [4, 0, 12, 4]], np.int32)
    stitched = stitch_crops(maps, crops, size=(4, 16), grid=(2, 8))
    assert stitched.tolist() == [[[1, 1, 2, 2, 3, 3, 0, 0]] * 2]


def test_stitching_puts_a_map_cut_into_crops_together_again() -> None:
    whole = RNG.random((2, 6, 8)).astype(np.float32)
    crops = np.array([[0, 0, 16, 12], [16, 0, 32, 12], [0, 12, 16, 24], [16, 12, 32, 24]], np.int32)
    maps = np.stack([whole[:, y0 // 4 : y1 // 4, x0 // 4 : x1 // 4] for x0, y0, x1, y1 in crops])
    np.testing.assert_array_equal(stitch_crops(maps, crops, size=(24, 32), grid=(6, 8)), whole)


def test_pooling_takes_the_mean_of_each_region() -> None:
    scores = RNG.random((2, 4, 4)).astype(np.float32)
    regions = np.repeat([[0, 0, 2, 1]], 4, axis=0)
    pooled = pool_over_regions(scores, regions)
    for region in range(3):
        inside = regions == region
        for c in range(2):
            np.testing.assert_allclose(pooled[c][inside], scores[c][inside].mean(), rtol=1e-6)


def test_regions_follow_a_colour_edge() -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    image[:, 20:] = 255
    regions = find_colour_regions(image, scale=50, min_area_px=20)
    assert not set(regions[:, :17].ravel()) & set(regions[:, 23:].ravel())
    assert regions.min() == 0


def test_resizing_keeps_a_constant_and_its_own_size() -> None:
    maps = RNG.random((2, 5, 7)).astype(np.float32)
    np.testing.assert_array_equal(resize_maps(maps, (5, 7)), maps)
    assert (resize_maps(np.full((1, 3, 3), 0.25, np.float32), (9, 10)) == 0.25).all()


def test_shapes_that_differ_are_an_error() -> None:
    maps, candidates = np.zeros((2, 3, 4), np.float32), np.zeros((2, 3, 5), bool)
    for normalise in (normalise_logits, normalise_cams):
        with pytest.raises(ValueError, match=r"\(2, 3, 4\).*\(2, 3, 5\)"):
            normalise(maps, candidates)
    with pytest.raises(ValueError, match="differ in size"):
        pool_over_regions(maps, candidates[0].astype(int))
