"""Evidence in boxes: GrabCut as JTSM uses it against a direct call, segments, and the memory of both."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest

from pseudogt.box_masks.evidence import BoxMask, EvidenceCache, segment_by_plain_grabcut, take_segment
from pseudogt.proposals.members import Members


def make_scene(shape=(200, 400)):
    rng = np.random.default_rng(0)
    image = np.full((*shape, 3), (60, 140, 60))
    image[60:140, 120:260] = (200, 50, 40)
    return (image + rng.integers(-15, 16, image.shape)).astype(np.uint8)


def test_equals_a_direct_call_at_400_pixels():
    image, box = make_scene(), [110, 50, 270, 150]
    states = np.zeros(image.shape[:2], np.uint8)
    cv2.setRNGSeed(0)
    cv2.grabCut(image, states, (110, 50, 160, 100), np.zeros((1, 65)), np.zeros((1, 65)), 5, cv2.GC_INIT_WITH_RECT)
    found = segment_by_plain_grabcut(image, box)
    assert found.origin_xy == (110, 50)
    np.testing.assert_array_equal(found.mask, (states & 1).astype(bool)[50:150, 110:270])


def test_other_sizes_are_brought_to_400_pixels():
    image = make_scene()
    half = cv2.resize(image, (200, 100), interpolation=cv2.INTER_AREA)
    found = segment_by_plain_grabcut(half, [55, 25, 135, 75])
    truth = np.zeros((50, 80), bool)
    truth[5:45, 5:75] = True
    assert (found.mask == truth).mean() > 0.92


@pytest.mark.parametrize("box", [[7, 7, 8, 8], [0, 0, 400, 200]])
def test_boxes_too_small_or_as_large_as_the_image(box):
    found = segment_by_plain_grabcut(make_scene(), box)
    assert found.mask.shape == (box[3] - box[1], box[2] - box[0])
    assert found.mask.any()
    if box[2] == 8:
        assert found.mask.all()


def test_a_box_of_which_nothing_is_left_counts_as_a_whole(monkeypatch):
    monkeypatch.setattr(cv2, "grabCut", lambda image, states, *_: states.fill(cv2.GC_PR_BGD))
    found = segment_by_plain_grabcut(make_scene(), [10, 20, 40, 60])
    assert found.mask.shape == (40, 30) and found.mask.all()


def test_bad_boxes():
    with pytest.raises(ValueError, match="inverted, empty or outside"):
        segment_by_plain_grabcut(make_scene(), [5, 5, 5, 9])


def test_a_segment_is_cut_from_its_superpixels():
    superpixels = np.arange(12, dtype=np.int32).reshape(3, 4)
    members = Members.from_lists([np.array([0]), np.array([5, 6, 11])])
    found = take_segment(superpixels, members, 1, [1, 1, 4, 3])
    assert found.origin_xy == (1, 1)
    assert found.mask.tolist() == [[True, True, False], [False, False, True]]


def test_masks_are_computed_once_and_forgotten_when_memory_is_short():
    asked, lock = [], threading.Lock()

    def compute(image, row):
        with lock:
            asked.append((image, row))
        return BoxMask((image, row), np.arange(80).reshape(8, 10) % (row + 2) == 0)

    cache = EvidenceCache(compute, capacity_gb=1, workers=2)
    keys = [(0, 1), (0, 2), (0, 1), (3, 1)]
    for _ in range(2):
        for key, mask in zip(keys, cache.find_masks(keys), strict=True):
            expected = compute(*key)
            asked.pop()
            assert mask.origin_xy == key
            np.testing.assert_array_equal(mask.mask, expected.mask)
    assert sorted(asked) == [(0, 1), (0, 2), (3, 1)]

    small = EvidenceCache(compute, capacity_gb=25 / 2**30, workers=1)  # room for two masks of ten bytes
    asked.clear()
    small.find_masks([(0, 0), (0, 1)])
    small.find_masks([(0, 0)])
    small.find_masks([(0, 2)])
    assert asked == [(0, 0), (0, 1), (0, 2)]
    small.find_masks([(0, 0)])
    assert asked[3:] == []
    small.find_masks([(0, 1)])
    assert asked[3:] == [(0, 1)]
