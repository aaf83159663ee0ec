"""GrabCut in a box: a clear object, degenerate boxes, determinism."""

from __future__ import annotations

import numpy as np
import pytest

from pseudogt.box_masks.grabcut import segment_by_grabcut, smooth_regions
from pseudogt.box_masks.scene import IS_OTHER, IS_THING, UNCERTAIN
from pseudogt.boxes import measure_box_radius, measure_thing_radius


@pytest.fixture
def scene():
    """A noisy red rectangle of 40x30 with a corner missing, on noisy green."""
    rng = np.random.default_rng(0)
    mask = np.zeros((80, 100), bool)
    mask[20:50, 30:70] = True
    mask[20:32, 30:44] = False
    image = np.where(mask[..., None], [200, 40, 40], [40, 160, 40]) + rng.integers(-20, 20, (80, 100, 3))
    return image.astype(np.uint8), mask, [30, 20, 70, 50]


def test_finds_the_object_better_than_box_or_ellipse(scene):
    image, mask, box = scene
    truth = mask[20:50, 30:70]
    found = segment_by_grabcut(image, box)
    iou = (found & truth).sum() / (found | truth).sum()
    assert iou > 0.95
    assert iou > truth.mean()


def test_equal_input_gives_equal_output():
    noise = np.random.default_rng(1).integers(0, 255, (80, 100, 3)).astype(np.uint8)
    first, *again = (segment_by_grabcut(noise, [20, 20, 70, 60]) for _ in range(4))
    for mask in again:
        np.testing.assert_array_equal(mask, first)


def test_large_boxes_are_cut_at_a_smaller_scale(scene):
    image, mask, box = scene
    large = np.repeat(np.repeat(image, 5, 0), 5, 1)
    found = segment_by_grabcut(large, [5 * v for v in box])
    truth = np.repeat(np.repeat(mask[20:50, 30:70], 5, 0), 5, 1)
    assert found.shape == truth.shape
    assert (found == truth).mean() > 0.95


@pytest.mark.parametrize("box", [[0, 0, 100, 80], [10, 10, 17, 60], [10, 10, 11, 11]])
def test_ellipse_where_there_is_nothing_to_learn(scene, box):
    ellipse = measure_thing_radius(box, scene[0].shape[:2]) <= 1
    np.testing.assert_array_equal(segment_by_grabcut(scene[0], box), ellipse)


def test_uniform_image_gives_something_with_the_core():
    found = segment_by_grabcut(np.full((60, 60, 3), 90, np.uint8), [10, 10, 40, 50])
    assert found[measure_box_radius(40, 30) <= 0.5].all()


def test_restarts_take_the_majority(scene):
    image, mask, box = scene
    found = segment_by_grabcut(image, box, restarts=3)
    truth = mask[20:50, 30:70]
    assert (found & truth).sum() > 0.95 * (found | truth).sum()


def test_a_prior_decides_where_colours_cannot():
    """Two halves that both differ from the ground: the cut ends with the one that the prior names."""
    rng = np.random.default_rng(0)
    image = rng.integers(80, 120, (60, 80, 3)).astype(np.uint8)
    image[10:50, 20:40, 0] += 80
    image[10:50, 40:60, 2] += 80
    prior = np.zeros((60, 80), np.float32)
    prior[:, :40] = 1
    left = segment_by_grabcut(image, [20, 10, 60, 50], prior=prior, core_radius=0.1)
    assert left[:, :20].mean() > left[:, 20:].mean() + 0.3


def test_smoothing_evens_regions_and_keeps_their_means(scene):
    image, _, _ = scene
    regions = np.repeat(np.arange(2, dtype=np.int32), 50)[None].repeat(80, 0)
    smooth = smooth_regions(image, regions)
    assert smooth[:, :50].std((0, 1)).max() < 0.3 * image[:, :50].std((0, 1)).max()
    np.testing.assert_allclose(smooth[:, :50].mean((0, 1)), image[:, :50].mean((0, 1)), atol=0.6)
    np.testing.assert_array_equal(smooth_regions(image, regions, share=0), image)


@pytest.mark.parametrize("box", [[5, 5, 5, 9], [9, 5, 5, 9], [-1, 0, 5, 5], [90, 0, 101, 5]])
def test_bad_boxes(scene, box):
    with pytest.raises(ValueError, match="inverted, empty or outside"):
        segment_by_grabcut(scene[0], box)


def test_labelled_pixels_seed_the_cut(scene):
    """A blue half in the box: the core takes it in, a point of another class in it leaves it out."""
    image, _, box = scene
    noise = np.random.default_rng(1).integers(-20, 20, (30, 20, 3))
    image[20:50, 50:70] = (np.array([40, 40, 200]) + noise).clip(0, 255)
    certain = np.full(image.shape[:2], UNCERTAIN, np.int8)
    whole = segment_by_grabcut(image, box)
    np.testing.assert_array_equal(segment_by_grabcut(image, box, certain=certain), whole)
    certain[24:46, 51:69] = IS_OTHER
    certain[34:37, 40:43] = IS_THING
    seeded = segment_by_grabcut(image, box, certain=certain)
    assert whole[:, 22:].mean() > 0.6 and seeded[:, 22:].mean() < 0.1
    assert seeded[14:17, 10:13].all()
