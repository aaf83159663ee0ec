import numpy as np
import pytest
import torch

from models.checkpoints import load_checkpoint, save_checkpoint
from models.segmenter.bottom_up import build_network
from models.segmenter.inference import prepare_network
from models.segmenter.model import PanopticModel
from pseudogt.classes import ClassTable
from pseudogt.prediction.kinds import BOTTOM_UP, KINDS
from pseudogt.prediction.maps import choose_network_size
from pseudogt.prediction.passes import Passes, predict_images

CLASSES = ClassTable(("road", "car"), (1, 2), (False, True), ((0, 0, 0), (255, 0, 0)))
ARCHITECTURE = {"backbone": "small", "class_count": 2, "decoder_channels": 16}


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_network(**ARCHITECTURE).eval()


@pytest.mark.parametrize("backbone", ["small", "resnet18"])
def test_outputs_have_strides_2_and_4(backbone):
    network = build_network(backbone=backbone, class_count=5, decoder_channels=16).eval()
    output = network(torch.zeros(2, 3, 64, 96, dtype=torch.uint8))
    assert output.semantic.shape == (2, 5, 32, 48)
    assert output.centre.shape == (2, 1, 16, 24)
    assert output.offset.shape == (2, 2, 16, 24)


@pytest.mark.parametrize(
    ("size", "scale", "expected"),
    [((360, 480), 0.5, (192, 256)), ((128, 256), 1, (128, 256)), ((9, 300), 0.5, (32, 160))],
)
def test_network_size(size, scale, expected):
    assert choose_network_size(size, scale) == expected


@pytest.mark.parametrize("entry", ["architecture", "weights", "scale"])
def test_model_file_of_another_version_is_named(network, tmp_path, entry):
    PanopticModel(network, ARCHITECTURE, CLASSES, {}, 0.5).save(tmp_path / "a.pt")
    state = load_checkpoint(tmp_path / "a.pt", kind=PanopticModel.KIND)
    save_checkpoint(tmp_path / "a.pt", {name: value for name, value in state.items() if name != entry})
    with pytest.raises(ValueError, match=rf"a\.pt: was written by another version of the workflow .*{entry}"):
        PanopticModel.load(tmp_path / "a.pt")


def test_images_of_the_next_batch_are_read_while_the_network_computes(network):
    read = []

    def read_image(position):
        read.append(position)
        return np.full((64, 96, 3), position, np.uint8)

    run = prepare_network(network, KINDS[BOTTOM_UP], torch.device("cpu"), torch.float32)
    found = predict_images(run, [(64, 96)] * 9, read_image, Passes(scale=1.0, batch_size=2, flip=False))
    assert next(found)[0] == 0
    assert {0, 1} < set(read) <= {0, 1, 2, 3}
    assert [position for position, _ in found] == list(range(1, 9))
    assert sorted(read) == list(range(9))


def test_image_that_cannot_be_read_ends_the_prediction(network):
    def read_image(position):
        if position == 3:
            raise ValueError("d.png: truncated image")
        return np.zeros((64, 96, 3), np.uint8)

    run = prepare_network(network, KINDS[BOTTOM_UP], torch.device("cpu"), torch.float32)
    with pytest.raises(ValueError, match=r"d\.png: truncated image"):
        list(predict_images(run, [(64, 96)] * 9, read_image, Passes(scale=1.0, batch_size=2, flip=False)))


def test_flip_averaging_treats_an_image_and_its_mirror_image_alike(network):
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    pair = [image, image[:, ::-1].copy()]
    run = prepare_network(network, KINDS[BOTTOM_UP], torch.device("cpu"), torch.float32)
    passes = Passes(scale=1.0, batch_size=1, flip=True)
    (_, a), (_, b) = predict_images(run, [(64, 96)] * 2, lambda i: pair[i], passes)
    np.testing.assert_allclose(a.semantic, b.semantic[..., ::-1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(a.offset[0], b.offset[0, :, ::-1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(a.offset[1], -b.offset[1, :, ::-1], rtol=1e-5, atol=1e-6)
