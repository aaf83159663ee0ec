"""The stages `mining` and `mined` through their command lines."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from panoptic_dataset import CLASSES
from pycocotools import mask as coco_mask

from models.classifier.model import ClassifierModel
from models.classifier.network import TagClassifier, build_tag_classifier
from models.jtsm.model import JtsmModel
from models.jtsm.step import MiningStep
from pseudogt.classes import IGNORE_LABEL, panoptic_to_semantic
from pseudogt.config.mining import MiningSettings
from pseudogt.files.detections import read_detections
from pseudogt.files.index import read_shard, write_shard
from pseudogt.files.io import read_json
from pseudogt.files.labels import LabelFolder
from pseudogt.files.scores import ScoreFile
from pseudogt.proposals.files import ProposalFile, write_proposals
from pseudogt.pseudo_labels.panoptic_merge import fill_things
from pseudogt.stages import evidence, mined, mining, proposals
from pseudogt.weak_labels.files import read_weak_labels, write_weak_labels

ROAD, SKY, CAR = 0, 1, 2
FAST = {"max_proposals": 30, "max_regions": 15, "grown_unions": 10, "kept_unions": 30, "max_superpixels": 60}
FAST |= {"contours": "gradient", "ranking": "rule"}
TINY = {
    "init": "scratch",
    "levels": 2,
    "freeze": "none",
    "steps": 3,
    "batch_size": 2,
    "neck_widths": [16, 16],
    "mask_channels": 8,
    "mask_evidence": "segments",
    "max_proposals": 30,
    "short_sides_px": [64],
    "torch_threads": 1,
    "device": "cpu",
    "precision": "fp32",
    "learning_rate": 1e-3,
}
PREDICT = {"short_sides_px": [64], "min_stuff_area_px": 16, "torch_threads": 1, "device": "cpu", "precision": "fp32"}


@pytest.fixture(scope="module")
def dataset(panoptic_dataset, tmp_path_factory):
    """Images with tags (one without cars) and two crops each, without boxes, and proposals of them."""
    folder = tmp_path_factory.mktemp("tagged")
    records, _ = read_shard(panoptic_dataset / "shard.json")
    write_shard(folder / "shard.json", records, CLASSES)
    weak, _ = read_weak_labels([panoptic_dataset / "weak.json"])
    crops = np.array([[0, 0, 48, 64], [48, 0, 96, 64]], np.int32)
    tagged = []
    for i, image in enumerate(weak.values()):
        tags = np.array([True, True, i > 0])
        none = {
            "boxes_xyxy": image.boxes_xyxy[:0],
            "box_classes": image.box_classes[:0],
            "box_iscrowd": np.zeros(0, bool),
        }
        tagged.append(
            type(image)(**{**vars(image), **none, "tags": tags, "crops_xyxy": crops, "crop_tags": np.stack([tags] * 2)})
        )
    write_weak_labels(folder / "weak.json", tagged, CLASSES)
    files = ["--shard", str(folder / "shard.json"), "--out", str(folder / "proposals.h5")]
    proposals.main([*files, "--settings", json.dumps(FAST)])
    return folder


def mine(dataset, out, *extra, weak="weak.json", file="proposals.h5", **settings):
    files = ["--shards", dataset / "shard.json", "--weak-labels", dataset / weak, "--proposals", dataset / file]
    folders = ["--out", out, "--scratch", out.parent / "scratch", "--evidence", out.parent / "evidence"]
    more = [*folders, *extra, "--settings", json.dumps(TINY | settings)]
    mining.main([str(argument) for argument in [*files, *more]])
    return read_json(out / "record.json")


@pytest.fixture(scope="module")
def model(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("mined") / "mining"
    files = {"shards": "shard.json", "weak-labels": "weak.json", "proposals": "proposals.h5"}
    val = [item for kind, name in files.items() for item in (f"--val-{kind}", dataset / name)]
    mine(dataset, out, *val, mask_evidence="grabcut", top_k=1, mask_limit=4)
    return out


def predict(dataset, model, out, *extra, **settings):
    files = ["--shard", dataset / "shard.json", "--proposals", dataset / "proposals.h5", "--model", model / "model.pt"]
    more = ["--out", out, "--detections", out.with_suffix(".json"), *extra]
    more += ["--settings", json.dumps(PREDICT | settings)]
    mined.main([str(argument) for argument in [*files, *more]])
    return LabelFolder(out)


def test_record_says_what_was_learnt_from_what(model):
    record = read_json(model / "record.json")
    assert (record["init"], record["samples"], record["steps"]) == ("scratch", 5, 3)
    names = {"loss", "mining", "masks", "masks_refined", "semantic", "classes_0", "boxes_0", "classes_3", "boxes_3"}
    assert names <= set(record["loss_curve"][-1])
    assert record["val"]["samples"] == 5
    assert set(record["val"]["ap"]) == {"road", "sky", "car"}
    assert record["val"]["ap"]["road"] == 1


def test_model_file_is_self_contained(model):
    loaded = JtsmModel.load(model / "model.pt")
    assert loaded.classes == CLASSES
    assert loaded.classes.things_first.tolist() == [CAR, ROAD, SKY]
    assert loaded.architecture.levels == 2
    assert not loaded.network.training


def test_resumed_equals_uninterrupted(dataset, tmp_path, monkeypatch):
    mine(dataset, tmp_path / "whole" / "0")
    compute = MiningStep.forward
    steps = 0

    def stop_in_second_step(step, batch):
        nonlocal steps
        steps += 1
        if steps == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return compute(step, batch)

    monkeypatch.setattr(MiningStep, "forward", stop_in_second_step)
    with pytest.raises(SystemExit):
        mine(dataset, tmp_path / "stopped" / "0")
    assert not (tmp_path / "stopped" / "0").exists()
    mine(dataset, tmp_path / "stopped" / "0")
    assert (tmp_path / "stopped" / "0" / "model.pt").read_bytes() == (
        tmp_path / "whole" / "0" / "model.pt"
    ).read_bytes()
    assert not list((tmp_path / "stopped" / "scratch").iterdir())


def test_crops_are_images_of_their_own(dataset, tmp_path):
    record = mine(dataset, tmp_path / "0", samples="crop", steps=1, masks=False, refinements=1)
    assert record["samples"] == 10


def test_labels_hold_tagged_classes_only_and_scores_of_them(dataset, model, tmp_path):
    extra = ("--weak-labels", dataset / "weak.json", "--scores", tmp_path / "scores.h5")
    labels = predict(dataset, model, tmp_path / "0", *extra, min_instance_score=0)
    scores = ScoreFile(tmp_path / "scores.h5")
    assert set(labels.image_ids) == set(scores.image_ids)
    values, train_ids = scores.read("image0")
    assert train_ids.tolist() == [ROAD, SKY]
    assert values.shape == (2, 16, 24)
    assert 0 <= values.min() <= values.max() <= 1
    for image_id in labels.image_ids:
        semantic = panoptic_to_semantic(labels.read(image_id), CLASSES)
        label, confidence = scores.read_label(image_id)
        np.testing.assert_array_equal(label, semantic)
        assert not confidence[label == IGNORE_LABEL].any()
        assert all(0 <= s["score"] <= 1 for s in labels.segments(image_id))
    assert CAR not in panoptic_to_semantic(labels.read("image0"), CLASSES)
    assert CAR in panoptic_to_semantic(labels.read("image1"), CLASSES)


def test_detections_know_no_tags_and_are_results_of_coco(dataset, model, tmp_path):
    """With tags or without them the file is the same, and of an image that has no car it may hold some."""
    tagged = ("--weak-labels", dataset / "weak.json", "--scores", tmp_path / "scores.h5")
    with_tags = predict(dataset, model, tmp_path / "0", *tagged, flip=False, max_detections=7)
    predict(dataset, model, tmp_path / "1", flip=False, max_detections=7)
    assert (tmp_path / "0.json").read_bytes() == (tmp_path / "1.json").read_bytes()
    found = read_detections(tmp_path / "0.json")
    assert set(found) == set(with_tags.image_ids), "image0 among them, which has no tag of a thing"
    for image_id, of_image in found.items():
        assert len(of_image) <= 7
        scores = [each["score"] for each in of_image]
        assert scores == sorted(scores, reverse=True) and scores[-1] > 1e-5
        for each in of_image:
            assert each["category_id"] == 3
            mask = coco_mask.decode(each["segmentation"])
            assert mask.shape == with_tags.read(image_id).shape
            x, y, width, height = each["bbox"]
            assert 0 <= x < x + width <= 96 and 0 <= y < y + height <= 64


def test_images_of_one_size_share_a_pass(dataset, model, tmp_path):
    alone = predict(dataset, model, tmp_path / "0", flip=False)
    together = predict(dataset, model, tmp_path / "1", flip=False, images_per_pass=3)
    assert sorted(alone.image_ids) == sorted(together.image_ids)
    for image_id in alone.image_ids:
        assert (alone.read(image_id) == together.read(image_id)).mean() > 0.99
    pairs = (read_detections(tmp_path / f"{n}.json") for n in (0, 1))
    assert len({tuple(len(each) for _, each in sorted(found.items())) for found in pairs}) == 1


def test_without_weak_labels_all_classes_may_be_found(dataset, model, tmp_path):
    labels = predict(dataset, model, tmp_path / "0", min_instance_score=0, flip=False)
    assert CAR in panoptic_to_semantic(labels.read("image0"), CLASSES)


def test_stuff_may_come_from_segments(dataset, model, tmp_path):
    extra = ("--weak-labels", dataset / "weak.json", "--scores", tmp_path / "scores.h5")
    labels = predict(dataset, model, tmp_path / "0", *extra, stuff="segments", min_instance_score=1, flip=False)
    stuff = {s["category_id"] for image_id in labels.image_ids for s in labels.segments(image_id) if not s["iscrowd"]}
    assert stuff and stuff <= {1, 2}


@pytest.mark.parametrize("stuff", ["branch", "segments"])
def test_a_crop_holds_the_classes_of_its_tags_only(dataset, model, tmp_path, stuff):
    weak, classes = read_weak_labels([dataset / "weak.json"])
    for image in weak.values():
        image.crop_tags[0] = [True, False, False]
    write_weak_labels(tmp_path / "weak.json", list(weak.values()), classes)
    extra = ("--weak-labels", tmp_path / "weak.json", "--scores", tmp_path / "scores.h5")
    labels = predict(dataset, model, tmp_path / "0", *extra, stuff=stuff, min_instance_score=0)
    scores = ScoreFile(tmp_path / "scores.h5")
    right = set()
    for image_id in labels.image_ids:
        semantic = panoptic_to_semantic(labels.read(image_id), CLASSES)
        assert set(np.unique(semantic[:, :48])) <= {ROAD, IGNORE_LABEL}
        right |= set(np.unique(semantic[:, 48:]))
        values, train_ids = scores.read(image_id)
        assert not values[np.isin(train_ids, [SKY, CAR]), :, :12].any()
    assert CAR in right


def test_things_that_no_instance_has_are_crowds(dataset, model, tmp_path):
    weak, classes = read_weak_labels([dataset / "weak.json"])
    for image in weak.values():
        image.tags[CAR] = True
        image.crop_tags[0] = [False, False, True]
    write_weak_labels(tmp_path / "weak.json", list(weak.values()), classes)
    extra = ("--weak-labels", tmp_path / "weak.json", "--scores", tmp_path / "scores.h5")
    labels = predict(dataset, model, tmp_path / "0", *extra, stuff="segments", min_instance_score=1, flip=False)
    cars = [s for image_id in labels.image_ids for s in labels.segments(image_id) if s["category_id"] == 3]
    assert len(cars) == len(labels.image_ids)
    assert all(s["iscrowd"] and s["id"] == 3000 for s in cars)


def test_connected_parts_of_things_may_be_instances():
    panoptic = np.zeros((12, 20), np.int32)
    panoptic[:6, :6] = 3001
    semantic = np.full(panoptic.shape, IGNORE_LABEL, np.uint8)
    semantic[:5, 8:12] = semantic[8:12, :10] = semantic[:2, 18:] = CAR
    crowds = panoptic.copy()
    fill_things(crowds, semantic, CLASSES, with_instances=False)
    assert set(np.unique(crowds)) == {0, 3000, 3001}
    fill_things(panoptic, semantic, CLASSES, with_instances=True)
    assert panoptic[0, 0] == 3001
    assert {panoptic[0, 8], panoptic[8, 0]} == {3002, 3003}
    assert (panoptic[:5, 8:12] == panoptic[0, 8]).all()
    assert panoptic[0, 18] == 3000, "4 pixels are too few"


def save_classifier(path: Path) -> TagClassifier:
    """Write an untrained tag classifier, and return its network."""
    architecture = {"backbone": "small", "class_count": 3, "levels": 2, "channels": 8}
    network = build_tag_classifier(**architecture).eval()
    ClassifierModel(network, architecture, CLASSES, {}, 1.0, 1.0).save(path)
    return network


def test_the_classifier_takes_part_in_labels_of_segments(dataset, tmp_path):
    network = save_classifier(tmp_path / "classifier.pt")
    settings = {"init": "classifier", "decoder": True, "freeze": "all", "refinements": 0, "masks": False, "steps": 1}
    settings["overlap_power"] = 4
    mine(dataset, tmp_path / "0", "--weights", tmp_path / "classifier.pt", **settings)
    loaded = JtsmModel.load(tmp_path / "0" / "model.pt")
    assert loaded.architecture.decoder_channels == 8
    assert loaded.network.mining.overlap_power == 4
    order = torch.from_numpy(loaded.classes.things_first.astype(np.int64))
    torch.testing.assert_close(loaded.network.backbone.classifier.classify.weight, network.classify.weight[order])
    labels = predict(dataset, tmp_path / "0", tmp_path / "labels", stuff="segments", things="components", flip=False)
    assert {s["category_id"] for image_id in labels.image_ids for s in labels.segments(image_id)} <= {1, 2, 3}


def test_an_image_without_proposals_is_named(dataset, tmp_path):
    source = ProposalFile(dataset / "proposals.h5")
    for name, wanted in (("empty", True), ("absent", False)):
        with write_proposals(tmp_path / f"{name}.h5") as writer:
            for image_id in source.image_ids:
                found = source.read(image_id)
                if image_id != "image2" or wanted:
                    writer.add(image_id, found.take(0) if image_id == "image2" else found)
    with pytest.raises(ValueError, match="image 'image2': there are no proposals; remake them"):
        mine(dataset, tmp_path / "0", file=tmp_path / "empty.h5", steps=9, batch_size=5)
    with pytest.raises(ValueError, match=r"absent\.h5: image 'image2' and 0 more of the dataset are not in it"):
        mine(dataset, tmp_path / "0", file=tmp_path / "absent.h5")


def test_proposals_of_another_image_are_named(dataset, tmp_path):
    source = ProposalFile(dataset / "proposals.h5")
    with write_proposals(tmp_path / "other.h5") as writer:
        for image_id in source.image_ids:
            found = source.read(image_id)
            writer.add(image_id, found._replace(superpixels=found.superpixels[:-1]))
    with pytest.raises(ValueError, match=r"image 'image\d': image \(64, 96\) and superpixels \(63, 96\) differ"):
        mine(dataset, tmp_path / "0", file=tmp_path / "other.h5")


def test_crops_need_tags(dataset, tmp_path):
    weak, classes = read_weak_labels([dataset / "weak.json"])
    whole = [
        type(w)(**{**vars(w), "crops_xyxy": w.crops_xyxy[:0], "crop_tags": w.crop_tags[:0]}) for w in weak.values()
    ]
    write_weak_labels(tmp_path / "weak.json", whole, classes)
    with pytest.raises(ValueError, match="samples: crop, but image 'image0' has no tagged crops"):
        mine(dataset, tmp_path / "0", weak=tmp_path / "weak.json", samples="crop")


def test_boxes_without_tags_teach_nothing(dataset, tmp_path):
    weak, classes = read_weak_labels([dataset / "weak.json"])
    untagged = [replace(w, tags=w.tags & False, crop_tags=w.crop_tags & False) for w in weak.values()]
    write_weak_labels(tmp_path / "weak.json", untagged, classes)
    with pytest.raises(ValueError, match="there is nothing to learn from"):
        mine(dataset, tmp_path / "0", weak=tmp_path / "weak.json")


def test_missing_weights_are_an_error(dataset, tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.pt"):
        mine(dataset, tmp_path / "0", init="weights", weights="nowhere.pt")
    with pytest.raises(ValueError, match=r"nowhere\.pt: no such model file"):
        mine(dataset, tmp_path / "0", "--weights", "nowhere.pt", init="classifier")


def test_models_of_another_class_table_are_refused(dataset, model, tmp_path):
    records, classes = read_shard(dataset / "shard.json")
    other = type(classes)(("road", "sky", "bus"), *list(vars(classes).values())[1:4])
    write_shard(tmp_path / "shard.json", records, other)
    with pytest.raises(ValueError, match=r"model\.pt: has another class table than .*shard\.json"):
        mined.main(
            ["--shard", str(tmp_path / "shard.json"), "--proposals", str(dataset / "proposals.h5"), "--model",
             str(model / "model.pt"), "--out", str(tmp_path / "0"), "--detections", str(tmp_path / "0.json"),
             "--settings", json.dumps(PREDICT)]
        )  # fmt: skip


def test_shards_change_no_byte(dataset, model, tmp_path):
    records, classes = read_shard(dataset / "shard.json")
    write_shard(tmp_path / "shard.json", records[3:4], classes)
    together = predict(dataset, model, tmp_path / "0", flip=False)
    (tmp_path / "proposals.h5").hardlink_to(dataset / "proposals.h5")
    alone = predict(tmp_path, model, tmp_path / "1", flip=False)
    np.testing.assert_array_equal(together.read("image3"), alone.read("image3"))


def test_details_of_the_paper_train(dataset, tmp_path):
    """Those that its config files switch on; the first image has no thing."""
    details = {"nesterov": False, "norm_bias_rate": 1.0, "images_per_pass": 1, "semantic_start": "he"}
    details |= {"polygons": True, "whole_pixels": True, "needs_things": True}
    record = mine(dataset, tmp_path / "0", steps=2, **details)
    assert record["samples"] == 4
    assert np.isfinite(record["loss_curve"][-1]["loss"])
    found = predict(dataset, tmp_path / "0", tmp_path / "labels", semantic_mean="logits").read("image3")
    assert found.shape == (64, 96)


def test_padding_is_left_out_for_a_resnet_ws_without_semantic_branch_only():
    with pytest.raises(ValueError, match="it takes one of resnet_ws18, resnet_ws50, resnet_ws101 and semantic: false"):
        MiningSettings(init="scratch", padding=False, semantic=False)


def test_bf16_trains(dataset, tmp_path):
    record = mine(dataset, tmp_path / "0", steps=1, precision="bf16", mask_limit=2)
    assert np.isfinite(record["loss_curve"][-1]["loss"])
    assert record["precision"] == "bfloat16"
    assert torch.get_default_dtype() == torch.float32


def test_the_classifier_may_rank_the_boxes_of_evidence(dataset, tmp_path):
    save_classifier(tmp_path / "classifier.pt")
    files = ["--shard", dataset / "shard.json", "--weak-labels", dataset / "weak.json", "--boxes", "1"]
    files += ["--proposals", dataset / "proposals.h5", "--classifier", tmp_path / "classifier.pt"]
    more = ["--evidence", tmp_path, "--out", tmp_path / "counts.json", "--settings", json.dumps(TINY)]
    evidence.main([str(argument) for argument in [*files, *more]])
    images = len(read_weak_labels([dataset / "weak.json"])[0])
    assert read_json(tmp_path / "counts.json")["asked"] == images


def test_evidence_that_is_found_ahead_is_not_computed_again(dataset, tmp_path):
    files = ["--shard", dataset / "shard.json", "--weak-labels", dataset / "weak.json"]
    files += ["--proposals", dataset / "proposals.h5", "--evidence", tmp_path / "evidence", "--boxes", "30"]
    more = ["--out", tmp_path / "counts.json", "--settings", json.dumps(TINY | {"mask_evidence": "grabcut"})]
    evidence.main([str(argument) for argument in [*files, *more]])
    counts = read_json(tmp_path / "counts.json")
    assert counts["asked"] == counts["computed"] > 0
    settings = {"mask_evidence": "grabcut", "top_k": 2, "mask_limit": 4}
    found = mine(dataset, tmp_path / "0", **settings)["evidence"]
    assert (found["asked"] > 0, found["computed"]) == (True, 0)
    assert sum(part["asked"] for part in found["curve"]) == found["asked"]
    (tmp_path / "empty").mkdir()
    alone = mine(dataset, tmp_path / "empty" / "0", **settings)["evidence"]
    assert alone["computed"] > 0
    # The very first training of a process may round otherwise, so the one before is not compared.
    mine(dataset, tmp_path / "1", **settings)
    assert (tmp_path / "1" / "model.pt").read_bytes() == (tmp_path / "empty" / "0" / "model.pt").read_bytes()
