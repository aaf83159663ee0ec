"""Training a network whose backbone has trained weights: frozen parts, the backbone's own rate, several processes."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import pytest
import torch
from torch import nn
from train_in_processes import PLAN, build_network, train_network

from models.backbones.layers import synchronise_norms

BACKBONES = ["small", "timm/test_resnet"]


def fine_tune(network, *, checkpoint=None, stop_at=None, **changes):
    def disturb(call):
        if call == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    plan = replace(PLAN, **{"steps": 6, "images_per_pass": 2, "checkpoint_every_s": 1000} | changes)
    return train_network(network, plan, checkpoint, disturb)


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
@pytest.mark.parametrize("name", BACKBONES)
def test_frozen_parts_do_not_change_and_resuming_equals_not_stopping(name, optimiser, tmp_path):
    before, whole, stopped, resumed = (build_network(name) for _ in range(4))
    changes = {"optimiser": optimiser, "backbone_rate": 0.1}
    fine_tune(whole, **changes)
    with pytest.raises(SystemExit):
        fine_tune(stopped, checkpoint=tmp_path / "state.pt", stop_at=6, **changes)
    fine_tune(resumed, checkpoint=tmp_path / "state.pt", **changes)
    state, start = whole.state_dict(), before.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in resumed.state_dict().items())

    trained = {key for key, parameter in whole.named_parameters() if parameter.requires_grad}
    assert {key for key, value in state.items() if not torch.equal(value, start[key])} == trained
    assert any(key.startswith("backbone.") for key in trained) and len(trained) < len(list(whole.parameters()))


def test_backbone_learns_at_its_own_rate():
    """One step of plain SGD: the backbone moves ``backbone_rate`` times as far, all else as before."""
    moves = []
    for rate in (1.0, 0.5):
        network, start = build_network("small"), build_network("small")
        fine_tune(network, steps=1, momentum=0, weight_decay=0, clip_norm=1e9, bias_rate=2.0, backbone_rate=rate)
        old = dict(start.named_parameters())
        moves.append({key: (value - old[key]).detach() for key, value in network.named_parameters()})
    whole, half = moves
    for key, move in whole.items():
        factor = 0.5 if key.startswith("backbone.") else 1.0
        torch.testing.assert_close(half[key], factor * move, atol=1e-7, rtol=1e-4)
    assert max(move.abs().max() for key, move in whole.items() if key.startswith("backbone.")) > 0


def test_pyramid_over_a_transformer_learns_at_the_full_rate():
    backbone = build_network("timm/test_vit").backbone
    own = {id(parameter) for parameter in backbone.pretrained_parameters()}
    others = {name.split(".")[0] for name, parameter in backbone.named_parameters() if id(parameter) not in own}
    assert others == {"pyramid"}


@pytest.mark.parametrize("name", BACKBONES)
def test_synchronised_norms_keep_their_activations_and_stay_frozen(name):
    torch.manual_seed(0)
    network = build_network(name).train()
    images = torch.randn(2, 3, 64, 64)
    expected = network.eval()(images)
    network.train()
    synchronised = synchronise_norms(network)
    norms = [module for module in synchronised.modules() if isinstance(module, nn.SyncBatchNorm)]
    assert norms and not any(isinstance(module, nn.BatchNorm2d) for module in synchronised.modules())
    assert not any(norm.training for norm in norms)
    synchronised.eval()
    torch.testing.assert_close(synchronised(images), expected)
    assert not any(norm.training for norm in synchronised.train().modules() if isinstance(norm, nn.SyncBatchNorm))
