"""A training step of JTSM as a whole: evidence, several processes, and model files of earlier versions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_jtsm_network import build, make_architecture, make_batch, make_evidence, make_step
from test_mining_samples import make_image
from torch.nn.parallel import DistributedDataParallel
from weak_label_testing import make_weak_labels

from models.checkpoints import load_checkpoint, save_checkpoint
from models.jtsm.evidence import open_mask_finder
from models.jtsm.model import JtsmModel
from models.jtsm.samples import Placement
from models.jtsm.step import Evidence, MiningStep, paint_best_stuff
from models.jtsm.training import EvidencePlan, list_mining_samples
from models.jtsm.training import make_evidence as make_planned_evidence
from pseudogt.classes import ClassTable
from pseudogt.evidence.grabcut import BoxMask, PlainGrabCut
from pseudogt.pseudo_labels.class_order import ClassOrder

CLASSES = ClassTable(("grass", "car", "bus"), (1, 2, 3), (False, True, True), ((0, 0, 0),) * 3)


@pytest.fixture
def one_process():
    """A group of one process, as torchrun would start several."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("one_process")
@pytest.mark.filterwarnings("ignore:Grad strides do not match")
def test_a_step_is_one_call_that_several_processes_share():
    images, network = [make_image(0), make_image(1)], build()
    step = make_step(network, images)
    parallel = DistributedDataParallel(step)
    found = []
    for call in (step, parallel):
        losses = call(make_batch(images))
        network.zero_grad()
        sum(losses.values()).backward()
        found.append([*losses.values(), *(p.grad.clone() for p in network.parameters() if p.requires_grad)])
    for alone, shared in zip(*found, strict=True):
        assert torch.equal(alone, shared)


def test_images_without_things_may_be_left_out():
    images = [make_weak_labels((4, 4), tags) for tags in ([1, 1, 0], [1, 0, 0], [0, 0, 1])]
    assert len(list_mining_samples(images, "image")) == 3
    assert list_mining_samples(images, "image", CLASSES.thing_ids) == [(0, None), (2, None)]
    with pytest.raises(ValueError, match=r"no image has a tagged thing; set mining\.needs_things to false"):
        list_mining_samples(images[1:2], "image", CLASSES.thing_ids)


def test_stuff_is_painted_where_its_best_proposal_has_evidence():
    placement, asked = Placement((0, 0, 8, 4), (4, 8), False), []

    def find(keys):
        asked.extend(keys)
        return [BoxMask((2 * row, 0), np.ones((4, 6), bool)) for _, row in keys]

    shares = np.array([[0.9, 0.1, 0.5], [0.1, 0.6, 0.2], [0.2, 0.1, 0.1]], np.float32)
    keys, order = [(7, 0), (7, 2), (7, 1)], ClassOrder(things=1, stuff=2)
    labels = paint_best_stuff(shares, np.array([True, True, True]), order, placement, keys, find)
    assert asked == [(7, 2), (7, 0)]
    assert labels.tolist() == [[2] * 4 + [1] * 4] * 4
    assert not paint_best_stuff(shares, np.array([True, False, False]), order, placement, keys, find).any()


@pytest.mark.parametrize("kind", ["grabcut", "segments"])
def test_evidence_is_grabcut_or_the_segment(kind, tmp_path):
    image = make_image(0)
    evidence = make_planned_evidence([image], EvidencePlan(kind, kind), open_mask_finder(tmp_path, 1))
    (found,) = evidence.find_masks([(0, 0)])
    (segment,) = make_evidence([image])([(0, 0)])
    expected = segment if kind == "segments" else PlainGrabCut(image.image)(image.boxes_xyxy[0])
    assert found.origin_xy == expected.origin_xy
    np.testing.assert_array_equal(found.mask, expected.mask)
    assert (evidence.find_stuff is None) is (kind == "segments")


def test_all_branches_learn_from_grabcut_alone(tmp_path):
    images = [make_image(0), make_image(1)]
    evidence = make_planned_evidence(images, EvidencePlan("grabcut", "grabcut"), open_mask_finder(tmp_path, 2))
    losses = MiningStep(build(), evidence, top_k=2, mask_limit=4)(make_batch(images, flipped=True))
    assert list(losses) == [
        "mining", "classes_0", "boxes_0", "classes_1", "boxes_1", "masks", "masks_refined", "semantic"
    ]  # fmt: skip
    assert all(loss.isfinite() for loss in losses.values())
    sum(losses.values()).backward()


def test_files_of_earlier_versions_are_read(tmp_path):
    model = JtsmModel.build(
        CLASSES, make_architecture(), init="scratch", weights=None, max_proposals=10, seed=0, settings={"steps": 1}
    )
    model.save(tmp_path / "new.pt")
    state = load_checkpoint(tmp_path / "new.pt", kind=JtsmModel.KIND)
    state["architecture"] |= {"top_k": 10, "mask_limit": 16}
    save_checkpoint(tmp_path / "old.pt", state)
    old = JtsmModel.load(tmp_path / "old.pt")
    assert old.architecture == model.architecture
    for name, value in model.network.state_dict().items():
        assert torch.equal(old.network.state_dict()[name], value)


def test_evidence_may_leave_stuff_to_the_proposals():
    images, batch = [make_image(0)], make_batch([make_image(0)])
    losses = MiningStep(build(), Evidence(make_evidence(images)), top_k=1, mask_limit=None)(batch)
    assert losses["semantic"] > 0
