"""A model leaves: exported, it labels images in a process that has no torch, as the model file does."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from pseudogt.files.images import read_image
from pseudogt.files.labels import LabelFolder
from pseudogt.stages import export_model, predict

SETTINGS = {"torch_threads": 1, "device": "cpu", "precision": "fp32", "batch_size": 2, "min_instance_px": 9}

WITHOUT_TORCH = """
import sys

sys.modules["torch"] = None  # an import raises ImportError
from pseudogt.stages import predict

predict.main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def exported(panoptic_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    model = str(panoptic_model / "model.pt")
    export_model.main(["--model", model, "--out", str(path), "--settings", json.dumps(SETTINGS)])
    return path


def predict_arguments(dataset, model, out, **changes):
    command = ["--images", str(dataset / "images"), f"--{model.suffix.strip('.').replace('pt', 'model')}", str(model)]
    return [*command, "--out", str(out), "--settings", json.dumps(SETTINGS | changes)]


def test_exported_model_labels_images_without_torch_as_the_model_file_does(
    panoptic_dataset, panoptic_model, exported, tmp_path
):
    arguments = predict_arguments(panoptic_dataset, exported, tmp_path / "onnx")
    subprocess.run([sys.executable, "-c", WITHOUT_TORCH, *arguments], check=True, timeout=120)
    predict.main(predict_arguments(panoptic_dataset, panoptic_model / "model.pt", tmp_path / "torch"))
    found, expected = LabelFolder(tmp_path / "onnx"), LabelFolder(tmp_path / "torch")
    assert found.image_ids == expected.image_ids
    for image_id in expected.image_ids:
        assert (found.read(image_id) == expected.read(image_id)).mean() > 0.999
    assert read_image(tmp_path / "onnx" / "overlays" / "image0.png").shape == (64, 96, 3)
