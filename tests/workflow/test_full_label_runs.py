"""Runs in which some images have full labels: these train as they are, and nothing else of the ground truth does."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from test_chain import checksum_results, replace_by_noise

from pseudogt.files.images import write_png
from pseudogt.files.io import read_json
from pseudogt.files.labels import LabelFolder, panoptic_to_rgb, read_label_folders

AFTER = ("weak_labels", "full_labels", "classifier", "cams", "box_masks", "labels", "segmenter", "predictions")


@pytest.mark.slow
def test_full_labels_train_as_they_are_and_nothing_leaks(workspace, tmp_path):
    index = read_json(workspace.results / "index.json")["shards"]
    listed = [index["train-0000"][1], index["train-0001"][2]]
    (workspace.folder / "full.txt").write_text("\n".join(listed))
    corrected = index["train-0000"][3]
    truth = read_label_folders([workspace.results / "ground_truth" / shard for shard in index])
    fixed = np.full(truth[corrected].read(corrected).shape, 7000, np.int32)
    (workspace.folder / "fixed").mkdir()
    write_fixed(workspace.folder / "fixed" / f"{corrected}.png", fixed)
    config = ("--config", "full_labels={images: full.txt, folder: fixed}", "rounds={max: 1, min: 1}", "name=mixed")
    results = workspace.results.with_name("mixed")
    shutil.copytree(workspace.results / "streets", results / "streets")
    workspace.run("labels", "predictions", *config)

    labels = read_label_folders([results / "labels" / "1" / shard for shard in index if shard.startswith("train")])
    for image_id in listed:
        np.testing.assert_array_equal(labels[image_id].read(image_id), truth[image_id].read(image_id))
    np.testing.assert_array_equal(labels[corrected].read(corrected), fixed)
    full = [i for shard in index for i in LabelFolder(results / "full_labels" / shard).image_ids]
    assert sorted(full) == sorted([*listed, corrected])

    before = checksum_results(results, AFTER)
    for folder in ("classifier", "cams", "box_masks", "labels", "segmenter", "predictions"):
        shutil.rmtree(results / folder)
    for folder in sorted((results / "ground_truth").iterdir()):
        replace_by_noise(folder, tmp_path / folder.name)
    workspace.run("labels", "predictions", *config)
    assert checksum_results(results, AFTER) == before

    write_fixed(workspace.folder / "fixed" / f"{corrected}.png", np.where(fixed > 0, 23000, 0).astype(np.int32))
    assert workspace.planned_jobs(*config, "--", "labels")["full_labels_shard"] == 1


def write_fixed(path, panoptic_id):
    write_png(path, panoptic_to_rgb(panoptic_id))
