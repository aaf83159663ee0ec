"""Boxes segmented by regions: a clear object, a leaking background, degenerate boxes."""

from __future__ import annotations

import numpy as np
import pytest

from pseudogt.box_masks.hierarchy import build_hierarchy, segment_by_hierarchy


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:80, :100]
    mask = ((x - 50) / 24) ** 2 + ((y - 40) / 16) ** 2 <= 1
    image = np.where(mask[..., None], [200, 60, 60], [60, 140, 60]) + rng.integers(-6, 6, (80, 100, 3))
    return image.astype(np.uint8), mask, [26, 24, 75, 57]


def test_the_background_in_the_corners_leaks_and_is_left_out(scene):
    image, mask, box = scene
    x0, y0, x1, y1 = box
    found, truth = segment_by_hierarchy(build_hierarchy(image), box), mask[y0:y1, x0:x1]
    iou = (found & truth).sum() / (found | truth).sum()
    assert iou > 0.9
    assert iou > truth.mean() + 0.05


def test_hierarchy_covers_the_image_and_areas_add_up(scene):
    hierarchy = build_hierarchy(scene[0])
    assert hierarchy.regions.shape == scene[0].shape[:2]
    assert hierarchy.areas[-1] == hierarchy.regions.size
    np.testing.assert_array_equal(
        hierarchy.areas[hierarchy.regions.ravel()].min(), np.bincount(hierarchy.regions.ravel()).min()
    )


@pytest.mark.parametrize("box", [[3, 4, 4, 5], [0, 0, 100, 80], [0, 0, 2, 80]])
def test_degenerate_boxes_give_a_mask_that_is_not_empty(scene, box):
    found = segment_by_hierarchy(build_hierarchy(scene[0]), box)
    assert found.shape == (box[3] - box[1], box[2] - box[0])
    assert found.any()


def test_uniform_image():
    found = segment_by_hierarchy(build_hierarchy(np.full((40, 50, 3), 90, np.uint8)), [10, 10, 30, 34])
    assert found.any()


@pytest.mark.parametrize("box", [[5, 5, 5, 9], [9, 5, 5, 9], [-1, 0, 5, 5], [90, 0, 101, 5]])
def test_bad_boxes(scene, box):
    with pytest.raises(ValueError, match="inverted, empty or outside"):
        segment_by_hierarchy(build_hierarchy(scene[0]), box)
