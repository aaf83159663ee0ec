"""Contours: the matching rule against scipy's, thinning, scores, the network, its training command."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from models.pretrained.contours import ContourModel, ContourNetwork, compute_contour_loss, save_contours
from models.pretraining.contours import main as train_contours
from pseudogt.files.images import write_png
from pseudogt.metrics.contours import count_contours, find_label_changes, score_contours, thin_contours


def test_label_changes():
    labels = np.array([[1, 1, 2], [1, 1, 1], [3, 1, 1]])
    np.testing.assert_array_equal(find_label_changes(labels), [[0, 1, 1], [1, 0, 0], [1, 0, 0]])


@pytest.mark.parametrize("seed", range(4))
def test_counts_are_those_of_largest_matchings(seed):
    rng = np.random.default_rng(seed)
    thinned = np.where(rng.random((30, 30)) < 0.3, rng.random((30, 30)), 0).astype(np.float32)
    drawn = [rng.random((30, 30)) < share for share in (0.1, 0.25)]
    thresholds = np.array([0.2, 0.5, 0.8])
    counts = count_contours(thinned, drawn, thresholds=thresholds, max_distance=2 / np.hypot(30, 30))
    for k, threshold in enumerate(thresholds):
        found = np.argwhere(thinned >= threshold)
        matched = 0
        for borders in drawn:
            near = ((found[:, None] - np.argwhere(borders)) ** 2).sum(-1) <= 4
            matched += (maximum_bipartite_matching(csr_matrix(near), perm_type="column") >= 0).sum()
        assert counts.found[k] == len(found)
        assert counts.drawn_matched[k] == matched
        assert counts.drawn[k] == sum(borders.sum() for borders in drawn)
        assert matched / 2 <= counts.found_matched[k] <= matched


def test_perfect_contours_have_f_one_and_shifted_ones_fail():
    borders = np.zeros((100, 100), bool)
    borders[:, 50] = True
    at, beyond = (np.roll(borders, shift, 1).astype(np.float32) for shift in (1, 2))
    assert score_contours([count_contours(at, [borders, borders])]).ods == 1  # 0.0075 of the diagonal is 1.06 px
    assert score_contours([count_contours(beyond, [borders])]).ods == 0
    with pytest.raises(ValueError, match="no image"):
        score_contours([])
    with pytest.raises(ValueError, match="shape"):
        count_contours(at, [borders[1:]])


def test_ods_takes_one_threshold_and_ois_each_images_best():
    borders = np.zeros((40, 40), bool)
    borders[:, 20] = True
    strong, weak = np.zeros((40, 40), np.float32), np.zeros((40, 40), np.float32)
    strong[:, 20], strong[:, 10] = 0.9, 0.5
    weak[:, 20], weak[:, 10] = 0.4, 0.2
    scores = score_contours([count_contours(each, [borders]) for each in (strong, weak)])
    assert scores.ois == 1
    assert scores.ods == pytest.approx(2 * (80 / 120) / (1 + 80 / 120))


def test_ridges_are_thinned_to_one_pixel():
    x = np.arange(60)
    strength = np.tile(np.exp(-((x - 30) ** 2) / 18), (50, 1)).astype(np.float32)
    thinned = thin_contours(strength)
    np.testing.assert_array_equal(np.flatnonzero((thinned[10:40] > 0.3).any(0)), [30])
    assert (thinned[:, 30] == strength[:, 30]).all()


@pytest.mark.parametrize("shape", [(1, 1), (33, 64), (50, 31)])
def test_network_takes_any_size_and_its_file_keeps_it(tmp_path, shape):
    torch.manual_seed(0)
    network = ContourNetwork(widths=(4, 4, 8, 8, 8))
    save_contours(tmp_path / "m.pt", network, (4, 4, 8, 8, 8))
    model = ContourModel.load(tmp_path / "m.pt")
    image = np.random.default_rng(0).integers(0, 255, (*shape, 3)).astype(np.uint8)
    found = model.find_contours(image)
    assert found.shape == shape and found.dtype == np.float32
    assert found.min() >= 0 and found.max() <= 1
    np.testing.assert_allclose(found, ContourModel(network).find_contours(image), atol=0.02)


def test_unknown_pixels_have_no_gradient():
    logits = torch.zeros(1, 2, 2, requires_grad=True)
    compute_contour_loss(logits, torch.tensor([[[1.0, 0.0], [-1.0, -1.0]]])).backward()
    assert (logits.grad[0, 1] == 0).all() and (logits.grad[0, 0] != 0).all()


def test_training_command_writes_a_model_that_loads(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.ones((48, 64), np.uint8)
    labels[10:30, 20:50] = 2
    image = np.where(labels[..., None] == 2, 200, 60) + rng.integers(-5, 6, (48, 64, 3))
    write_png(tmp_path / "images" / "a.jpg", image.astype(np.uint8))
    for k in range(2):
        write_png(tmp_path / "segs" / f"a_{k}.png", labels)
    (tmp_path / "train.txt").write_text("a\n")
    arguments = ["--data", str(tmp_path), "--out", str(tmp_path / "m.pt"), "--scratch", str(tmp_path / "scratch")]
    train_contours([*arguments, "--steps", "2", "--batch-size", "2"])
    assert ContourModel.load(tmp_path / "m.pt").find_contours(image.astype(np.uint8)).shape == (48, 64)
