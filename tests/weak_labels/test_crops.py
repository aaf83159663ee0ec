from __future__ import annotations

import numpy as np
import pytest

from pseudogt.weak_labels.crops import crop_grid, paper_crop_grid


def test_paper_grid_is_the_one_of_the_specification():
    crops = paper_crop_grid(1024, 2048, 400, 500)
    assert sorted(set(crops[:, 0])) == [0, 387, 774, 1161, 1548]
    assert sorted(set(crops[:, 1])) == [0, 312, 624]
    assert crops[:4].tolist() == [[0, 0, 500, 400], [0, 312, 500, 712], [0, 624, 500, 1024], [387, 0, 887, 400]]


def test_both_grids_agree_on_cityscapes():
    np.testing.assert_array_equal(crop_grid(1024, 2048), paper_crop_grid(1024, 2048, 400, 500))


def test_paper_grid_leaves_the_last_columns_of_camvid_uncovered():
    assert paper_crop_grid(360, 480, 141, 118)[:, 2].max() < 480
    assert crop_grid(360, 480)[:, 2].max() == 480
    assert len(crop_grid(360, 480)) == 15


@pytest.mark.parametrize(("crop_height", "crop_width"), [(20, 10), (10, 30), (25, 40)])
def test_paper_grid_fails_on_a_single_tile(crop_height, crop_width):
    with pytest.raises(ValueError, match="two tiles"):
        paper_crop_grid(20, 30, crop_height, crop_width)


def test_single_tile_is_the_image():
    assert crop_grid(20, 30, 1, 1).tolist() == [[0, 0, 30, 20]]


@pytest.mark.parametrize("fraction", [0, -0.5, 1.5])
def test_fraction_outside_its_range(fraction):
    with pytest.raises(ValueError, match="fraction"):
        crop_grid(20, 30, fraction, 0.5)
