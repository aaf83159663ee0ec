import pytest
import torch

from models.segmenter.model import PanopticModel, build_from_architecture
from pseudogt.classes import ClassTable

CLASSES = ClassTable(("road", "car"), (1, 2), (False, True), ((0, 0, 0), (255, 0, 0)))
ARCHITECTURE = {
    "network": "eomt", "backbone": "timm/test_vit", "class_count": 2, "queries": 5, "query_layers": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_from_architecture(ARCHITECTURE)


def make_images(count):
    return torch.randint(0, 256, (count, 3, 64, 96), generator=torch.Generator().manual_seed(0)).byte()


def test_training_predicts_before_each_block_and_at_the_end_and_every_weight_learns(network):
    output = network.train()(make_images(2))
    assert output.semantic.shape == (2, 2, 16, 24)
    assert output.classes.shape == (2, 3, 5, 3)
    assert output.masks.shape == (2, 3, 5, 16, 24)
    sum(part.square().mean() for part in output).backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None] == []


def test_an_image_does_not_depend_on_its_batch(network):
    with torch.inference_mode():
        both, second = network.eval()(make_images(2)), network(make_images(2)[1:])
    assert both.classes.shape == (2, 1, 5, 3)
    for a, b in zip(both, second, strict=True):
        assert torch.equal(a[1:], b)


def test_queries_see_the_patches_in_their_masks_and_patches_see_everything(network):
    masks = torch.full((1, 5, 16, 24), -1.0)
    masks[0, 0, :4, :4] = 1
    seen = network._choose_attention(masks, (4, 6), 5 + 1 + 24)[0, 0]
    assert seen[0, -24:].sum() == 1 and seen[0, -24]
    assert seen[1:].all() and seen[0, :-24].all()


def test_model_file_is_self_contained(network, tmp_path):
    PanopticModel(network, ARCHITECTURE, CLASSES, 0.5, {}).save(tmp_path / "a.pt")
    loaded = PanopticModel.load(tmp_path / "a.pt").network.eval()
    with torch.inference_mode():
        for a, b in zip(network.eval()(make_images(1)), loaded(make_images(1)), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": "small"}, "segmenter.backbone small: network eomt takes plain vision transformers"),
        ({"backbone": "timm/test_resnet"}, "choose one such as timm/vit_small_patch16_224"),
        ({"query_layers": 99}, r"segmenter.query_layers 99: the backbone has \d+ blocks"),
    ],
)
def test_other_backbones_are_errors(changes, message):
    with pytest.raises(ValueError, match=message):
        build_from_architecture(ARCHITECTURE | changes)
