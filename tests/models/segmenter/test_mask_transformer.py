import numpy as np
import pytest
import torch
from transformers.models.mask2former.modeling_mask2former import Mask2FormerPixelDecoderEncoderOnly

from models.segmenter.inference import prepare_network
from models.segmenter.mask_output import add_up_scores
from models.segmenter.mask_transformer import find_reference_points
from models.segmenter.model import PanopticModel, build_from_architecture
from pseudogt.classes import ClassTable
from pseudogt.prediction.kinds import KINDS
from pseudogt.prediction.passes import Passes, predict_images

CLASSES = ClassTable(("road", "car"), (1, 2), (False, True), ((0, 0, 0), (255, 0, 0)))
SHAPE = {"queries": 5, "query_channels": 64, "encoder_layers": 1, "query_layers": 2}
ARCHITECTURE = {"network": "mask_transformer", "backbone": "small", "class_count": 2, **SHAPE}


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_from_architecture(ARCHITECTURE).eval()


def make_images(count=1, height=64, width=96):
    return torch.randint(0, 256, (count, 3, height, width), generator=torch.Generator().manual_seed(0)).byte()


@pytest.mark.parametrize("backbone", ["small", "timm/test_vit"])
def test_training_predicts_after_each_layer_and_evaluation_after_the_last(backbone):
    network = build_from_architecture(ARCHITECTURE | {"backbone": backbone})
    for layers, training in ((3, True), (1, False)):
        output = network.train(training)(make_images(2))
        assert output.semantic.shape == (2, 2, 32, 48)
        assert output.classes.shape == (2, layers, 5, 3)
        assert output.masks.shape == (2, layers, 5, 32, 48)


def test_the_smallest_image_has_masks(network):
    """Its feature at stride 32 is one pixel, of which a normalisation needs several channels."""
    assert network(make_images(height=32, width=32)).masks.shape == (1, 1, 5, 16, 16)


def test_score_maps_are_sums_of_class_times_mask():
    generator = torch.Generator().manual_seed(0)
    classes, masks = torch.randn(1, 5, 3, generator=generator), torch.randn(1, 5, 4, 6, generator=generator)
    sums = torch.einsum("qc,qhw->chw", classes[0].softmax(-1)[:, :2], masks[0].sigmoid())
    found = add_up_scores(classes, masks).softmax(1)[0]
    torch.testing.assert_close(found, sums / sums.sum(0), atol=1e-5, rtol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(add_up_scores(classes, masks).softmax(1)[0], found)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_reference_points_are_those_of_transformers(dtype):
    sizes, ratios = [(2, 3), (4, 6), (8, 12)], torch.ones(2, 3, 2, dtype=dtype)
    expected = Mask2FormerPixelDecoderEncoderOnly.get_reference_points(sizes, ratios, "cpu")
    assert torch.equal(find_reference_points(sizes, ratios, "cpu"), expected)


def test_a_model_of_another_network_is_no_start(network, tmp_path):
    PanopticModel(network, ARCHITECTURE, CLASSES, {}, 1.0).save(tmp_path / "a.pt")
    others = {"backbone": "small", "weights": None, "scale": 1.0, "seed": 0, "settings": {}}
    with pytest.raises(ValueError, match="trained with another network or class table"):
        PanopticModel.build(CLASSES, **others, init=tmp_path / "a.pt", decoder_channels=8)
    equal = PanopticModel.build(CLASSES, **others, init=tmp_path / "a.pt", network="mask_transformer", **SHAPE)
    assert all(map(torch.equal, equal.network.state_dict().values(), network.state_dict().values()))


def test_averaging_gives_an_image_and_its_mirror_image_the_same_classes(network):
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    run = prepare_network(network, KINDS["mask_transformer"], torch.device("cpu"), torch.float32)
    passes = Passes(scale=1.0, batch_size=1, flip=True)
    pair = [image, image[:, ::-1].copy()]
    (_, a), (_, b) = predict_images(run, [(64, 96)] * 2, lambda i: pair[i], passes)
    np.testing.assert_allclose(a.semantic, b.semantic[..., ::-1], rtol=1e-4, atol=1e-5)


def test_images_too_large_for_one_pass_are_an_error(network):
    run = prepare_network(network, KINDS["mask_transformer"], torch.device("cpu"), torch.float32)
    passes = Passes(scale=1.0, batch_size=1, flip=False, tile_px=64, can_tile=KINDS["mask_transformer"].can_tile)
    with pytest.raises(ValueError, match=r"images of 128x64 pixels .* mask transformers work on whole images only"):
        next(predict_images(run, [(64, 128)], lambda _: np.zeros((64, 128, 3), np.uint8), passes))
