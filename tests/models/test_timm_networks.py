"""Networks of timm as backbones: strides, sizes, weights, and what training leaves alone."""

from __future__ import annotations

import pytest
import timm
import torch

from models.backbones import Freeze, build_backbone, find_problem
from models.backbones.pyramid import resize_to_stride_16
from models.classifier.model import ClassifierModel
from models.segmenter.model import PanopticModel
from pseudogt.classes import ClassTable

CLASSES = ClassTable(("road", "car"), (1, 2), (False, True), ((0, 0, 0),) * 2)


def randomise_statistics(network: torch.nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)


@pytest.mark.parametrize("size", [(192, 256), (36, 100)])
@pytest.mark.parametrize(
    "name",
    [
        "test_resnet",
        "test_efficientnet",
        "test_convnext",  # rounds sizes down
        "swin_tiny_patch4_window7_224",  # returns channels last, and windows of 7 cells
        "test_vit",  # patches of 16, and a class token
        "vit_small_patch14_reg4_dinov2",  # patches of 14, and registers
        "vit_small_patch16_dinov3",  # rotary positions, registers
        "vit_tiny_patch16_224",  # positions learned for 14 x 14 patches
    ],
)
def test_features_of_any_size_have_four_strides_rounded_up(name, size):
    backbone = build_backbone(f"timm/{name}").eval()
    with torch.inference_mode():
        features = backbone(torch.randn(1, 3, *size))
    assert [tuple(feature.shape[1:]) for feature in features] == [
        (channels, -(-size[0] // stride), -(-size[1] // stride))
        for channels, stride in zip(backbone.channels, (4, 8, 16, 32), strict=True)
    ]


def test_features_are_those_of_timm():
    torch.manual_seed(0)
    peer = timm.create_model("test_resnet", features_only=True, out_indices=(1, 2, 3, 4)).eval()
    backbone = build_backbone("timm/test_resnet").eval()
    randomise_statistics(peer)
    weights = dict(zip(backbone.network.state_dict(), peer.state_dict().values(), strict=True))
    backbone.network.load_state_dict(weights)
    images = torch.randn(1, 3, 64, 96)
    for ours, theirs in zip(backbone(images), peer(images), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("stride", [8, 14, 16, 32])
def test_resampled_cells_stay_where_they_were(stride):
    """Each cell of a linear ramp holds the position of its centre, before and after."""
    rows, columns = -(-192 // stride), -(-256 // stride)
    centres = (torch.arange(columns) + 0.5) * stride
    ramp = centres.expand(1, 1, rows, columns)
    resized = resize_to_stride_16(ramp, stride, (192, 256))
    expected = (torch.arange(16) + 0.5) * 16
    assert resized.shape == (1, 1, 12, 16)
    # Beyond the centres of the outermost cells, values repeat.
    inside = (expected >= centres[0]) & (expected <= centres[-1])
    torch.testing.assert_close(resized[0, 0, 5][inside], expected[inside])


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_vit"])
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_fewer_levels_are_the_first_and_need_no_other_weights(name, levels):
    torch.manual_seed(0)
    every, first = (build_backbone(f"timm/{name}", levels=n) for n in (4, levels))
    first.load_state_dict({k: v for k, v in every.state_dict().items() if k in first.state_dict()})
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(first.eval()(images), every.eval()(images)[:levels])
    sum(feature.sum() for feature in first.train()(images)).backward()
    assert [n for n, p in first.named_parameters() if p.requires_grad and p.grad is None] == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet5o", r"knows no network 'resnet5o'; did you mean resnet50"),
        ("resnet50.a1_in1k", r"give backbone: timm/resnet50 and weights: a1_in1k"),
        ("levit_128s", r"strides 16, 32, 64, and 4, 8, 16, 32 are needed; choose one such as resnet50"),
        ("hiera_tiny_224", "images of one size only"),
        ("maxvit_pico_rw_256", "images of one size only"),
        ("beit_base_patch16_224", "images of one size only"),
    ],
)
def test_networks_that_are_no_use_are_errors(name, message):
    with pytest.raises(ValueError, match=message):
        build_backbone(f"timm/{name}")


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "test_vit", "densenet121", "vgg11"])
def test_networks_that_can_not_be_dilated_are_errors_that_say_what_can(name):
    with pytest.raises(ValueError, match=r"can't be dilated to stride 8.* choose a ResNet"):
        build_backbone(f"timm/{name}", dense=True)


def test_unknown_tag_is_an_error_that_lists_the_tags():
    message = r"nor a tag of timm network 'test_resnet'; did you mean r160_in1k\? It has r160_in1k"
    with pytest.raises(ValueError, match=message):
        build_backbone("timm/test_resnet", weights="r160_in1")


@pytest.mark.parametrize(
    ("name", "weights", "problem"),
    [
        ("timm/test_resnet", "r160_in1k", ""),
        ("timm/test_resnet", "a1_in1k", "It has r160_in1k"),
        ("timm/test_resnet", "some/file.pth", "weights 'some/file.pth': no such file"),
        ("timm/resnet5o", None, "did you mean resnet50"),
        ("resnet50", "IMAGENET1K_V2", ""),
        ("resnet50", "IMAGENET1K_V9", "nor named weights of 'resnet50' (IMAGENET1K_V1"),
    ],
)
def test_problems_are_found_without_a_download(name, weights, problem, monkeypatch):
    monkeypatch.setattr("timm.models._builder.load_pretrained", None)
    found = find_problem(name, weights=weights, levels=4, dense=False)
    assert problem in found and bool(problem) == bool(found)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_vit", "swin_tiny_patch4_window7_224"])
def test_file_of_a_whole_network_is_read_without_its_head(name, suffix, tmp_path):
    torch.manual_seed(1)
    peer = timm.create_model(name).eval()
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": peer.state_dict()}, path)
    else:
        from safetensors.torch import save_file

        save_file(peer.state_dict(), path)
    backbone = build_backbone(f"timm/{name}", weights=str(path))
    found = {key.removeprefix("model."): value for key, value in backbone.network.state_dict().items()}
    expected = peer.state_dict()
    assert found and all(torch.equal(value, expected[key]) for key, value in found.items())
    assert not any("state_dict" in (getattr(m, "pretrained_cfg", None) or {}) for m in backbone.modules())


def test_file_in_the_layout_of_the_authors_is_converted(tmp_path):
    """DINOv2's own files have a mask token, and the registers under another name."""
    torch.manual_seed(1)
    name = "vit_small_patch14_reg4_dinov2"
    state = dict(timm.create_model(name).state_dict())
    original = {key: value for key, value in state.items() if key not in ("reg_token", "cls_token", "pos_embed")}
    original |= {"mask_token": torch.zeros(1, 384), "register_tokens": state["reg_token"]}
    original["cls_token"] = torch.zeros_like(state["cls_token"])
    original["pos_embed"] = torch.cat([state["cls_token"], state["pos_embed"]], dim=1)
    torch.save(original, tmp_path / "dinov2.pth")
    backbone = build_backbone(f"timm/{name}", weights=str(tmp_path / "dinov2.pth"))
    for key, value in backbone.network.state_dict().items():
        torch.testing.assert_close(value, state[key])


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", "it lacks {first}"),
        ("unexpected", "the network does not have something.else"),
        ("shape", "size mismatch for {first}"),
    ],
)
def test_file_that_does_not_fit_is_an_error_with_its_first_keys(name, change, message, tmp_path):
    state = dict(timm.create_model(name).state_dict())
    first = next(key for key in state if key.endswith(("conv1.weight", "norm1.weight")))
    if change == "missing":
        del state[first]
    elif change == "unexpected":
        state["something.else"] = torch.zeros(1)
    else:
        state[first] = torch.zeros(1, 2, 3, 4)
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=message.format(first=first)):
        build_backbone(f"timm/{name}", weights=str(tmp_path / "weights.pth"))


def test_file_of_another_network_is_an_error(tmp_path):
    torch.save(build_backbone("small").state_dict(), tmp_path / "small.pth")
    with pytest.raises(ValueError, match=r"do not fit timm network 'test_resnet': it lacks .* and \d+ more"):
        build_backbone("timm/test_resnet", weights=str(tmp_path / "small.pth"))
    (tmp_path / "broken.pth").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"broken.pth: not readable weights"):
        build_backbone("timm/test_resnet", weights=str(tmp_path / "broken.pth"))


def test_images_are_normalised_as_the_weights_expect():
    images = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    halves = build_backbone("timm/tf_efficientnet_lite0", levels=1)
    torch.testing.assert_close(halves.normalise(images), (images / 255 - 0.5) / 0.5)
    other = build_backbone("timm/test_efficientnet")
    torch.testing.assert_close(other.normalise(images), build_backbone("small").normalise(images))


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_model_files_need_nothing_else(name, tmp_path, monkeypatch):
    torch.manual_seed(2)
    shared = {"backbone": f"timm/{name}", "weights": None, "scale": 1.0, "seed": 0, "settings": {}}
    classifier = ClassifierModel.build(CLASSES, **shared, levels=2, channels=8, sharpness=1.0)
    segmenter = PanopticModel.build(CLASSES, **shared, decoder_channels=8)
    # The mean of other weights than the default ones.
    classifier.network.backbone.mean += 0.1
    images = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    for model in (classifier, segmenter):
        model.save(tmp_path / "model.pt")
        with monkeypatch.context() as patch:
            for module in ("timm.models._builder", "timm.models._hub"):
                patch.setattr(f"{module}.load_state_dict_from_hf", None)
                patch.setattr(f"{module}.download_cached_file", None)
            patch.setattr("timm.models._builder.load_pretrained", None)
            loaded = type(model).load(tmp_path / "model.pt").network.eval()
        with torch.inference_mode():
            torch.testing.assert_close(loaded(images), model.network.eval()(images))


@pytest.mark.parametrize("name", ["small", "resnet18", "timm/test_resnet", "timm/test_efficientnet", "timm/test_vit"])
@pytest.mark.parametrize("frozen", [1, 2, 4])
def test_frozen_stages_stay_and_all_others_learn(name, frozen):
    torch.manual_seed(3)
    backbone = build_backbone(name)
    backbone.set_freeze(Freeze(frozen_stages=frozen))
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    stages = [{id(p) for module in stage for p in module.parameters(recurse=False)} for stage in backbone.list_stages()]
    assert all(stages) and len(set.union(*stages)) == sum(map(len, stages))
    assert set.union(*stages) == {id(p) for p in backbone.pretrained_parameters()}

    backbone.train()
    outputs = backbone(torch.randn(2, 3, 64, 64))
    if frozen < 4 or "vit" in name:
        sum(feature.square().sum() for feature in outputs).backward()
    for number, stage in enumerate(stages):
        gradients = [p.grad is not None for p in backbone.parameters() if id(p) in stage]
        assert any(gradients) if number >= frozen else not any(gradients)

    modules = [module for stage in backbone.list_stages()[:frozen] for module in stage]
    names = {id(module): name for name, module in backbone.named_modules()}
    for key, value in backbone.state_dict().items():
        owner = key.rpartition(".")[0]
        if "running" in key and owner in {names[id(module)] for module in modules}:
            assert torch.equal(value, before[key]), key


@pytest.mark.parametrize("name", ["small", "timm/test_resnet"])
def test_frozen_norms_keep_statistics_and_weights_while_convolutions_learn(name):
    torch.manual_seed(4)
    backbone = build_backbone(name)
    backbone.set_freeze(Freeze(freeze_norms=True))
    statistics = {key: value.clone() for key, value in backbone.state_dict().items() if "running" in key}
    torch.nn.Sequential(backbone).train()
    backbone(torch.randn(2, 3, 64, 64))[-1].square().sum().backward()
    state = backbone.state_dict()
    assert statistics and all(torch.equal(state[key], value) for key, value in statistics.items())
    norms = [module for module in backbone.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert all(p.grad is None and not p.requires_grad for norm in norms for p in norm.parameters())
    assert all(p.grad is not None for p in backbone.parameters() if p.ndim == 4)
