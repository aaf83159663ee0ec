"""The box-mask stage through its command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from panoptic_dataset import CLASSES

from pseudogt.files.index import read_shard, write_shard
from pseudogt.files.io import read_json, write_json
from pseudogt.files.labels import LabelFolder, write_labels
from pseudogt.files.scores import write_scores
from pseudogt.stages import box_masks, proposals

CAR = 3


def make_box_masks(dataset, out, *extra, weak="weak.json", shard="shard.json", **settings):
    files = ["--shard", str(dataset / shard), "--weak-labels", str(dataset / weak), *extra]
    box_masks.main([*files, "--out", str(out), "--settings", json.dumps(settings)])
    return LabelFolder(out)


@pytest.fixture(scope="module")
def masks(panoptic_dataset, tmp_path_factory):
    return make_box_masks(panoptic_dataset, tmp_path_factory.mktemp("masks") / "out")


def test_things_lie_in_boxes_and_all_else_is_background(panoptic_dataset, masks):
    truth = LabelFolder(panoptic_dataset / "labels")
    background = CLASSES.background_category_id * 1000
    for image_id in masks.image_ids:
        found, expected = masks.read(image_id), truth.read(image_id)
        in_box = expected // 1000 == CAR
        assert (found[~in_box] == background).all()
        claimed = found // 1000 == CAR
        assert claimed.sum() > 0.5 * in_box.sum()
        assert (found[claimed] == expected[claimed]).all()


def test_background_is_listed_as_a_category(masks):
    categories = read_json(masks.path / "panoptic.json")["categories"]
    assert categories[-1]["id"] == CLASSES.background_category_id
    assert categories[-1]["name"] == "background"


def test_bytes_do_not_depend_on_the_shard(panoptic_dataset, masks, tmp_path):
    records, classes = read_shard(panoptic_dataset / "shard.json")
    write_shard(panoptic_dataset / "one.json", records[3:4], classes)
    alone = make_box_masks(panoptic_dataset, tmp_path / "out", shard="one.json")
    name = f"{records[3].image_id}.png"
    assert (alone.path / name).read_bytes() == (masks.path / name).read_bytes()


def test_things_that_were_drawn_are_taken_as_they_are(panoptic_dataset, masks, tmp_path):
    first, second = masks.image_ids[:2]
    drawn = np.full(masks.read(first).shape, CLASSES.background_category_id * 1000, np.int32)
    drawn[10:20, 30:50] = CAR * 1000 + 1
    with write_labels(tmp_path / "drawn", CLASSES) as labels:
        labels.add(first, drawn)
    found = make_box_masks(panoptic_dataset, tmp_path / "out", "--drawn", str(tmp_path / "drawn"))
    np.testing.assert_array_equal(found.read(first), drawn)
    np.testing.assert_array_equal(found.read(second), masks.read(second))


def test_a_third_segmenter_claims_less(panoptic_dataset, masks, tmp_path):
    three = make_box_masks(panoptic_dataset, tmp_path / "out", segmenters=["grabcut", "hierarchy", "ellipse"])
    image_id = masks.image_ids[0]
    of_two, of_three = (folder.read(image_id) // 1000 == CAR for folder in (masks, three))
    assert of_three.sum() < of_two.sum()
    assert (of_two | ~of_three).all()


def test_score_is_the_agreement_on_the_box(panoptic_dataset, masks, tmp_path):
    image_id = masks.image_ids[0]
    scores = {s["id"]: s["score"] for s in masks.segments(image_id) if s["category_id"] == CAR}
    assert scores and all(0.5 < score < 1 for score in scores.values())
    alone = make_box_masks(panoptic_dataset, tmp_path / "out", segmenters=["fill"])
    assert {s["score"] for s in alone.segments(image_id) if s["category_id"] == CAR} == {1.0}


def test_best_proposals_and_the_network_find_the_things(panoptic_dataset, tmp_path):
    proposals.main(
        ["--shard", str(panoptic_dataset / "shard.json"), "--out", str(tmp_path / "p.h5"), "--settings", "{}"]
    )
    truth = LabelFolder(panoptic_dataset / "labels")
    for name in ("proposal", "network"):
        extra = ["--proposals", str(tmp_path / "p.h5")] if name == "proposal" else []
        found = make_box_masks(panoptic_dataset, tmp_path / name, *extra, segmenters=[name])
        for image_id in found.image_ids:
            a, b = (folder.read(image_id) // 1000 == CAR for folder in (found, truth))
            assert (a & b).sum() > 0.75 * (a | b).sum(), name


def test_cams_guide_grabcut(panoptic_dataset, tmp_path):
    """Where the CAMs see nothing of the class, the cut starts from the core alone."""
    records, classes = read_shard(panoptic_dataset / "shard.json")
    car = classes.category_to_train[CAR]
    truth = LabelFolder(panoptic_dataset / "labels")
    with write_scores(tmp_path / "cams.h5", CLASSES) as scores:
        for record in records:
            mask = truth.read(record.image_id) // 1000 == CAR
            scores.add(record.image_id, mask[None].astype(np.float32), np.array([car]))
    options = {"segmenters": ["grabcut"], "cam_prior": True, "restarts": 3, "smoothness": "gradient"}
    found = make_box_masks(panoptic_dataset, tmp_path / "out", "--cams", str(tmp_path / "cams.h5"), **options)
    for image_id in found.image_ids:
        a, b = (folder.read(image_id) // 1000 == CAR for folder in (found, truth))
        assert (a & b).sum() > 0.85 * (a | b).sum()


def edit_weak_labels(dataset, name, edit):
    document = read_json(dataset / "weak.json")
    edit(document)
    write_json(dataset / name, document)
    return name


def test_image_without_boxes_is_background(panoptic_dataset, tmp_path):
    name = edit_weak_labels(panoptic_dataset, "bare.json", lambda document: document["annotations"].clear())
    bare = make_box_masks(panoptic_dataset, tmp_path / "out", weak=name)
    assert np.unique(bare.read("image0")).tolist() == [CLASSES.background_category_id * 1000]


def test_groups_have_no_instance(panoptic_dataset, tmp_path):
    def make_groups(document):
        for annotation in document["annotations"]:
            annotation["iscrowd"] = 1

    name = edit_weak_labels(panoptic_dataset, "groups.json", make_groups)
    groups = make_box_masks(panoptic_dataset, tmp_path / "out", weak=name).read("image0")
    assert set(np.unique(groups)) - {0} == {CAR * 1000, CLASSES.background_category_id * 1000}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"segmenters": []}, "at least 1"),
        ({"segmenters": ["sam"]}, "sam needs sam_model"),
        ({"segmenters": ["sam"], "sam_model": "nowhere"}, "nowhere: no such folder, nor a model in the cache"),
        ({"segmenters": ["proposal"]}, "give --proposals"),
        ({"segmenters": ["grabcut"], "cam_prior": True}, "give --cams"),
        ({"sure": 1.0}, "less than 1"),
        ({"segmenters": ["grabcut", "grabcut"]}, "counts once"),
        ({"segmenters": ["grabcut", "magic"]}, "magic"),
        ({"sead": 1}, "sead"),
    ],
)
def test_bad_settings(panoptic_dataset, tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        make_box_masks(panoptic_dataset, tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_image_without_weak_labels_is_named(panoptic_dataset, tmp_path):
    name = edit_weak_labels(
        panoptic_dataset, "empty.json", lambda d: d.update(images=[], annotations=[], image_tags={})
    )
    with pytest.raises(ValueError, match="image0"):
        make_box_masks(panoptic_dataset, tmp_path / "out", weak=name)
    assert not (tmp_path / "out").exists()
