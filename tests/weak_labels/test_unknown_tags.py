"""What nobody knows trains nothing: neither that a class is there nor that it is not."""

from __future__ import annotations

import numpy as np
import torch
from weak_label_testing import make_weak_labels

from models.augmentation import Augmentation
from models.classifier.batches import TagSample, cut_out_crop, list_tag_regions, make_tag_batch
from models.classifier.losses import candidate_map_loss, keep_candidates, presence_loss, region_tag_loss
from models.classifier.network import pool_regions
from pseudogt.classes import IGNORE_LABEL, ClassTable
from pseudogt.config.labels import LabelsSettings
from pseudogt.pseudo_labels.refinement import CleaningSteps, clean_label, find_allowed_classes
from pseudogt.weak_labels.candidates import candidate_classes
from pseudogt.weak_labels.files import read_weak_labels, write_weak_labels

CLASSES = ClassTable(("sky", "road", "car"), (1, 2, 3), (False, False, True), ((0, 0, 0),) * 3)


def make_weak(tags, unknown, **others):
    return make_weak_labels((32, 48), tags, unknown=unknown, box_classes=2, crop_tags=False, **others)


def test_unknown_tags_survive_a_file(tmp_path):
    written = [make_weak([1, 0, 0], [1]), make_weak([1, 1, 0], [], image_id="b")]
    write_weak_labels(tmp_path / "weak.json", written, CLASSES)
    images, _ = read_weak_labels([tmp_path / "weak.json"])
    assert images["a"].unknown_ids == (1,) and images["b"].unknown_ids == ()
    assert images["a"].known.tolist() == [True, False, True]
    assert images["a"].possible.tolist() == [True, True, False]


def test_files_without_unknown_tags_look_as_before(tmp_path):
    write_weak_labels(tmp_path / "weak.json", [make_weak([1, 0, 0], [])], CLASSES)
    assert "unknown" not in (tmp_path / "weak.json").read_text()


def test_unknown_classes_are_candidates_everywhere():
    possible = candidate_classes(make_weak([1, 0, 0], [1], crops=[[0, 0, 48, 32]]), CLASSES)
    assert not possible[0].any() and possible[1].all() and not possible[2].any()
    assert find_allowed_classes(make_weak([1, 0, 0], [1]), CLASSES, "tags")[:, 0, 0].tolist() == [True, True, False]


def test_regions_say_nothing_of_unknown_classes():
    rows = np.arange(32) + 0.5
    regions = list_tag_regions(make_weak([1, 0, 0], [1]), rows, np.arange(48) + 0.5)
    assert regions.known.tolist() == [[True, False, True]]


def test_a_crop_keeps_what_is_unknown():
    sample = TagSample(np.zeros((32, 48, 3), np.uint8), make_weak([1, 0, 0], [1], crops=[[0, 0, 24, 32]]))
    assert cut_out_crop(sample, 0).weak.unknown_ids == (1,)


def test_an_unlabelled_image_gives_no_gradient():
    sample = TagSample(np.full((32, 48, 3), 90, np.uint8), make_weak([0, 0, 0], [0, 1, 2]))
    augmentation = Augmentation(crop_size=(32, 32), zoom=(1.0, 1.0), flip=0.0, colour=0.0)
    batch = make_tag_batch([sample], CLASSES, augmentation, 4, np.random.default_rng(0))
    logits = torch.randn(1, 3, 8, 8, requires_grad=True)
    scores = pool_regions(logits, batch["rows"], batch["columns"], 1.0)
    log_probabilities = logits.log_softmax(1)
    presence = pool_regions(
        keep_candidates(log_probabilities, batch["candidates"]), batch["rows"], batch["columns"], 4.0
    )
    loss = (
        region_tag_loss(scores, batch["tags"], batch["known"])
        + candidate_map_loss(log_probabilities, batch["candidates"])
        + presence_loss(presence, batch["tags"])
    )
    loss.backward()
    assert logits.grad.abs().max() < 1e-6


def test_labels_of_unknown_classes_are_ignored():
    label = np.array([[0, 1, 2, 1]], np.uint8).repeat(32, 0).repeat(12, 1)
    cleaned = clean_label(
        label, np.ones(label.shape, np.float32), make_weak([1, 0, 0], [1]), CLASSES, None,
        LabelsSettings(box_prior=False, fill_below=0).fill(CleaningSteps, min_confidence=0.0),
    )  # fmt: skip
    assert np.unique(cleaned[:, 12:24]).tolist() == [IGNORE_LABEL] and (cleaned[:, :12] == 0).all()
    assert (label == np.array([[0, 1, 2, 1]]).repeat(12, 1)).all()
