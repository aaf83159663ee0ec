import pytest
import torch

from models.segmenter.eomt import choose_attention
from models.segmenter.model import build_from_architecture
from pseudogt.classes import ClassTable

CLASSES = ClassTable(("road", "car"), (1, 2), (False, True), ((0, 0, 0), (255, 0, 0)))
ARCHITECTURE = {
    "network": "eomt", "backbone": "timm/test_vit", "class_count": 2, "queries": 5, "query_layers": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_from_architecture(ARCHITECTURE)


def test_training_predicts_before_each_block_and_at_the_end(network):
    images = torch.zeros(2, 3, 64, 96, dtype=torch.uint8)
    for layers, training in ((3, True), (1, False)):
        output = network.train(training)(images)
        assert output.semantic.shape == (2, 2, 16, 24)
        assert output.classes.shape == (2, layers, 5, 3)
        assert output.masks.shape == (2, layers, 5, 16, 24)


def test_queries_see_the_patches_in_their_masks_and_patches_see_everything():
    masks = torch.full((1, 5, 16, 24), -1.0)
    masks[0, 0, :4, :4] = 1
    seen = choose_attention(masks, (4, 6), 5 + 1 + 24)[0, 0]
    assert seen[0, -24:].sum() == 1 and seen[0, -24]
    assert seen[1:].all() and seen[0, :-24].all()


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
