"""What holds for every network of the segmenter."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.segmenter.inference import prepare_network
from models.segmenter.model import NETWORKS, PanopticModel, build_from_architecture
from pseudogt.classes import ClassTable
from pseudogt.prediction.kinds import KINDS
from pseudogt.prediction.passes import Passes, predict_images

CLASSES = ClassTable(("road", "car"), (1, 2), (False, True), ((0, 0, 0), (255, 0, 0)))
SHAPES = {
    "bottom_up": {"backbone": "small", "decoder_channels": 16},
    "mask_transformer": {
        "backbone": "small", "queries": 5, "query_channels": 64, "encoder_layers": 1, "query_layers": 2,
    },
    "eomt": {"backbone": "timm/test_vit", "queries": 5, "query_layers": 2},
}  # fmt: skip
ARCHITECTURES = {name: {"network": name, "class_count": 2, **shape} for name, shape in SHAPES.items()}


@pytest.fixture(scope="module", params=list(NETWORKS.names))
def architecture(request):
    return ARCHITECTURES[request.param]


@pytest.fixture
def network(architecture):
    torch.manual_seed(0)
    return build_from_architecture(architecture).eval()


def make_images(count=1, height=64, width=96):
    return torch.randint(0, 256, (count, 3, height, width), generator=torch.Generator().manual_seed(0)).byte()


def test_sizes_that_do_not_divide_are_an_error(network):
    with pytest.raises(ValueError, match=r"\(1, 3, 60, 64\) are not a multiple of 32"):
        network(make_images(height=60, width=64))


def test_every_weight_has_a_gradient(network):
    """Parallel training waits for those that have none."""
    output = network.train()(make_images(2))
    sum(part.square().mean() for part in output).backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None] == []


def test_model_file_is_self_contained_and_repeatable(network, architecture, tmp_path):
    model = PanopticModel(network, architecture, CLASSES, {"seed": 3}, 0.5)
    model.save(tmp_path / "a.pt")
    model.save(tmp_path / "b.pt")
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()
    loaded = PanopticModel.load(tmp_path / "a.pt")
    assert (loaded.classes, loaded.scale, loaded.settings) == (CLASSES, 0.5, {"seed": 3})
    with torch.inference_mode():
        for a, b in zip(network(make_images()), loaded.network.eval()(make_images()), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize(("flip", "dtype"), [(False, torch.bfloat16), (True, torch.float32)])
def test_prediction_of_an_image_does_not_depend_on_its_shard(network, architecture, flip, dtype):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (64, 96 if i % 3 else 64, 3), dtype=np.uint8) for i in range(5)]
    run = prepare_network(network, KINDS[architecture["network"]], torch.device("cpu"), dtype)
    passes = Passes(scale=1.0, batch_size=2, flip=flip)

    def predict(chosen):
        sizes = [images[i].shape[:2] for i in chosen]
        found = predict_images(run, sizes, lambda position: images[chosen[position]], passes)
        return {chosen[position]: prediction for position, prediction in found}

    whole = predict(list(range(5)))
    for shard in ([0, 1], [2], [4, 3]):
        for i, prediction in predict(shard).items():
            for a, b in zip(prediction, whole[i], strict=True):
                np.testing.assert_array_equal(a, b)
