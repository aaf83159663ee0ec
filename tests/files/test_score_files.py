"""Score files: what is written is read back, and mistakes are named."""

from pathlib import Path

import numpy as np
import pytest

from pseudogt.classes import ClassTable
from pseudogt.files.scores import ScoreFile, read_score_files, write_scores

CLASSES = ClassTable(("road", "Fußgänger"), (1, 2), (False, True), ((0, 0, 0),) * 2)


def write_one(path: Path, image_id: str = "a") -> np.ndarray:
    scores = np.random.default_rng(0).random((2, 3, 4)).astype(np.float16)
    with write_scores(path, CLASSES) as writer:
        writer.add(image_id, scores, np.array([7, 2]), np.full((6, 8), 255, np.uint8), np.full((6, 8), 9, np.uint8))
        writer.add("none", np.zeros((0, 3, 4)), np.zeros(0, np.uint8))
    return scores


def test_round_trip(tmp_path: Path) -> None:
    written = write_one(tmp_path / "s.h5")
    file = ScoreFile(tmp_path / "s.h5")
    scores, train_ids = file.read("a")
    label, confidence = file.read_label("a")
    assert file.class_names == ("road", "Fußgänger")
    assert file.image_ids == ["a", "none"] and "a" in file and "b" not in file
    assert scores.dtype == np.float32 and train_ids.dtype == np.uint8 and train_ids.tolist() == [7, 2]
    np.testing.assert_array_equal(scores, written.astype(np.float32))
    assert label.dtype == confidence.dtype == np.uint8 and (label == 255).all() and (confidence == 9).all()
    assert file.read("none")[0].shape == (0, 3, 4)


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    write_one(tmp_path / "a.h5")
    write_one(tmp_path / "b.h5")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_errors_name_the_file_and_the_image(tmp_path: Path) -> None:
    write_one(tmp_path / "s.h5")
    file = ScoreFile(tmp_path / "s.h5")
    with pytest.raises(ValueError, match=r"s\.h5: no scores of image 'b'"):
        file.read("b")
    with pytest.raises(ValueError, match="no label"):
        file.read_label("none")
    with pytest.raises(ValueError, match=r"t\.h5: no such file"):
        ScoreFile(tmp_path / "t.h5")
    write_one(tmp_path / "t.h5")
    with pytest.raises(ValueError, match="image 'a' is in"):
        read_score_files([tmp_path / "s.h5", tmp_path / "t.h5"])


def test_a_failed_write_leaves_no_file(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="2 score maps for 1 train ids"),
        write_scores(tmp_path / "s.h5", CLASSES) as writer,
    ):
        writer.add("a", np.zeros((2, 3, 4)), np.array([1]))
    with pytest.raises(ValueError, match="go together"), write_scores(tmp_path / "s.h5", CLASSES) as writer:
        writer.add("a", np.zeros((1, 3, 4)), np.array([1]), label=np.zeros((6, 8), np.uint8))
    assert not list(tmp_path.iterdir())


def test_read_score_files_maps_images(tmp_path: Path) -> None:
    with write_scores(tmp_path / "s.h5", CLASSES) as writer:
        writer.add("a", np.zeros((1, 1, 1)), np.array([0]))
    with write_scores(tmp_path / "t.h5", CLASSES) as writer:
        writer.add("b", np.zeros((1, 1, 1)), np.array([0]))
    files = read_score_files([tmp_path / "s.h5", tmp_path / "t.h5"])
    assert {k: v.path.name for k, v in files.items()} == {"a": "s.h5", "b": "t.h5"}
