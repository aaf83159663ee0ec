"""A key that stands twice in a config file is an error, in YAML and JSON."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pseudogt.config.duplicate_keys import check_duplicate_keys, find_duplicate_keys

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", [("a", 1, 3)]),
        ("rounds:\n  max: 1\n  min: 1\n  # more\n  max: 2\n", [("rounds.max", 2, 5)]),
        ("a: {b: 1, b: 2}\n", [("a.b", 1, 1)]),
        ("a: 1\na: 2\na: 3\n", [("a", 1, 2), ("a", 1, 3)]),
        ("list:\n- {x: 1}\n- x: 1\n  x: 2\n", [("list.1.x", 3, 4)]),
        ('{\n\t"a": {"b": 1,\n\t\t"b": 2}\n}\n', [("a.b", 2, 3)]),
        ("a: &same {x: 1, x: 2}\nb: *same\n", [("a.x", 1, 1)]),
        ("a: &rest {x: 1}\nb:\n  <<: *rest\n  x: 2\n", []),
        ("1: a\n'1': b\n", []),
        ("a: {x: 1}\nb: {x: 1}\n", []),
        ("&itself\na: *itself\n", []),
        ("", []),
        ("# nothing\n", []),
    ],
)
def test_duplicates_are_found(text, expected):
    assert find_duplicate_keys(text) == expected


def test_error_names_file_key_and_both_lines(tmp_path):
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("steps: 1\n")
    bad.write_text("segmenter:\n  steps: 1\n  scale: 1\n  steps: 2\n")
    message = f"{bad}: segmenter.steps is in line 2 and again in line 4; remove one of them"
    with pytest.raises(ValueError, match=re.escape(message)):
        check_duplicate_keys([good, bad])


def test_configs_have_none():
    check_duplicate_keys([REPOSITORY / "config.yaml", *(REPOSITORY / "configs").glob("*.yaml")])
