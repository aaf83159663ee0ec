import json

import numpy as np
import pytest
import torch
from panoptic_dataset import CLASSES, segmenter_arguments, train_segmenter, write_dataset

from models.segmenter.model import PanopticModel
from models.segmenter.training import PanopticBatches
from models.training import loop
from pseudogt.files.images import write_png
from pseudogt.files.io import read_json, write_json
from pseudogt.files.labels import LabelFolder, write_labels
from pseudogt.files.scores import ScoreFile
from pseudogt.pseudo_labels.rounds import count_steps
from pseudogt.stages import predictions, reference, segmenter

MASKS = {"network": "mask_transformer", "queries": 8, "query_channels": 64, "query_layers": 2, "mask_points": 64}
"""A small mask transformer."""


def test_record_says_what_was_done(panoptic_dataset, tmp_path):
    record = train_segmenter(panoptic_dataset, tmp_path / "0")
    assert record["steps"] == 4
    assert record["linked"] is False
    assert record["images"] == 5
    assert np.isfinite(record["fixed_loss"])
    assert [point["step"] for point in record["loss_curve"]] == [1, 2, 3, 4]
    assert {"semantic", "centre", "offset", "candidates"} <= set(record["loss_curve"][0])
    assert record["settings"]["seed"] == 0
    assert not list((tmp_path / "scratch").glob("*"))


def test_equal_runs_write_equal_models_and_another_seed_does_not(panoptic_dataset, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train_segmenter(panoptic_dataset, tmp_path / name, seed=seed)
    # Settings are part of the file, so compare the weights of the third.
    assert (tmp_path / "a" / "model.pt").read_bytes() == (tmp_path / "b" / "model.pt").read_bytes()
    a, c = (PanopticModel.load(tmp_path / n / "model.pt").network.state_dict() for n in "ac")
    assert not torch.equal(a["instance.2.weight"], c["instance.2.weight"])


def test_workers_and_images_that_a_failed_training_prepared_change_nothing(panoptic_dataset, tmp_path):
    train_segmenter(panoptic_dataset, tmp_path / "a" / "0")
    with pytest.raises(ValueError, match="loss is not finite"):
        train_segmenter(panoptic_dataset, tmp_path / "b" / "0", learning_rate=1e30, clip_norm=1e30)
    prepared = list((tmp_path / "b" / "scratch").glob("*.samples/*"))
    assert len(prepared) == 1
    train_segmenter(panoptic_dataset, tmp_path / "b" / "0", steps=4, loader_workers=2)
    assert (tmp_path / "a" / "0" / "model.pt").read_bytes() == (tmp_path / "b" / "0" / "model.pt").read_bytes()
    assert not list((tmp_path / "b" / "scratch").glob("*"))


def test_images_with_full_labels_are_drawn_more_often(panoptic_dataset, tmp_path, monkeypatch):
    labels = LabelFolder(panoptic_dataset / "labels")
    with write_labels(tmp_path / "full", CLASSES) as full:
        full.copy(labels, "image3")
    drawn = []
    load = PanopticBatches.load
    monkeypatch.setattr(PanopticBatches, "load", lambda self, i, g: drawn.extend(self.order[i]) or load(self, i, g))
    full = ["--full-labels", str(tmp_path / "full")]
    train_segmenter(panoptic_dataset, tmp_path / "a" / "0", *full, steps=16, full_share=0.75)
    assert drawn.count(3) == 24
    assert sorted(set(drawn)) == [0, 1, 2, 3, 4]

    train_segmenter(panoptic_dataset, tmp_path / "b" / "0", *full, full_share=0)
    train_segmenter(panoptic_dataset, tmp_path / "c" / "0")
    b, c = (PanopticModel.load(tmp_path / n / "0" / "model.pt").network.state_dict() for n in "bc")
    assert all(torch.equal(b[name], c[name]) for name in c)


def test_one_image_is_enough(tmp_path):
    assert train_segmenter(write_dataset(tmp_path / "one", 1), tmp_path / "0")["images"] == 1


def test_labels_without_any_class_are_an_error(tmp_path):
    dataset = write_dataset(tmp_path / "void", 2)
    with write_labels(dataset / "labels", CLASSES) as labels:
        for i in range(2):
            labels.add(f"image{i}", np.zeros((64, 96), np.int32))
    with pytest.raises(
        ValueError, match=r"nothing to learn from: no pixel .* has a class, neither road nor sky nor car"
    ):
        train_segmenter(dataset, tmp_path / "0")


def test_init_starts_from_the_round_before(panoptic_dataset, panoptic_model, tmp_path):
    model = str(panoptic_model / "model.pt")
    warm = train_segmenter(panoptic_dataset, tmp_path / "1", "--init", model, learning_rate=1e-6)
    cold = train_segmenter(panoptic_dataset, tmp_path / "0", learning_rate=1e-6)
    assert warm["loss_curve"][0]["loss"] < 0.7 * cold["loss_curve"][0]["loss"]


def test_init_of_another_network_is_an_error(panoptic_dataset, panoptic_model, tmp_path):
    with pytest.raises(ValueError, match="trained with another network or class table"):
        train_segmenter(
            panoptic_dataset, tmp_path / "1", "--init", str(panoptic_model / "model.pt"), decoder_channels=16
        )


def test_round_after_the_stop_is_linked(panoptic_dataset, panoptic_model, tmp_path):
    first, second = tmp_path / "0", tmp_path / "1"
    for folder, loss in ((first, 1.0), (second, 0.999)):
        folder.mkdir()
        (folder / "model.pt").write_bytes((panoptic_model / "model.pt").read_bytes())
        write_json(folder / "record.json", {"fixed_loss": loss, "linked": False, "round": int(folder.name)})
    command = segmenter_arguments(panoptic_dataset, tmp_path / "2")
    rounds = json.dumps({"max": 3, "min_improvement": 0.01})
    earlier = ["--earlier-records", str(first / "record.json"), str(second / "record.json")]
    segmenter.main([*command, "--round", "2", "--rounds", rounds, *earlier])
    assert (tmp_path / "2" / "model.pt").read_bytes() == (second / "model.pt").read_bytes()
    assert read_json(tmp_path / "2" / "record.json") == {"fixed_loss": 0.999, "linked": True, "round": 2}


def test_reference_takes_as_many_steps_as_the_scored_model_has_seen(panoptic_dataset, tmp_path):
    for name, steps, linked in (("0", 2, False), ("1", 3, False), ("2", 3, True)):
        write_json(tmp_path / f"{name}.json", {"steps": steps, "linked": linked})
    records = [str(tmp_path / f"{name}.json") for name in "012"]
    reference.main([*segmenter_arguments(panoptic_dataset, tmp_path / "reference"), "--records", *records])
    assert read_json(tmp_path / "reference" / "record.json")["steps"] == 5


def test_reference_steps_when_every_round_starts_from_scratch():
    records = [{"steps": 2, "linked": False}, {"steps": 3, "linked": False}, {"steps": 3, "linked": True}]
    assert count_steps(records, init="scratch") == 3


def test_reference_equals_a_segmenter_trained_on_the_same_labels(panoptic_dataset, tmp_path):
    train_segmenter(panoptic_dataset, tmp_path / "0")
    reference.main(
        [*segmenter_arguments(panoptic_dataset, tmp_path / "r"), "--records", str(tmp_path / "0" / "record.json")]
    )
    assert (tmp_path / "0" / "model.pt").read_bytes() == (tmp_path / "r" / "model.pt").read_bytes()


def test_image_without_label_is_named(panoptic_dataset, tmp_path):
    other = write_dataset(tmp_path / "other", 1)
    command = segmenter_arguments(panoptic_dataset, tmp_path / "0")
    command[command.index("--labels") + 1] = str(other / "labels")
    with pytest.raises(ValueError, match=r"labels: image 'image1' and 3 more"):
        segmenter.main([*command, "--round", "0"])


def test_label_of_another_size_is_named(tmp_path):
    data = write_dataset(tmp_path / "data", 1)
    write_png(data / "images" / "image0.png", np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(ValueError, match=r"image0\.png: is 32x32, but 96x64 in the index"):
        train_segmenter(data, tmp_path / "0")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"zoom_min": 2.0, "zoom_max": 1.0}, "zoom_min 2.0 is larger than zoom_max 1.0"),
        ({"crop_width_px": 100}, "crop_width_px"),
        ({"batch_size": 3, "images_per_pass": 2}, "batch_size 3 is not a multiple of images_per_pass 2"),
        ({"stepps": 3}, "stepps"),
        ({"network": "unet"}, "network: known are bottom_up, eomt, mask_transformer"),
        ({"network": "eomt", "decoder_channels": 48}, "network eomt needs a plain vision transformer of timm"),
        (MASKS, "mask_transformer does not read decoder_channels, which is for bottom_up; leave out"),
        ({"decoder_channels": 48, "query_channels": 40}, "query_channels"),
        (
            {"queries": 20, "mask_points": 9},
            "bottom_up does not read queries, mask_points, which are for mask_transformer and eomt",
        ),
    ],
)
def test_wrong_settings(panoptic_dataset, tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        train_segmenter(panoptic_dataset, tmp_path / "0", **settings)


def test_mask_transformer_goes_through_all_stages_of_a_round(panoptic_dataset, tmp_path):
    """It trains, is the start of the next round, and predicts the files that the labels of that round are made from."""
    options = {"decoder_channels": 48} | MASKS
    record = train_segmenter(panoptic_dataset, tmp_path / "0", **options)
    assert {"semantic", "candidates", "query", "mask", "dice"} <= set(record["loss_curve"][0])
    model = tmp_path / "0" / "model.pt"
    train_segmenter(panoptic_dataset, tmp_path / "1", "--init", str(model), **options | {"steps": 1})
    weak = ["--weak-labels", str(panoptic_dataset / "weak.json"), "--scores", str(tmp_path / "scores.h5")]
    shard = ["--shard", str(panoptic_dataset / "shard.json"), "--model", str(model), "--out", str(tmp_path / "out")]
    predictions.main([*shard, *weak, "--settings", json.dumps({"torch_threads": 1, "device": "cpu", "batch_size": 2})])
    found = LabelFolder(tmp_path / "out")
    assert found.image_ids == LabelFolder(panoptic_dataset / "labels").image_ids
    scores, train_ids = ScoreFile(tmp_path / "scores.h5").read("image0")
    assert train_ids.tolist() == [0, 1, 2]
    np.testing.assert_allclose(scores.sum(0), 1, atol=2e-3)


def test_too_few_queries_are_reported(panoptic_dataset, tmp_path, capsys):
    options = {"decoder_channels": 48} | MASKS
    train_segmenter(panoptic_dataset, tmp_path / "0", **options | {"queries": 3, "steps": 1})
    assert "5 training images, such as 'image0', have more segments than there are queries" in capsys.readouterr().err


def test_a_diverging_mask_transformer_is_reported_like_any_network(panoptic_dataset, tmp_path):
    options = {"decoder_channels": 48, "learning_rate": 1e30, "clip_norm": 1e30} | MASKS
    with pytest.raises(ValueError, match="loss is not finite"):
        train_segmenter(panoptic_dataset, tmp_path / "0", **options)


def test_resumed_training_of_a_mask_transformer_equals_an_uninterrupted_one(panoptic_dataset, tmp_path, monkeypatch):
    options = {"decoder_channels": 48, "checkpoint_every_s": 0.0} | MASKS
    whole = train_segmenter(panoptic_dataset, tmp_path / "whole" / "0", **options)
    advance = loop._Run.advance

    def fail_later(run, batches):
        if run.step == 2:
            raise KeyboardInterrupt
        advance(run, batches)

    monkeypatch.setattr(loop._Run, "advance", fail_later)
    with pytest.raises(KeyboardInterrupt):
        train_segmenter(panoptic_dataset, tmp_path / "resumed" / "0", **options)
    monkeypatch.setattr(loop._Run, "advance", advance)
    resumed = train_segmenter(panoptic_dataset, tmp_path / "resumed" / "0", **options)
    models = [tmp_path / name / "0" / "model.pt" for name in ("whole", "resumed")]
    assert models[0].read_bytes() == models[1].read_bytes()
    assert whole["fixed_loss"] == resumed["fixed_loss"]
