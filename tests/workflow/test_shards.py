"""Lists of shards' files on command lines."""

from __future__ import annotations

import pytest

from pseudogt.workflow.shards import abbreviate_paths, expand_paths, pass_named_files


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
