"""Files of weights as users have them: checkpoints of trainings, with prefixes and heads, and what is no weights."""

from __future__ import annotations

from argparse import Namespace

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from models.backbones import build_backbone, find_problem
from models.backbones.weight_files import read_state_dict

PRETEXT = {
    "decoder_embed.weight": torch.ones(2, 2),
    "head.mlp.0.weight": torch.ones(2, 2),
    "dino_head.w": torch.ones(2),
}


def prefix(state, text):
    return {text + key: value for key, value in state.items()}


def zero(state):
    return {key: torch.zeros_like(value) for key, value in state.items()}


@pytest.fixture(scope="module")
def vit():
    torch.manual_seed(1)
    return timm.create_model("test_vit").state_dict()


@pytest.fixture(scope="module")
def resnet():
    torch.manual_seed(1)
    return torchvision.models.resnet18(weights=None).state_dict()


WRAPPED = {
    "plain": lambda state: state,
    "checkpoint of a training": lambda state: {"model": state, "epoch": 3, "args": Namespace(lr=0.1)},
    "DistributedDataParallel": lambda state: {"state_dict": prefix(state, "module."), "epoch": 3},
    "Lightning": lambda state: {"state_dict": prefix(state, "model."), "hyper_parameters": {"lr": 0.1}},
    "DINO's teacher": lambda state: {"student": {}, "teacher": prefix(state, "module.backbone.") | PRETEXT},
    "DINO in one state dict": lambda state: {
        "state_dict": prefix(zero(state), "model.student.backbone.") | prefix(state, "model.teacher.backbone.")
    },
    "MoCo": lambda state: {
        "state_dict": prefix(state, "module.encoder_q.") | prefix(zero(state), "module.encoder_k.") | PRETEXT
    },
    "MoCo 3": lambda state: prefix(state, "module.base_encoder.") | prefix(zero(state), "module.momentum_encoder."),
    "segmenter": lambda state: {"state_dict": prefix(state, "backbone.") | {"decode_head.weight": torch.ones(2)}},
    "MAE with its decoder": lambda state: {"model": state | PRETEXT},
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
@pytest.mark.parametrize(("backbone", "key", "own"), [
    ("timm/test_vit", "blocks.1.attn.qkv.weight", "network.blocks.1.attn.qkv.weight"),
    ("resnet18", "layer3.0.conv1.weight", "layer3.0.conv1.weight"),
])  # fmt: skip
def test_weights_are_found_in_checkpoints(request, tmp_path, wrap, backbone, key, own):
    state = request.getfixturevalue("vit" if "vit" in backbone else "resnet")
    path = str(tmp_path / "weights.pth")
    torch.save(wrap(state), path)
    assert torch.equal(build_backbone(backbone, weights=path).state_dict()[own], state[key])
    assert find_problem(backbone, weights=path, levels=4, dense=False) == ""


def test_torchvisions_networks_read_safetensors_too(tmp_path, resnet):
    save_file(resnet, tmp_path / "resnet18.safetensors")
    built = build_backbone("resnet18", weights=str(tmp_path / "resnet18.safetensors"))
    assert torch.equal(built.layer4[0].conv1.weight, resnet["layer4.0.conv1.weight"])


def test_prefix_of_some_keys_stays(tmp_path):
    state = {"model.a": torch.ones(1), "other": torch.ones(1)}
    torch.save(state, tmp_path / "weights.pth")
    assert read_state_dict(str(tmp_path / "weights.pth")).keys() == state.keys()


@pytest.mark.parametrize("backbone", ["timm/test_vit", "resnet18"])
@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("weights.pth", b"", "it is empty"),
        ("weights.pth", b"\n<!DOCTYPE html><title>404</title>", "it is a web page"),
        ("weights.safetensors", b"<html>404</html> and so on", "it is a web page"),
        ("weights.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "git lfs pull"),
        ("weights.safetensors", b"\xff" * 100, "damaged or of another kind"),
    ],
)
def test_files_that_are_no_weights_are_errors_that_say_what_they_are(tmp_path, backbone, name, content, reason):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{name}: not readable weights .*{reason}"):
        build_backbone(backbone, weights=str(path))


@pytest.mark.parametrize("backbone", ["timm/test_vit", "resnet18"])
def test_whole_network_is_an_error_that_says_what_to_save(tmp_path, backbone):
    torch.save(torchvision.models.resnet18(weights=None), tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"holds Python objects, .* torch\.save\(network\.state_dict\(\), path\)"):
        build_backbone(backbone, weights=str(tmp_path / "weights.pth"))


def test_message_on_weights_of_another_network_is_short(tmp_path, resnet, caplog):
    torch.save(prefix(resnet, "encoder_k."), tmp_path / "moco.pth")
    with pytest.raises(ValueError, match=r"do not fit backbone 'resnet18': Missing key.*encoder_k") as caught:
        build_backbone("resnet18", weights=str(tmp_path / "moco.pth"))
    assert len(str(caught.value)) < 700
    with pytest.raises(ValueError, match=r"do not fit timm network 'test_vit': it lacks cls_token") as caught:
        build_backbone("timm/test_vit", weights=str(tmp_path / "moco.pth"))
    assert len(str(caught.value)) < 700 and not caplog.records


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_of_a_training_that_diverged_are_refused(tmp_path, resnet, value):
    torch.save(resnet | {"bn1.running_var": torch.full((64,), value).half()}, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"weights\.pth: bn1\.running_var has values that are NaN or infinite"):
        build_backbone("resnet18", weights=str(tmp_path / "weights.pth"))
