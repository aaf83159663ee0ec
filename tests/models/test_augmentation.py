from dataclasses import replace

import numpy as np
import pytest
import torch

from models.augmentation import Augmentation, draw_affine, jitter_colours, warp_image, warp_map, warp_points
from models.segmenter.batches import FILL, PanopticSample, index_candidates, make_batch
from pseudogt.classes import IGNORE_LABEL

NONE = Augmentation(crop_size=(32, 64), zoom=(1, 1), flip=0, colour=0)


@pytest.fixture
def sample():
    rng = np.random.default_rng(0)
    instance = np.zeros((32, 64), np.int16)
    instance[10:14, 40:44] = 1
    return PanopticSample(
        image=rng.integers(0, 256, (32, 64, 3), dtype=np.uint8),
        semantic=rng.integers(0, 3, (32, 64), dtype=np.uint8),
        instance=instance,
        candidate_set=np.zeros((32, 64), np.uint8),
        centres_yx=np.array([[11.5, 41.5]], np.float32),
        sizes=np.array([4.0], np.float32),
        candidates=np.zeros((1, 3), bool),
    )


def test_no_augmentation_changes_nothing(sample):
    batch = make_batch([sample], NONE, np.random.default_rng(0))
    assert np.array_equal(batch["images"][0].permute(1, 2, 0), sample.image)
    for name in FILL:
        assert np.array_equal(batch[name][0], getattr(sample, name))
    assert np.array_equal(batch["centres_yx"][0], sample.centres_yx)


def test_flip_mirrors_image_maps_and_points(sample):
    affine = draw_affine((32, 64), Augmentation((32, 64), (1, 1), flip=1, colour=0), np.random.default_rng(0))
    assert np.array_equal(warp_image(sample.image, affine, (32, 64)), sample.image[:, ::-1])
    assert np.array_equal(warp_map(sample.semantic, affine, (32, 64), 255), sample.semantic[:, ::-1])
    assert warp_points(sample.centres_yx, affine).tolist() == [[11.5, 63 - 41.5]]


@pytest.mark.parametrize("seed", range(20))
def test_points_move_with_the_pixels(sample, seed):
    """The mean position of a warped patch is where its centre was moved to."""
    affine = draw_affine((32, 64), Augmentation((96, 160), (0.5, 2), 0.5, 0), np.random.default_rng(seed))
    middle = np.argwhere(warp_map(sample.instance, affine, (96, 160), -1) == 1).mean(0)
    np.testing.assert_allclose(warp_points(sample.centres_yx, affine)[0], middle, atol=0.6)


def test_outside_of_the_image_nothing_is_known(sample):
    wide = Augmentation((64, 128), (1, 1), 0, 0)
    batch = make_batch([sample], wide, np.random.default_rng(0))
    outside = np.all([batch[name][0].numpy() == fill for name, fill in FILL.items()], axis=0)
    assert outside.sum() == 64 * 128 - 32 * 64
    assert batch["semantic"].max() == IGNORE_LABEL


def test_maps_travel_in_the_smallest_types_that_hold_all_samples(sample):
    many = replace(sample, candidate_set=np.full((32, 64), 300, np.int16))
    types = {name: values.dtype for name, values in make_batch([sample] * 2, NONE, np.random.default_rng(0)).items()}
    assert [types[name] for name in FILL] == [torch.uint8, torch.int16, torch.uint8]
    mixed = make_batch([sample, many], NONE, np.random.default_rng(0))
    assert mixed["candidate_set"].amax((1, 2)).tolist() == [0, 300]


def test_batches_are_functions_of_the_generator(sample):
    strong = Augmentation((32, 32), (0.5, 2), 0.5, 0.5)
    first, again, other = (make_batch([sample] * 2, strong, np.random.default_rng(s)) for s in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["images"], other["images"])


def test_samples_with_different_numbers_of_instances_share_a_batch(sample):
    empty = replace(
        sample,
        centres_yx=np.zeros((0, 2), np.float32),
        sizes=np.zeros(0, np.float32),
        candidates=np.zeros((5, 3), bool),
    )
    batch = make_batch([sample, empty], NONE, np.random.default_rng(0))
    assert batch["sizes"].tolist() == [[4.0], [0.0]]
    assert batch["candidates"].shape == (2, 5, 3)


def test_colour_factors_of_one_change_nothing():
    images = torch.randint(0, 256, (2, 3, 4, 4)).float()
    torch.testing.assert_close(jitter_colours(images, torch.ones(2, 3)), images)


def test_saturation_zero_is_grey():
    grey = jitter_colours(torch.rand(1, 3, 4, 4) * 255, torch.tensor([[1.0, 1.0, 0.0]]))
    torch.testing.assert_close(grey[:, 0], grey[:, 1])


def test_candidate_sets_are_numbered_without_loss():
    rng = np.random.default_rng(0)
    candidates = rng.random((19, 12, 10)) < 0.5
    candidates[:, :, 5:] = candidates[:, :, :5]
    semantic = rng.choice(np.array([3, IGNORE_LABEL], np.uint8), (12, 10))
    index, sets = index_candidates(candidates, semantic)
    unknown = semantic == IGNORE_LABEL
    assert np.array_equal(sets[index[unknown]], candidates[:, unknown].T)
    assert (index[~unknown] == 0).all()
    assert not sets[0].any()
    assert len(np.unique(sets[1:], axis=0)) == len(sets) - 1
