"""Runs that start from results that were brought along."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from pseudogt.classes import INSTANCE_DIVISOR, ClassTable, panoptic_to_semantic
from pseudogt.files.images import write_png
from pseudogt.files.io import read_json, write_json
from pseudogt.files.labels import LabelFolder, read_label_folders, write_labels
from pseudogt.files.scores import ScoreFile, write_scores
from pseudogt.pseudo_labels.refinement import find_unboxed_things
from pseudogt.weak_labels.files import read_weak_labels, write_weak_labels
from pseudogt.wsps.__main__ import main as run_wsps
from pseudogt.wsps.palette import read_label

SHARED = Path(os.environ.get("PSEUDOGT_SHARED", Path(__file__).parents[3] / "shared"))
TINY = Path(__file__).with_name("tiny.yaml")
MINI = SHARED / "golden" / "wsps" / "mini"


def merge_results(results, folder):
    """The files of the finished run's shards, each kind as one."""
    classes = ClassTable.from_categories(read_json(results / "index.json")["categories"])
    with write_scores(folder / "cams.h5", classes) as scores:
        for file in map(ScoreFile, sorted((results / "cams").glob("train-*.h5"))):
            for image_id in file.image_ids:
                scores.add(image_id, *file.read(image_id), *file.read_label(image_id))
    weak_labels, _ = read_weak_labels(sorted((results / "weak_labels").glob("train-*.json")))
    write_weak_labels(folder / "weak_labels.json", weak_labels.values(), classes)
    with write_labels(folder / "box_masks", classes) as masks:
        for image_id, shard in read_label_folders(sorted((results / "box_masks").glob("train-*"))).items():
            masks.add(image_id, shard.read(image_id), scores=shard.scores(image_id))
    return {
        "weak_labels": str(folder / "weak_labels.json"),
        "cams": str(folder / "cams.h5"),
        "box_masks": str(folder / "box_masks"),
    }


def test_run_from_provided_results_makes_the_same_labels(finished, fresh, tmp_path):
    write_json(tmp_path / "provided.yaml", {"provided": merge_results(finished.results, tmp_path)})
    targets = [f"results/tiny/labels/0/train-{i:04d}" for i in range(2)]
    arguments = ("--configfile", str(TINY), str(tmp_path / "provided.yaml"), "--cores", "2", *targets)
    jobs = fresh.planned_jobs(*arguments)
    assert jobs["cams_shard"] == jobs["box_masks_shard"] == jobs["weak_labels_shard"] == 2
    assert not {"classifier", "ground_truth_shard"} & set(jobs)
    fresh.run(*arguments)
    for target in targets:
        for path in (finished.folder / target).iterdir():
            assert (fresh.folder / target / path.name).read_bytes() == path.read_bytes()


@pytest.mark.skipif(not MINI.is_dir(), reason=f"{MINI} is absent; set PSEUDOGT_SHARED")
def test_run_from_the_authors_tree_makes_their_labels(fresh, tmp_path):
    """From CAMs, box masks, boxes and crop tags in their layout to labels of round 0, but for two of our differences:
    their low-coverage fill leaves out the edge of a box, and they ignore things that are tagged and have no box."""
    options = {
        "list_path": "lists/mini_id.txt",
        "canvas_size": [64, 96],
        "schk_crop_size": [40, 60],
        "pred_dir": "cam/train",
        "run_score_thresh": False,
        "run_check_low_iou": False,
        "pred_root": str(MINI / "results"),
        "sem_save_dir": str(tmp_path / "sem"),
        "ins_save_dir": str(tmp_path / "ins"),
    }
    write_json(tmp_path / "options.json", options)
    tree = ["--root", str(MINI), "--split", "train", "--options", str(tmp_path / "options.json")]
    run_wsps(["clean", *tree])
    run_wsps(["import", *tree, "--out", str(tmp_path / "imported")])
    ids = sorted(path.name.removesuffix("_leftImg8bit.png") for path in (tmp_path / "sem").iterdir())
    for image_id in ids:
        image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
        write_png(tmp_path / "data/leftImg8bit/train" / image_id.split("_")[0] / f"{image_id}_leftImg8bit.png", image)
    settings = {
        "name": "authors",
        "data_root": str(tmp_path / "data"),
        "dataset": {"val_split": None},
        "labels": {"keep_unsure_things": False, "fill_below": 0, "overlap": "ignore"},
    }
    write_json(tmp_path / "settings.yaml", settings)

    target = "results/authors/labels/0/train-0000"
    configs = ("configs/cityscapes.yaml", tmp_path / "imported" / "provided.yaml", tmp_path / "settings.yaml")
    fresh.run("--configfile", *map(str, configs), "--cores", "2", target)

    found = LabelFolder(fresh.folder / target)
    classes = ClassTable.from_categories(read_json(fresh.folder / target / "panoptic.json")["categories"])
    weak_labels, _ = read_weak_labels([tmp_path / "imported" / "weak_labels.json"])
    assert sorted(found.image_ids) == ids
    for image_id in ids:
        panoptic_id = found.read(image_id)
        semantic = panoptic_to_semantic(panoptic_id, classes)
        theirs = read_label(tmp_path / "sem" / f"{image_id}_leftImg8bit.png")
        instances = read_label(tmp_path / "ins" / f"{image_id}_leftImg8bit.png")
        shared = np.isin(theirs, classes.thing_ids) & (instances == 255)  # in two boxes of the class: no instance
        expected = np.where(shared, np.uint8(255), theirs)
        unboxed = np.isin(semantic, find_unboxed_things(weak_labels[image_id], classes))
        assert (expected[unboxed] == 255).all()
        np.testing.assert_array_equal(np.where(unboxed, np.uint8(255), semantic), expected)
        for number in np.setdiff1d(instances[np.isin(theirs, classes.thing_ids)], [0, 255]):
            assert len(np.unique(panoptic_id[instances == number])) == 1
        loose = np.isin(theirs, classes.thing_ids) & (instances == 0)
        assert not (panoptic_id[loose] % INSTANCE_DIVISOR).any()
