import pytest
import torch

from models.segmenter.losses import candidate_loss, centre_loss, compute_class_weights, offset_loss, semantic_loss
from pseudogt.classes import IGNORE_LABEL

EQUAL = torch.ones(4)


@pytest.fixture
def logits():
    return torch.randn(2, 4, 6, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)


@pytest.fixture
def semantic():
    values = torch.randint(0, 4, (2, 6, 5), generator=torch.Generator().manual_seed(1))
    values[0, :3] = IGNORE_LABEL
    return values


def test_semantic_loss_is_the_mean_over_labelled_pixels(logits, semantic):
    known = semantic != IGNORE_LABEL
    rows = logits.permute(0, 2, 3, 1)[known]
    expected = torch.stack([-row.log_softmax(0)[c] for row, c in zip(rows, semantic[known], strict=True)]).mean()
    torch.testing.assert_close(semantic_loss(logits, semantic, EQUAL), expected)


def test_ignored_pixels_give_exactly_zero_gradient(logits, semantic):
    semantic_loss(logits, semantic, EQUAL).backward()
    assert (logits.grad[0, :, :3] == 0).all()
    assert (logits.grad[0, :, 3:] != 0).all()


def test_all_ignored_gives_zero_and_no_gradient(logits):
    semantic = torch.full((2, 6, 5), IGNORE_LABEL)
    nothing = torch.zeros(2, 6, 5, dtype=torch.int64)
    candidates = torch.zeros(2, 1, 4, dtype=torch.bool)
    loss = semantic_loss(logits, semantic, EQUAL) + candidate_loss(logits, semantic, nothing, candidates)
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


def test_class_weights_are_those_of_cross_entropy(logits, semantic):
    weights = torch.tensor([0.5, 1.0, 2.0, 4.0])
    expected = torch.nn.functional.cross_entropy(logits, semantic, weight=weights, ignore_index=IGNORE_LABEL)
    torch.testing.assert_close(semantic_loss(logits, semantic, weights), expected)


def test_rare_classes_weigh_more_up_to_a_limit():
    pixels = torch.tensor([1000, 1000, 250, 0])
    assert compute_class_weights(pixels, 0.0).tolist() == [1, 1, 1, 1]
    torch.testing.assert_close(compute_class_weights(pixels, 1.0), torch.tensor([0.75, 0.75, 3.0, 10.0]))
    torch.testing.assert_close(compute_class_weights(pixels, 0.5)[2], torch.tensor(3.0).sqrt())


def test_candidate_loss_of_one_class_is_cross_entropy(logits, semantic):
    unlabelled = torch.full_like(semantic, IGNORE_LABEL)
    truth = torch.where(semantic == IGNORE_LABEL, 0, semantic)
    candidates = torch.eye(4, dtype=torch.bool).expand(2, 4, 4)
    torch.testing.assert_close(
        candidate_loss(logits, unlabelled, truth, candidates), semantic_loss(logits, truth, EQUAL)
    )


def test_candidate_loss_of_two_classes_is_minus_log_of_their_sum(logits):
    unlabelled = torch.full((2, 6, 5), IGNORE_LABEL)
    candidates = torch.tensor([[[False, True, False, True]]]).expand(2, 1, 4)
    expected = -logits.softmax(1)[:, [1, 3]].sum(1).log().mean()
    found = candidate_loss(logits, unlabelled, torch.zeros_like(unlabelled), candidates)
    torch.testing.assert_close(found, expected)


def test_labelled_pixels_and_sets_that_say_nothing_do_not_count(logits, semantic):
    candidates = torch.tensor([[[False] * 4, [True] * 4]]).expand(2, 2, 4)
    candidate_set = torch.zeros_like(semantic)
    candidate_set[..., :2] = 1
    loss = candidate_loss(logits, semantic, candidate_set, candidates)
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


def test_centre_and_offset_losses_see_only_weighted_cells():
    heatmap, offset = torch.rand(1, 1, 4, 4, requires_grad=True), torch.rand(1, 2, 4, 4, requires_grad=True)
    weight = torch.zeros(1, 1, 4, 4)
    assert centre_loss(heatmap, torch.zeros(1, 1, 4, 4), weight).item() == 0
    weight[..., 0, 0] = 1
    centre = centre_loss(heatmap, torch.ones(1, 1, 4, 4), weight)
    torch.testing.assert_close(centre, (heatmap[0, 0, 0, 0] - 1) ** 2)
    (centre + offset_loss(offset, torch.ones(1, 2, 4, 4), weight)).backward()
    assert (heatmap.grad.flatten()[1:] == 0).all()
    assert (offset.grad.flatten(2)[..., 1:] == 0).all()
    assert (offset.grad[..., 0, 0] != 0).all()
