import pytest
import torch

from models.segmenter.mask_loss import MaskLoss, choose_pixels, number_known_segments, sample_logits
from models.segmenter.mask_output import MaskOutput, add_up_scores
from pseudogt.classes import IGNORE_LABEL

ROAD, SKY, CAR = range(3)
LOSS = MaskLoss(
    class_weights=torch.ones(3),
    candidate_weight=0.3,
    query_weight=2.0,
    mask_weight=5.0,
    dice_weight=5.0,
    nothing_weight=0.1,
    mask_points=64,
)


def make_batch():
    """A sky over a road with two cars, a crowd of cars, and pixels without a label in the first image."""
    semantic = torch.full((2, 8, 12), ROAD, dtype=torch.uint8)
    semantic[:, :3] = SKY
    instance = torch.zeros(2, 8, 12, dtype=torch.int16)
    for k, columns in enumerate((slice(1, 4), slice(6, 9))):
        semantic[:, 4:7, columns] = CAR
        instance[:, 4:7, columns] = k + 1
    semantic[0, 4:, 10:], instance[0, 4:, 10:] = CAR, -1
    semantic[0, :2], instance[0, :2] = IGNORE_LABEL, -1
    return {
        "semantic": semantic,
        "instance": instance,
        "candidate_set": torch.zeros(2, 8, 12, dtype=torch.uint8),
        "candidates": torch.zeros(2, 1, 3, dtype=torch.bool),
    }


def make_output(seed=0, queries=6, layers=2):
    """Random predictions at the size of the image, so that each logit belongs to one pixel."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randn(2, layers, queries, 4, generator=generator).requires_grad_()
    masks = torch.randn(2, layers, queries, 8, 12, generator=generator).requires_grad_()
    return MaskOutput(add_up_scores(classes[:, -1], masks[:, -1]), classes, masks)


def compare(output, batch, *, sample=True, loss=LOSS):
    torch.manual_seed(0)
    return loss.compare(output, batch, sample=sample)


def test_segments_are_stuff_classes_and_instances_and_nothing_unknown():
    batch = make_batch()
    segments = number_known_segments(batch["semantic"][0].long(), batch["instance"][0])
    assert segments.classes.tolist() == [ROAD, SKY, CAR, CAR]
    unknown = torch.zeros(8, 12, dtype=torch.bool)
    unknown[:2], unknown[4:, 10:] = True, True
    assert torch.equal(segments.rows < 0, unknown)
    assert (segments.rows[4:7, 1:4] == 2).all() and (segments.rows[4:7, 6:9] == 3).all()


@pytest.mark.parametrize("sample", [True, False])
def test_ignored_pixels_give_exactly_zero_gradient(sample):
    output = make_output()
    sum(compare(output, make_batch(), sample=sample).values()).backward()
    assert (output.masks.grad[0, :, :, :2] == 0).all()
    assert (output.masks.grad[0, -1, :, 2:] != 0).all()
    assert (output.classes.grad != 0).any()


def test_crowds_train_the_class_of_their_pixels_but_no_mask():
    output = make_output()
    losses = compare(output, make_batch())
    masks = losses["mask"] + losses["dice"] + losses["query"]
    (found,) = torch.autograd.grad(masks, output.masks, retain_graph=True)
    assert (found[0, :, :, 4:, 10:] == 0).all() and (found[1, :, :, 4:, 10:] != 0).any()
    (found,) = torch.autograd.grad(losses["semantic"], output.masks)
    assert (found[0, -1, :, 4:, 10:] != 0).all()


def test_candidate_sets_raise_the_scores_of_their_classes():
    batch = make_batch()
    batch["candidates"] = torch.tensor([[[False] * 3, [True, False, True]]]).expand(2, 2, 3)
    batch["candidate_set"][0, :2] = 1
    output = make_output()
    probabilities = output.semantic.softmax(1)[0, :, :2]
    expected = -0.3 * (probabilities[ROAD] + probabilities[CAR]).log().mean()
    losses = compare(output, batch)
    torch.testing.assert_close(losses["candidates"], expected)
    losses["candidates"].backward()
    assert (output.masks.grad[0, -1, :, :2] != 0).all() and (output.masks.grad[0, -1, :, 2:] == 0).all()


def test_images_without_labels_give_zero_and_no_gradient():
    batch = make_batch()
    batch["semantic"][:], batch["instance"][:] = IGNORE_LABEL, -1
    output = make_output()
    total = sum(compare(output, batch).values())
    total.backward()
    assert total.item() == 0
    assert (output.masks.grad == 0).all() and (output.classes.grad == 0).all()


def test_the_order_of_the_queries_changes_nothing():
    output, order = make_output(), torch.tensor([3, 0, 5, 1, 4, 2])
    permuted = MaskOutput(output.semantic, output.classes[:, :, order], output.masks[:, :, order])
    for name, value in compare(output, make_batch()).items():
        torch.testing.assert_close(compare(permuted, make_batch())[name], value, msg=name)


def test_losses_do_not_depend_on_the_precision_of_the_network():
    exact = compare(make_output(), make_batch())
    with torch.autocast("cpu", torch.bfloat16):
        assert compare(make_output(), make_batch()) == exact


def test_a_perfect_prediction_has_hardly_any_loss():
    batch = make_batch()
    masks, classes = torch.full((2, 1, 6, 8, 12), -20.0), torch.full((2, 1, 6, 4), -20.0)
    classes[..., 3] = 0
    for image in range(2):
        segments = number_known_segments(batch["semantic"][image].long(), batch["instance"][image])
        for row, train_id in enumerate(segments.classes):
            masks[image, 0, row + 1][segments.rows == row] = 20.0
            classes[image, 0, row + 1, [int(train_id), 3]] = torch.tensor([20.0, -20.0])
    # The crowd is part of a mask, and one more query claims to be a car there: neither is known to be wrong.
    masks[0, 0, [3, 5], 4:, 10:] = 20.0
    classes[0, 0, 5, [CAR, 3]] = torch.tensor([20.0, -20.0])
    losses = compare(MaskOutput(add_up_scores(classes[:, -1], masks[:, -1]), classes, masks), batch)
    assert {name: round(float(value), 3) for name, value in losses.items()} == dict.fromkeys(losses, 0)


def test_a_query_on_known_pixels_that_matches_nothing_should_predict_nothing():
    batch = make_batch()
    output = make_output(queries=8)
    compare(output, batch)["query"].backward()
    # The gradient of "nothing" is negative, which raises it, for all but the matched queries.
    assert ((output.classes.grad[..., 3] < 0).sum(-1) == 8 - 4).all()


def test_evaluation_draws_no_random_numbers():
    state = torch.random.get_rng_state()
    LOSS.compare(make_output(), make_batch(), sample=False)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_pixels_are_chosen_among_the_known_ones():
    pixels = torch.tensor([3, 5, 9])
    assert set(choose_pixels(pixels, (4, 50), sample=True).unique().tolist()) == {3, 5, 9}
    assert choose_pixels(pixels, (2, 3), sample=False).tolist() == [[3, 5, 9]] * 2
    assert choose_pixels(pixels[:0], (2, 3), sample=True).shape == (2, 0)


def test_logits_are_those_of_the_enlarged_mask():
    masks = torch.randn(2, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    enlarged = torch.nn.functional.interpolate(masks, size=(8, 12), mode="bilinear", align_corners=False)
    pixels = torch.arange(96).expand(2, 96)
    torch.testing.assert_close(sample_logits(masks, pixels, (8, 12)), enlarged.flatten(2))
