"""Stage ``concepts``: with a small random model, whose answers mean nothing, but whose files have their form."""

from __future__ import annotations

import json

import numpy as np
import pytest
from small_concepts import write_concept_model
from weak_label_testing import make_weak_labels

from pseudogt.classes import IGNORE_LABEL, ClassTable
from pseudogt.files.images import write_png
from pseudogt.files.index import ImageRecord, write_shard
from pseudogt.files.labels import LabelFolder
from pseudogt.files.scores import ScoreFile
from pseudogt.stages import concepts
from pseudogt.weak_labels.files import write_weak_labels

CLASSES = ClassTable(("sky", "road", "car"), (1, 2, 3), (False, False, True), ((0, 0, 0),) * 3)
SIZE = (40, 60)
TAGS = {"a": (0, 2), "b": (1,)}


@pytest.fixture(params=["sam3_video", "clipseg"])
def run(request, tmp_path):
    """Run the stage on two images with tags alone; return its score file and its instances."""
    model = write_concept_model(tmp_path / "model", request.param)
    rng = np.random.default_rng(0)
    records, weak = [], []
    for image_id, tags in TAGS.items():
        write_png(tmp_path / f"{image_id}.png", rng.integers(0, 255, (*SIZE, 3), np.uint8))
        records.append(ImageRecord(image_id, str(tmp_path / f"{image_id}.png"), *SIZE, "0"))
        weak.append(make_weak_labels(SIZE, CLASSES.encode_tags(tags), image_id=image_id))
    write_shard(tmp_path / "s.json", records, CLASSES)
    write_weak_labels(tmp_path / "w.json", weak, CLASSES)
    settings = {"method": "concepts", "concept_model": str(model), "min_probability": 0.01, "region_scale": 0}
    concepts.main(
        [
            *("--shard", str(tmp_path / "s.json"), "--weak-labels", str(tmp_path / "w.json")),
            *("--prompts", json.dumps(CLASSES.names), "--out", str(tmp_path / "s.h5")),
            *("--instances", str(tmp_path / "s"), "--settings", json.dumps(settings | {"torch_threads": 1})),
        ]
    )
    return ScoreFile(tmp_path / "s.h5"), LabelFolder(tmp_path / "s")


def test_files_hold_the_tagged_classes_and_instances_of_things(run):
    scores, instances = run
    for image_id, tags in TAGS.items():
        values, train_ids = scores.read(image_id)
        assert train_ids.tolist() == list(tags) and 0 < values.max() <= 1 and (values.sum(0) <= 1.01).all()
        label, confidence = scores.read_label(image_id)
        assert label.shape == confidence.shape == SIZE and set(np.unique(label)) <= {*tags, IGNORE_LABEL}
        np.testing.assert_array_equal(instances.read(image_id) // 1000 == 3, label == 2)
    assert (scores.read_label("a")[0] == 2).any()
