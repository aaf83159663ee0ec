"""Runs from tags alone: what Snakemake plans, what the configuration refuses, and the tiny chain."""

from __future__ import annotations

import re
import shutil

import pytest
import yaml
from conftest import REPOSITORY, TINY

from pseudogt.config.run import parse_run_config
from pseudogt.files.io import read_json
from pseudogt.files.labels import LabelFolder

TINY_JTSM = TINY.with_name("tiny-jtsm.yaml")
SETUP = ("--configfile", str(TINY_JTSM), "--cores", "2")


def test_mining_takes_the_place_of_cams_and_box_masks(fresh):
    jobs = fresh.planned_jobs(*SETUP)
    assert not {"cams_shard", "box_masks_shard"} & set(jobs)
    assert jobs["proposals_shard"] == jobs["ground_truth_shard"] == 2
    assert jobs["mined_shard"] == jobs["classifier"] == jobs["mining"] == jobs["mined_val_shard"] == 1
    assert jobs["evaluation_subject"] == 6  # mined, mining, labels of rounds 0 and 1, model, reference
    assert jobs["labels_shard"] == 2
    assert jobs["segmenter_round"] == jobs["reference"] == 1
    assert jobs["detection_scores"] == jobs["objects_shard"] == 2  # AP on val, CorLoc on train


def test_the_protocol_of_the_paper_trains_no_segmenter(fresh):
    jobs = fresh.planned_jobs(*SETUP, "--", "protocol")
    assert not {"segmenter_round", "reference", "labels_shard", "mined_shard", "evaluation"} & set(jobs)
    assert jobs["protocol"] == jobs["mined_val_shard"] == jobs["detection_scores"] == jobs["evaluation_subject"] == 1


def test_no_classifier_without_need(fresh):
    assert "classifier" not in fresh.planned_jobs(*SETUP, "--config", "mining={init: scratch}")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"weak_labels": {"boxes": True}}, "method: jtsm learns from tags alone; set weak_labels.boxes to false"),
        ({"provided": {"cams": "x.h5"}}, "set provided.cams to null"),
        ({"cams": {"method": "concepts", "concept_model": "x"}}, "set cams.method to probability and cams.con"),
        ({"cams": {"method": "concepts"}}, "method: concepts needs concept_model"),
        ({"weak_labels": {"points": "stuff"}}, "set weak_labels.points to null"),
        ({"weak_labels": {"scribbles": "things"}}, "set weak_labels.scribbles to null"),
        ({"annotations": {"points": "weak"}}, "set annotations.points to unknown"),
        (
            {"method": "wsps", "weak_labels": {"points": "stuff"}},
            "method: wsps needs boxes, or points or scribbles of things",
        ),
        (
            {"method": "wsps", "annotations": {"tags": "tags.csv"}},
            "annotations are tags alone; set annotations.format and path to boxes, cams",
        ),
        (
            {"method": "wsps"},
            "or scribbles of things; set weak_labels.boxes to true",
        ),
        ({"mining": {"init": "weights"}}, "init: weights with weights: None; name a file in weights"),
        ({"mining": {"init": "scratch", "decoder": True}}, "decoder: true with init: scratch; only init: classifier"),
        ({"mining": {"overlap_power": 4}}, "overlap_power: 4 with decoder: false; set decoder to true"),
        ({"mined": {"things": "components"}}, "things: components with stuff: branch"),
        ({"mining": {"weights": "x.pt"}}, "init: classifier with weights: 'x.pt'"),
        ({"mining": {"backbone": "resnet_ws18"}}, "init: classifier has no resnet_ws18"),
        ({"mining": {"samples": "crop"}}, "mining.samples: crop needs the tags of crops; set weak_labels.tags to crop"),
        ({"mining": {"top_n": 3}}, "mining.top_n: unknown key; did you mean top_k?"),
        ({"proposals": {"source": "mcg"}}, "source: mcg needs the folder of its files; set folder"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_graph(config, message):
    default, tiny = (yaml.safe_load(path.read_text()) for path in (REPOSITORY / "config.yaml", TINY_JTSM))
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_run_config(merge(merge(default, tiny), config))


def test_points_of_things_take_the_place_of_boxes():
    default, tiny = (yaml.safe_load(path.read_text()) for path in (REPOSITORY / "config.yaml", TINY_JTSM))
    for points in ("things", "all"):
        pointed = {"method": "wsps", "weak_labels": {"points": points}}
        assert not parse_run_config(merge(merge(default, tiny), pointed)).weak_labels.boxes


def merge(base, override):
    """As Snakemake merges configurations."""
    both = {k: merge(base[k], v) for k, v in override.items() if isinstance(v, dict) and isinstance(base.get(k), dict)}
    return base | override | both


@pytest.fixture(scope="module")
def mined_run(tmp_path_factory):
    """The tiny chain, run once."""
    from conftest import copy_workflow

    workspace = copy_workflow(tmp_path_factory.mktemp("jtsm"))
    workspace.run(*SETUP)
    return workspace


def test_the_chain_ends_in_a_summary(mined_run):
    results = mined_run.folder / "results" / "tiny-jtsm"
    summary = read_json(results / "evaluation" / "summary.json")
    assert summary["supervision"] == "image_tags"
    assert list(summary["stages"]) == ["mined", "mining", "labels-1"]
    assert summary["stages"]["mining"]["images"] == 4
    assert summary["stages"]["mined"]["images"] == 8
    assert [r["round"] for r in summary["rounds"]] == [0]
    assert {"proposals", "classifier", "mining", "mined"} <= set(summary["seconds"])
    val, train = summary["detections"]["val"], summary["detections"]["train"]
    assert (val["images"], train["images"]) == (4, 8)
    assert 0 <= val["mask_ap"] <= val["mask_ap50"] <= 1 and 0 <= val["voc_ap"] <= 1 and 0 <= train["corloc"] <= 1
    assert set(val["per_class"]) == set(train["per_class"]) == {"person", "bicycle", "car"}
    assert (results / "report" / "index.html").is_file()
    record = read_json(results / "mining" / "record.json")
    assert record["init"] == "classifier"
    assert record["val"]["samples"] == 4
    assert not mined_run.planned_jobs(*SETUP)


def test_no_box_is_in_the_weak_labels(mined_run):
    for path in (mined_run.folder / "results" / "tiny-jtsm" / "weak_labels").glob("*.json"):
        assert read_json(path)["annotations"] == []


def test_mined_labels_hold_tagged_classes_only(mined_run):
    results = mined_run.folder / "results" / "tiny-jtsm"
    for path in sorted((results / "weak_labels").glob("train-*.json")):
        tags = read_json(path)["image_tags"]
        labels = LabelFolder(results / "mined" / path.stem)
        for image_id in labels.image_ids:
            assert {s["category_id"] for s in labels.segments(image_id)} <= set(tags[image_id])


def test_new_settings_of_the_merge_rerun_no_training(mined_run, tmp_path):
    shutil.copytree(mined_run.folder, tmp_path / "copy", symlinks=True)
    jobs = type(mined_run)(tmp_path / "copy").planned_jobs(*SETUP, "--config", "mined={max_overlap: 0.4}")
    assert "mining" not in jobs and "proposals_shard" not in jobs
    assert jobs["mined_shard"] == 1
