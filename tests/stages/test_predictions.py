import json
import shutil

import numpy as np
import pytest

from pseudogt.files.io import read_json, write_json
from pseudogt.files.labels import LabelFolder
from pseudogt.files.scores import ScoreFile
from pseudogt.stages import predictions

ON_CPU = {"torch_threads": 1, "device": "cpu", "batch_size": 2}


def predict_shard(dataset, model, out, *extra, shard="shard.json", **settings):
    command = ["--shard", str(dataset / shard), "--model", str(model / "model.pt"), "--out", str(out)]
    predictions.main([*command, *extra, "--settings", json.dumps(ON_CPU | settings)])


def test_trained_model_finds_classes_and_instances(panoptic_dataset, panoptic_model, tmp_path):
    predict_shard(panoptic_dataset, panoptic_model, tmp_path / "out")
    found, truth = LabelFolder(tmp_path / "out"), LabelFolder(panoptic_dataset / "labels")
    assert found.image_ids == truth.image_ids
    known = [truth.read(i) > 0 for i in truth.image_ids]
    right = [(found.read(i) // 1000 == truth.read(i) // 1000)[k] for i, k in zip(truth.image_ids, known, strict=True)]
    assert np.concatenate(right).mean() > 0.9
    cars = [s for i in found.image_ids for s in found.segments(i) if s["category_id"] == 3 and s["id"] > 3000]
    assert len(cars) >= 5
    assert all(0 < s["score"] <= 1 for i in found.image_ids for s in found.segments(i))


def test_scores_are_probabilities_of_the_tagged_classes(panoptic_dataset, panoptic_model, tmp_path):
    weak = read_json(panoptic_dataset / "weak.json")
    weak["image_tags"]["image1"] = [1, 3]
    write_json(tmp_path / "weak.json", weak)
    extra = ["--weak-labels", str(tmp_path / "weak.json"), "--scores", str(tmp_path / "scores.h5")]
    predict_shard(panoptic_dataset, panoptic_model, tmp_path / "out", *extra)
    scores, train_ids = ScoreFile(tmp_path / "scores.h5").read("image1")
    assert scores.shape == (2, 32, 48)
    assert train_ids.tolist() == [0, 2]
    every_class, _ = ScoreFile(tmp_path / "scores.h5").read("image0")
    np.testing.assert_allclose(every_class.sum(0), 1, atol=2e-3)


def test_shard_size_changes_no_byte(panoptic_dataset, panoptic_model, tmp_path):
    dataset = shutil.copytree(panoptic_dataset, tmp_path / "dataset")
    shard = read_json(dataset / "shard.json")
    write_json(dataset / "part.json", {**shard, "images": shard["images"][3:]})
    predict_shard(dataset, panoptic_model, tmp_path / "whole")
    predict_shard(dataset, panoptic_model, tmp_path / "part", shard="part.json")
    for name in ("image3", "image4"):
        assert (tmp_path / "whole" / f"{name}.png").read_bytes() == (tmp_path / "part" / f"{name}.png").read_bytes()
        assert LabelFolder(tmp_path / "whole").segments(name) == LabelFolder(tmp_path / "part").segments(name)


def test_prediction_of_a_linked_round_is_linked(panoptic_dataset, panoptic_model, tmp_path):
    weak = ["--weak-labels", str(panoptic_dataset / "weak.json")]
    predict_shard(panoptic_dataset, panoptic_model, tmp_path / "0", *weak, "--scores", str(tmp_path / "0.h5"))
    write_json(tmp_path / "record.json", {"linked": True})
    previous = ["--previous", str(tmp_path / "0"), str(tmp_path / "0.h5")]
    record = ["--record", str(tmp_path / "record.json")]
    extra = [*weak, "--scores", str(tmp_path / "1.h5"), *record, *previous]
    predict_shard(panoptic_dataset, panoptic_model, tmp_path / "1", *extra)
    assert (tmp_path / "1.h5").read_bytes() == (tmp_path / "0.h5").read_bytes()
    assert (tmp_path / "1" / "image0.png").samefile(tmp_path / "0" / "image0.png")


def test_model_of_another_class_table_is_an_error(panoptic_dataset, panoptic_model, tmp_path):
    shard = read_json(panoptic_dataset / "shard.json")
    shard["categories"][0]["name"] = "street"
    write_json(tmp_path / "shard.json", shard)
    with pytest.raises(ValueError, match=r"model\.pt: has another class table"):
        predict_shard(tmp_path, panoptic_model, tmp_path / "out")


def test_broken_model_file_is_named(panoptic_dataset, tmp_path):
    (tmp_path / "model.pt").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"model\.pt: not a readable model file"):
        predict_shard(panoptic_dataset, tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
