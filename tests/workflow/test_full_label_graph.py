"""The graph of runs in which some images have full labels: what may read the ground truth, and what a file touches."""

from __future__ import annotations

import re

import numpy as np
import pytest

from pseudogt.config.streets import StreetsSettings
from pseudogt.datasets.streets.names import list_street_ids
from pseudogt.files.images import write_png
from pseudogt.files.labels import panoptic_to_rgb

MAY_READ_GROUND_TRUTH = {"weak_labels_shard", "full_labels_shard", "reference", "report"}


@pytest.fixture
def listed(fresh):
    """A list of two training images of the tiny set, and its ids."""
    image_ids = list_street_ids(StreetsSettings(train_images=8, val_images=4, height=64, width=128))["train"]
    (fresh.folder / "full.txt").write_text("\n".join(image_ids[1:3]))
    return image_ids


def read_edges(workspace, *arguments):
    done = workspace.snakemake("--rulegraph", *arguments)
    assert done.returncode == 0, done.stderr
    names = dict(re.findall(r'(\d+)\[label = "(\w+)', done.stdout))
    return {(names[a], names[b]) for a, b in re.findall(r"(\d+) -> (\d+)", done.stdout)}


def test_nothing_but_what_may_reads_the_ground_truth(fresh, listed):
    edges = read_edges(fresh, "--config", "full_labels={images: full.txt}")
    readers = {reader for source, reader in edges if source == "ground_truth_shard"}
    assert readers - {"evaluation_subject"} == MAY_READ_GROUND_TRUTH
    assert ("full_labels_shard", "labels_shard") in edges
    assert ("full_labels_shard", "classifier") in edges
    assert ("full_labels_shard", "segmenter_round") in edges
    assert ("weak_labels_shard", "full_labels_shard") in edges
    assert ("weak_labels_shard", "labels_shard") not in edges


def test_without_full_labels_there_is_no_such_job(fresh):
    assert "full_labels_shard" not in {rule for edge in read_edges(fresh) for rule in edge}


def test_lists_and_folders_are_checked_before_the_graph(fresh, listed):
    (fresh.folder / "full.txt").write_text(f"{listed[0]}\nnobody\n")
    for config, message in (
        ("full_labels={images: full.txt}", "'nobody' is not among the training images"),
        ("full_labels={images: nowhere.txt}", "nowhere.txt: no such list"),
        ("full_labels={folder: nowhere}", "full_labels.folder: nowhere: no such folder"),
    ):
        done = fresh.snakemake("--dry-run", "--config", config)
        assert done.returncode != 0
        assert message in done.stdout + done.stderr


def test_labels_of_a_folder_need_no_ground_truth(fresh, listed):
    (fresh.folder / "fixed").mkdir()
    write_png(fresh.folder / "fixed" / f"{listed[0]}.png", panoptic_to_rgb(np.full((64, 128), 7000, np.int32)))
    readers = {
        reader
        for source, reader in read_edges(fresh, "--config", "full_labels={folder: fixed}")
        if source == "ground_truth_shard"
    }
    assert "full_labels_shard" not in readers


def test_polygons_need_no_ground_truth_and_become_box_masks(fresh, tmp_path):
    (tmp_path / "labelme").mkdir()
    annotations = f"annotations={{format: labelme, path: {tmp_path / 'labelme'}}}"
    edges = read_edges(fresh, "--config", annotations, "full_labels={polygons: true}")
    assert {("full_labels_shard", "box_masks_shard"), ("annotations", "full_labels_shard")} <= edges
    assert ("ground_truth_shard", "full_labels_shard") not in edges
