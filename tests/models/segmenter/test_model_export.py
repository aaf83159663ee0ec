"""Exported networks: one with little in it, so that the tests are fast; ``tests/stages`` exports a segmenter."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.segmenter import export
from models.segmenter.export import export_model, open_archive
from models.segmenter.inference import prepare_network
from models.segmenter.model import PanopticModel
from pseudogt.classes import ClassTable
from pseudogt.prediction.card import ModelCard
from pseudogt.prediction.decoding import Decoding
from pseudogt.prediction.exported import CARD_ENTRY, ExportedModel
from pseudogt.prediction.kinds import BOTTOM_UP

CLASSES = ClassTable(("road", "car"), (1, 2), (False, True), ((0, 0, 0), (255, 0, 0)))
DECODING = Decoding(centre_threshold=0.1, nms_cells=5, min_stuff_fraction=0.002, min_instance_px=16)


class Maps(NamedTuple):
    semantic: Tensor
    centre: Tensor
    offset: Tensor


class Slight(nn.Module):
    """The outputs of a segmenter from a few layers."""

    def __init__(self) -> None:
        super().__init__()
        self.at2 = nn.Conv2d(3, 2, kernel_size=2, stride=2)
        self.at4 = nn.Conv2d(3, 3, kernel_size=4, stride=4)

    def forward(self, images: Tensor) -> Maps:
        colours = images.float() / 255
        context = colours.mean((2, 3), keepdim=True)
        instance = self.at4(colours - context)
        return Maps(self.at2(colours), instance[:, :1], 32 * instance[:, 1:])


class Choosing(Slight):
    """A network that looks at values to decide what it computes, which cannot be exported."""

    def forward(self, images: Tensor) -> Maps:
        return super().forward(images if images.float().mean() > 10 else 255 - images)


class Windowed(Slight):
    """A network that cuts features into windows."""

    window_size = 7


class Model:
    """The least that can be exported."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.card = ModelCard(BOTTOM_UP, {"backbone": "slight"}, CLASSES, 0.5)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Model(Slight())


@pytest.fixture(scope="module")
def model_file(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    assert export_model(model, DECODING, path) < export.TOLERANCE
    return path


@pytest.mark.parametrize("size", [(1, 32, 32), (2, 64, 224), (5, 160, 96)])
def test_onnx_file_gives_the_maps_of_the_network_at_any_size(model, model_file, size):
    exported = ExportedModel.open(model_file, device="cpu", threads=1)
    assert (exported.card, exported.decoding) == (model.card, DECODING)
    images = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    expected = prepare_network(model.network, model.card.kind, torch.device("cpu"), torch.float32)(images)
    for a, b in zip(exported.run(images), expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_archive_gives_the_outputs_of_the_network_and_holds_the_card(model, tmp_path):
    assert export_model(model, DECODING, tmp_path / "model.pt2") < export.TOLERANCE
    images = torch.randint(0, 256, (4, 3, 128, 96), dtype=torch.uint8)
    for a, b in zip(open_archive(tmp_path / "model.pt2")(images), model.network(images), strict=True):
        torch.testing.assert_close(a, b)
    extra = {CARD_ENTRY: ""}
    torch.export.load(tmp_path / "model.pt2", extra_files=extra)
    assert ModelCard.from_text(extra[CARD_ENTRY]) == (model.card, DECODING)


def test_a_network_with_windows_is_exported_for_squares_of_one_size(tmp_path):
    model, path = Model(Windowed()), tmp_path / "model.pt2"
    with pytest.raises(ValueError, match=r"model\.pt2: not written, .* into windows.*predictions={tile_px: 512}"):
        export_model(model, DECODING, path)
    assert export_model(model, DECODING, path, tile_px=110) < export.TOLERANCE
    extra = {CARD_ENTRY: ""}
    torch.export.load(path, extra_files=extra)
    assert ModelCard.from_text(extra[CARD_ENTRY]) == (replace(model.card, only_px=96), DECODING)
    assert open_archive(path)(torch.zeros(5, 3, 96, 96, dtype=torch.uint8))[0].shape == (5, 2, 48, 48)
    with pytest.raises(AssertionError, match="96"):
        open_archive(path)(torch.zeros(1, 3, 128, 96, dtype=torch.uint8))


def test_a_file_that_differs_from_its_network_is_not_written(model, tmp_path, monkeypatch):
    def open_wrongly(path):
        exported = open_archive(path)
        return lambda batch: [output + 2e-4 for output in exported(batch)]

    monkeypatch.setattr(export, "open_archive", open_wrongly)
    with pytest.raises(ValueError, match=r"model\.pt2: not written, as its outputs differ .* by 0\.0002"):
        export_model(model, DECODING, tmp_path / "model.pt2")
    monkeypatch.setattr(
        export, "open_archive", lambda path: lambda batch: [torch.nan * o for o in model.network(batch)]
    )
    with pytest.raises(ValueError, match="by nan"):
        export_model(model, DECODING, tmp_path / "model.pt2")
    assert not list(tmp_path.iterdir())


def test_a_network_that_cannot_be_exported_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"torch .* can't export this network \(bottom_up, .*'slight'"):
        export_model(Model(Choosing()), DECODING, tmp_path / "model.pt2")
    assert not list(tmp_path.iterdir())


def test_unknown_suffix_and_missing_packages(model, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"model\.xml: .*choose \.onnx or \.pt2"):
        export_model(model, DECODING, tmp_path / "model.xml")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ValueError, match=r"needs onnx and onnxscript .*pip install -e '\.\[onnx\]'"):
        export_model(model, DECODING, tmp_path / "model.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
@pytest.mark.parametrize(
    "backbone",
    [
        "small",
        "resnet18",
        "timm/tf_efficientnet_lite0",
        "timm/convnext_atto",
        "timm/vit_tiny_patch16_224",
        "timm/swin_tiny_patch4_window7_224",
    ],
)
def test_segmenters_with_backbones_of_all_families(backbone, suffix, tmp_path):
    settings = {"backbone": backbone, "weights": None, "decoder_channels": 16}
    model = PanopticModel.build(CLASSES, **settings, scale=1.0, seed=0, settings={})
    # Only Swin reads the size.
    assert export_model(model, DECODING, tmp_path / f"model{suffix}", tile_px=128) < export.TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
@pytest.mark.parametrize(
    "architecture",
    [
        {"network": "mask_transformer", "backbone": "small", "query_channels": 64, "encoder_layers": 2},
        {"network": "eomt", "backbone": "timm/test_vit"},
    ],
)
def test_mask_transformers(architecture, suffix, tmp_path):
    settings = {"weights": None, "queries": 9, "query_layers": 2, "scale": 1.0, "seed": 0, "settings": {}}
    model = PanopticModel.build(CLASSES, **settings, **architecture)
    assert export_model(model, DECODING, tmp_path / f"model{suffix}") < export.TOLERANCE
