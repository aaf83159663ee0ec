"""Runs from tags alone through a model that finds what words name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_concepts import write_concept_model

from pseudogt.files.images import write_png
from pseudogt.files.io import read_json, write_json
from pseudogt.files.labels import LabelFolder
from pseudogt.files.scores import ScoreFile

TINY = Path(__file__).with_name("tiny.yaml")


@pytest.fixture
def photos(tmp_path):
    """Four photos and a table of their tags."""
    root, rng = tmp_path / "photos", np.random.default_rng(0)
    for i in range(4):
        write_png(root / "images" / f"foto{i}.png", rng.integers(0, 255, (64, 96, 3), np.uint8))
    rows = [f"foto{i}.png,{name}" for i in range(4) for name in ("square", "ground")]
    (root / "tags.csv").write_text("\n".join(["image,class", *rows]))
    config = {
        "name": "photos",
        "data_root": str(root),
        "dataset": {
            "format": "images",
            "train_split": "images",
            "val_split": None,
            "classes": {"square": "thing", "ground": "stuff"},
        },
        "annotations": {"tags": "tags.csv"},
        "weak_labels": {"boxes": False},
        "rounds": {"max": 1, "min": 1},
    }
    write_json(tmp_path / "photos.yaml", config)
    return tmp_path / "photos.yaml"


def ask(model):
    return "--config", f"cams={{method: concepts, concept_model: '{model}', min_probability: 0.2, region_scale: 0}}"


def test_no_classifier_is_trained_and_other_models_stop_the_run(fresh, photos, tmp_path):
    model = write_concept_model(tmp_path / "model", "clipseg")
    arguments = ("--configfile", str(TINY), str(photos), *ask(model))
    jobs = fresh.planned_jobs("all", *arguments)
    assert jobs["cams_shard"] == 1 and not jobs.keys() & {"classifier", "mining", "proposals_shard"}
    write_json(model / "config.json", {"model_type": "sam2"})
    done = fresh.snakemake("--dry-run", *arguments)
    assert done.returncode != 0
    assert "cams.concept_model: " in done.stdout + done.stderr and "model_type 'sam2'" in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sam3_video", "clipseg"])
def test_tags_alone_become_labels(fresh, photos, tmp_path, kind):
    """With random weights: where things are means nothing, but they have classes and instances."""
    model = write_concept_model(tmp_path / "model", kind)
    arguments = ("--configfile", str(TINY), str(photos), *ask(model))
    fresh.run("all", "export", *arguments)
    results = fresh.folder / "results" / "photos"
    assert not (results / "classifier").exists()
    scores = ScoreFile(results / "cams" / "train-0000.h5")
    values, train_ids = scores.read("foto0")
    assert train_ids.tolist() == [0, 1] and 0 < values.max() <= 1
    label, _ = scores.read_label("foto0")
    proposed = LabelFolder(results / "concepts" / "train-0000").read("foto0")
    np.testing.assert_array_equal(proposed // 1000 == 1, label == 0)
    found = LabelFolder(results / "labels" / "0" / "train-0000").read("foto0")
    assert set(np.unique(found // 1000)) <= {0, 1, 2} and len(np.unique(found)) > 1
    manifest = next((results / "export").rglob("manifest.json"))
    (network, *_) = read_json(manifest)["mask_networks"]
    assert network["model"] == str(model) and network["section"] == "cams"
    assert "What the mask networks have seen" in (results / "report" / "index.html").read_text()
    assert not fresh.planned_jobs(*arguments)
