"""Files that a configuration names."""

from __future__ import annotations

import json
import os
import re

import pytest

from pseudogt.config.annotations import AnnotationsSettings
from pseudogt.config.run import RunConfig
from pseudogt.workflow.given_files import GivenFiles, digest_annotations, digest_predict_inputs, digest_weights

DATASET = {"classes": "configs/classes/streets.csv", "void_values": []}
SHARDS = {"train-0000": ["a", "b"], "train-0001": ["c"], "val-0000": ["v"]}


def write_sam_files(folder, kind):
    """The files of a model that are looked at before it is loaded."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": kind}))
    (folder / "preprocessor_config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(4_000_000))


def read(**sections):
    config = RunConfig.model_validate({"name": "x", "dataset": DATASET, **sections})
    return GivenFiles.read(config, "nowhere", SHARDS)


def test_nothing_is_given_by_default():
    given = read()
    assert given.full_label_ids == frozenset() and given.full_label_files == ()
    assert given.weak_labels == {} and given.annotations == ""
    assert set(given.weights) == {"proposals", "box_masks"}


def test_listed_images_must_be_in_training(tmp_path):
    (tmp_path / "full.txt").write_text("b\nc\n")
    assert read(full_labels={"images": str(tmp_path / "full.txt")}).full_label_ids == {"b", "c"}
    (tmp_path / "full.txt").write_text("b\nv\n")
    with pytest.raises(ValueError, match=r"full_labels\.images: 'v' is not .*, such as 'a'; .*full\.txt must list"):
        read(full_labels={"images": str(tmp_path / "full.txt")})


def test_a_split_of_full_labels_must_be_in_training(tmp_path):
    for split, name in (("train", "a"), ("val", "v")):
        (tmp_path / split).mkdir()
        (tmp_path / split / f"{name}.png").write_bytes(b"image")
    (tmp_path / "full.txt").write_text("b\n")
    dataset = DATASET | {"format": "images", "train_split": "train", "val_split": "val"}
    given = {"data_root": str(tmp_path), "annotations": {"format": "coco", "path": "boxes.json"}, "name": "x"}
    labels = {"images": str(tmp_path / "full.txt"), "split": "val"}
    config = RunConfig.model_validate(given | {"dataset": dataset, "full_labels": labels})
    message = r"full_labels\.split: 'v' is not among .*; val must be a part of dataset\.train_split: train, "
    with pytest.raises(ValueError, match=message):
        GivenFiles.read(config, str(tmp_path), SHARDS)


def test_a_model_that_is_named_need_not_be_there_yet():
    """A config file may name the model that its own run trains."""
    assert read(model="results/x/segmenter/1/model.pt") == read()


def test_corrected_full_label_touches_its_own_shard(tmp_path):
    for name in ("a", "c_gtFine_labelIds"):
        (tmp_path / f"{name}.png").write_bytes(b"label")

    def digest_shards():
        given = read(full_labels={"folder": str(tmp_path)})
        return [given.digest_full_labels(SHARDS[shard]) for shard in ("train-0000", "train-0001")]

    before = digest_shards()
    os.utime(tmp_path / "c_gtFine_labelIds.png", (1, 1))
    after = digest_shards()
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_edited_box_of_provided_weak_labels_touches_its_own_shard(tmp_path):
    path = tmp_path / "weak.json"

    def digest_shards(width):
        annotations = [{"id": i, "image_id": name, "bbox": [0, 0, width if name == "c" else 5, 5]}
                       for i, name in enumerate("abc")]  # fmt: skip
        images = [{"id": name} for name in "abc"]
        path.write_text(json.dumps({"images": images, "categories": [], "annotations": annotations}))
        given = read(provided={"weak_labels": str(path)})
        return [given.digest_weak_labels(SHARDS[shard]) for shard in ("train-0000", "train-0001")]

    before, after = digest_shards(5), digest_shards(6)
    assert before[0] == after[0]
    assert before[1] != after[1]


@pytest.mark.parametrize("text", ["", "[]", '{"images": 3}'])
def test_provided_weak_labels_of_another_kind_are_named(text, tmp_path):
    (tmp_path / "weak.json").write_text(text)
    with pytest.raises(ValueError, match=r"provided\.weak_labels: .*weak\.json: not a COCO-style file"):
        read(provided={"weak_labels": str(tmp_path / "weak.json")})


def test_annotations_are_known_by_names_sizes_and_times(tmp_path):
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    settings = AnnotationsSettings(format="yolo", path="labels")
    before = digest_annotations(settings, str(tmp_path))
    assert digest_annotations(settings, str(tmp_path)) == before
    (tmp_path / "data.yaml").write_text("names: [square]\n")
    named = digest_annotations(settings, str(tmp_path))
    assert named != before
    os.utime(tmp_path / "labels" / "a.txt", (1, 1))
    assert digest_annotations(settings, str(tmp_path)) != named


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: read(full_labels={"folder": str(p / "no")}), "full_labels.folder: {}/no: no such folder"),
        (lambda p: read(provided={"weak_labels": str(p / "w")}), "provided.weak_labels: {}/w: no such file"),
        (lambda p: read(full_labels={"images": str(p / "no.txt")}), "full_labels: {}/no.txt: no such list"),
        (
            lambda p: digest_annotations(AnnotationsSettings(format="yolo", path="no"), str(p)),
            "annotations: {0}/no: no such file or folder; relative paths start at data_root, {0}",
        ),
        (lambda p: digest_weights("proposals", [p / "no.pt"]), "{}/no.pt: no such file; the settings in section"),
        (lambda p: digest_predict_inputs(p / "no", p), "images={}/no: no such folder"),
        (lambda p: digest_predict_inputs(p, p / "no.pt"), "model={}/no.pt: no such file; name one with"),
        (lambda p: digest_predict_inputs(p, p / "a.pt2"), "model={}/a.pt2: is an archive of torch.export"),
    ],
)
def test_what_is_missing_is_named(call, message, tmp_path):
    (tmp_path / "a.pt2").touch()
    with pytest.raises(ValueError, match=re.escape(message.format(tmp_path))):
        call(tmp_path)


def test_a_broken_link_among_new_images_is_named(tmp_path):
    (tmp_path / "model.pt").touch()
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").symlink_to("gone.jpg")
    with pytest.raises(ValueError, match=r"a\.jpg: is a link to gone\.jpg, which is not there; remove it"):
        digest_predict_inputs(tmp_path / "images", tmp_path / "model.pt")


def test_a_segment_anything_model_is_looked_at_before_anything_runs(tmp_path):
    write_sam_files(tmp_path / "model", "sam2_video")
    sections = {"box_masks": {"segmenters": ["sam"], "sam_model": str(tmp_path / "model")}}
    before = read(**sections).weights["box_masks"]
    assert read(**sections).weights["box_masks"] == before != read().weights["box_masks"]
    os.utime(tmp_path / "model" / "model.safetensors", (1, 1))
    assert read(**sections).weights["box_masks"] != before
    write_sam_files(tmp_path / "model", "edgetam")
    with pytest.raises(ValueError, match=r"box_masks\.sam_model: .*says model_type 'edgetam'"):
        read(**sections)
    # It takes no part where box masks are given, or new images are predicted.
    given = {"box_masks": str(tmp_path)}
    assert "box_masks" not in read(**sections, provided=given).weights
    assert read(**sections, images=str(tmp_path)).weights["box_masks"]


def test_new_image_or_model_is_another_prediction(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "b.png").write_bytes(b"image")
    (tmp_path / "model.pt").write_bytes(b"1")
    digests = [digest_predict_inputs(tmp_path / "images", tmp_path / "model.pt")]
    (tmp_path / "images" / "a.png").write_bytes(b"image")
    digests.append(digest_predict_inputs(tmp_path / "images", tmp_path / "model.pt"))
    (tmp_path / "model.pt").write_bytes(b"12")
    digests.append(digest_predict_inputs(tmp_path / "images", tmp_path / "model.pt"))
    assert len(set(digests)) == 3


def test_weights_of_a_stage_that_does_not_run_are_not_asked_for():
    assert set(read(provided={"box_masks": "somewhere"}).weights) == {"proposals"}
