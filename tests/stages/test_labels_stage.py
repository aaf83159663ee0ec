"""The labels stage through its command line: round 0 from CAMs, later rounds from scores."""

from __future__ import annotations

import json

import numpy as np
import pytest
from panoptic_dataset import CLASSES

from pseudogt.classes import IGNORE_LABEL, panoptic_to_semantic
from pseudogt.files.io import write_json
from pseudogt.files.labels import LabelFolder, write_labels
from pseudogt.files.scores import write_scores
from pseudogt.stages import labels

ROAD, SKY, CAR = 0, 1, 2


def write_truth_as_scores(dataset, path, *, confidence=255):
    """Scores and CAM label that equal the ground truth, void left out."""
    truth = LabelFolder(dataset / "labels")
    with write_scores(path, CLASSES) as scores:
        for image_id in truth.image_ids:
            semantic = panoptic_to_semantic(truth.read(image_id), CLASSES)
            maps = (semantic[None, ::4, ::4] == np.arange(3)[:, None, None]).astype(np.float32)
            sure = np.full(semantic.shape, confidence, np.uint8)
            scores.add(image_id, maps, np.arange(3), semantic, sure)
    return path


def write_box_masks(dataset, path, panoptic_id):
    with write_labels(path, CLASSES) as writer:
        for image_id in LabelFolder(dataset / "labels").image_ids:
            writer.add(image_id, panoptic_id)
    return path


def make_labels(dataset, out, scores, round_number=0, extra=(), **settings):
    files = ["--shard", str(dataset / "shard.json"), "--weak-labels", str(dataset / "weak.json")]
    more = ["--scores", str(scores), "--round", str(round_number), "--out", str(out), *map(str, extra)]
    labels.main([*files, *more, "--settings", json.dumps(settings)])
    return LabelFolder(out)


@pytest.fixture(scope="module")
def scores(panoptic_dataset, tmp_path_factory):
    return write_truth_as_scores(panoptic_dataset, tmp_path_factory.mktemp("scores") / "scores.h5")


def test_round_0_of_perfect_cams_is_the_ground_truth(panoptic_dataset, scores, tmp_path):
    truth, found = LabelFolder(panoptic_dataset / "labels"), make_labels(panoptic_dataset, tmp_path / "0", scores)
    for image_id in truth.image_ids:
        expected = panoptic_to_semantic(truth.read(image_id), CLASSES)
        np.testing.assert_array_equal(panoptic_to_semantic(found.read(image_id), CLASSES), expected)
    assert set(np.unique(found.read("image0"))) == {0, 1000, 2000, 3001, 3002}


def test_later_rounds_use_the_scores(panoptic_dataset, scores, tmp_path):
    truth, found = LabelFolder(panoptic_dataset / "labels"), make_labels(panoptic_dataset, tmp_path / "1", scores, 1)
    expected, semantic = (panoptic_to_semantic(folder.read("image0"), CLASSES) for folder in (truth, found))
    known = (semantic != IGNORE_LABEL) & (expected != IGNORE_LABEL)
    assert (semantic == expected)[known].mean() > 0.95
    assert known.mean() > 0.8


def test_later_rounds_do_not_look_at_a_stored_label(panoptic_dataset, tmp_path):
    path, size = tmp_path / "scores.h5", (64, 96)
    with write_scores(path, CLASSES) as scores:
        for image_id in LabelFolder(panoptic_dataset / "labels").image_ids:
            road = np.stack([np.ones(size), np.zeros(size)])
            scores.add(
                image_id, road, np.array([ROAD, SKY]), np.full(size, SKY, np.uint8), np.full(size, 255, np.uint8)
            )
    first = make_labels(panoptic_dataset, tmp_path / "0", path, 0, fill_below=0).read("image0")
    later = make_labels(panoptic_dataset, tmp_path / "1", path, 1, fill_below=0).read("image0")
    assert (np.unique(first).tolist(), np.unique(later).tolist()) == ([2000], [1000])


def test_cams_may_take_part_in_later_rounds(panoptic_dataset, scores, tmp_path):
    """The model sees sky everywhere; the CAMs, which are right, decide where they weigh more."""
    with write_scores(tmp_path / "sky.h5", CLASSES) as model:
        for image_id in LabelFolder(panoptic_dataset / "labels").image_ids:
            model.add(image_id, np.stack([np.zeros((16, 24)), np.ones((16, 24))]), np.array([ROAD, SKY]))
    arguments = (panoptic_dataset, tmp_path / "0", tmp_path / "sky.h5", 1)
    model_only = make_labels(*arguments, fill_below=0).read("image0")
    mixed = make_labels(*arguments, ("--first-scores", scores), fill_below=0, first_scores_weight=0.6).read("image0")
    assert np.unique(model_only).tolist() == [2000]
    assert (mixed[34, 0], mixed[4, 4]) == (1000, 2000)
    with pytest.raises(ValueError, match="give --first-scores"):
        make_labels(*arguments, first_scores_weight=0.6)


def test_classes_with_tags_alone_keep_their_share_in_later_rounds(panoptic_dataset, tmp_path):
    """The model is almost sure of sky everywhere, and least sure on the left."""
    right = np.tile(np.linspace(0, 0.2, 24, dtype=np.float32), (16, 1))
    with write_scores(tmp_path / "sky.h5", CLASSES) as model:
        for image_id in LabelFolder(panoptic_dataset / "labels").image_ids:
            model.add(image_id, np.stack([0.2 - right, 0.8 + right]), np.array([ROAD, SKY]))
    settings = {"fill_below": 0, "min_confidence": 0}
    arguments = (panoptic_dataset, tmp_path / "1", tmp_path / "sky.h5", 1)
    assert np.unique(make_labels(*arguments, **settings).read("image0")).tolist() == [2000]
    shared = make_labels(*arguments, ("--min-share", 0.25), **settings).read("image0")
    assert np.mean(shared == 1000) == pytest.approx(0.25, abs=0.03)
    assert (shared[:, 0] == 1000).all() and (shared[:, 40:] == 2000).all()


def test_shares_of_classes_without_any_score_are_finite(panoptic_dataset, tmp_path):
    """Neither class can win where the model gives it nothing, and none wins everywhere."""
    corner = np.zeros((16, 24), np.float32)
    corner[:2, :2] = 1e-4
    with write_scores(tmp_path / "sky.h5", CLASSES) as model:
        for image_id in LabelFolder(panoptic_dataset / "labels").image_ids:
            model.add(image_id, np.stack([corner, np.ones_like(corner)]), np.array([ROAD, SKY]))
    arguments = (panoptic_dataset, tmp_path / "1", tmp_path / "sky.h5", 1, ("--min-share", 0.25))
    found = make_labels(*arguments, fill_below=0, min_confidence=0).read("image0")
    assert (found[:6, :6] == 1000).all() and (found[20:] == 2000).all() and (found[:, 20:] == 2000).all()


def test_unsure_pixels_are_ignored_but_empty_boxes_filled(panoptic_dataset, tmp_path):
    unsure = write_truth_as_scores(panoptic_dataset, tmp_path / "unsure.h5", confidence=100)
    found = make_labels(panoptic_dataset, tmp_path / "0", unsure, min_confidence_first=0.5)
    assert set(np.unique(found.read("image0"))) == {0, 3001, 3002}


def test_box_masks_decide_where_things_are(panoptic_dataset, scores, tmp_path):
    nothing = np.full((64, 96), CLASSES.background_category_id * 1000, np.int32)
    masks = write_box_masks(panoptic_dataset, tmp_path / "masks", nothing)
    extra = ("--box-masks", masks)
    found = make_labels(panoptic_dataset, tmp_path / "0", scores, extra=extra, fill_below=0)
    assert not (found.read("image0") // 1000 == 3).any()
    without = make_labels(panoptic_dataset, tmp_path / "1", scores, fill_below=0)
    assert (without.read("image0") // 1000 == 3).any()


def test_linked_round_repeats_the_one_before(panoptic_dataset, scores, tmp_path):
    previous = make_labels(panoptic_dataset, tmp_path / "0", scores)
    write_json(tmp_path / "record.json", {"linked": True})
    extra = ("--record", tmp_path / "record.json", "--previous", tmp_path / "0")
    linked = make_labels(panoptic_dataset, tmp_path / "1", scores, 1, extra)
    assert (linked.path / "image0.png").samefile(previous.path / "image0.png")


def test_image_without_scores_is_named(panoptic_dataset, tmp_path):
    with write_scores(tmp_path / "none.h5", CLASSES):
        pass
    with pytest.raises(ValueError, match="image0"):
        make_labels(panoptic_dataset, tmp_path / "0", tmp_path / "none.h5")
    assert not (tmp_path / "0").exists()


def test_unknown_setting(panoptic_dataset, scores, tmp_path):
    with pytest.raises(ValueError, match="min_confidense"):
        make_labels(panoptic_dataset, tmp_path / "0", scores, min_confidense=0.5)


def test_instances_of_a_model_take_the_place_of_boxes(panoptic_dataset, scores, tmp_path):
    shifted = np.full((64, 96), 1000, np.int32)
    shifted[36:50, :14], shifted[36:50, 14:24] = 3005, 3004
    instances = write_box_masks(panoptic_dataset, tmp_path / "instances", shifted)
    arguments = (panoptic_dataset, tmp_path / "0", scores, 0, ("--instances", instances))
    found = make_labels(*arguments, box_prior=False, fill_below=0)
    panoptic_id = found.read("image0")
    assert np.unique(panoptic_id[36:50, 4:14]).tolist() == [3002]
    assert np.unique(panoptic_id[36:50, 14:24]).tolist() == [3001]
    assert np.unique(panoptic_id[40:60, 60:84]).tolist() == [3000]
    assert [s["iscrowd"] for s in found.segments("image0") if s["id"] == 3000] == [1]
    shown = make_labels(panoptic_dataset, tmp_path / "1", scores, 0, ("--instances", instances, "--keep-shown"))
    alone = make_labels(panoptic_dataset, tmp_path / "2", scores)
    np.testing.assert_array_equal(shown.read("image0"), alone.read("image0"))
