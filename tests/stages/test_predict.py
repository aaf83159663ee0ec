import numpy as np
import pytest

from pseudogt.files.images import read_image, write_png
from pseudogt.files.io import read_json
from pseudogt.stages import predict


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "new images"
    rng = np.random.default_rng(0)
    for name, size in (("a", (64, 96)), ("b", (50, 70))):
        write_png(folder / f"{name}.png", rng.integers(0, 256, (*size, 3), np.uint8))
    (folder / "notes.txt").write_text("no image")
    return folder


def run(images, model, out):
    command = ["--images", str(images), "--model", str(model / "model.pt"), "--out", str(out)]
    predict.main([*command, "--settings", '{"torch_threads": 1, "device": "cpu"}'])


def test_labels_and_overlays_need_the_model_file_alone(images, panoptic_model, tmp_path):
    run(images, panoptic_model, tmp_path / "out")
    document = read_json(tmp_path / "out" / "panoptic.json")
    assert {(i["id"], i["height"], i["width"]) for i in document["images"]} == {("a", 64, 96), ("b", 50, 70)}
    assert [c["name"] for c in document["categories"]] == ["road", "sky", "car"]
    for name in "ab":
        picture = read_image(tmp_path / "out" / "overlays" / f"{name}.png")
        assert picture.shape == read_image(images / f"{name}.png").shape


def test_a_model_knows_the_size_of_its_training_images(images, panoptic_model, tmp_path, capsys):
    run(images, panoptic_model, tmp_path / "out")
    assert "the longer side" not in capsys.readouterr().err
    for path in images.glob("*.png"):
        write_png(path, np.zeros((200, 300, 3), np.uint8))
    run(images, panoptic_model, tmp_path / "other")
    assert "the longer side of these images is 300 pixels and was 96 in training" in capsys.readouterr().err


def test_folder_without_images(panoptic_model, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="there is no image"):
        run(tmp_path / "empty", panoptic_model, tmp_path / "out")
    with pytest.raises(ValueError, match="no such folder"):
        run(tmp_path / "missing", panoptic_model, tmp_path / "out")


def test_two_images_of_one_name(images, panoptic_model, tmp_path):
    write_png(images / "a.bmp", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match=r"a\.bmp and a\.png are two files for one image id"):
        run(images, panoptic_model, tmp_path / "out")


def test_truncated_image_is_named_and_nothing_is_written(images, panoptic_model, tmp_path):
    (images / "b.png").write_bytes((images / "b.png").read_bytes()[:500])
    with pytest.raises(ValueError, match=r"b\.png: truncated image"):
        run(images, panoptic_model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_all_images_that_cannot_be_read_are_named_before_any_is_labelled(images):
    for name in ("c", "d"):
        (images / f"{name}.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"(?s)c\.png: can't be read .*d\.png: can't be read"):
        predict.measure_images(sorted(images.glob("*.png")))
    assert predict.measure_images([images / "a.png", images / "b.png"]) == [(64, 96), (50, 70)]
