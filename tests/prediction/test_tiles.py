from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pseudogt.classes import ClassTable
from pseudogt.prediction.bottom_up import decode_panoptic
from pseudogt.prediction.decoding import Decoding
from pseudogt.prediction.maps import MaskMaps, PanopticMaps
from pseudogt.prediction.passes import Pass, Passes, find_tiled, plan_pass, predict_images
from pseudogt.prediction.tiles import find_overlap, place_tiles, weigh_tiles

CLASSES = ClassTable(("road", "car"), (1, 2), (False, True), ((0, 0, 0),) * 2)
REACH_PX = 12
"""How far the network below sees around a pixel: less than the margin in which a tile does not count."""


def mean_around(values, reach):
    """Mean of ``(B, h, w)`` over a square of 2 reach + 1 cells, with zeros outside, as convolutions have them."""
    sums = np.pad(values, ((0, 0), (reach + 1, reach), (reach + 1, reach))).cumsum(1).cumsum(2)
    side = 2 * reach + 1
    return (sums[:, side:, side:] - sums[:, :-side, side:] - sums[:, side:, :-side] + sums[:, :-side, :-side]) / side**2


def run_bounded(images):
    """A network that sees no further than ``REACH_PX``; red is a car."""
    red = images[..., 0] / 255.0
    at2 = mean_around(red[:, ::2, ::2], REACH_PX // 2)
    at4 = mean_around(red[:, ::4, ::4], REACH_PX // 4)
    maps = np.stack([0.3 - at2, at2 - 0.3], 1), at4[:, None], np.stack([at4, 2 - at4], 1)
    return PanopticMaps(*(values.astype(np.float32) for values in maps))


def predict(image, **changes):
    passes = Passes(**{"scale": 1.0, "batch_size": 2, "flip": False} | changes)
    ((_, maps),) = predict_images(run_bounded, [image.shape[:2]], lambda _: image, passes)
    return maps


@given(st.integers(2, 40), st.integers(2, 40), st.sampled_from([2, 4, 32]))
def test_weights_of_overlapping_tiles_sum_to_one_everywhere(units, tile_units, stride):
    extent, tile = 32 * units, 32 * min(units, tile_units)
    starts, weights = place_tiles(extent, tile), weigh_tiles(extent, tile, stride)
    assert starts[0] == 0 and starts[-1] + tile == extent
    assert all(start % 32 == 0 for start in starts)
    if len(starts) > 1:
        assert np.diff(starts).min() > 0 and np.diff(starts).max() <= tile - find_overlap(tile)
    total = np.zeros(extent // stride)
    for start, weight in zip(starts, weights, strict=True):
        total[start // stride : (start + tile) // stride] += weight
    np.testing.assert_allclose(total, 1, atol=1e-6)


@pytest.mark.parametrize("tile_px", [256, 300])
@pytest.mark.parametrize("flip", [False, True])
def test_tiles_give_what_the_whole_image_gives_to_a_network_that_sees_less_than_their_overlap(tile_px, flip):
    image = np.random.default_rng(0).integers(0, 256, (640, 416, 3), np.uint8)
    whole, tiled = predict(image, flip=flip), predict(image, flip=flip, tile_px=tile_px)
    for a, b in zip(whole, tiled, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_tiles_of_a_network_that_sees_further_differ_only_where_tiles_overlap():
    image = np.random.default_rng(0).integers(0, 256, (64, 416, 3), np.uint8)
    whole, tiled = predict(image).semantic[0], predict(image, tile_px=128).semantic[0]
    overlaps = np.zeros(208, bool)
    for before, start in pairwise(place_tiles(416, 128)):
        overlaps[start // 2 : (before + 128) // 2] = True
    assert np.abs(whole - tiled)[:, overlaps].max() > 1e-4
    np.testing.assert_allclose(whole[:, ~overlaps], tiled[:, ~overlaps], atol=1e-5)


@pytest.mark.parametrize("size", [(64, 96), (256, 256), (640, 96), (512, 416)])
@pytest.mark.parametrize("flip", [False, True])
def test_a_network_for_one_size_gets_squares_and_its_maps_are_those_of_the_image(size, flip):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    sides = set()

    def run(images):
        sides.update(images.shape[1:3])
        return run_bounded(images)

    passes = Passes(1.0, batch_size=2, flip=flip, tile_px=64, max_pixels=1e4, only_px=256)
    ((_, found),) = predict_images(run, [size], lambda _: image, passes)
    assert sides == {256}
    for a, b in zip(found, predict(image, flip=flip), strict=True):
        assert a.shape == b.shape
        # Beyond the lower and right borders, the network sees the padding.
        seen = REACH_PX * a.shape[-1] // size[1]
        np.testing.assert_allclose(a[:, :-seen, :-seen], b[:, :-seen, :-seen], atol=1e-5)


def test_classes_of_queries_are_not_cropped():
    maps = MaskMaps(np.zeros((3, 16, 16)), np.zeros((1, 5, 4)), np.zeros((1, 5, 16, 16))).crop(0.5, 0.75)
    assert [values.shape for values in maps] == [(3, 8, 12), (1, 5, 4), (1, 5, 8, 12)]


def test_an_instance_on_the_border_of_two_tiles_is_one():
    starts = place_tiles(640, 256)
    borders = starts[1:] + [start + 256 for start in starts[:-1]]
    image = np.zeros((256, 640, 3), np.uint8)
    for border in borders:
        image[100:140, border - 20 : border + 20] = 255
    for maps in (predict(image), predict(image, tile_px=256)):
        decoded = decode_panoptic(maps, (256, 640), CLASSES, Decoding(0.3, 21, 0, 0))
        cars = {decoded.panoptic_id[120, border - 8] for border in borders}
        assert len(cars) == len(borders) and min(cars) > 2000
        for border in borders:
            assert len(np.unique(decoded.panoptic_id[105:135, border - 15 : border + 15])) == 1


class TestLayout:
    def test_an_image_that_fits_stays_whole(self):
        assert plan_pass((512, 1024), Passes(1, 8, False, max_pixels=8 * 512 * 1024)) == Pass((512, 1024), 8)

    def test_a_batch_that_does_not_fit_gets_smaller_first(self):
        assert plan_pass((512, 1024), Passes(1, 8, False, max_pixels=3.5 * 512 * 1024)) == Pass((512, 1024), 3)

    def test_an_image_that_does_not_fit_is_cut(self):
        assert plan_pass((2048, 1024), Passes(1, 8, False, max_pixels=1e6)) == Pass((992, 992), 1)

    def test_tiles_are_no_higher_than_the_image(self):
        assert plan_pass((96, 4096), Passes(1, 8, False, tile_px=500)) == Pass((96, 480), 8)

    def test_no_tile_is_smaller_than_two_multiples(self):
        assert plan_pass((512, 512), Passes(1, 8, False, max_pixels=100)) == Pass((64, 64), 1)

    def test_the_scaled_size_counts(self):
        passes = Passes(0.5, 8, False, tile_px=128)
        assert find_tiled([(256, 256), (64, 300), (512, 512), (600, 600)], passes) == {(32, 128): 1, (128, 128): 2}
