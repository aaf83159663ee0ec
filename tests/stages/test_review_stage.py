"""The review queue through its command line: tables, pictures, and nothing about images that have full labels."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from panoptic_dataset import CLASSES, write_dataset
from test_labels_stage import write_truth_as_scores

from pseudogt.box_masks.consensus import trust_agreement
from pseudogt.files.images import read_image
from pseudogt.files.labels import LabelFolder, write_labels
from pseudogt.stages.review import main


@pytest.fixture
def dataset(tmp_path):
    """Labels equal to the truth but for image1, in which one car is missing and one cut."""
    dataset = write_dataset(tmp_path / "set <&>", 4)
    truth = LabelFolder(dataset / "labels")
    write_truth_as_scores(dataset, dataset / "scores.h5")
    with write_labels(dataset / "found", CLASSES) as labels, write_labels(dataset / "masks", CLASSES) as masks:
        for image_id in truth.image_ids:
            label = truth.read(image_id)
            if image_id == "image1":
                label = np.where(label == 3001, 1000, label).astype(np.int32)
                label[:, 66:][label[:, 66:] == 3002] = 1000
            labels.add(image_id, label, scores=dict.fromkeys(np.unique(label[label > 0]).tolist(), 0.95))
            things = np.where(label > 3000, label, 4000).astype(np.int32)
            agreement = {3001: 0.9, 3002: 0.3 if image_id == "image1" else 0.9}
            masks.add(image_id, things, scores={i: trust_agreement(value) for i, value in agreement.items()})
    with write_labels(dataset / "full", CLASSES) as full:
        full.add("image3", truth.read("image3"))
    return dataset


def run(dataset, *, full=True, **settings):
    files = {"--shard": "shard.json", "--weak-labels": "weak.json", "--labels": "found", "--scores": "scores.h5"}
    files |= {"--box-masks": "masks", "--out": "reviewed.json"} | ({"--full-labels": "full"} if full else {})
    main(["shard", *(text for k, v in files.items() for text in (k, str(dataset / v)))])
    files = {"--shards": "shard.json", "--reviewed": "reviewed.json", "--labels": "found", "--out": "queue"}
    options = ["--settings", json.dumps(settings)]
    main(["merge", *(text for k, v in files.items() for text in (k, str(dataset / v))), *options])
    return dataset / "queue"


def read_rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_worst_label_leads_and_full_labels_are_left_out(dataset):
    queue = run(dataset, images=2)
    rows = read_rows(queue / "images.csv")
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    assert rows[0]["image_id"] == "image1" and rows[0]["masks"] == "4"
    assert "no pixels: car" in rows[0]["reasons"] and not rows[1]["reasons"]
    assert {row["image_id"] for row in rows} == {"image0", "image1", "image2"}
    assert float(rows[0]["coverage"]) == pytest.approx(62 / 64, abs=1e-3)
    head = (queue / "images.txt").read_text().split()
    assert head == [row["image_id"] for row in rows[:2]]


def test_each_mask_is_listed_with_its_signals(dataset):
    rows = [r for r in read_rows(run(dataset) / "segments.csv") if r["image_id"] == "image1"]
    assert [(r["class"], r["kind"]) for r in rows[:2]] == [("car", "box"), ("car", "box")]
    assert (rows[0]["trust"], rows[0]["pixels"], rows[0]["reasons"]) == ("0.000", "0", "no pixels")
    assert (rows[0]["x0"], rows[0]["y1"]) == ("10", "50")
    assert rows[1]["agreement"] == "0.300" and rows[1]["confidence"] == "1.000"
    assert rows[1]["reasons"].startswith("mask and box differ in extent; box segmenters disagree")
    assert rows[2]["kind"] == "tag" and rows[2]["x0"] == ""


def test_page_shows_the_head_of_the_queue(dataset):
    queue = run(dataset, images=2)
    assert sorted(p.name for p in (queue / "pictures").iterdir()) == ["0001.jpg", "0002.jpg"]
    assert read_image(queue / "pictures" / "0001.jpg").shape == (373, 1126, 3)
    page = (queue / "index.html").read_text()
    assert page.count("<section>") == 2 and "The 2 of 3 images" in page
    assert "pictures/0002.jpg" in page and "no pixels" in page


def test_equal_input_gives_equal_bytes(dataset):
    def read(folder):
        return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    assert read(run(dataset)) == read(run(dataset))


def test_without_full_labels_every_image_is_in_the_queue(dataset):
    assert len(read_rows(run(dataset, full=False) / "images.csv")) == 4
