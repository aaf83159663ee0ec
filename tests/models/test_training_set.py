"""Files of prepared samples: what is written is read, whole or not at all."""

from __future__ import annotations

import errno
from dataclasses import fields, is_dataclass

import numpy as np
import pytest
from weak_label_testing import make_weak_labels

from models import training_set
from models.classifier.batches import TagSample
from models.jtsm.samples import MiningImage
from models.segmenter.batches import PanopticSample
from models.training_set import SAMPLES_PER_FILE, Preparation, TrainingSet
from pseudogt.proposals.members import Members


def make_panoptic(seed):
    rng = np.random.default_rng(seed)
    height, width, count = 5 + seed % 7, 9, seed % 3
    return PanopticSample(
        image=rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        semantic=rng.integers(0, 256, (height, width), dtype=np.uint8),
        instance=rng.integers(-1, 300, (height, width)).astype(np.int16),
        candidate_set=np.zeros((height, width), np.int16 if seed % 2 else np.uint8),
        centres_yx=rng.normal(size=(count, 2)).astype(np.float32),
        sizes=rng.normal(size=count).astype(np.float32),
        candidates=rng.random((4, 3)) < 0.5,
    )


def make_tagged(seed):
    rng = np.random.default_rng(seed)
    weak = make_weak_labels(
        (100, 200 + seed),
        rng.random(4) < 0.5,
        boxes=rng.integers(0, 9, (seed % 3, 4)),
        crops=np.zeros((seed % 2, 4)),
        unknown=(1, 3)[: seed % 3],
        image_id=f"städte/{seed}",
    )
    return TagSample(rng.integers(0, 256, (6, 7, 3), dtype=np.uint8), weak)


def make_mining(seed):
    rng = np.random.default_rng(seed)
    return MiningImage(
        image=rng.integers(0, 256, (6, 8, 3), dtype=np.uint8),
        superpixels=rng.integers(0, 5, (6, 8)).astype(np.int32),
        members=Members(np.array([0, 1, 4], np.int32), np.array([0, 1, 3], np.int32)),
        boxes_xyxy=rng.integers(0, 8, (2, 4)).astype(np.int32),
        scores=rng.random(2).astype(np.float32),
        tags=rng.random(3) < 0.5,
        known=np.ones(3, bool),
    )


def assert_same(found, expected):
    if is_dataclass(expected):
        assert type(found) is type(expected)
        for field in fields(expected):
            assert_same(getattr(found, field.name), getattr(expected, field.name))
    elif isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    elif isinstance(expected, Members):
        assert_same(found.indices, expected.indices)
        assert_same(found.starts, expected.starts)
    else:
        assert type(found) is type(expected)
        assert found == expected


class Counted:
    """Samples that count how often each was asked for."""

    def __init__(self, samples):
        self.samples, self.asked = samples, []

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, number):
        self.asked.append(number)
        return self.samples[number]


def prepare(folder, samples, kind=PanopticSample, numbers=None):
    numbers = np.arange(len(samples)) if numbers is None else np.array(numbers)
    source, target = Counted(samples), TrainingSet(folder / "x.samples", numbers, kind)
    preparation = Preparation(source, target)
    for file in target.list_missing():
        assert preparation.write_file(file) == len(target.list_numbers(file))
    return source, target


@pytest.mark.parametrize(
    ("make", "kind"), [(make_panoptic, PanopticSample), (make_tagged, TagSample), (make_mining, MiningImage)]
)
def test_samples_are_read_as_they_were_written(make, kind, tmp_path):
    samples = [make(seed) for seed in range(2 * SAMPLES_PER_FILE + 3)]
    _, target = prepare(tmp_path, samples, kind)
    assert len(target) == len(samples)
    assert target.files == len(list(target.folder.iterdir())) == 3
    for number in (0, SAMPLES_PER_FILE, len(samples) - 1, *range(len(samples))):
        assert_same(target[number], samples[number])


def test_samples_that_are_not_drawn_are_not_prepared(tmp_path):
    samples, numbers = [make_panoptic(seed) for seed in range(60)], list(range(1, 60, 2))
    source, target = prepare(tmp_path, samples, numbers=numbers)
    assert source.asked == numbers
    assert len(target) == 30
    for number in (1, 33, 59):
        assert_same(target[number], samples[number])
    for number in (0, 30, 60, -1):
        with pytest.raises(IndexError, match=f"sample {number} was not prepared"):
            target[number]


def test_samples_can_be_neither_changed_nor_copied_into_memory(tmp_path):
    _, target = prepare(tmp_path, [make_panoptic(0)])
    image = target[0].image
    assert not image.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        image[0] = 0


def test_only_what_is_missing_or_cut_is_made_again(tmp_path):
    samples = [make_panoptic(seed) for seed in range(3 * SAMPLES_PER_FILE)]
    source, target = prepare(tmp_path, samples)
    assert source.asked == list(range(len(samples)))
    target.locate(0).unlink()
    content = target.locate(2).read_bytes()
    target.locate(2).write_bytes(content[: len(content) // 2])
    again, _ = prepare(tmp_path, samples)
    assert again.asked == [*target.list_numbers(0), *target.list_numbers(2)]
    assert target.locate(2).read_bytes() == content
    nothing, _ = prepare(tmp_path, samples)
    assert nothing.asked == []


def test_a_sample_that_cannot_be_read_leaves_no_file(tmp_path):
    class Broken(Counted):
        def __getitem__(self, number):
            if number == 1:
                raise ValueError("b.png: truncated image")
            return super().__getitem__(number)

    target = TrainingSet(tmp_path / "x.samples", np.arange(3), PanopticSample)
    with pytest.raises(ValueError, match=r"b\.png: truncated image"):
        Preparation(Broken([make_panoptic(seed) for seed in range(3)]), target).write_file(0)
    assert list(target.folder.iterdir()) == []
    assert target.list_missing() == [0]


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    def fail(path, samples):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(training_set, "_write_arrays", fail)
    with pytest.raises(OSError, match=r"No space left on device; prepared images need it: '.*x\.samples'"):
        prepare(tmp_path, [make_panoptic(0)])


def test_removed_files_are_gone(tmp_path):
    _, target = prepare(tmp_path, [make_panoptic(0)])
    assert target[0].image.any()
    target.remove()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        target[0]
