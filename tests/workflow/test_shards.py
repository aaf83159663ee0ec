from __future__ import annotations

import pytest

from pseudogt.workflow.shards import abbreviate_paths, expand_paths, pass_named_files, plan_shards, split_of_shard


def test_names_and_sizes():
    plan = plan_shards(None, {"train": list("abcde"), "val": ["x"]}, 2)
    assert plan == {"train-0000": ["a", "b"], "train-0001": ["c", "d"], "train-0002": ["e"], "val-0000": ["x"]}
    assert split_of_shard("train-0002") == "train"


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


def test_size_below_one():
    with pytest.raises(ValueError, match="shard_size"):
        plan_shards(None, {"train": ["a"]}, 0)


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (["a/train-0000.json", "a/train-0001.json", "a/train-0002.json"], ["a/train-{0000..0002}.json"]),
        (["a/train-0000", "a/train-0002", "a/train-0003"], ["a/train-0000", "a/train-{0002..0003}"]),
        (["a/train-0009", "b/train-0010", "b/val-0011"], ["a/train-0009", "b/train-0010", "b/val-0011"]),
        (["a/train-9999.h5", "a/train-10000.h5"], ["a/train-{9999..10000}.h5"]),
        (["model.pt", "it's/x"], ["model.pt", "it's/x"]),
        ([], []),
    ],
)
def test_paths_of_consecutive_shards_are_one_word(paths, words):
    assert abbreviate_paths(paths) == words
    assert expand_paths(words) == paths


def test_a_million_images_fit_into_a_command():
    paths = [f"results/run/labels/0/train-{i:04d}" for i in range(16000) if i % 1000]
    words = abbreviate_paths(paths)
    assert sum(map(len, words)) < 1000
    assert expand_paths(words) == paths


def test_named_inputs_become_options():
    inputs = {"shard": "a b.json", "weak_labels": ["w/train-0000.json", "w/train-0001.json"], "init": []}
    options = pass_named_files(inputs.items())
    assert options == "--shard 'a b.json' --weak-labels 'w/train-{0000..0001}.json'"
