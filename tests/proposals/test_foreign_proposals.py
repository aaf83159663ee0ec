"""Proposals of other projects: which file is an image's, and what a converted file may hold."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from pydantic import ValidationError

from pseudogt.config.proposals import ProposalsSettings
from pseudogt.proposals.foreign import find_proposal_files, read_converted


def touch(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")
    return folder


def test_files_are_found_by_name_then_by_number(tmp_path):
    names = ("2007_000032.mat", "COCO_train2014_000000000009.mat", "9.txt", "12.mat", "x_12.mat", "n_0.mat")
    folder = touch(tmp_path / "mcg", *names)
    found = find_proposal_files([folder], ".mat", ["2007_000032", "000000000009", "12", "0"])
    assert [path.name for path in found.values()] == [names[0], names[1], names[3], names[5]]


def test_missing_files_are_counted_and_named(tmp_path):
    folder = touch(tmp_path / "mcg", "a.mat")
    with pytest.raises(ValueError, match=r"no file b\.mat; 2 images lack proposals \(b, c\)\. Unpack"):
        find_proposal_files([folder], ".mat", ["a", "b", "c"])
    with pytest.raises(ValueError, match=r"nowhere: no such folder"):
        find_proposal_files([tmp_path / "nowhere"], ".mat", [])


def test_two_files_of_one_number_are_an_error(tmp_path):
    folder = touch(tmp_path / "mcg", "COCO_train2014_7.mat", "COCO_val2014_7.mat")
    with pytest.raises(ValueError, match="both are of image '7'; keep one"):
        find_proposal_files([folder], ".mat", ["7"])


def test_of_several_folders_the_first_with_a_file_counts(tmp_path):
    pascal = touch(tmp_path / "pascal", "2007_000032.mat", "COCO_train2014_000000000009.mat")
    sbd = touch(tmp_path / "sbd", "2007_000032.mat", "2008_000003.mat", "COCO_val2014_000000000009.mat")
    found = find_proposal_files([pascal, sbd], ".mat", ["2007_000032", "2008_000003", "000000000009"])
    assert [path.parent.name for path in found.values()] == ["pascal", "sbd", "pascal"]
    assert find_proposal_files([sbd, pascal], ".mat", ["2007_000032"])["2007_000032"].parent == sbd
    with pytest.raises(ValueError, match=r"pascal and .*sbd: no file x\.mat"):
        find_proposal_files([pascal, sbd], ".mat", ["x"])


def test_folders_are_one_or_several():
    assert ProposalsSettings(source="mcg", folder="a").folders == ("a",)
    assert ProposalsSettings(source="mcg", folder=("a", "b")).folders == ("a", "b")
    with pytest.raises(ValueError, match="needs the folder of its files"):
        ProposalsSettings(source="mcg", folder=())


def converted(**changes):
    """As the authors' converter writes it."""
    return {
        "superpixels": np.array([[0, 0, 1], [2, 2, 1]], np.int16),
        "oh_labels": np.array([[1, 0, 1], [0, 1, 0]], bool),
        "scores": np.array([0.5, 0.25], np.float32),
        "boxes": np.array([[0, 0, 1, 1], [2, 0, 2, 1]], np.int16),
        "indexes": "2007_000032",
    } | changes


def write(path, content):
    path.write_bytes(pickle.dumps(content))
    return path


def test_converted_file(tmp_path):
    found = read_converted(write(tmp_path / "a.pkl", converted()))
    np.testing.assert_array_equal(found.superpixels, [[0, 0, 1], [2, 2, 1]])
    np.testing.assert_array_equal(found.members.to_dense(3), [[True, False, True], [False, True, False]])
    np.testing.assert_array_equal(found.boxes_xyxy, [[0, 0, 2, 2], [2, 0, 3, 2]])
    assert found.superpixels.dtype == found.boxes_xyxy.dtype == np.int32
    assert found.scores.tolist() == [0.5, 0.25]


def test_padded_superpixels_that_no_proposal_has_are_dropped(tmp_path):
    padded = np.pad(converted()["oh_labels"], ((0, 0), (0, 4)))
    assert read_converted(write(tmp_path / "a.pkl", converted(oh_labels=padded))).members.indices.tolist() == [0, 2, 1]
    few = converted()["oh_labels"][:1, :1]
    one = converted(oh_labels=few, scores=np.ones(1), boxes=np.zeros((1, 4), np.int16))
    assert read_converted(write(tmp_path / "b.pkl", one)).members.to_dense(3).tolist() == [[True, False, False]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "expected a dict of arrays, found list"),
        (converted(boxes=None), "expected an array of 2 dimensions in 'boxes', found NoneType"),
        (converted(scores=np.ones((2, 1))), r"1 dimensions in 'scores', found \(2, 1\)"),
        (converted(scores=np.ones(3)), r"oh_labels \(2, 3\), boxes \(2, 4\) and scores \(3,\)"),
        (converted(oh_labels=np.ones((2, 5), bool)), "oh_labels name superpixel 3, the map ends at 2; convert"),
        (converted(superpixels=np.full((2, 3), -1, np.int16)), "must be numbers from 0"),
    ],
)
def test_broken_converted_files(tmp_path, content, message):
    path = write(tmp_path / "a.pkl", content)
    with pytest.raises(ValueError, match=message) as raised:
        read_converted(path)
    assert str(path) in str(raised.value)


def test_a_file_cut_short_is_named(tmp_path):
    path = write(tmp_path / "a.pkl", converted())
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"a\.pkl"):
        read_converted(path)


def test_source_and_folder_go_together():
    with pytest.raises(ValidationError, match="source: mcg needs the folder of its files; set folder"):
        ProposalsSettings(source="mcg")
    with pytest.raises(ValidationError, match="source: engine takes no folder"):
        ProposalsSettings(folder="x")
    ProposalsSettings(source="converted", folder="x")
