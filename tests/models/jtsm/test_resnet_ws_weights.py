import pickle

import numpy as np
import pytest
import torch
from torch import nn

from models.jtsm.backbones import build_jtsm_backbone
from models.jtsm.neck import Neck, build_neck
from models.jtsm.resnet_ws_weights import read_resnet_ws_weights

WIDTHS = (8, 6)


def make_peer(seed: int = 0) -> tuple[nn.Module, Neck]:
    """A network and a neck whose normalisation is a scale and a shift, as in the authors' files."""
    torch.manual_seed(seed)
    backbone = build_jtsm_backbone("resnet_ws18", init="scratch").eval()
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.constant_(module.running_var, 1 - 1e-5)
    neck = Neck(channels=512, widths=WIDTHS).eval()
    return backbone, neck


PEER, PEER_NECK = make_peer()


def arrays_with_detectron2_names() -> dict[str, np.ndarray]:
    arrays = {f"backbone.{k}": v.numpy() for k, v in PEER.state_dict().items() if "tracked" not in k}
    return arrays | {f"roi_heads.box_head.{k}": v.numpy() for k, v in PEER_NECK.state_dict().items()}


def arrays_with_caffe2_names(*, renamed: bool) -> dict[str, np.ndarray]:
    """As in the authors' files, with the renaming of their converter or without."""
    arrays = {}
    parts = {"conv1": "branch2a", "conv2": "branch2b", "conv3": "branch2c", "shortcut": "branch1"}
    kinds = {"weight": "w", "bias": "b", "norm.weight": "bn_s", "norm.bias": "bn_b"}
    for key, value in {**PEER.state_dict(), **PEER_NECK.state_dict()}.items():
        layer, kind = key.split(".norm.") if ".norm." in key else key.rsplit(".", 1)
        kind = f"norm.{kind}" if ".norm." in key else kind
        if kind not in kinds:
            continue
        if layer.startswith("res"):
            stage, block, conv = layer.split(".")
            layer = f"{stage}_{block}_{parts[conv]}"
        elif layer.startswith("stem"):
            layer = f"stem_{layer[5:]}" if renamed else f"conv1_{layer[-1]}"
        else:
            layer = layer if renamed else {"fc1": "fc6", "fc2": "fc7"}[layer]
        arrays[f"{layer}_{kinds[kind]}"] = value.numpy()
    return arrays


LAYOUTS = {
    "detectron2": lambda: {"model": arrays_with_detectron2_names(), "__author__": "x", "matching_heuristics": True},
    "caffe2": lambda: {"blobs": arrays_with_caffe2_names(renamed=False)},
    "caffe2, renamed": lambda: arrays_with_caffe2_names(renamed=True),
}


def write(folder, content):
    path = folder / "resnet18_ws_model_120_d2.pkl"
    path.write_bytes(pickle.dumps(content, protocol=2))
    return path


def test_names_are_those_of_the_files():
    names = arrays_with_caffe2_names(renamed=True).keys()
    assert {"stem_conv1_w", "stem_conv3_bn_b", "res2_0_branch2a_w", "res3_0_branch1_bn_s", "fc1_w", "fc2_b"} <= names
    assert {"conv1_1_w", "conv1_3_bn_b", "fc6_w", "fc7_b"} <= arrays_with_caffe2_names(renamed=False).keys()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_network_and_neck_are_those_that_were_written(layout, tmp_path):
    path = write(tmp_path, LAYOUTS[layout]())
    backbone = build_jtsm_backbone("resnet_ws18", init="weights", weights=path).eval()
    neck = build_neck(backbone, widths=WIDTHS, weights=path).eval()
    images = torch.randn(1, 3, 56, 56)
    with torch.inference_mode():
        torch.testing.assert_close(backbone(images), PEER(images), rtol=0, atol=0)
        torch.testing.assert_close(neck(backbone(images)), PEER_NECK(PEER(images)), rtol=0, atol=0)


def test_scale_without_statistics_is_applied_as_it_is(tmp_path):
    path = write(tmp_path, arrays_with_caffe2_names(renamed=True))
    backbone = build_jtsm_backbone("resnet_ws18", init="weights", weights=path).eval()
    norm = backbone.stem.conv1.norm
    values = torch.randn(2, 64, 3, 3)
    expected = values * norm.weight.view(-1, 1, 1) + norm.bias.view(-1, 1, 1)
    torch.testing.assert_close(norm(values), expected, rtol=1e-6, atol=1e-6)


def test_classifier_of_imagenet_and_momenta_are_left_out(tmp_path):
    content = arrays_with_caffe2_names(renamed=True)
    extra = {"pred_w": np.zeros((1000, 6), np.float32), "fc3_b": np.zeros(1000), "fc1_w_momentum": np.zeros(3)}
    state, neck = read_resnet_ws_weights(write(tmp_path, content | extra), PEER.state_dict())
    assert {*state, *neck} == {k for k in {**PEER.state_dict(), **PEER_NECK.state_dict()} if "tracked" not in k}


@pytest.mark.parametrize("missing", ["res4_1_branch2b_bn_s", "stem_conv2_w", "fc2_b"])
def test_missing_array_is_named(missing, tmp_path):
    content = arrays_with_caffe2_names(renamed=True)
    del content[missing]
    name = {"res4_1_branch2b_bn_s": "res4.1.conv2.norm.weight", "stem_conv2_w": "stem.conv2.weight"}.get(missing)
    with pytest.raises(ValueError, match=rf"_d2\.pkl: lacks {name or 'fc2.bias'}$"):
        read_resnet_ws_weights(write(tmp_path, content), PEER.state_dict())


@pytest.mark.parametrize("extra", ["res6_0_branch2a_w", "stem_conv4_w", "rpn_w"])
def test_unknown_array_is_named(extra, tmp_path):
    content = arrays_with_caffe2_names(renamed=True) | {extra: np.zeros(3, np.float32)}
    with pytest.raises(ValueError, match=f"holds what the network does not have: .*{extra.split('_')[0]}"):
        read_resnet_ws_weights(write(tmp_path, content), PEER.state_dict())


def test_file_of_another_depth_is_an_error(tmp_path):
    path = write(tmp_path, arrays_with_caffe2_names(renamed=True))
    with pytest.raises(ValueError, match=r"lacks .*conv3.* and \d+ more"):
        build_jtsm_backbone("resnet_ws50", init="weights", weights=path)


def test_part_of_the_statistics_is_not_enough(tmp_path):
    content = arrays_with_caffe2_names(renamed=True) | {"stem_conv1_bn_rm": np.zeros(64, np.float32)}
    with pytest.raises(ValueError, match=r"lacks res2\.0\.conv1\.norm\.running_mean"):
        read_resnet_ws_weights(write(tmp_path, content), PEER.state_dict())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stem_conv1_w": np.zeros((64, 3, 7, 7), np.float32)}, r"stem\.conv1\.weight is \(64, 3, 7, 7\)"),
        ({"stem_conv1_w": "weights"}, "stem_conv1_w is not an array of floating-point numbers"),
        ({"stem_conv1_w": np.zeros((64, 3, 3, 3), np.int64)}, "stem_conv1_w is not an array of floating-point numbers"),
        ({"fc6_w": np.zeros((8, 25088), np.float32)}, r"two entries are the weights fc1\.weight"),
        ({"fc1_b": np.zeros(9, np.float32)}, r"fc1 of the neck has weights \(8, 25088\) and a bias \(9,\)"),
    ],
)
def test_wrong_arrays_are_named(change, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read_resnet_ws_weights(write(tmp_path, arrays_with_caffe2_names(renamed=True) | change), PEER.state_dict())


def test_widths_that_are_not_the_files(tmp_path):
    path = write(tmp_path, arrays_with_caffe2_names(renamed=True))
    with pytest.raises(ValueError, match=r"fc1\.weight is \(8, 25088\), the neck needs \(16, 25088\); leave out"):
        build_neck(PEER, widths=(16, 6), weights=path)


def test_other_files_hold_no_neck(tmp_path):
    with pytest.raises(ValueError, match="hold a neck, not those of 'small'"):
        build_neck(build_jtsm_backbone("small", init="scratch"), weights=tmp_path / "x.pth")


def test_a_list_is_no_file_of_weights(tmp_path):
    with pytest.raises(ValueError, match="not a file of weights"):
        read_resnet_ws_weights(write(tmp_path, [1, 2]), PEER.state_dict())


def test_code_in_the_file_does_not_run(tmp_path):
    with pytest.raises(ValueError, match=r"asks for (posix|nt)\.system"):
        path = tmp_path / "bad.pkl"
        path.write_bytes(b"cposix\nsystem\n(S'false'\ntR.")
        read_resnet_ws_weights(path, PEER.state_dict())
