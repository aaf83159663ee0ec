from __future__ import annotations

import errno

import pytest

from pseudogt.config.rounds import RoundsSettings
from pseudogt.files.io import link_atomically
from pseudogt.pseudo_labels.rounds import StopRule, is_worth_another_round
from pseudogt.stages.export import link_files


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([], True),
        ([1.0], True),
        ([1.0, 0.9], True),
        ([1.0, 0.995], False),
        ([1.0, 1.1], False),
        ([1.0, 0.5, 0.6], False),
        ([1.0, 0.5, 0.4, 0.3, 0.2], False),
    ],
)
def test_stop_rule(losses, expected):
    assert (
        is_worth_another_round(losses, RoundsSettings(max=5, patience=1, min_improvement=0.01).fill(StopRule))
        is expected
    )


def test_patience_counts_rounds_in_a_row():
    settings = RoundsSettings(max=9, patience=2, min_improvement=0.0)
    assert is_worth_another_round([1.0, 1.1], settings.fill(StopRule))
    assert not is_worth_another_round([1.0, 1.1, 1.2], settings.fill(StopRule))
    assert is_worth_another_round([1.0, 1.1, 0.9, 1.0], settings.fill(StopRule))


def test_minimum_wins_over_the_loss():
    assert is_worth_another_round([1.0, 2.0], RoundsSettings(max=5, min=3).fill(StopRule))


def test_min_above_max_is_an_error():
    with pytest.raises(ValueError, match=r"rounds\.min \(3\) is larger than rounds\.max \(2\)"):
        RoundsSettings(min=3, max=2)


def test_links_share_their_bytes_but_not_the_times_that_snakemake_sets(tmp_path):
    (tmp_path / "0").mkdir()
    for name in ("a.png", ".snakemake_timestamp"):
        (tmp_path / "0" / name).write_bytes(b"x")
    link_atomically(tmp_path / "0", tmp_path / "1")
    assert (tmp_path / "1" / "a.png").samefile(tmp_path / "0" / "a.png")
    assert [path.name for path in (tmp_path / "1").iterdir()] == ["a.png"]
    link_atomically(tmp_path / "1" / "a.png", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"x"
    assert not (tmp_path / "file").samefile(tmp_path / "0" / "a.png")


def test_files_are_copied_where_there_are_no_links(tmp_path, monkeypatch):
    """On exFAT, for example, and on some network drives."""

    def refuse(*paths):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "a.png").write_bytes(b"x")
    link_atomically(tmp_path / "0", tmp_path / "1")
    link_files(tmp_path / "1", tmp_path / "2")
    assert (tmp_path / "2" / "a.png").read_bytes() == b"x"
