"""Models in ONNX files, made here without torch: one convolution that looks at colours."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from pseudogt.classes import ClassTable
from pseudogt.prediction.card import ModelCard
from pseudogt.prediction.decoding import Decoding
from pseudogt.prediction.exported import CARD_ENTRY, ExportedModel
from pseudogt.prediction.kinds import BOTTOM_UP

CLASSES = ClassTable(("road", "car"), (7, 26), (False, True), ((1, 2, 3), (255, 0, 0)))
CARD = ModelCard(BOTTOM_UP, {"backbone": "small", "decoder_channels": 48}, CLASSES, 0.5)
DECODING = Decoding(centre_threshold=0.1, nms_cells=5, min_stuff_fraction=0.002, min_instance_px=16)
STRIDES = {"semantic": 2, "centre": 4, "offset": 4}


def write_model(path, card):
    """A network without weights to speak of: means of the channels red and blue over cells tell cars from road."""
    onnx = pytest.importorskip("onnx")
    helper, number = onnx.helper, onnx.TensorProto
    nodes = [helper.make_node("Cast", ["images"], ["colours"], to=number.FLOAT)]
    constants, outputs = [], []
    kernels = {
        "semantic": np.array([[0, 0, 1], [1, 0, 0]], np.float32),
        "centre": np.array([[1 / 255, 0, 0]], np.float32),
        "offset": np.zeros((2, 3), np.float32),
    }
    for name, kernel in kernels.items():
        stride = STRIDES[name]
        weights = np.repeat(kernel / stride**2, stride**2, axis=1).reshape(*kernel.shape, stride, stride)
        constants.append(onnx.numpy_helper.from_array(weights, f"{name}_weights"))
        nodes.append(helper.make_node("Conv", ["colours", f"{name}_weights"], [name], strides=[stride, stride]))
        outputs.append(helper.make_tensor_value_info(name, number.FLOAT, ["b", len(kernel), None, None]))
    images = helper.make_tensor_value_info("images", number.UINT8, ["b", 3, "h", "w"])
    graph = helper.make_graph(nodes, "colours", [images], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    if card is not None:
        helper.set_model_props(model, {CARD_ENTRY: card})
    onnx.save(model, path)
    return path


@pytest.fixture
def model_file(tmp_path):
    return write_model(tmp_path / "model.onnx", CARD.to_text(DECODING))


def test_card_returns_from_its_text():
    assert ModelCard.from_text(CARD.to_text(DECODING)) == (CARD, DECODING)


def test_file_contains_all_that_is_needed_to_label_an_image(model_file):
    model = ExportedModel.open(model_file, device="cpu", threads=1)
    assert (model.card, model.decoding, model.device) == (CARD, DECODING, "cpu")
    image = np.zeros((150, 260, 3), np.uint8)
    image[..., 2] = 200
    image[40:80, 60:120] = (255, 0, 0)
    decoded = model.predict(image)
    assert decoded.panoptic_id.shape == (150, 260)
    assert set(decoded.scores) == {7000, 26001}
    assert (decoded.panoptic_id[42:78, 62:118] == 26001).all()
    assert (decoded.panoptic_id[:, 140:] == 7000).all()
    in_tiles = model.predict(image, tile_px=64, flip=False)
    assert (in_tiles.panoptic_id == decoded.panoptic_id).mean() > 0.99


def test_file_for_one_size_says_so_and_labels_images_in_tiles(tmp_path):
    card = replace(CARD, only_px=64)
    model = ExportedModel.open(write_model(tmp_path / "model.onnx", card.to_text(DECODING)), device="cpu", threads=1)
    assert model.card == card
    image = np.zeros((150, 260, 3), np.uint8)
    image[40:80, 60:120] = (255, 0, 0)
    assert (model.predict(image).panoptic_id == model.predict(image, tile_px=64).panoptic_id).mean() > 0.99


def test_missing_runtime_names_the_extra(model_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ValueError, match=r"need onnxruntime .*pip install -e '\.\[onnx\]'"):
        ExportedModel.open(model_file)


def test_gpu_that_is_not_there(model_file):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("onnxruntime can use a GPU here")
    with pytest.raises(ValueError, match="onnxruntime finds no GPU"):
        ExportedModel.open(model_file, device="cuda")


def test_files_that_are_no_models(tmp_path):
    with pytest.raises(ValueError, match=r"none\.onnx: no such model file"):
        ExportedModel.open(tmp_path / "none.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"broken\.onnx: onnxruntime can't read it"):
        ExportedModel.open(tmp_path / "broken.onnx")
    foreign = write_model(tmp_path / "foreign.onnx", None)
    with pytest.raises(ValueError, match=r"foreign\.onnx: has no entry 'pseudogt'.*snakemake export_model"):
        ExportedModel.open(foreign)


@pytest.mark.parametrize(("old", "new"), [('"version": 1', '"version": 2'), ("bottom_up", "top_down"), (": 4", ": 8")])
def test_file_of_another_version(tmp_path, old, new):
    path = write_model(tmp_path / "newer.onnx", CARD.to_text(DECODING).replace(old, new))
    with pytest.raises(ValueError, match=r"newer\.onnx: was exported by another version"):
        ExportedModel.open(path)


@pytest.mark.parametrize(
    ("sides", "usual_px", "warned"),
    [
        ((96, 70, 100), 96, ""),
        ((4000, 4000), 480, "is 4000 pixels and was 480"),
        ((100,), 400, "0.25 times"),
        ((9,), None, ""),
    ],
)
def test_photos_of_another_size_than_those_of_the_training(sides, usual_px, warned):
    card = ModelCard.from_text(replace(CARD, usual_px=usual_px).to_text(DECODING))[0]
    notes = card.describe_sizes([(side, side // 2) for side in sides])
    assert warned in " ".join(notes) and bool(notes) == bool(warned)
