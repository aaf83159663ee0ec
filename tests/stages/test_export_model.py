"""A model leaves: exported, it labels images in a process that has no torch, as the model file does."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from panoptic_dataset import CLASSES, train_segmenter

from models.segmenter.model import PanopticModel
from pseudogt.files.images import read_image, write_png
from pseudogt.files.labels import LabelFolder
from pseudogt.stages import export_model, predict

SETTINGS = {"torch_threads": 1, "device": "cpu", "precision": "fp32", "batch_size": 2, "min_instance_px": 9}

LITTLE = {"decoder_channels": 48, "queries": 8, "query_layers": 2, "mask_points": 64}
"""Settings of a small mask transformer; the first is not read."""

WITHOUT_TORCH = """
import sys

sys.modules["torch"] = None  # an import raises ImportError
from pseudogt.stages import predict

predict.main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    """A network with random weights, large enough for peaks among the centres."""
    settings = {"backbone": "small", "weights": None, "decoder_channels": 8}
    model = PanopticModel.build(CLASSES, **settings, scale=1.0, seed=0, settings={})
    with torch.no_grad():
        model.network.instance[-1].weight.normal_(0, 0.3)
        model.network.semantic.predict.weight.normal_(0, 0.3)
    path = tmp_path_factory.mktemp("model") / "model.pt"
    model.save(path)
    return path


@pytest.fixture(scope="module")
def exported(model_file):
    path = model_file.with_name("model.onnx")
    export_model.main(["--model", str(model_file), "--out", str(path), "--settings", json.dumps(SETTINGS)])
    return path


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for name, size in (("a", (64, 96)), ("b", (90, 130)), ("c", (40, 32))):
        blocks = rng.integers(0, 256, (size[0] // 8 + 1, size[1] // 8 + 1, 3), np.uint8)
        write_png(folder / f"{name}.png", blocks.repeat(8, 0).repeat(8, 1)[: size[0], : size[1]])
    return folder


def predict_arguments(images, model, out, **changes):
    option = "--onnx" if model.suffix == ".onnx" else "--model"
    command = ["--images", str(images), option, str(model), "--out", str(out)]
    return [*command, "--settings", json.dumps(SETTINGS | changes)]


def test_exported_model_labels_images_without_torch_as_the_model_file_does(images, model_file, exported, tmp_path):
    arguments = predict_arguments(images, exported, tmp_path / "onnx")
    subprocess.run([sys.executable, "-c", WITHOUT_TORCH, *arguments], check=True, timeout=120)
    predict.main(predict_arguments(images, model_file, tmp_path / "torch"))
    found, expected = LabelFolder(tmp_path / "onnx"), LabelFolder(tmp_path / "torch")
    assert found.image_ids == expected.image_ids
    assert sorted(found.image_ids) == ["a", "b", "c"]
    for image_id in expected.image_ids:
        assert (found.read(image_id) == expected.read(image_id)).mean() > 0.999
    assert any(segment["id"] > 3001 for segment in expected.segments("b"))
    assert read_image(tmp_path / "onnx" / "overlays" / "b.png").shape == (90, 130, 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "shape", [{"network": "mask_transformer", "query_channels": 64}, {"network": "eomt", "backbone": "timm/test_vit"}]
)
def test_trained_mask_transformers_leave_and_label_images_as_their_model_files_do(shape, panoptic_dataset, tmp_path):
    train_segmenter(
        panoptic_dataset, tmp_path / "0", **LITTLE | {"weights": None, "steps": 40, "learning_rate": 3e-3} | shape
    )
    models = {"torch": tmp_path / "0" / "model.pt", "onnx": tmp_path / "model.onnx"}
    export_model.main(["--model", str(models["torch"]), "--out", str(models["onnx"]), "--settings", "{}"])
    for name, model in models.items():
        arguments = predict_arguments(panoptic_dataset / "images", model, tmp_path / name, min_query_score=0.1)
        predict.main(arguments)
    found, expected = LabelFolder(tmp_path / "onnx"), LabelFolder(tmp_path / "torch")
    assert found.image_ids == expected.image_ids
    for image_id in expected.image_ids:
        assert (found.read(image_id) == expected.read(image_id)).mean() > 0.999
    assert [segment["id"] for segment in expected.segments("image0")] == [1000, 2000, 3001]


def test_large_images_are_cut_into_tiles_and_the_log_says_so(images, exported, tmp_path, capsys):
    predict.main(predict_arguments(images, exported, tmp_path / "out", tile_px=96))
    assert "1 of 3 images are cut into tiles of 96x96 pixels" in capsys.readouterr().err
    assert LabelFolder(tmp_path / "out").read("b").shape == (90, 130)


def test_one_model_is_named(images, exported, tmp_path, capsys):
    arguments = predict_arguments(images, exported, tmp_path / "out")
    with pytest.raises(SystemExit):
        predict.main([*arguments, "--model", "model.pt"])
    assert "not allowed with argument" in capsys.readouterr().err
