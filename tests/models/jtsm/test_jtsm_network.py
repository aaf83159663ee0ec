"""The JTSM network: its heads by hand, its laws, and that it learns two images by heart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from models.jtsm.detection import DetectionPlan, detect
from models.jtsm.masks import (
    MASK_PX,
    choose_mask_targets,
    complete_masks,
    compute_mask_losses,
    fill_enclosed,
    find_follower_targets,
    move_mask,
    paste_mask,
    sample_masks,
)
from models.jtsm.mining import Mined, MiningHead, average_over_segments, compute_mining_loss, measure_overlaps
from models.jtsm.network import Proposed, build_jtsm_network
from models.jtsm.refinement import (
    PseudoBoxes,
    RefinementHead,
    assign_proposals,
    compute_refinement_losses,
    decode_boxes,
    encode_boxes,
    find_pseudo_boxes,
)
from models.jtsm.samples import (
    MiningAugmentation,
    MiningImage,
    Placement,
    choose_size,
    collate,
    draw_view,
    make_view,
)
from models.jtsm.semantic import SemanticHead, compute_semantic_loss, label_superpixels, paint_stuff
from models.jtsm.step import Evidence, MiningStep, refine
from models.jtsm.views import map_semantic
from pseudogt.classes import IGNORE_LABEL
from pseudogt.evidence.grabcut import BoxMask, take_segment
from pseudogt.proposals.members import Members
from pseudogt.pseudo_labels.class_order import THINGS, ClassOrder

BACKGROUND = 2
"""Of two thing classes."""


# The mining head


def test_mining_head_by_hand():
    head = MiningHead(channels=2, classes=2)
    with torch.no_grad():
        head.classify.weight.copy_(torch.eye(2))
        head.detect.weight.copy_(torch.eye(2) * 2)
    feature = torch.tensor([[1.0, 0.0], [0.0, 1.0], [3.0, 1.0]])
    mined = head(feature, [2, 1])
    one, two = torch.sigmoid(torch.tensor([1.0, 2.0])).tolist()
    expected = [[one * two, (1 - one) * (1 - two)], [(1 - one) * (1 - two), one * two]]
    torch.testing.assert_close(mined.shares[:2], torch.tensor(expected))
    torch.testing.assert_close(mined.presence[0], mined.shares[:2].sum(0))
    # alone in its image a proposal is all there is of every class
    torch.testing.assert_close(mined.presence[1], feature[2].softmax(0))


def test_mining_loss_leaves_unknown_tags_out():
    presence, tags = torch.tensor([[0.9, 0.2], [0.5, 0.7]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    everything = compute_mining_loss(presence, tags, torch.ones(2, 2))
    assert everything.item() == pytest.approx(-np.log([0.9, 0.8, 0.5, 0.7]).mean(), rel=1e-5)
    known = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    assert compute_mining_loss(presence, tags, known).item() == pytest.approx(-np.log(0.9), rel=1e-5)
    assert compute_mining_loss(presence, tags, torch.zeros(2, 2)).item() == 0


# The refinement heads

BOXES = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 8], [20, 0, 30, 10], [40, 40, 50, 60]])


def test_pseudo_boxes_are_the_best_proposals_of_tagged_things():
    scores = torch.tensor([[0.1, 0.9], [0.3, 0.0], [0.2, 0.1], [0.1, 0.2]])
    found = find_pseudo_boxes(scores, BOXES, torch.tensor([True, False]), torch.tensor([0.7, 0.4]))
    assert (found.classes.tolist(), found.rows.tolist()) == ([0], [1])
    torch.testing.assert_close(found.boxes_xyxy, BOXES[1:2])
    torch.testing.assert_close(found.weights, torch.tensor([0.7]))
    moved = torch.stack([BOXES + 1, BOXES + 2], dim=1)
    of_class = find_pseudo_boxes(scores, moved, torch.tensor([False, True]), torch.tensor([0.7, 0.4]))
    torch.testing.assert_close(of_class.boxes_xyxy, BOXES[:1] + 2)


def test_proposals_are_assigned_by_overlap():
    pseudo = PseudoBoxes(torch.tensor([1, 0]), BOXES[[0, 2]], torch.tensor([0.5, 0.25]), torch.tensor([0, 2]))
    assigned = assign_proposals(BOXES, pseudo, BACKGROUND)
    assert assigned.labels.tolist() == [1, 1, 0, BACKGROUND]
    assert assigned.weights[:3].tolist() == [0.5, 0.5, 0.25]
    none = assign_proposals(BOXES, PseudoBoxes(*(t[:0] for t in pseudo)), BACKGROUND)
    assert none.labels.tolist() == [BACKGROUND] * 4
    assert none.weights.tolist() == [0] * 4


def test_refinement_losses_by_hand():
    logits = torch.tensor([[2.0, 0, 0], [0, 0, 1], [0, 3, 0]])
    labels, weights = torch.tensor([0, BACKGROUND, 1]), torch.tensor([0.5, 1.0, 0.0])
    deltas = torch.zeros(3, 2, 4)
    boxes, targets = BOXES[:3], BOXES[:3] + torch.tensor([1.0, 0, 1, 0])
    classes, moves = compute_refinement_losses(logits, deltas, boxes, targets, labels, weights)
    entropy = F.cross_entropy(logits, labels, reduction="none")
    assert classes.item() == pytest.approx(((0.5 * entropy[0] + entropy[1]) / 2).item())  # two proposals count
    assert moves.item() == pytest.approx(0.5 * (1 / 10 * 10) / 3)  # a shift by a tenth of the width, weighted by 10


def test_no_weight_no_loss():
    logits, deltas = torch.randn(4, 3, requires_grad=True), torch.randn(4, 2, 4, requires_grad=True)
    losses = compute_refinement_losses(logits, deltas, BOXES, BOXES, torch.tensor([0, 1, 2, 0]), torch.zeros(4))
    sum(losses).backward()
    assert [loss.item() for loss in losses] == [0, 0]
    assert not logits.grad.any() and not deltas.grad.any()


def test_boxes_are_decoded_as_they_were_encoded():
    targets = torch.rand(4, 4).cumsum(1) * 20
    targets = torch.stack([targets[:, 0], targets[:, 1], targets[:, 0] + 7, targets[:, 1] + 9], dim=1)
    decoded = decode_boxes(encode_boxes(targets, BOXES)[:, None], BOXES)[:, 0]
    torch.testing.assert_close(decoded, targets)
    huge = decode_boxes(torch.full((1, 1, 4), 1e4), BOXES[:1])
    assert (huge[0, 0, 2] - huge[0, 0, 0]).item() == pytest.approx(10 * 62.5)


def test_each_refinement_head_learns_from_the_one_before():
    """The mining head points at the first proposal, the first refinement head at the third, moved by a pixel."""
    shares = torch.tensor([[0.6, 0, 0], [0, 0, 0], [0.1, 0, 0], [0, 0, 0]])
    right, wrong = torch.tensor([4.0, 0, 0]), torch.tensor([0.0, 0, 4])
    logits = [torch.stack([wrong, wrong, right, wrong]), torch.stack([wrong, wrong, wrong, right])]
    deltas = [torch.zeros(4, 2, 4) for _ in logits]
    deltas[0][2, 0, 0] = 1  # a tenth of the width of 10, weighted by 10
    mined = Mined(shares, torch.tensor([[0.7, 0.2, 0.1]]), shares)
    batch = {
        "images": torch.zeros(1, 3, 64, 64),
        "boxes": BOXES,
        "batch_index": torch.zeros(4, dtype=torch.long),
        "tags": torch.tensor([[1.0, 0, 1]]),
    }
    losses, [targets] = refine(Proposed(torch.zeros(0), mined, logits, deltas), batch, ClassOrder(things=2, stuff=1))
    weight = torch.full((4,), 0.7)
    labels = torch.tensor([0, 0, BACKGROUND, BACKGROUND])
    first = compute_refinement_losses(logits[0], deltas[0], BOXES, BOXES[:1].expand(4, 4), labels, weight)
    moved = BOXES[2:3] + torch.tensor([1.0, 0, 1, 0])
    labels = torch.tensor([BACKGROUND, BACKGROUND, 0, BACKGROUND])
    second = compute_refinement_losses(logits[1], deltas[1], BOXES, moved.expand(4, 4), labels, weight)
    assert list(losses) == ["classes_0", "boxes_0", "classes_1", "boxes_1"]
    torch.testing.assert_close(torch.stack(list(losses.values())), torch.stack([*first, *second]))
    assert losses["boxes_1"] > 0
    # What the last head says is what masks are learned from.
    assert targets.pseudo.rows.tolist() == [3]
    assert targets.assigned.labels.tolist() == [BACKGROUND] * 3 + [0]


# Masks


def test_mask_targets_come_from_the_nearest_boxes():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 7], [30, 30, 40, 40]])
    pseudo = PseudoBoxes(torch.tensor([1]), boxes[:1], torch.ones(1), torch.tensor([0]))
    labels = assign_proposals(boxes, pseudo, BACKGROUND).labels
    target = choose_mask_targets(boxes, labels, pseudo, things=2, top_k=2, limit=None)
    assert target.rows.tolist() == [0, 1, 2]
    assert target.evidence_rows.tolist() == [0, 1]
    assert target.near.tolist() == [0, 1, 1]
    fewer = choose_mask_targets(boxes, labels, pseudo, things=2, top_k=2, limit=1)
    assert fewer.rows.tolist() == [0]
    nothing = choose_mask_targets(boxes, labels * 0 + BACKGROUND, pseudo, things=2, top_k=2, limit=None)
    assert not len(nothing.rows) and not len(nothing.evidence_rows)


@pytest.mark.parametrize("flipped", [False, True])
def test_masks_are_sampled_where_the_view_shows_them(flipped):
    image = np.zeros((40, 60), bool)
    image[10:30, 20:40] = True
    mask = BoxMask((15, 5), image[5:35, 15:45])
    placement = Placement((10, 0, 60, 40), (80, 100), flipped)
    box = placement.to_view(np.array([[20, 10, 60, 30]]))
    (sampled,) = sample_masks([BoxMask((0, 0), ~image), mask], [1], box, placement)
    expected = np.zeros((MASK_PX, MASK_PX), bool)
    expected[:, : MASK_PX // 2] = True
    np.testing.assert_array_equal(sampled, expected[:, ::-1] if flipped else expected)
    whole = move_mask(mask, placement)
    seen = np.repeat(np.repeat(image[:, 10:], 2, 0), 2, 1)
    np.testing.assert_array_equal(whole, seen[:, ::-1] if flipped else seen)


def test_masks_as_polygons_have_no_holes_and_are_never_empty():
    ring = np.pad(np.pad(np.zeros((2, 2), bool), 1, constant_values=True), 1)
    leaking = ring.copy()
    leaking[1, 1] = False  # diagonal steps lead out
    filled = fill_enclosed(np.stack([ring, leaking]))
    assert filled[0].sum() == 16
    np.testing.assert_array_equal(filled[1], leaking)
    masks = [BoxMask((3, 4), ring), BoxMask((0, 0), np.zeros((9, 9), bool))]
    full, box = complete_masks(masks, np.array([[3, 4, 9, 10], [2, 1.2, 7, 4]]))
    assert full.origin_xy == (3, 4) and full.mask.sum() == 16
    assert box.origin_xy == (2, 1) and box.mask.shape == (3, 5) and box.mask.all()


def test_second_mask_head_learns_pixels_of_the_first():
    """A cell of a large box is a pixel at least; of a small one it may lie between the centres of all pixels."""
    logits = torch.full((3, MASK_PX, MASK_PX), -9.0)
    logits[:2, 10:16, 3] = 9
    boxes = torch.tensor([[0.0, 0, 56, 56], [0, 0, 7, 7], [0, 0, 56, 56]])
    large, lost, nothing = find_follower_targets(logits, boxes)
    np.testing.assert_array_equal(large, logits[0] > 0)
    assert lost.all() and nothing.all()


def test_second_mask_head_learns_from_the_first():
    first, second = torch.full((1, 2, MASK_PX, MASK_PX), 3.0), torch.zeros(1, 2, MASK_PX, MASK_PX)
    first[0, 1, :, :14] = -3
    evidence = torch.zeros(1, MASK_PX, MASK_PX, dtype=torch.bool)
    boxes = torch.tensor([[0.0, 0, 56, 56]])
    own, follower = compute_mask_losses(first, second, torch.tensor([1]), evidence, boxes)
    assert own.item() == pytest.approx(np.log1p(np.exp([3, -3])).mean(), rel=1e-5)
    assert follower.item() == pytest.approx(np.log(2), rel=1e-5)
    second.requires_grad_()
    _, follower = compute_mask_losses(first, second, torch.tensor([1]), evidence, boxes)
    follower.backward()
    assert (second.grad[0, 1, :, :14] > 0).all() and (second.grad[0, 1, :, 14:] < 0).all()
    assert not second.grad[0, 0].any()


def test_pasted_masks_fill_their_box_and_no_more():
    full = np.ones((MASK_PX, MASK_PX), np.float32)
    pasted = paste_mask(full, np.array([3.0, 2, 9, 11], np.float32), (20, 30))
    expected = np.zeros((20, 30), bool)
    expected[2:11, 3:9] = True
    np.testing.assert_array_equal(pasted, expected)
    assert not paste_mask(full, np.array([3.0, 2, 3, 11], np.float32), (20, 30)).any()
    outside = paste_mask(full, np.array([-5.0, -5, 5, 5], np.float32), (20, 30))
    assert outside[:5, :5].all() and outside.sum() == 25


# Stuff


def test_stuff_is_labelled_by_the_segments_that_hold_it():
    probabilities = np.array([[0.5, 0.3, 0.2], [0.0, 0.9, 0.1], [0.0, 0.1, 0.9]], np.float32)
    members = Members.from_dense(np.array([[1, 1, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 1, 0]], bool))
    areas = np.array([10, 10, 80, 10, 10])
    tags, of_class = np.array([True, True, False]), ClassOrder(things=1, stuff=2).labels
    labels = label_superpixels(probabilities, members, areas, tags, of_class)
    # superpixel 1: the small proposal counts more than the large one; the fourth is of the untagged class
    assert labels.tolist() == [THINGS, THINGS, 1, 1, IGNORE_LABEL]
    labels = label_superpixels(probabilities, members, np.full(5, 10), tags, of_class)
    assert labels.tolist() == [THINGS, 1, 1, 1, IGNORE_LABEL]
    assert (label_superpixels(probabilities, members, areas, tags & False, of_class) == IGNORE_LABEL).all()
    # The tag classifier is sure that the third superpixel is a thing, and knows nothing of the others.
    tag_probabilities = np.ones((5, len(tags)), np.float32)
    tag_probabilities[2] = of_class == THINGS
    labels = label_superpixels(probabilities, members, areas, tags, of_class, tag_probabilities)
    assert labels.tolist() == [THINGS, THINGS, THINGS, 1, IGNORE_LABEL]


def test_painted_stuff_keeps_every_class():
    big, small = np.ones((4, 4), bool), np.zeros((4, 4), bool)
    small[:2] = True
    assert paint_stuff([big, small], [1, 2], [0.2, 0.8], (4, 4)).tolist() == [[2] * 4] * 2 + [[1] * 4] * 2
    hidden = paint_stuff([big, small], [1, 2], [0.8, 0.2], (4, 4))
    assert set(np.unique(hidden)) == {1, 2}


@pytest.mark.parametrize("channels", [8, 48, 128])
def test_semantic_head_of_any_width_is_at_stride_4(channels):
    head = SemanticHead(channels_in=16, channels=channels, labels=3)
    assert head(torch.zeros(2, 16, 4, 6)).shape == (2, 3, 8, 12)


def test_first_predictions_of_stuff_are_small_or_those_of_he():
    torch.manual_seed(0)
    small, he = (SemanticHead(channels_in=16, channels=64, labels=50, start=start) for start in ("small", "he"))
    assert small.predict.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert he.predict.weight.std().item() == pytest.approx((2 / 50) ** 0.5, rel=0.05)
    assert not he.predict.bias.any()


@pytest.mark.parametrize("flipped", [False, True])
def test_semantic_maps_of_views_go_to_the_image(flipped):
    """A view of 7x12, padded to 8x16, of an image half as large: logits by the nearest pixel, all of the padded map."""
    logits = torch.randn(1, 3, 2, 4)
    padded = F.interpolate(logits, scale_factor=4, mode="bilinear", align_corners=False)
    placement = Placement((0, 0, 6, 4), (7, 12), flipped)
    rows = [int(int(y * 7 / 4) * 8 / 7) for y in range(4)]
    seen = [11 - 2 * x if flipped else 2 * x for x in range(6)]
    columns = [int(x * 16 / 12) for x in seen]
    torch.testing.assert_close(map_semantic(logits, placement, (4, 6), "logits"), padded[:, :, rows][..., columns])
    shares = map_semantic(logits, placement, (4, 6), "probabilities")
    torch.testing.assert_close(shares.sum(1), torch.ones(1, 4, 6))


def test_semantic_loss_ignores_what_is_unknown():
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    labels = torch.full((1, 8, 8), IGNORE_LABEL, dtype=torch.uint8)
    loss = compute_semantic_loss(logits, labels)
    loss.backward()
    assert loss.item() == 0 and not logits.grad.any()


# Views


def make_image(seed=0, shape=(48, 64)):
    """A red square (a thing) on green ground (stuff), with superpixels of 8x8 and proposals of both."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    superpixels = (y // 8 * (shape[1] // 8) + x // 8).astype(np.int32)
    top, left = 8 * rng.integers(1, 3), 8 * rng.integers(1, 5)
    square = (y >= top) & (y < top + 16) & (x >= left) & (x < left + 16)
    has_thing = seed % 2 == 0
    image = np.full((*shape, 3), (60, 150, 60))
    if has_thing:
        image[square] = (210, 50, 50)
    image = (image + rng.integers(-5, 6, image.shape)).astype(np.uint8)
    rects = [[left, top, left + 16, top + 16], [0, 32, shape[1], shape[0]], [0, 32, 32, 48], [32, 32, 64, 48]]
    members = np.zeros((len(rects), superpixels.max() + 1), bool)
    for row, (x0, y0, x1, y1) in zip(members, rects, strict=True):
        row[np.unique(superpixels[y0:y1, x0:x1])] = True
    return MiningImage(
        image=image,
        superpixels=superpixels,
        members=Members.from_dense(members),
        boxes_xyxy=np.array(rects, np.int32),
        scores=np.full(len(rects), 0.5, np.float32),
        tags=np.array([has_thing, False, True]),
        known=np.ones(3, bool),
    )


def change(sample, **changes):
    return MiningImage(**{**vars(sample), **changes})


def pick_proposals(sample, rows):
    members = sample.members.take(rows)
    return change(sample, members=members, boxes_xyxy=sample.boxes_xyxy[rows], scores=sample.scores[rows])


def test_boxes_come_back_from_a_view():
    for flipped in (False, True):
        placement = Placement((5, 3, 45, 33), (60, 120), flipped)
        boxes = np.array([[5, 3, 45, 33], [10.5, 8, 20, 30]])
        np.testing.assert_allclose(placement.to_image(placement.to_view(boxes)), boxes, atol=1e-4)
        assert placement.to_view(boxes[:1]).tolist() == [[0, 0, 120, 60]]


def test_proposals_of_a_view_are_distinct_filled_and_few():
    sample = make_image()
    doubled = MiningImage(
        sample.image,
        sample.superpixels,
        sample.members.take([0, 0, 1, 2, 3]),
        np.array([[8, 8, 24, 24], [8, 8, 24, 24], [0, 0, 64, 48], [60, 0, 64, 8], [40, 40, 40, 44]], np.int32),
        np.ones(5, np.float32),
        sample.tags,
        sample.known,
    )
    placement = Placement((0, 0, 48, 48), (96, 96), False)
    view = make_view(doubled, placement, 10)
    assert view.rows.tolist() == [0, 2]  # equal, outside the window, without width
    assert view.boxes_xyxy.tolist() == [[16, 16, 48, 48], [0, 0, 96, 96]]
    assert make_view(doubled, placement, 1).rows.tolist() == [0]
    with pytest.raises(ValueError, match="no proposal has a pixel in the window"):
        make_view(pick_proposals(doubled, [3, 4]), Placement((0, 0, 4, 4), (8, 8), False), 10)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"boxes_xyxy": np.zeros((0, 4), np.int32)}, "no proposals"),
        ({"superpixels": np.full((48, 64), 9, np.int32)}, "9..9, but a proposal has superpixel 47"),
        ({"superpixels": np.zeros((4, 4), np.int32)}, "differ in size"),
        ({"scores": np.zeros(3, np.float32)}, "3 scores differ"),
        ({"tags": np.ones(4, bool)}, "4 tags for 3 classes"),
    ],
)
def test_parts_that_do_not_fit(changes, message):
    with pytest.raises(ValueError, match=message):
        change(make_image(), **changes).check(3)


def test_size_by_shorter_and_longer_side():
    assert choose_size((40, 60), 80, 1000) == (80, 120)
    assert choose_size((40, 60), 80, 90) == (60, 90)


def test_boxes_of_a_view_may_be_whole_pixels():
    """Cut before mirroring, as whole numbers in a file would be."""
    placement = Placement((1, 0, 11, 10), (15, 15), True)
    boxes = np.array([[2, 1, 8, 4]])
    assert placement.to_view(boxes).tolist() == [[4.5, 1.5, 13.5, 6.0]]
    assert placement.to_view(boxes, whole_pixels=True).tolist() == [[5, 1, 14, 6]]


# All together


def build(**changes):
    options = {
        "backbone": "small",
        "init": "scratch",
        "weights": None,
        "levels": 2,
        "freeze": "norm",
        "neck_widths": (32, 32),
        "dropout": 0.0,
        "things": 2,
        "stuff": 1,
        "refinements": 2,
        "mask_channels": 8,
        "semantic_channels": 8,
    }
    torch.manual_seed(0)
    return build_jtsm_network(**{**options, **changes})


def make_step(network, images):
    return MiningStep(network, Evidence(make_evidence(images)), top_k=2, mask_limit=4)


def make_evidence(images):
    def find(keys):
        return [
            take_segment(images[n].superpixels, images[n].members, row, images[n].boxes_xyxy[row]) for n, row in keys
        ]

    return find


def make_batch(images, size=(48, 64), flipped=False):
    views = [make_view(i, Placement((0, 0, 64, 48), size, flipped), 10) for i in images]
    return collate(images, list(range(len(images))), views)


PLAN = DetectionPlan((48, 64), 200, True, 10, "branch", 0.05, 0.3, 10, torch.device("cpu"), torch.float32)


def test_two_images_are_learnt_by_heart():
    """One image with the square, one without: tags alone tell where it is, what stuff is, and its mask."""
    images = [make_image(0), make_image(1)]
    network = build()
    learn, optimiser = make_step(network, images), torch.optim.Adam(network.parameters(), lr=3e-3)
    for step in range(150):
        losses = learn(make_batch(images, flipped=step % 2 == 0))
        optimiser.zero_grad()
        sum(losses.values()).backward()
        optimiser.step()
    assert losses["mining"].item() < 0.05
    network.eval()
    found = detect(network, images[0], PLAN)
    assert found.classes[0] == 0
    x0, y0, x1, y1 = images[0].boxes_xyxy[0]
    truth = np.zeros((48, 64), bool)
    truth[y0:y1, x0:x1] = True
    assert (found.masks[0] & truth).sum() > 0.6 * (found.masks[0] | truth).sum()
    assert found.presence[0] > 0.8 > 0.2 > detect(network, images[1], PLAN).presence[0]
    stuff = found.semantic[1] > found.semantic[THINGS]
    assert (stuff == ~truth).mean() > 0.7
    nothing = detect(network, images[0], PLAN, tags=np.zeros(3, bool))
    assert not len(nothing.classes) and not nothing.semantic[1:].any()


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"refinements": 0, "mask_channels": 0, "semantic_channels": 0}, {"mining"}),
        ({"refinements": 1, "mask_channels": 0, "semantic_channels": 0}, {"mining", "classes_0", "boxes_0"}),
        ({"refinements": 1, "semantic_channels": 0}, {"mining", "classes_0", "boxes_0", "masks", "masks_refined"}),
        ({"refinements": 0, "mask_channels": 0}, {"mining", "semantic"}),
    ],
)
def test_heads_can_be_left_out(changes, names):
    images = [make_image(0), make_image(1)]
    network = build(**changes)
    losses = make_step(network, images)(make_batch(images))
    assert set(losses) == names
    assert all(loss.isfinite() for loss in losses.values())
    found = detect(network.eval(), images[0], PLAN)
    assert found.masks.shape == (len(found.scores), 48, 64)
    assert found.semantic.shape == (2, 48, 64)


def test_images_of_a_resnet_ws_need_no_padding():
    network = build(
        backbone="resnet_ws18", levels=4, freeze="all", padding=False, semantic_channels=0, mask_channels=0
    ).eval()
    image = make_image(0)
    batch = collate([image], [0], [make_view(image, Placement((0, 0, 64, 48), (45, 61), False), 10)], 1)
    assert batch["images"].shape == (1, 3, 45, 61)
    with torch.inference_mode():
        assert network(batch).features.shape[2:] == (5, 7)
    with pytest.raises(ValueError, match="semantic branch needs padding"):
        build(backbone="resnet_ws18", levels=4, padding=False)
    with pytest.raises(ValueError, match="'small' needs padding"):
        build(padding=False)


def test_combinations_that_cannot_be():
    with pytest.raises(ValueError, match="give it one"):
        build(refinements=0)
    with pytest.raises(ValueError, match="2 classes of stuff need the semantic branch"):
        build(stuff=2, semantic_channels=0)


def test_order_of_proposals_does_not_matter():
    image, order = make_image(0), [2, 0, 3, 1]
    shuffled = pick_proposals(image, order)
    network = build().eval()
    mined, other = (network(make_batch([each])).mined for each in (image, shuffled))
    torch.testing.assert_close(mined.shares[order], other.shares)
    torch.testing.assert_close(mined.presence, other.presence)
    losses, others = (make_step(network, [each])(make_batch([each])) for each in (image, shuffled))
    for name, loss in losses.items():
        torch.testing.assert_close(loss, others[name])


def test_true_tags_are_not_looked_at_in_detection():
    image, network = make_image(0), build().eval()
    found, other = (
        detect(network, each, PLAN) for each in (image, change(image, tags=~image.tags, known=~image.known))
    )
    assert len(found.scores)
    for name, value in found._asdict().items():
        np.testing.assert_array_equal(value, getattr(other, name))


def test_views_of_one_size_say_what_one_of_them_says():
    image, network = make_image(0), build().eval()
    once = detect(network, image, replace(PLAN, short_sides_px=(48,), flip=False))
    twice = detect(network, image, replace(PLAN, short_sides_px=(48, 48), flip=False))
    assert once.superpixel_classes is twice.superpixel_classes is None, "there is no classifier in it"
    for name in set(once._fields) - {"superpixel_classes"}:
        np.testing.assert_allclose(getattr(once, name), getattr(twice, name), rtol=1e-4, atol=1e-5)


def test_mirror_images_are_detected_mirrored():
    image, network = make_image(0), build().eval()
    mirrored = change(
        image,
        image=image.image[:, ::-1].copy(),
        superpixels=image.superpixels[:, ::-1].copy(),
        boxes_xyxy=np.stack(
            [64 - image.boxes_xyxy[:, 2], image.boxes_xyxy[:, 1], 64 - image.boxes_xyxy[:, 0], image.boxes_xyxy[:, 3]],
            1,
        ),
    )
    plan = replace(PLAN, short_sides_px=(48,))
    found, other = detect(network, image, plan), detect(network, mirrored, plan)
    np.testing.assert_allclose(found.scores, other.scores, rtol=1e-4)
    np.testing.assert_array_equal(found.classes, other.classes)
    np.testing.assert_allclose(found.boxes_xyxy[:, [1, 3]], other.boxes_xyxy[:, [1, 3]], atol=1e-3)
    np.testing.assert_allclose(found.boxes_xyxy[:, [0, 2]], 64 - other.boxes_xyxy[:, [2, 0]], atol=1e-3)
    np.testing.assert_allclose(found.semantic, other.semantic[:, :, ::-1], rtol=1e-3, atol=1e-4)
    assert (found.masks != other.masks[:, :, ::-1]).mean() < 0.01


@pytest.mark.parametrize("classes", [{"things": 0, "stuff": 3}, {"things": 3, "stuff": 0}])
def test_things_or_stuff_alone(classes):
    image = make_image(0)
    network = build(**classes)
    losses = make_step(network, [image])(make_batch([image]))
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)
    found = detect(network.eval(), image, PLAN)
    assert found.semantic.shape == (classes["stuff"] + 1, 48, 64)
    assert classes["things"] or not len(found.masks)


def test_an_image_without_tagged_things_trains_all_that_it_can():
    image = make_image(1)
    network = build()
    losses = make_step(network, [image])(make_batch([image]))
    assert {name for name, loss in losses.items() if loss.item() == 0} == set(losses) - {"mining", "semantic"}
    sum(losses.values()).backward()  # several processes need a gradient of every weight in every step
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)


@pytest.mark.gpu
def test_gpu_in_half_precision_says_what_the_cpu_says():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    images = [make_image(0), make_image(1)]
    network = build()
    step = make_step(network, images)
    expected = step(make_batch(images))
    network.cuda()
    batch = {name: tensor.cuda() for name, tensor in make_batch(images).items()}
    with torch.autocast("cuda", torch.bfloat16):
        losses = step(batch)
    sum(losses.values()).backward()
    for name, loss in expected.items():
        torch.testing.assert_close(losses[name].cpu().float(), loss, rtol=0.1, atol=0.05)
    found = detect(network.eval(), images[0], replace(PLAN, device=torch.device("cuda"), dtype=torch.bfloat16))
    assert np.isfinite(found.scores).all()


def test_an_image_does_not_depend_on_its_neighbours_in_the_batch():
    images = [make_image(0), make_image(1)]
    network = build().eval()
    views = [
        make_view(images[0], Placement((0, 0, 64, 48), (48, 64), False), 10),
        make_view(images[1], Placement((0, 0, 64, 48), (72, 96), False), 10),
    ]
    alone = network(collate(images[:1], [0], views[:1])).mined.presence
    both = network(collate(images, [0, 1], views)).mined.presence
    # The larger neighbour makes the map larger; its padding is black, as the edge of the map is.
    torch.testing.assert_close(alone[0], both[0], atol=0.02, rtol=0.1)


def test_views_are_drawn_within_bounds():
    rng = np.random.default_rng(0)
    augmentation = MiningAugmentation((40, 56), 80, 0.8, 0.5, 0.2)
    for _ in range(20):
        view = draw_view(make_image(0), augmentation, 10, rng)
        x0, y0, x1, y1 = view.placement.window_xyxy
        assert 0 <= x0 < x1 <= 64 and 0 <= y0 < y1 <= 48
        assert x1 - x0 >= 51 and y1 - y0 >= 38
        assert view.image.shape[:2] == view.superpixels.shape == view.placement.size
        assert max(view.placement.size) <= 80


def test_a_window_without_proposals_is_given_up():
    """The one proposal is a pixel in a corner that most windows miss."""
    boxes = np.array([[63, 47, 64, 48]], np.int32)
    sample = change(pick_proposals(make_image(0), [0]), boxes_xyxy=boxes)
    augmentation, rng = MiningAugmentation((48,), 80, 0.5, 0, 0), np.random.default_rng(0)
    windows = [draw_view(sample, augmentation, 10, rng).placement.window_xyxy for _ in range(10)]
    assert windows.count((0, 0, 64, 48)) >= 8


def test_maps_are_averaged_over_the_pixels_of_proposals():
    rng = np.random.default_rng(0)
    superpixels = rng.integers(-1, 6, (2, 9, 11)).astype(np.int32)
    members, maps = rng.random((7, 6)) < 0.4, rng.normal(size=(2, 3, 9, 11)).astype(np.float32)
    members[4] = False
    batch_index = np.array([0, 0, 0, 1, 1, 1, 1])
    found = average_over_segments(
        torch.from_numpy(maps),
        torch.from_numpy(superpixels),
        tuple(torch.from_numpy(part) for part in Members.from_dense(members)),
        torch.from_numpy(batch_index),
    )
    for row, image in enumerate(batch_index):
        inside = np.isin(superpixels[image], np.flatnonzero(members[row]))
        expected = maps[image][:, inside].mean(1) if inside.any() else np.zeros(3)
        np.testing.assert_allclose(found[row], expected, atol=1e-5)


def test_overlaps_are_highest_for_all_of_an_object_and_no_more():
    """An object of probability 0.8 in the left half of the image; superpixels are columns."""
    superpixels = np.tile(np.arange(4, dtype=np.int32), (1, 2, 1))
    maps = np.tile(np.array([0.8, 0.8, 0, 0], np.float32), (1, 1, 2, 1))
    members = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 1]], bool)
    found = measure_overlaps(
        torch.from_numpy(maps),
        torch.from_numpy(superpixels),
        tuple(torch.from_numpy(part) for part in Members.from_dense(members)),
        torch.zeros(4, dtype=torch.long),
    )
    # Sum of p inside over pixels plus the sum of p outside, with 3.2 in all.
    expected = [1.6 / (2 + 1.6), 3.2 / 4, 3.2 / 6, 0]
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-6)


def test_a_head_that_is_told_where_classes_are_starts_there():
    head = MiningHead(channels=4, classes=3, corrects=True, overlap_power=2)
    tag_logits, overlaps = torch.randn(5, 3), torch.rand(5, 3)
    mined = head(torch.randn(5, 4), [2, 3], tag_logits, overlaps)
    weights = torch.cat([part / part.sum(0) for part in overlaps.square().split([2, 3])])
    torch.testing.assert_close(mined.shares, tag_logits.softmax(1) * weights)


def test_a_refinement_head_adds_what_it_is_told_to_things_and_not_to_the_background():
    head = RefinementHead(channels=4, things=2)
    feature, odds = torch.randn(3, 4), torch.randn(3, 2)
    (logits, deltas), (alone, same) = head(feature, odds), head(feature)
    torch.testing.assert_close(logits - alone, torch.cat([odds, torch.zeros(3, 1)], dim=1))
    assert torch.equal(deltas, same)


def test_only_the_maps_of_a_tag_classifier_tell_where_classes_are():
    shape = {"levels": 1, "freeze": "all", "neck_widths": (8, 8), "dropout": 0, "things": 1, "stuff": 1}
    branches = {"refinements": 0, "mask_channels": 0, "semantic_channels": 8}
    with pytest.raises(ValueError, match="overlap_power needs the maps of the tag classifier"):
        build_jtsm_network(backbone="small", init="scratch", weights=None, overlap_power=1, **shape, **branches)


def test_a_head_that_corrects_starts_at_what_it_is_told():
    head = MiningHead(channels=4, classes=3, corrects=True)
    tag_logits = torch.randn(5, 3)
    mined = head(torch.randn(5, 4), [2, 3], tag_logits)
    torch.testing.assert_close(mined.classes, tag_logits.softmax(1))
