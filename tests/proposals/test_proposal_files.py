"""Proposal files: HDF5, there and back, MCG's MATLAB files, and broken ones."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from proposal_testing import assert_same, write_mcg
from scipy.io import savemat

from pseudogt.proposals.files import ProposalFile, read_mcg, read_proposal_files, write_proposals
from pseudogt.proposals.generation import Proposals
from pseudogt.proposals.members import Members


@pytest.fixture
def proposals():
    superpixels = np.repeat(np.arange(300, dtype=np.int32).reshape(15, 20), 2, axis=1)
    members = np.zeros((3, 300), bool)
    members[0, [0, 1, 20]] = members[1, 299] = members[2] = True
    boxes = np.array([[0, 0, 4, 2], [38, 14, 40, 15], [0, 0, 40, 15]], np.int32)
    return Proposals(superpixels, Members.from_dense(members), np.array([0.5, 0.25, 0.75], np.float32), boxes)


def test_hdf5_round_trip(tmp_path, proposals):
    empty = proposals.take(0)
    with write_proposals(tmp_path / "a.h5") as writer:
        writer.add("one", proposals)
        writer.add("none", empty)
    file = ProposalFile(tmp_path / "a.h5")
    assert file.image_ids == ["none", "one"]
    assert_same(file.read("one"), proposals)
    assert_same(file.read("none"), empty)
    with h5py.File(tmp_path / "a.h5") as stored:
        np.testing.assert_array_equal(stored["one/indices"][:4], [0, 1, 20, 299])
        np.testing.assert_array_equal(stored["one/starts"], [0, 3, 4, 304])
    with pytest.raises(ValueError, match="no proposals of image 'two'"):
        file.read("two")
    with pytest.raises(ValueError, match="no such file"):
        ProposalFile(tmp_path / "b.h5")


def test_a_proposal_with_a_superpixel_that_the_map_lacks_is_named(tmp_path, proposals):
    with write_proposals(tmp_path / "a.h5") as writer:
        writer.add("one", proposals._replace(superpixels=proposals.superpixels % 299))
    with pytest.raises(ValueError, match=r"a\.h5: image 'one' has a proposal with superpixel 299, but .* ends at 298"):
        ProposalFile(tmp_path / "a.h5").read("one")


def test_an_image_in_two_files_is_an_error(tmp_path, proposals):
    for name in ("a.h5", "b.h5"):
        with write_proposals(tmp_path / name) as writer:
            writer.add("one", proposals)
    assert set(read_proposal_files([tmp_path / "a.h5"])) == {"one"}
    with pytest.raises(ValueError, match=r"image 'one' is in .*a\.h5 and in .*b\.h5"):
        read_proposal_files([tmp_path / "a.h5", tmp_path / "b.h5"])


def test_mcg_files_are_read_as_they_are(tmp_path, proposals):
    write_mcg(tmp_path / "a.mat", proposals)
    assert_same(read_mcg(tmp_path / "a.mat"), proposals)


def test_mcg_files_of_other_types(tmp_path):
    """As MATLAB writes them: columns, doubles, lists in any order."""
    labels = np.empty((1, 2), object)
    labels[0, 0], labels[0, 1] = np.array([[3.0], [1.0]]), np.array([[2.0]])
    superpixels = np.array([[1, 1, 2], [3, 3, 2]], np.uint16)
    savemat(tmp_path / "a.mat", {"superpixels": superpixels, "labels": labels, "scores": [[0.1], [0.2]]})
    read = read_mcg(tmp_path / "a.mat")
    np.testing.assert_array_equal(read.members.to_dense(3), [[True, False, True], [False, True, False]])
    np.testing.assert_array_equal(read.boxes_xyxy, [[0, 0, 2, 2], [2, 0, 3, 2]])
    np.testing.assert_array_equal(read.scores, [0.1, 0.2])


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
        read_mcg(tmp_path / "a.mat")
    (tmp_path / "a.mat").write_bytes(b"no mat file")
    with pytest.raises(ValueError, match="can't be read"):
        read_mcg(tmp_path / "a.mat")
