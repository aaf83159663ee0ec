"""Evidence in boxes: GrabCut as JTSM uses it against OpenCV's, and segments."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pseudogt.evidence.grabcut import PlainGrabCut, split_edges, take_segment
from pseudogt.proposals.members import Members


def make_scene(shape=(200, 400)):
    rng = np.random.default_rng(0)
    image = np.full((*shape, 3), (60, 140, 60))
    image[60:140, 120:260] = (200, 50, 40)
    return (image + rng.integers(-15, 16, image.shape)).astype(np.uint8)


def cut_directly(image, box):
    """OpenCV's GrabCut in an image of 400 pixels."""
    x0, y0, x1, y1 = box
    states = np.zeros(image.shape[:2], np.uint8)
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(image, states, (x0, y0, x1 - x0, y1 - y0), *models, 5, cv2.GC_INIT_WITH_RECT)
    return (states & 1).astype(bool)[y0:y1, x0:x1]


@pytest.mark.parametrize("box", [(110, 50, 270, 150), (100, 0, 300, 200), (100, 30, 104, 33)])
def test_equals_opencv_at_400_pixels(box):
    image = make_scene()
    found = PlainGrabCut(image)(box)
    assert found.origin_xy == box[:2]
    expected = cut_directly(image, box)
    np.testing.assert_array_equal(found.mask, expected if expected.any() else ~expected)


def test_equals_opencv_on_smooth_noise_in_which_no_cut_is_obvious():
    noise = np.random.default_rng(3).integers(60, 180, (30, 40, 3)).astype(np.uint8)
    image = np.asarray(cv2.resize(noise, (400, 300), interpolation=cv2.INTER_CUBIC))
    image[60:200, 80:260, 0] += 50
    segment = PlainGrabCut(image)
    for box in ((70, 50, 270, 210), (75, 55, 265, 205)):
        expected = cut_directly(image, box)
        assert expected.any() and not expected.all()
        np.testing.assert_array_equal(segment(box).mask, expected)


def test_edges_that_leave_a_part_are_summed():
    capacity = np.arange(2 * 3 * 8, dtype=np.int32).reshape(2, 3, 8) + 1
    inner, leaving = split_edges(capacity)
    np.testing.assert_array_equal(inner.sum(2) + leaving, capacity.sum(2))
    # Of the upper left pixel, the neighbours to the right (4), below (6) and on the lower right (7) are inside.
    assert np.flatnonzero(inner[0, 0]).tolist() == [4, 6, 7]
    assert np.flatnonzero(inner[1, 1]).tolist() == [0, 1, 2, 3, 4]


def test_other_sizes_are_brought_to_400_pixels():
    image = make_scene()
    half = cv2.resize(image, (200, 100), interpolation=cv2.INTER_AREA)
    found = PlainGrabCut(half)([55, 25, 135, 75])
    truth = np.zeros((50, 80), bool)
    truth[5:45, 5:75] = True
    assert (found.mask == truth).mean() > 0.92


@pytest.mark.parametrize("box", [[7, 7, 8, 8], [0, 0, 400, 200]])
def test_boxes_too_small_or_as_large_as_the_image(box):
    found = PlainGrabCut(make_scene())(box)
    assert found.mask.shape == (box[3] - box[1], box[2] - box[0])
    assert found.mask.any()
    if box[2] == 8:
        assert found.mask.all()


def test_a_box_of_which_nothing_is_left_counts_as_a_whole(monkeypatch):
    monkeypatch.setattr(PlainGrabCut, "_cut", lambda _, sides, window: sides.fill(0))
    found = PlainGrabCut(make_scene())([10, 20, 40, 60])
    assert found.mask.shape == (40, 30) and found.mask.all()


def test_bad_boxes():
    with pytest.raises(ValueError, match="inverted, empty or outside"):
        PlainGrabCut(make_scene())([5, 5, 5, 9])


def test_a_segment_is_cut_from_its_superpixels():
    superpixels = np.arange(12, dtype=np.int32).reshape(3, 4)
    members = Members.from_lists([np.array([0]), np.array([5, 6, 11])])
    found = take_segment(superpixels, members, 1, [1, 1, 4, 3])
    assert found.origin_xy == (1, 1)
    assert found.mask.tolist() == [[True, True, False], [False, False, True]]
