"""The assignment of images to shards."""

from __future__ import annotations

from pseudogt.workflow.assignment import plan_shards


def test_names_and_sizes():
    plan = plan_shards(None, {"train": list("abcde"), "val": ["x"]}, 2)
    assert plan == {"train-0000": ["a", "b"], "train-0001": ["c", "d"], "train-0002": ["e"], "val-0000": ["x"]}


def test_new_images_fill_the_last_shard_even_if_others_have_room():
    previous = {"train-0000": ["a", "gone"], "train-0001": ["c"]}
    plan = plan_shards(previous, {"train": ["a", "c", "new", "newer"]}, 2)
    assert plan == {"train-0000": ["a"], "train-0001": ["c", "new"], "train-0002": ["newer"]}


def test_an_emptied_shard_disappears_and_its_number_stays_free():
    assert plan_shards({"train-0000": ["a"], "train-0001": ["b"]}, {"train": ["b"]}, 1) == {"train-0001": ["b"]}


def test_an_image_that_changes_split():
    plan = plan_shards({"train-0000": ["a", "b"]}, {"train": ["a"], "val": ["b"]}, 4)
    assert plan == {"train-0000": ["a"], "val-0000": ["b"]}


def test_size_larger_than_the_set():
    assert plan_shards(None, {"train": ["a"], "val": []}, 64) == {"train-0000": ["a"]}
