"""Results that were brought along, cut to a shard."""

from __future__ import annotations

import json
import shutil

import h5py
import numpy as np
import pytest
from panoptic_dataset import CLASSES, write_dataset

from pseudogt.classes import ClassTable
from pseudogt.files.index import ImageRecord, read_shard, write_shard
from pseudogt.files.labels import LabelFolder, write_labels
from pseudogt.files.scores import ScoreFile, write_scores
from pseudogt.stages import provided
from pseudogt.weak_labels.files import read_weak_labels, write_weak_labels

CAR, BACKGROUND = 3000, CLASSES.background_category_id * 1000


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Five images, of which the shard holds two."""
    folder = write_dataset(tmp_path_factory.mktemp("whole"), 5)
    records, _ = read_shard(folder / "shard.json")
    write_shard(folder / "part.json", records[1:3], CLASSES)
    with write_scores(folder / "cams.h5", CLASSES) as scores, write_labels(folder / "masks", CLASSES) as masks:
        for number, record in enumerate(records):
            label = np.full((64, 96), number % 3, np.uint8)
            scores.add(record.image_id, np.zeros((1, 4, 6)), np.array([0]), label, np.full_like(label, 200))
            masks.add(record.image_id, np.where(label == 2, CAR + 1, BACKGROUND).astype(np.int32))
    return folder


def provide(kind, path, dataset, out, shard="part.json", **others):
    settings = json.dumps({kind: str(path), **others})
    provided.main(["--kind", kind, "--shard", str(dataset / shard), "--out", str(out), "--settings", settings])


def test_weak_labels_of_the_shard(dataset, tmp_path):
    provide("weak_labels", dataset / "weak.json", dataset, tmp_path / "part.json")
    whole, _ = read_weak_labels([dataset / "weak.json"])
    part, _ = read_weak_labels([tmp_path / "part.json"])
    assert list(part) == ["image1", "image2"]
    np.testing.assert_array_equal(part["image1"].boxes_xyxy, whole["image1"].boxes_xyxy)


def test_broken_records_are_named_or_left_out(dataset, tmp_path, capsys):
    document = json.loads((dataset / "weak.json").read_text())
    for annotation in document["annotations"]:
        if annotation["image_id"] == "image1":
            annotation["bbox"] = None
            document["image_tags"]["image1"] = []
    (tmp_path / "weak.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"bbox: .*\n.*set provided\.bad_boxes: skip"):
        provide("weak_labels", tmp_path / "weak.json", dataset, tmp_path / "part.json")
    provide("weak_labels", tmp_path / "weak.json", dataset, tmp_path / "part.json", bad_boxes="skip")
    part, whole = (read_weak_labels([path])[0] for path in (tmp_path / "part.json", dataset / "weak.json"))
    assert not len(part["image1"].boxes_xyxy)
    assert set(part["image1"].unknown_ids) == set(whole["image1"].box_classes.tolist()) != set()
    np.testing.assert_array_equal(part["image2"].boxes_xyxy, whole["image2"].boxes_xyxy)
    assert "records are left out" in capsys.readouterr().err


def test_scores_of_the_shard(dataset, tmp_path):
    provide("cams", dataset / "cams.h5", dataset, tmp_path / "part.h5")
    whole, part = ScoreFile(dataset / "cams.h5"), ScoreFile(tmp_path / "part.h5")
    assert part.image_ids == ["image1", "image2"] and part.class_names == CLASSES.names
    for ours, theirs in zip(part.read_label("image2"), whole.read_label("image2"), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_box_masks_of_the_shard(dataset, tmp_path):
    provide("box_masks", dataset / "masks", dataset, tmp_path / "part")
    part = LabelFolder(tmp_path / "part")
    assert part.image_ids == ["image1", "image2"]
    assert np.unique(part.read("image2")).tolist() == [CAR + 1]
    assert np.unique(part.read("image1")).tolist() == [BACKGROUND]


@pytest.mark.parametrize(("kind", "name"), [("weak_labels", "weak.json"), ("cams", "cams.h5"), ("box_masks", "masks")])
class TestRefuses:
    """Every kind names the file and what is wrong, and writes nothing."""

    def refused(self, kind, path, dataset, out, shard, match):
        with pytest.raises(ValueError, match=match) as caught:
            provide(kind, path, dataset, out, shard)
        assert str(path) in str(caught.value)
        assert not out.exists()

    def test_image_that_is_not_there(self, kind, name, dataset, tmp_path):
        records, _ = read_shard(dataset / "part.json")
        stranger = ImageRecord("stranger", "stranger.png", 64, 96, "")
        write_shard(tmp_path / "shard.json", [*records, stranger], CLASSES)
        self.refused(kind, dataset / name, dataset, tmp_path / "out", tmp_path / "shard.json", "'stranger'")

    def test_another_size(self, kind, name, dataset, tmp_path):
        write_shard(tmp_path / "shard.json", [ImageRecord("image1", "image1.png", 32, 96, "")], CLASSES)
        self.refused(kind, dataset / name, dataset, tmp_path / "out", tmp_path / "shard.json", "96x32, but .* 96x64")

    def test_missing_file(self, kind, name, dataset, tmp_path):
        self.refused(kind, tmp_path / name, dataset, tmp_path / "out", "part.json", "no such")


def test_other_classes_are_refused(dataset, tmp_path):
    other = ClassTable(("road", "sky", "bus"), (1, 2, 3), (False, False, True), CLASSES.colors)
    write_shard(tmp_path / "shard.json", read_shard(dataset / "part.json")[0], other)
    for kind, name, message in (
        ("weak_labels", "weak.json", "categories differ"),
        ("box_masks", "masks", "categories differ"),
        ("cams", "cams.h5", "train id 2 is car in it and bus in dataset"),
    ):
        with pytest.raises(ValueError, match=message):
            provide(kind, dataset / name, dataset, tmp_path / "out", tmp_path / "shard.json")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"label": np.full((64, 96), 3, np.uint8)}, "has train id 3, the class table 3 classes"),
        ({"train_ids": np.array([3])}, "has train id 3, the class table 3 classes"),
        ({"scores": np.full((1, 4, 6), np.nan)}, "has scores that are not numbers from 0 to 1"),
        ({"scores": np.full((1, 4, 6), 7.5)}, "has scores that are not numbers from 0 to 1"),
        ({"confidence": np.ones((64, 96), np.float32)}, "has a confidence of type float32; it must be uint8"),
        ({"label": np.full((64, 96), -1)}, "has a label of type int64; it must be uint8"),
        ({"confidence": np.ones((32, 96), np.uint8)}, "its confidence in .*cams.h5 is 96x32"),
    ],
)
def test_flawed_scores_are_refused(dataset, tmp_path, changed, message):
    flat = np.zeros((64, 96), np.uint8)
    sound = {"scores": np.zeros((1, 4, 6)), "train_ids": np.array([0]), "label": flat, "confidence": flat}
    with write_scores(tmp_path / "cams.h5", CLASSES) as scores:
        for image_id in ("image1", "image2"):
            scores.add(image_id, **sound | changed)
    with pytest.raises(ValueError, match=message):
        provide("cams", tmp_path / "cams.h5", dataset, tmp_path / "out.h5")


def test_scores_without_class_names_count_in_the_order_of_the_table(dataset, tmp_path, capsys):
    shutil.copy(dataset / "cams.h5", tmp_path)
    with h5py.File(tmp_path / "cams.h5", "a") as file:
        del file.attrs["classes"]
    provide("cams", tmp_path / "cams.h5", dataset, tmp_path / "out.h5")
    assert "holds no class names" in capsys.readouterr().err and ScoreFile(tmp_path / "out.h5").class_names


def test_box_masks_of_stuff_are_refused(dataset, tmp_path):
    with pytest.raises(ValueError, match="hold the stuff class 'road'"):
        provide("box_masks", dataset / "labels", dataset, tmp_path / "out")


def test_kind_without_a_file_is_refused(dataset, tmp_path):
    with pytest.raises(ValueError, match=r"provided\.cams is not set"):
        provided.main(
            ["--kind", "cams", "--shard", str(dataset / "part.json"), "--out", str(tmp_path / "x"), "--settings", "{}"]
        )


def test_weak_labels_without_images_are_written_empty(dataset, tmp_path):
    write_weak_labels(tmp_path / "weak.json", [], CLASSES)
    write_shard(tmp_path / "shard.json", [], CLASSES)
    provide("weak_labels", tmp_path / "weak.json", dataset, tmp_path / "out.json", tmp_path / "shard.json")
    assert read_weak_labels([tmp_path / "out.json"])[0] == {}
