"""Trained weights are read correctly: they name what is on photos."""

from __future__ import annotations

import pytest
import timm
import torch
from skimage import data
from torchvision.transforms.functional import center_crop, resize

from models.backbones import build_backbone
from models.pretrained.imagenet_weights import NETWORK, convert_by_order, main, read_package

CAT, ESPRESSO, MISSILE = {281, 282, 285}, 967, 657
"""Classes of ImageNet: tabby, tiger cat and Egyptian cat; espresso; missile."""
CUP, PROJECTILE = 968, 744


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "lite0.pth"
    main([str(path)])
    return path


def test_photos_are_recognised(weights):
    """The backbone that the workflow builds, with timm's head on it."""
    network = timm.create_model(NETWORK).eval()
    network.load_state_dict(torch.load(weights, weights_only=True), strict=False)
    backbone = build_backbone(f"timm/{NETWORK}", weights=str(weights)).eval()

    def find_top_5(photo):
        image = torch.from_numpy(photo).permute(2, 0, 1)
        images = center_crop(resize(image, 256, antialias=True), 224)[None]
        with torch.inference_mode():
            features = network.bn2(network.conv_head(backbone(backbone.normalise(images))[-1]))
            return network.classifier(network.global_pool(features))[0].topk(5).indices.tolist()

    cat, coffee, rocket = (find_top_5(photo) for photo in (data.chelsea(), data.coffee(), data.rocket()))
    assert set(cat[:3]) == CAT
    assert coffee[0] == ESPRESSO and CUP in coffee
    assert rocket[0] == MISSILE and PROJECTILE in rocket


def test_every_tensor_has_a_place(weights):
    state = torch.load(weights, weights_only=True)
    assert len(state) == 247
    wanted = {k: v.shape for k, v in timm.create_model(NETWORK).state_dict().items() if "num_batches" not in k}
    assert {k: v.shape for k, v in state.items()} == wanted


def test_another_network_is_refused():
    found = read_package()
    wanted = timm.create_model(NETWORK).state_dict()
    with pytest.raises(ValueError, match="246 tensors for a network with 247"):
        convert_by_order(dict(list(found.items())[1:]), wanted)
    first = next(iter(found))
    with pytest.raises(ValueError, match=rf"{first} is \(1, 2\) for conv_stem.weight, which is \(32, 3, 3, 3\)"):
        convert_by_order({**found, first: torch.zeros(1, 2)}, wanted)
