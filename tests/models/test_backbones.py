from urllib.error import URLError

import pytest
import torch
import torchvision

from models.backbones import BACKBONE_NAMES, build_backbone, normalise_images


@pytest.mark.parametrize("name", BACKBONE_NAMES)
def test_features_have_the_promised_strides_and_channels(name):
    backbone = build_backbone(name).eval()
    features = backbone(torch.rand(1, 3, 64, 96))
    assert [tuple(f.shape[1:]) for f in features] == [
        (channels, 64 // stride, 96 // stride)
        for channels, stride in zip(backbone.channels, (4, 8, 16, 32), strict=True)
    ]


def test_resnet_features_equal_torchvisions_with_its_weight_file(tmp_path):
    torch.manual_seed(1)
    peer = torchvision.models.resnet18(weights=None).eval()
    torch.save(peer.state_dict(), tmp_path / "resnet18.pth")
    ours = build_backbone("resnet18", weights=str(tmp_path / "resnet18.pth")).eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        logits = peer.fc(ours(images)[-1].mean((2, 3)))
        torch.testing.assert_close(logits, peer(images))


def test_small_backbone_reads_its_own_weights(tmp_path):
    first = build_backbone("small")
    torch.save(first.state_dict(), tmp_path / "small.pth")
    second = build_backbone("small", weights=str(tmp_path / "small.pth"))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("weights", ["IMAGENET1K_V9", "missing/file.pth"])
def test_unknown_weights_are_an_error_that_names_the_known_ones(weights):
    with pytest.raises(ValueError, match=r"no such file, nor named weights of 'resnet18' \(IMAGENET1K_V1"):
        build_backbone("resnet18", weights=weights)


def test_weights_of_another_network_are_an_error(tmp_path):
    torch.save(build_backbone("small").state_dict(), tmp_path / "small.pth")
    with pytest.raises(ValueError, match="do not fit backbone 'resnet18'"):
        build_backbone("resnet18", weights=str(tmp_path / "small.pth"))


def test_weights_with_one_key_missing_are_an_error(tmp_path):
    state = build_backbone("small").state_dict()
    del state["stem.0.conv.weight"]
    torch.save(state, tmp_path / "small.pth")
    with pytest.raises(ValueError, match="Missing key"):
        build_backbone("small", weights=str(tmp_path / "small.pth"))


def test_failed_download_says_where_to_get_the_file(monkeypatch):
    def fail(self, *arguments, **options):
        raise URLError("no route to host")

    monkeypatch.setattr(torchvision.models.ResNet18_Weights, "get_state_dict", fail)
    message = r"can't be downloaded \(.*no route.*snakemake backbones.* such as https://.*resnet18-.*pth"
    with pytest.raises(ValueError, match=message):
        build_backbone("resnet18", weights="IMAGENET1K_V1")


def test_unknown_name():
    with pytest.raises(ValueError, match="unknown backbone 'vgg'; known are resnet18"):
        build_backbone("vgg")


def test_normalisation_is_torchvisions():
    images = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    expected = torchvision.transforms.functional.normalize(
        images / 255, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]
    )
    torch.testing.assert_close(normalise_images(images), expected)
