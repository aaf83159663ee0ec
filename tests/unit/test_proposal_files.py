"""Proposal files: HDF5 and MCG's MATLAB layout, round trips and broken files."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from pseudogt.proposals.files import ProposalFile, read_mcg, read_mcg_boxes, write_mcg, write_proposals
from pseudogt.proposals.generation import Proposals


@pytest.fixture
def proposals():
    superpixels = np.repeat(np.arange(300, dtype=np.int32).reshape(15, 20), 2, axis=1)
    members = np.zeros((3, 300), bool)
    members[0, [0, 1, 20]] = members[1, 299] = members[2] = True
    boxes = np.array([[0, 0, 4, 2], [38, 14, 40, 15], [0, 0, 40, 15]], np.int32)
    return Proposals(superpixels, members, np.array([0.5, 0.25, 0.75], np.float32), boxes)


def assert_equal(a, b):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)
        assert x.dtype == y.dtype


def test_hdf5_round_trip(tmp_path, proposals):
    empty = proposals._replace(members=proposals.members[:0], scores=proposals.scores[:0], boxes_xyxy=np.zeros((0, 4)))
    with write_proposals(tmp_path / "a.h5") as writer:
        writer.add("one", proposals)
        writer.add("none", empty)
    file = ProposalFile(tmp_path / "a.h5")
    assert file.image_ids == ["none", "one"]
    assert_equal(file.read("one"), proposals)
    assert file.read("none").members.shape == (0, 300)
    with h5py.File(tmp_path / "a.h5") as stored:
        np.testing.assert_array_equal(stored["one/indices"][:4], [0, 1, 20, 299])
        np.testing.assert_array_equal(stored["one/starts"], [0, 3, 4, 304])
    with pytest.raises(ValueError, match="no proposals of image 'two'"):
        file.read("two")
    with pytest.raises(ValueError, match="no such file"):
        ProposalFile(tmp_path / "b.h5")


def test_mcg_round_trip_is_exact(tmp_path, proposals):
    write_mcg(tmp_path / "a.mat", proposals)
    read = read_mcg(tmp_path / "a.mat")
    assert_equal(read, proposals)
    write_mcg(tmp_path / "b.mat", read)
    assert (tmp_path / "a.mat").read_bytes() == (tmp_path / "b.mat").read_bytes()


def test_mcg_layout(tmp_path, proposals):
    write_mcg(tmp_path / "a.mat", proposals)
    variables = loadmat(tmp_path / "a.mat")
    assert variables["superpixels"].min() == 1 and variables["superpixels"].shape == (15, 40)
    assert variables["labels"].shape == (3, 1)
    np.testing.assert_array_equal(variables["labels"][0, 0], [[1, 2, 21]])
    np.testing.assert_array_equal(variables["scores"], [[0.5], [0.25], [0.75]])


def test_mcg_files_of_other_types(tmp_path):
    """As MATLAB writes them: columns, doubles, lists in any order."""
    labels = np.empty((1, 2), object)
    labels[0, 0], labels[0, 1] = np.array([[3.0], [1.0]]), np.array([[2.0]])
    superpixels = np.array([[1, 1, 2], [3, 3, 2]], np.uint16)
    savemat(tmp_path / "a.mat", {"superpixels": superpixels, "labels": labels, "scores": [[0.1], [0.2]]})
    read = read_mcg(tmp_path / "a.mat")
    np.testing.assert_array_equal(read.members, [[True, False, True], [False, True, False]])
    np.testing.assert_array_equal(read.boxes_xyxy, [[0, 0, 2, 2], [2, 0, 3, 2]])
    np.testing.assert_array_equal(read.scores, [0.1, 0.2])


def test_boxes_of_the_archives_are_converted(tmp_path):
    savemat(tmp_path / "a.mat", {"boxes": [[1, 3, 10, 20], [5, 5, 5, 5]], "scores": [[2.5], [1.5]]})
    boxes, scores = read_mcg_boxes(tmp_path / "a.mat")
    np.testing.assert_array_equal(boxes, [[2, 0, 20, 10], [4, 4, 5, 5]])
    np.testing.assert_array_equal(scores, [2.5, 1.5])
    savemat(tmp_path / "b.mat", {"boxes": np.zeros((0, 0)), "scores": np.zeros((0, 0))})
    assert read_mcg_boxes(tmp_path / "b.mat")[0].shape == (0, 4)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"superpixels": [[1]]}, "lacks the variables labels, scores; found superpixels"),
        ({"superpixels": [[0]], "labels": [[1]], "scores": [[1]]}, "numbers from 1"),
        ({"superpixels": [[1]], "labels": [[2]], "scores": [[1]]}, "labels name superpixel 2 of 1"),
        ({"superpixels": [[1]], "labels": [[1]], "scores": [[1, 2]]}, "1 proposals in labels, but 2 scores"),
    ],
)
def test_broken_mcg_files(tmp_path, variables, message):
    savemat(tmp_path / "a.mat", variables)
    with pytest.raises(ValueError, match=message) as raised:
        read_mcg(tmp_path / "a.mat")
    assert str(tmp_path / "a.mat") in str(raised.value)


def test_files_that_are_none(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        read_mcg_boxes(tmp_path / "a.mat")
    (tmp_path / "a.mat").write_bytes(b"no mat file")
    with pytest.raises(ValueError, match="can't be read"):
        read_mcg_boxes(tmp_path / "a.mat")
    savemat(tmp_path / "b.mat", {"boxes": [[1, 2, 3]], "scores": [[1]]})
    with pytest.raises(ValueError, match="expected boxes Nx4"):
        read_mcg_boxes(tmp_path / "b.mat")
