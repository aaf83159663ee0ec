"""The JTSM network: its laws, and that it learns two images by heart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_mining_samples import change, make_image, pick_proposals

from models.jtsm.detection import DetectionPlan, detect
from models.jtsm.network import JtsmArchitecture, build_jtsm_network
from models.jtsm.samples import Placement, collate, make_view
from models.jtsm.step import Evidence, MiningStep
from pseudogt.evidence.grabcut import take_segment
from pseudogt.pseudo_labels.class_order import THINGS

PLAN = DetectionPlan((48, 64), 200, True, 10, "branch", 0.05, 0.3, 10, torch.device("cpu"), torch.float32)


def make_architecture(**changes):
    options = {
        "backbone": "small",
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
    return JtsmArchitecture(**{**options, **changes})


def build(**changes):
    torch.manual_seed(0)
    return build_jtsm_network(make_architecture(**changes))


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


def test_only_the_maps_of_a_tag_classifier_tell_where_classes_are():
    with pytest.raises(ValueError, match="overlap_power needs the maps of the tag classifier"):
        build(overlap_power=1)
