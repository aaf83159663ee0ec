"""How often an epoch has the images with full labels."""

import numpy as np
import pytest

from models.segmenter.training import repeat_full


@pytest.mark.parametrize(
    ("full_count", "count", "share", "copies"),
    [(1, 20, 0.5, 19), (4, 20, 0.5, 4), (10, 20, 0.5, 1), (15, 20, 0.5, 1), (3, 20, 0.75, 17), (1, 20, 0, 1)],
)
def test_images_with_full_labels_make_up_their_share(full_count, count, share, copies):
    full = np.arange(count) % count < full_count
    drawn = np.bincount(repeat_full(full, share), minlength=count)
    assert drawn[full].tolist() == [copies] * full_count
    assert drawn[~full].tolist() == [1] * (count - full_count)
    assert drawn[full].sum() / drawn.sum() >= share


@pytest.mark.parametrize("full", [np.zeros(4, bool), np.ones(4, bool)])
def test_where_all_labels_are_of_one_kind_each_image_is_drawn_once(full):
    assert repeat_full(full, 0.9).tolist() == [0, 1, 2, 3]
