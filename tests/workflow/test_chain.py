"""The whole chain on the tiny set: what it writes, and what may not have influenced it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil

import h5py
import numpy as np
import pytest
from cityscapesscripts.evaluation.evalPanopticSemanticLabeling import average_pq, pq_compute_single_core

from pseudogt.classes import INSTANCE_DIVISOR, VOID, ClassTable
from pseudogt.export.manifest import verify
from pseudogt.files.io import read_json
from pseudogt.files.labels import LabelFolder, write_labels

MADE_FROM_WEAK_LABELS = ("classifier", "cams", "box_masks", "labels", "segmenter", "predictions")


def checksum_results(results, folders):
    """Checksums of labels, scores and models; records hold times and are left out."""
    files = [f for folder in folders for f in (results / folder).rglob("*") if f.is_file() and f.name != "record.json"]
    return {str(f.relative_to(results)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def test_summary_is_complete(finished):
    summary = read_json(finished.results / "evaluation" / "summary.json")
    assert summary["supervision"] == "crop_tags+boxes"
    assert [r["round"] for r in summary["rounds"]] == [0, 1]
    for r in summary["rounds"]:
        assert 0 <= r["model"]["val"]["pq"] <= 1
        assert r["labels"]["train"]["ap"] is None
    assert summary["reference"]["val"]["images"] == 4
    assert {"cams", "box_masks"} <= set(summary["stages"])
    assert set(summary["ratio"]) == {"pq", "pq_th", "pq_st", "miou", "ap"}
    assert {"classifier", "segmenter", "reference"} <= set(summary["seconds"])


def test_pq_is_that_of_cityscapes_scripts(finished, tmp_path):
    """On the run's own val predictions; things without an instance are void there, as their rules know no such."""
    truth = finished.results / "ground_truth" / "val-0000"
    predicted = LabelFolder(finished.results / "reference_predictions" / "val-0000")
    document = read_json(truth / "panoptic.json")
    categories = {c["id"]: c for c in document["categories"]}
    classes = ClassTable.from_categories(document["categories"])
    loose = [classes.category_ids[t] * INSTANCE_DIVISOR for t in classes.thing_ids]
    with write_labels(tmp_path / "predicted", classes) as writer:
        for image_id in predicted.image_ids:
            panoptic_id = predicted.read(image_id)
            writer.add(image_id, np.where(np.isin(panoptic_id, loose), VOID, panoptic_id).astype(np.int32))
    by_image = {a["image_id"]: a for a in read_json(tmp_path / "predicted" / "panoptic.json")["annotations"]}
    pairs = [(a, by_image[a["image_id"]]) for a in document["annotations"]]
    with contextlib.redirect_stdout(io.StringIO()):
        counted = pq_compute_single_core(0, pairs, str(truth), str(tmp_path / "predicted"), categories)
    expected = average_pq(counted, categories)
    scores = read_json(finished.results / "evaluation" / "reference.json")
    assert scores["pq"] == pytest.approx(expected["All"]["pq"], abs=1e-12)
    assert scores["pq_st"] == pytest.approx(expected["Stuff"]["pq"], abs=1e-12)
    assert scores["pq_st"] > 0


def test_reference_takes_as_many_steps_as_all_rounds(finished):
    records = [read_json(finished.results / "segmenter" / str(r) / "record.json") for r in (0, 1)]
    reference = read_json(finished.results / "reference" / "record.json")
    assert reference["steps"] == sum(r["steps"] for r in records)


def test_report_shows_pictures(finished):
    folder = finished.results / "report"
    for name in ("train_examples", "val_examples", "rounds", "stages"):
        assert (folder / f"{name}.png").stat().st_size > 10_000
    assert "crop" in (folder / "index.html").read_text()


def test_snakemake_report_has_captions(finished, tmp_path):
    done = finished.snakemake("--report", str(tmp_path / "report.zip"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report.zip").stat().st_size > 10_000


def gather(results):
    """What was made, whatever shard it is in: labels and scores by folder and image, models by folder."""
    found = {}
    for path in (file for stage in MADE_FROM_WEAK_LABELS for file in (results / stage).rglob("*")):
        parent = path.parent.relative_to(results)
        if path.suffix == ".h5":
            with h5py.File(path) as file:
                for image_id, scores in file.items():
                    found[str(parent), image_id] = {name: scores[name][()].tobytes() for name in scores}
        elif path.suffix == ".png":
            found[str(parent.parent), path.name] = path.read_bytes()
        elif path.name == "model.pt":
            found[str(parent), path.name] = path.read_bytes()
    return found


def test_neither_ground_truth_nor_shards_change_a_byte(finished, workspace, tmp_path):
    """One shard in place of two, and noise in place of the ground truth once `weak_labels` are made."""
    shutil.rmtree(workspace.results)
    shutil.copytree(finished.results / "streets", workspace.results / "streets")
    config = ("--config", "shard_size=8", "rounds={max: 2}")
    workspace.run("weak_labels", "results/tiny/weak_labels/val-0000.json", *config)
    for folder in sorted((workspace.results / "ground_truth").iterdir()):
        replace_by_noise(folder, tmp_path / folder.name)
    for path in (workspace.results / "streets" / "gtFine").rglob("*.png"):
        path.write_bytes(b"noise")
    workspace.run("labels", "segmenter", "predictions", *config)
    expected, made = gather(finished.results), gather(workspace.results)
    assert {folder for folder, _ in expected.keys() - made.keys()} == {"labels/3", "segmenter/2", "predictions/2"}
    assert [key for key in made if made[key] != expected[key]] == []


def replace_by_noise(folder, scratch):
    """In place, so that Snakemake sees no change and what was made before stays."""
    rng = np.random.default_rng(0)
    labels = LabelFolder(folder)
    classes = ClassTable.from_categories(read_json(folder / "panoptic.json")["categories"])
    with write_labels(scratch, classes) as writer:
        for image_id in labels.image_ids:
            shape = labels.read(image_id).shape
            writer.add(image_id, rng.choice(classes.category_ids, shape).astype(np.int32) * INSTANCE_DIVISOR)
    for file in scratch.iterdir():
        shutil.copyfile(file, folder / file.name)


def test_rounds_after_the_stop_are_linked(finished):
    records = [read_json(finished.results / "segmenter" / str(r) / "record.json") for r in range(3)]
    assert [r["linked"] for r in records] == [False, False, True]
    models = [finished.results / "segmenter" / str(r) / "model.pt" for r in range(3)]
    assert models[1].read_bytes() == models[2].read_bytes()
    labels = [next((finished.results / "labels" / str(r)).rglob("*.png")) for r in (2, 3)]
    assert labels[0].samefile(labels[1])


def test_predict_needs_the_model_file_alone(finished, fresh, tmp_path):
    images, model = tmp_path / "new images", tmp_path / "model.pt"
    images.mkdir()
    for path in sorted((finished.results / "streets").rglob("val/**/*_leftImg8bit.png"))[:2]:
        shutil.copy(path, images)
    shutil.copy(finished.results / "segmenter" / "1" / "model.pt", model)
    done = fresh.snakemake("predict", "--config", f"images={images}", f"model={model}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "A whole run takes" not in done.stderr  # that is the estimate of a training
    document = json.loads((fresh.folder / "predicted" / "panoptic.json").read_text())
    assert len(document["annotations"]) == 2
    assert not (fresh.folder / "results").exists()


def test_one_image_and_no_val_image_make_a_whole_run(fresh):
    fresh.run("--config", "streets={train_images: 1, val_images: 0}", "rounds={max: 1, min: 1}", "shard_size=64")
    summary = read_json(fresh.results / "evaluation" / "summary.json")
    assert summary["rounds"][0]["model"]["val"]["pq"] is None
    assert summary["rounds"][0]["labels"]["train"]["images"] == 1
    assert (fresh.results / "report" / "index.html").is_file()


def test_exports_of_any_round_and_of_predictions(workspace):
    formats = "export={formats: [coco_panoptic, cvat], source: predictions, split: val, round: 0}"
    workspace.run("export", "results/tiny/export/labels-1/coco_panoptic", "--config", formats)
    for folder, images in (("predictions-0-val/coco_panoptic", 4), ("labels-1/coco_panoptic", 8)):
        folder = workspace.results / "export" / folder
        document = read_json(folder / "panoptic.json")
        assert len(document["images"]) == len(document["annotations"]) == images
        assert all((folder / "panoptic" / a["file_name"]).is_file() for a in document["annotations"])
        manifest = read_json(folder / "manifest.json")
        assert manifest["run"] == "tiny" and manifest["weak_labels"]["ground_truth_used"]
        assert manifest["images"] == images and len(manifest["files"]) == images + 1
        assert not verify(folder)
    assert (workspace.results / "export" / "predictions-0-val" / "cvat" / "annotations.xml").is_file()
    assert not (workspace.results / "export_shards" / "labels-1" / "coco_panoptic" / "train-0000").exists()
    assert not workspace.planned_jobs("--config", formats, "--", "export")
