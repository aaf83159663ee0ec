"""The tag classifier: pooling, losses, sizes, model files."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.classifier.losses import (
    RING_SHARE,
    candidate_map_loss,
    keep_candidates,
    marked_cell_loss,
    presence_loss,
    region_tag_loss,
    ring_loss,
)
from models.classifier.model import ClassifierModel
from models.classifier.network import build_tag_classifier, pool_regions, resize_for_classifier
from pseudogt.classes import IGNORE_LABEL, ClassTable

CLASSES = ClassTable(("road", "car"), (1, 2), (False, True), ((0, 0, 0), (9, 9, 9)))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 5.0])
def test_pooling_equals_a_loop_over_regions(sharpness: float) -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 5, 7) * 4
    rows, columns = torch.rand(2, 4, 5) < 0.6, torch.rand(2, 4, 7) < 0.6
    rows[..., 0] = columns[..., 0] = True
    got = pool_regions(logits, rows, columns, sharpness)
    for b in range(2):
        for g in range(4):
            inside = logits[b][:, rows[b, g]][:, :, columns[b, g]].flatten(1)
            expected = ((inside * sharpness).exp().mean(1)).log() / sharpness
            torch.testing.assert_close(got[b, g], expected, atol=1e-4, rtol=1e-4)


def test_sharpness_moves_pooling_from_the_mean_to_the_maximum() -> None:
    logits = torch.tensor([0.0, 1.0, 4.0, -2.0]).reshape(1, 1, 2, 2)
    whole = torch.ones(1, 1, 2, dtype=torch.bool)
    scores = [float(pool_regions(logits, whole, whole, s)) for s in (0.001, 0.1, 1, 10, 100)]
    assert scores == sorted(scores)
    assert scores[0] == pytest.approx(0.75, abs=0.01) and scores[-1] == pytest.approx(4, abs=0.02)


def test_an_empty_region_is_finite_and_without_gradient() -> None:
    logits = torch.randn(1, 2, 3, 3, requires_grad=True)
    nowhere = torch.zeros(1, 1, 3, dtype=torch.bool)
    scores = pool_regions(logits, nowhere, nowhere, 1.0)
    scores.sum().backward()
    assert torch.isfinite(scores).all() and not logits.grad.any()


def test_marked_cells_weigh_by_class_and_others_not_at_all() -> None:
    logits = torch.randn(2, 3, 4, 5, requires_grad=True)
    marked = torch.full((2, 4, 5), IGNORE_LABEL, dtype=torch.uint8)
    marked[0, 0, :3], marked[1, 2, 2] = 1, 2
    loss = marked_cell_loss(logits.log_softmax(1), marked)
    expected = -logits.log_softmax(1)
    torch.testing.assert_close(loss, (expected[0, 1, 0, :3].mean() + expected[1, 2, 2, 2]) / 2)
    loss.backward()
    assert logits.grad is not None
    assert ((logits.grad != 0).any(1) == (marked != IGNORE_LABEL)).all()
    assert marked_cell_loss(logits.log_softmax(1), torch.full_like(marked, IGNORE_LABEL)) == 0


def make_rings(class_in_ring: int) -> torch.Tensor:
    rings = torch.full((1, 8, 8), IGNORE_LABEL, dtype=torch.uint8)
    rings[0, :3] = class_in_ring
    return rings


def test_ring_loss_is_the_divergence_from_the_allowed_share() -> None:
    probability = torch.tensor([0.3, 0.5, 0.2])[None, :, None, None].expand(1, 3, 8, 8)
    weights = torch.tensor([0.0, 0.25, 1.0])
    expected = 0.25 * torch.distributions.kl_divergence(
        torch.distributions.Bernoulli(torch.tensor(RING_SHARE)), torch.distributions.Bernoulli(torch.tensor(0.5))
    )
    torch.testing.assert_close(ring_loss(probability.log(), make_rings(1), weights), expected)
    assert ring_loss(probability.log(), make_rings(0), weights) == 0
    # Mean over the rings of both classes.
    both = make_rings(1)
    both[0, 3:6] = 2
    assert 0 < ring_loss(probability.log(), both, weights) < expected


def test_ring_loss_is_zero_within_the_allowed_share_and_pushes_only_the_class_of_the_ring() -> None:
    logits = torch.zeros(1, 3, 8, 8, requires_grad=True)
    ring_loss(logits.log_softmax(1), make_rings(1), torch.ones(3)).backward()
    assert logits.grad is not None
    assert (logits.grad[0, 1, :3] > 0).all() and (logits.grad[0, [0, 2], :3] < 0).all()
    assert not logits.grad[0, :, 3:].any()
    rare = torch.tensor([4.0, 0.0, 4.0])[None, :, None, None].expand(1, 3, 8, 8).log_softmax(1)
    assert ring_loss(rare, make_rings(1), torch.ones(3)) == 0


def test_a_ring_of_few_cells_says_nothing() -> None:
    rings = torch.full((1, 8, 8), IGNORE_LABEL, dtype=torch.uint8)
    rings[0, :2] = 1
    assert ring_loss(torch.zeros(1, 3, 8, 8).log_softmax(1), rings, torch.ones(3)) == 0


def test_tag_loss_weighs_presence_and_absence_alike() -> None:
    scores = torch.tensor([[[2.0], [-1.0], [0.5], [0.5]]])
    tags = torch.tensor([[[True], [False], [False], [False]]])
    softplus = torch.nn.functional.softplus
    absent = softplus(torch.tensor([-1.0, 0.5, 0.5])).mean()
    expected = (softplus(torch.tensor(-2.0)) + absent) / 2
    torch.testing.assert_close(region_tag_loss(scores, tags, torch.ones_like(tags)), expected)


def test_what_is_not_known_about_a_region_has_no_gradient() -> None:
    scores = torch.randn(1, 3, 2, requires_grad=True)
    tags, known = torch.rand(1, 3, 2) < 0.5, torch.rand(1, 3, 2) < 0.5
    region_tag_loss(scores, tags, known).backward()
    assert not scores.grad[~known].any() and scores.grad[known].all()
    assert region_tag_loss(scores, tags, torch.zeros_like(tags)).item() == 0


def test_candidate_loss_is_the_negative_log_of_the_candidates_together() -> None:
    log_probabilities = torch.randn(1, 3, 1, 2).log_softmax(1)
    candidates = torch.tensor([[True, False], [True, False], [False, False]])[None, :, None]
    expected = -log_probabilities[0, :2, 0, 0].exp().sum().log()
    torch.testing.assert_close(candidate_map_loss(log_probabilities, candidates), expected)


def test_presence_is_the_generalised_mean_of_the_candidates_probabilities() -> None:
    log_probabilities = torch.randn(1, 2, 4, 4).log_softmax(1)
    candidates = torch.ones(1, 2, 4, 4, dtype=torch.bool)
    candidates[:, 0, :2] = False
    whole = torch.ones(1, 1, 4, dtype=torch.bool)
    pooled = pool_regions(keep_candidates(log_probabilities, candidates), whole, whole, 4.0)
    mean = (log_probabilities.exp() * candidates).pow(4).mean((-2, -1)) ** 0.25
    torch.testing.assert_close(pooled[0].exp(), mean, atol=1e-5, rtol=1e-4)
    tags = torch.tensor([[[True, False]]])
    torch.testing.assert_close(presence_loss(pooled, tags), -mean[0, 0].log(), atol=1e-5, rtol=1e-4)
    assert float(presence_loss(pooled, torch.zeros_like(tags))) == 0


def test_cells_without_candidates_or_with_all_have_no_gradient() -> None:
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    candidates = torch.zeros(1, 3, 2, 2, dtype=torch.bool)
    candidates[..., 0, 0] = True
    candidate_map_loss(logits.log_softmax(1), candidates).backward()
    torch.testing.assert_close(logits.grad, torch.zeros_like(logits), atol=1e-6, rtol=0)
    assert candidate_map_loss(logits.log_softmax(1), torch.zeros_like(candidates)).item() == 0


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(32, 48), (33, 50)])
def test_scores_have_a_quarter_of_the_image_size(levels: int, size: tuple[int, int]) -> None:
    network = build_tag_classifier(backbone="small", class_count=3, levels=levels, channels=8).eval()
    with torch.inference_mode():
        logits = network(torch.rand(1, 3, *size) * 255)
    assert logits.shape == (1, 3, -(-size[0] // 4), -(-size[1] // 4))


@pytest.mark.parametrize(("scale", "size"), [(1.0, (24, 32)), (0.5, (12, 16)), (2.0, (44, 60))])
def test_images_become_multiples_of_the_stride(scale: float, size: tuple[int, int]) -> None:
    image = np.full((22, 30, 3), 7, np.uint8)
    resized = resize_for_classifier(image, scale)
    assert resized.shape[:2] == size and resized.dtype == np.uint8 and (resized == 7).all()


def test_a_model_file_gives_the_same_scores_again(tmp_path: Path) -> None:
    architecture = {"backbone": "small", "class_count": 2, "levels": 2, "channels": 8}
    network = build_tag_classifier(**architecture).eval()
    ClassifierModel(network, architecture, CLASSES, {"steps": 3}, 0.5, 2.0).save(tmp_path / "model.pt")
    loaded = ClassifierModel.load(tmp_path / "model.pt")
    images = torch.rand(1, 3, 32, 32) * 255
    with torch.inference_mode():
        torch.testing.assert_close(loaded.network(images), network(images), atol=0, rtol=0)
    assert loaded.classes == CLASSES and (loaded.scale, loaded.sharpness) == (0.5, 2.0)
