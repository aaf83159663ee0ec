import pytest
import torch
from torch import nn

from models.backbones import build_backbone, normalise_images
from models.classifier.model import ClassifierModel
from models.classifier.network import build_tag_classifier
from models.jtsm.backbones import JTSM_BACKBONE_NAMES, build_jtsm_backbone
from models.jtsm.neck import Neck, build_neck
from pseudogt.classes import ClassTable

CLASSES = ClassTable(("road", "car"), (1, 2), (False, True), ((0, 0, 0),) * 2)


def set_random_statistics(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.0)


def save_classifier(path, *, levels: int) -> ClassifierModel:
    architecture = {"backbone": "small", "class_count": 2, "levels": levels, "channels": 8}
    network = build_tag_classifier(**architecture)
    set_random_statistics(network)
    model = ClassifierModel(network.eval(), architecture, CLASSES, {}, 1.0, 1.0)
    model.save(path)
    return model


@pytest.mark.parametrize("name", JTSM_BACKBONE_NAMES)
def test_one_map_at_stride_8_with_the_promised_channels(name):
    backbone = build_jtsm_backbone(name, init="scratch").eval()
    images = torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8)
    features = backbone(backbone.normalise(images))
    assert backbone.stride == 8
    assert features.shape == (1, backbone.channels, 8, 12)


@pytest.mark.parametrize(
    ("name", "channels", "widths", "millions"),
    # Weights of torchvision's networks less their classifier (11.177, 23.508, 42.500), less the 9408 of the
    # 7x7 convolution and its 128 of normalisation, plus the stem's 1728 + 2 * 36864 + 3 * 128.
    [
        ("resnet_ws18", 512, (4096, 4096), 11.177 - 0.009536 + 0.07584),
        ("resnet_ws50", 2048, (2048, 4096), 23.508 - 0.009536 + 0.07584),
        ("resnet_ws101", 2048, (2048, 4096), 42.500 - 0.009536 + 0.07584),
    ],
)
def test_resnet_ws_has_the_size_of_the_paper(name, channels, widths, millions):
    with torch.device("meta"):
        backbone = build_jtsm_backbone(name, init="scratch")
        neck = build_neck(backbone)
    assert backbone.channels == channels
    assert (neck.fc1.in_features, neck.fc1.out_features, neck.fc2.out_features) == (channels * 49, *widths)
    assert sum(p.numel() for p in backbone.parameters()) == pytest.approx(millions * 1e6, abs=1e3)


def test_resnet_ws_18_is_what_the_paper_describes():
    """The same network said step by step with torch's functions."""
    torch.manual_seed(0)
    backbone = build_jtsm_backbone("resnet_ws18", init="scratch").eval()
    set_random_statistics(backbone)
    state = backbone.state_dict()

    def convolve(key: str, x: torch.Tensor, stride: int = 1, dilation: int = 1) -> torch.Tensor:
        weight = state[f"{key}.weight"]
        padding = dilation if weight.shape[-1] == 3 else 0
        x = nn.functional.conv2d(x, weight, stride=stride, padding=padding, dilation=dilation)
        norm = [state[f"{key}.norm.{n}"] for n in ("running_mean", "running_var", "weight", "bias")]
        return nn.functional.batch_norm(x, *norm, eps=1e-5)

    images = torch.randn(1, 3, 64, 48)
    x = convolve("stem.conv1", images, stride=2).relu()
    x = convolve("stem.conv3", convolve("stem.conv2", x).relu()).relu()
    x = nn.functional.max_pool2d(x, 2)
    for stage, dilation in ((2, 1), (3, 1), (4, 2), (5, 2)):
        if stage == 3:
            x = nn.functional.max_pool2d(x, 2)
        if stage == 4:
            x = nn.functional.max_pool2d(nn.functional.pad(x, (0, 1, 0, 1)), 2, stride=1)
        for block in (0, 1):
            key = f"res{stage}.{block}"
            y = convolve(f"{key}.conv1", x, dilation=dilation).relu()
            y = convolve(f"{key}.conv2", y, dilation=dilation)
            x = (y + (convolve(f"{key}.shortcut", x) if f"{key}.shortcut.weight" in state else x)).relu()
    torch.testing.assert_close(backbone(images), x)


@pytest.mark.parametrize("name", ["small", "resnet18", "resnet50"])
def test_dilated_map_holds_the_cells_of_the_original(name, tmp_path):
    torch.manual_seed(1)
    original = build_backbone(name).eval()
    set_random_statistics(original)
    torch.save(original.state_dict(), tmp_path / "weights.pth")
    images = torch.randn(1, 3, 128, 192)
    for levels, spacing in ((2, 1), (3, 2), (4, 4)):
        dilated = build_jtsm_backbone(name, init="weights", weights=tmp_path / "weights.pth", levels=levels).eval()
        cells = dilated(images)[..., ::spacing, ::spacing]
        torch.testing.assert_close(cells, original(images)[levels - 1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("levels", [1, 2, 4])
def test_classifier_gives_the_stages_it_trained(levels, tmp_path):
    model = save_classifier(tmp_path / "model.pt", levels=levels)
    backbone = build_jtsm_backbone("small", init="classifier", weights=tmp_path / "model.pt").eval()
    images = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    assert backbone.stride == (4 if levels == 1 else 8)
    step = 2 ** max(levels - 2, 0)
    expected = model.network.backbone(normalise_images(images))[levels - 1]
    torch.testing.assert_close(backbone(backbone.normalise(images))[..., ::step, ::step], expected)
    assert backbone.architecture == {"name": "small", "levels": levels}
    again = build_jtsm_backbone(**backbone.architecture, init="scratch")
    again.load_state_dict(backbone.state_dict())


@pytest.mark.parametrize("levels", [1, 3])
def test_decoder_gives_the_features_of_the_classifier(levels, tmp_path):
    model = save_classifier(tmp_path / "model.pt", levels=levels)
    backbone = build_jtsm_backbone(
        "small", init="classifier", weights=tmp_path / "model.pt", decoder_channels=1, freeze="all"
    ).eval()
    images = torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8)
    features = backbone(backbone.normalise(images))
    assert (backbone.stride, backbone.channels) == (4, 8)
    torch.testing.assert_close(features, model.network.decode(images))
    again = build_jtsm_backbone(init="scratch", **backbone.architecture)
    again.load_state_dict(backbone.state_dict())
    torch.testing.assert_close(again.eval()(backbone.normalise(images)), features)
    assert not any(parameter.requires_grad for parameter in backbone.parameters())


def test_only_a_classifier_has_a_decoder(tmp_path):
    torch.save(build_backbone("small").state_dict(), tmp_path / "weights.pt")
    with pytest.raises(ValueError, match="init 'classifier' has one, init 'weights' has not"):
        build_jtsm_backbone("small", init="weights", weights=tmp_path / "weights.pt", decoder_channels=8)


@pytest.mark.parametrize(
    ("name", "message"),
    [("resnet18", "with backbone 'small'; set the backbone of JTSM to it"), ("resnet_ws18", "has no backbone")],
)
def test_classifier_of_another_backbone_is_an_error(name, message, tmp_path):
    save_classifier(tmp_path / "model.pt", levels=2)
    with pytest.raises(ValueError, match=message):
        build_jtsm_backbone(name, init="classifier", weights=tmp_path / "model.pt")


@pytest.mark.parametrize("name", JTSM_BACKBONE_NAMES)
def test_missing_weights_are_an_error(name, tmp_path):
    with pytest.raises(ValueError, match="only init 'scratch' goes without"):
        build_jtsm_backbone(name, init="weights")
    with pytest.raises(ValueError, match="no such file"):
        build_jtsm_backbone(name, init="weights", weights=tmp_path / "absent.pkl")


def test_weights_with_scratch_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="only init 'scratch' goes without"):
        build_jtsm_backbone("small", init="scratch", weights=tmp_path / "x.pth")


def test_unknown_names():
    with pytest.raises(ValueError, match="unknown backbone 'vgg'; choose one of resnet_ws18"):
        build_jtsm_backbone("vgg", init="scratch")
    with pytest.raises(ValueError, match="unknown init 'imagenet' of the backbone"):
        build_jtsm_backbone("small", init="imagenet")
    with pytest.raises(ValueError, match="unknown freeze 'some'"):
        build_jtsm_backbone("small", init="scratch", freeze="some")


def train_once(backbone: nn.Module) -> tuple[set[str], set[str]]:
    """Names of the weights and of the statistics that one step of training changed."""
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    backbone.train()
    features = backbone(torch.randn(2, 3, 32, 32))
    if features.requires_grad:
        features.square().mean().backward()
        torch.optim.SGD([p for p in backbone.parameters() if p.requires_grad], lr=0.1).step()
    changed = {k for k, v in backbone.state_dict().items() if not torch.equal(v, before[k])}
    return {k for k in changed if "running" not in k and "tracked" not in k}, {k for k in changed if "running" in k}


@pytest.mark.parametrize("name", ["small", "resnet18", "resnet_ws18"])
def test_freeze_decides_what_training_changes(name):
    torch.manual_seed(2)
    weights, statistics = train_once(build_jtsm_backbone(name, init="scratch", freeze="all"))
    assert not weights and not statistics
    weights, statistics = train_once(build_jtsm_backbone(name, init="scratch", freeze="norm"))
    assert weights and not statistics
    assert not any("norm" in k or "bn" in k or "downsample.1" in k for k in weights)
    weights, statistics = train_once(build_jtsm_backbone(name, init="scratch", freeze="none"))
    assert any("norm" in k or "bn" in k for k in weights) and statistics


def test_resnet_ws_takes_bgr_without_its_mean():
    backbone = build_jtsm_backbone("resnet_ws18", init="scratch")
    images = torch.tensor([200, 100, 50], dtype=torch.uint8).view(1, 3, 1, 1)
    expected = torch.tensor([50 - 102.9801, 100 - 115.9465, 200 - 122.7717]).view(1, 3, 1, 1)
    torch.testing.assert_close(backbone.normalise(images), expected)


@pytest.mark.parametrize("size", [(60, 64), (64, 60)])
def test_size_must_be_a_multiple_of_the_stride(size):
    with pytest.raises(ValueError, match="pad them to multiples of 8"):
        build_jtsm_backbone("small", init="scratch")(torch.zeros(1, 3, *size))


def test_neck_drops_only_in_training_and_keeps_the_size_of_what_it_sees():
    torch.manual_seed(3)
    neck = Neck(channels=4, widths=(300, 200))
    pooled = torch.rand(5, 4, 7, 7)
    neck.eval()
    first = torch.relu(pooled.reshape(5, -1) @ neck.fc1.weight.T + neck.fc1.bias)
    torch.testing.assert_close(neck(pooled), torch.relu(first @ neck.fc2.weight.T + neck.fc2.bias))
    neck.train()
    kept = Neck(channels=4, widths=(300, 200), dropout=0.0).train()
    assert (neck(pooled) == 0).float().mean() > (kept(pooled) == 0).float().mean() + 0.2
    assert neck.fc1.weight.std().item() == pytest.approx((2 / neck.fc1.in_features) ** 0.5, rel=0.02)
    assert 0.3 < kept(pooled).square().mean() / pooled.square().mean() < 3


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_convnext"])
def test_networks_of_timm_are_dilated(name):
    torch.manual_seed(4)
    weights = build_backbone(f"timm/{name}").eval()
    set_random_statistics(weights)
    images = torch.randint(0, 256, (1, 3, 128, 96), dtype=torch.uint8)
    for levels, stride in ((1, 4), (2, 8), (3, 8), (4, 8)):
        backbone = build_jtsm_backbone(f"timm/{name}", init="scratch", levels=levels).eval()
        backbone.body.load_state_dict(
            {k: v for k, v in weights.state_dict().items() if k in backbone.body.state_dict()}
        )
        features = backbone(backbone.normalise(images))
        assert backbone.stride == stride
        assert features.shape == (1, backbone.channels, 128 // stride, 96 // stride)
        expected = weights(weights.normalise(images))[levels - 1]
        assert expected.shape[1] == backbone.channels
        if levels <= 3 and name == "test_resnet":
            # Dilation puts cells between those of the network as it was.
            step = 2 if levels == 3 else 1
            torch.testing.assert_close(features[..., ::step, ::step], expected, rtol=1e-4, atol=1e-4)


def test_network_of_timm_that_can_not_be_dilated_names_the_remedies():
    with pytest.raises(ValueError, match=r"can't be dilated to stride 8.*set levels to 2, or .*decoder: true"):
        build_jtsm_backbone("timm/test_vit", init="scratch")
    backbone = build_jtsm_backbone("timm/test_vit", init="scratch", levels=2, freeze="all")
    assert backbone(torch.randn(1, 3, 64, 64)).shape == (1, backbone.channels, 8, 8)
    # Its pyramid has no trained weights, which freezing would leave at random.
    assert {n.split(".")[1] for n, p in backbone.named_parameters() if p.requires_grad} == {"pyramid"}


@pytest.mark.parametrize(("name", "levels"), [("test_resnet", 2), ("test_resnet", 4), ("test_vit", 2)])
def test_classifier_with_a_network_of_timm_gives_its_stages(name, levels, tmp_path):
    architecture = {"backbone": f"timm/{name}", "class_count": 2, "levels": levels, "channels": 8}
    classifier = build_tag_classifier(**architecture)
    set_random_statistics(classifier)
    classifier.backbone.mean += 0.05
    ClassifierModel(classifier.eval(), architecture, CLASSES, {}, 1.0, 1.0).save(tmp_path / "model.pt")
    images = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    backbone = build_jtsm_backbone(f"timm/{name}", init="classifier", weights=tmp_path / "model.pt").eval()
    assert backbone.architecture == {"name": f"timm/{name}", "levels": levels}
    torch.testing.assert_close(backbone.normalise(images), classifier.backbone.normalise(images))
    if levels == 2:
        expected = classifier.backbone(classifier.backbone.normalise(images))[1]
        torch.testing.assert_close(backbone(backbone.normalise(images)), expected)
    again = build_jtsm_backbone(**backbone.architecture, init="scratch").eval()
    again.load_state_dict(backbone.state_dict())
    torch.testing.assert_close(again(again.normalise(images)), backbone(backbone.normalise(images)))


def test_decoder_over_any_network_of_timm(tmp_path):
    architecture = {"backbone": "timm/test_vit", "class_count": 2, "levels": 4, "channels": 8}
    classifier = build_tag_classifier(**architecture).eval()
    ClassifierModel(classifier, architecture, CLASSES, {}, 1.0, 1.0).save(tmp_path / "model.pt")
    backbone = build_jtsm_backbone(
        "timm/test_vit", init="classifier", weights=tmp_path / "model.pt", decoder_channels=1, freeze="all"
    ).eval()
    images = torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8)
    torch.testing.assert_close(backbone(backbone.normalise(images)), classifier.decode(images))


@pytest.mark.parametrize("freeze", ["all", "norm", "none"])
def test_freeze_of_a_network_of_timm(freeze):
    torch.manual_seed(5)
    weights, statistics = train_once(build_jtsm_backbone("timm/test_resnet", init="scratch", freeze=freeze))
    assert bool(weights) == (freeze != "all") and bool(statistics) == (freeze == "none")
