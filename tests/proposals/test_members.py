"""Members of proposals: what the lists say is what a table says."""

from __future__ import annotations

import numpy as np
import pytest

from pseudogt.proposals.members import Members
from pseudogt.proposals.regions import find_member_boxes, find_superpixel_boxes

SUPERPIXELS = np.array([[0, 0, 1, 1, 4], [2, 2, 3, 3, 4]], np.int32)


@pytest.fixture(params=range(3))
def dense(request):
    """Some proposals hold nothing, some the same as others; the last superpixels are in none."""
    rng = np.random.default_rng(request.param)
    dense = rng.random((12, 9)) < 0.3
    dense[[0, 5, 11]] = False
    dense[8] = dense[2]
    dense[:, 7:] = False
    return dense


def test_a_table_comes_back(dense):
    members = Members.from_dense(dense)
    np.testing.assert_array_equal(members.to_dense(9), dense)
    np.testing.assert_array_equal(members.to_dense(3), dense[:, :3])
    assert members.indices.dtype == members.starts.dtype == np.int32
    np.testing.assert_array_equal(members.lengths, dense.sum(1))
    np.testing.assert_array_equal(np.stack([members.rows, members.indices]), np.nonzero(dense))


def test_lists_are_sorted_and_hold_nothing_twice():
    members = Members.from_lists([np.array([3, 0, 3]), np.zeros(0, int), np.array([1])])
    assert (members.indices.tolist(), members.starts.tolist()) == ([0, 3, 1], [0, 2, 2, 3])
    assert Members.from_lists([]).starts.tolist() == [0]


def test_proposals_are_taken_and_put_together(dense):
    members, rows = Members.from_dense(dense), [4, 0, 4, 11]
    np.testing.assert_array_equal(members.take(rows).to_dense(9), dense[rows])
    assert members.take([]).starts.tolist() == [0]
    both = Members.concatenate([members, members.take(rows)])
    np.testing.assert_array_equal(both.to_dense(9), np.concatenate([dense, dense[rows]]))


def test_members_of_several_images():
    one = Members.from_dense(np.array([[True, False, True], [False, False, False], [False, True, False]]))
    assert one.indices.tolist() == [0, 2, 1] and one.starts.tolist() == [0, 2, 2, 3]
    both = Members.concatenate([one, one.take([0])])
    assert both.indices.tolist() == [0, 2, 1, 0, 2] and both.starts.tolist() == [0, 2, 2, 3, 5]


def test_superpixels_are_left_out_and_the_others_numbered_anew(dense):
    kept = np.array([True, False, True, True, False, False, True, True, False])
    np.testing.assert_array_equal(Members.from_dense(dense).keep_superpixels(kept).to_dense(5), dense[:, kept])


def test_the_first_of_equal_proposals_is_found(dense):
    _, first = np.unique(dense, axis=0, return_index=True)
    assert Members.from_dense(dense).find_distinct().tolist() == np.sort(first).tolist()


def test_areas_are_sums_over_superpixels(dense):
    areas = np.arange(1, 10)
    assert Members.from_dense(dense).measure_areas(areas).tolist() == (dense @ areas).tolist()


def test_masks_are_those_of_the_map_or_of_a_part_of_it():
    table = np.array([[1, 0, 0, 0, 1], [0, 0, 0, 0, 0], [0, 1, 1, 0, 0]], bool)
    members = Members.from_dense(table)
    np.testing.assert_array_equal(members.masks([2, 0], SUPERPIXELS), table[[2, 0]][:, SUPERPIXELS])
    np.testing.assert_array_equal(members.mask(0, SUPERPIXELS[:, :2]), table[0][SUPERPIXELS[:, :2]])
    assert members.masks([], SUPERPIXELS).shape == (0, 2, 5)


def test_boxes_are_tight():
    members = Members.from_lists([np.array([0]), np.array([1, 2]), np.zeros(0, int), np.array([3, 4])])
    boxes = find_member_boxes(members, find_superpixel_boxes(SUPERPIXELS))
    assert boxes.tolist() == [[0, 0, 2, 1], [0, 0, 4, 2], [0, 0, 0, 0], [2, 0, 5, 2]]


def test_a_superpixel_without_pixels_has_no_part_in_boxes():
    superpixels = np.where(SUPERPIXELS == 2, 0, SUPERPIXELS)
    members = Members.from_lists([np.array([2]), np.array([1, 2])])
    assert find_member_boxes(members, find_superpixel_boxes(superpixels)).tolist() == [[0, 0, 0, 0], [2, 0, 4, 1]]
