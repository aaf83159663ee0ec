"""The five cleaning steps: truth tables, edges, and the arguments by which the workflow departs from the paper."""

from __future__ import annotations

import numpy as np
import pytest

from pseudogt.boxes import clip_boxes
from pseudogt.classes import BACKGROUND, IGNORE_LABEL
from pseudogt.pseudo_labels.cleaning import (
    apply_box_prior,
    check_crop_tags,
    fill_low_coverage,
    find_crop_values,
    merge_box_masks,
    threshold_scores,
)

STUFF, THING, OTHER_THING, UNKNOWN = 1, 11, 12, 77
IDS = {"stuff_ids": [0, 1], "thing_ids": [11, 12]}


def one(value, dtype=np.uint8):
    return np.array([[value]], dtype)


def test_score_equal_to_the_threshold_and_nan_are_kept():
    scores = np.array([[0.5, np.nextafter(np.float32(0.5), np.float32(0)), np.nan, 0.9]], np.float32)
    assert threshold_scores(np.full((1, 4), 3, np.uint8), scores, 0.5).tolist() == [[3, IGNORE_LABEL, 3, 3]]


def test_threshold_is_compared_in_the_precision_of_the_scores():
    score = np.full((1, 1), 0.1, np.float32)
    assert threshold_scores(one(3), score, 0.1).item() == 3
    assert threshold_scores(one(3), score - np.float32(1e-7), 0.1).item() == IGNORE_LABEL


def test_pixel_needs_its_tag_in_every_crop_that_covers_it():
    crops = [[0, 0, 3, 1], [2, 0, 5, 1]]
    tags = np.array([[False, True, True], [False, True, False]])
    label = np.array([[2, 1, 2, 1, 2, 2]], np.uint8)
    assert check_crop_tags(label, crops, tags).tolist() == [[2, 1, IGNORE_LABEL, 1, IGNORE_LABEL, 2]]
    assert label.tolist() == [[2, 1, 2, 1, 2, 2]]


def test_crop_values_hold_the_ignore_label_too():
    values = find_crop_values(np.array([[3, 255, 7]], np.uint8), [[0, 0, 2, 1]])
    assert np.flatnonzero(values[0]).tolist() == [3, 255]


def test_crops_and_tags_must_match():
    with pytest.raises(ValueError, match="each crop needs a row"):
        check_crop_tags(one(0), [[0, 0, 1, 1]], np.ones((2, 3), bool))


@pytest.mark.parametrize(("background", "row"), [(0, "no thing"), (BACKGROUND, "no thing"), (None, "ignore")])
@pytest.mark.parametrize(("label", "expected"), [(THING, 255), (STUFF, STUFF), (IGNORE_LABEL, 255), (UNKNOWN, 255)])
def test_merge_row_of_no_thing(background, row, label, expected):
    value = IGNORE_LABEL if row == "ignore" else background
    merged = merge_box_masks(one(value), one(label), **IDS, background=background or 0)
    assert merged.item() == expected


@pytest.mark.parametrize(
    ("label", "expected"),
    [(THING, THING), (OTHER_THING, THING), (STUFF, THING), (IGNORE_LABEL, THING), (UNKNOWN, 255)],
)
def test_merge_row_of_things(label, expected):
    assert merge_box_masks(one(THING), one(label), **IDS).item() == expected


@pytest.mark.parametrize("label", [THING, STUFF, IGNORE_LABEL, UNKNOWN])
def test_merge_row_of_other_values(label):
    assert merge_box_masks(one(UNKNOWN), one(label), **IDS).item() == 255


def test_merge_quirk_zero_is_background_in_the_paper_and_a_class_in_the_workflow():
    assert merge_box_masks(one(0), one(STUFF), **IDS).item() == STUFF
    assert merge_box_masks(one(0), one(STUFF), **IDS, background=BACKGROUND).item() == 255


@pytest.mark.parametrize(
    ("value", "label", "expected"),
    [
        (IGNORE_LABEL, THING, THING),
        (IGNORE_LABEL, STUFF, STUFF),
        (IGNORE_LABEL, IGNORE_LABEL, IGNORE_LABEL),
        (BACKGROUND, THING, IGNORE_LABEL),
        (BACKGROUND, STUFF, STUFF),
        (THING, STUFF, THING),
    ],
)
def test_merge_may_keep_things_where_the_box_masks_are_unsure(value, label, expected):
    merged = merge_box_masks(one(value), one(label), **IDS, background=BACKGROUND, keep_unsure_things=True)
    assert merged.item() == expected


def test_merge_quirk_unmerged_pixels_are_255_whatever_the_ignore_label():
    assert merge_box_masks(one(UNKNOWN), one(STUFF), **IDS, ignore_label=254).item() == 255


def test_sizes_must_agree():
    with pytest.raises(ValueError, match=r"\(1, 1\).*\(2, 1\)"):
        merge_box_masks(one(0), np.zeros((2, 1), np.uint8), **IDS)
    with pytest.raises(ValueError, match=r"\(1, 1\).*\(2, 1\)"):
        threshold_scores(one(0), np.zeros((2, 1)), 0.5)


def test_box_prior():
    inside = np.array([[True, False, True, True]])
    label = np.array([[11, 11, 12, 0]], np.uint8)
    assert apply_box_prior(label, {11: inside}, thing_ids=[11, 12]).tolist() == [[11, 255, 255, 0]]


def fill(label, box, train_id=11, **options):
    return fill_low_coverage(label, [box], [train_id], [False], **options)


def test_fill_leaves_out_the_top_row_and_left_column_of_a_box():
    filled = fill(np.full((6, 6), 255, np.uint8), [1, 1, 5, 5]) == 11
    assert filled.sum() == 9
    assert filled[2:5, 2:5].all()
    assert (fill(np.full((6, 6), 255, np.uint8), [1, 1, 5, 5], whole_box=True) == 11).sum() == 16


def test_box_of_one_pixel_is_filled_only_as_a_whole():
    label = np.full((3, 3), 255, np.uint8)
    assert (fill(label, [1, 1, 2, 2]) == 255).all()
    assert (fill(label, [1, 1, 2, 2], whole_box=True) == 11).sum() == 1


def test_quirk_a_box_left_of_the_image_fills_its_first_column_unless_taken_whole():
    """Clipping inverts the box, and MATLAB's polygon takes corners in any order."""
    outside = [-9, 1, -2, 4]
    clipped = clip_boxes(outside, (6, 6))[0]
    filled = fill(np.full((6, 6), 255, np.uint8), clipped) == 11
    assert np.argwhere(filled).tolist() == [[2, 0], [3, 0]]
    assert not (fill(np.full((6, 6), 255, np.uint8), clipped, whole_box=True) == 11).any()
    right = clip_boxes([8, 1, 12, 4], (6, 6))[0]
    assert not (fill(np.full((6, 6), 255, np.uint8), right) == 11).any()


def test_share_at_the_threshold_is_not_filled():
    label = np.full((2, 2), 255, np.uint8)
    label[0] = 11
    np.testing.assert_array_equal(fill(label, [0, 0, 2, 2], whole_box=True), label)
    assert (fill(label, [0, 0, 2, 2], whole_box=True, threshold=0.51) == 11).all()


def test_fill_spares_other_things_unless_told():
    label = np.full((2, 2), 12, np.uint8)
    assert (fill(label, [0, 0, 2, 2], whole_box=True) == 12).all()
    assert (fill(label, [0, 0, 2, 2], whole_box=True, keep_things=False) == 11).all()


def test_small_boxes_paint_over_large_ones_and_groups_are_skipped():
    boxes, classes = [[1, 1, 3, 3], [0, 0, 6, 6], [0, 0, 6, 6]], [12, 11, 12]
    filled = fill_low_coverage(np.full((6, 6), 255, np.uint8), boxes, classes, [False, False, True], whole_box=True)
    assert (filled[1:3, 1:3] == 12).all()
    assert (filled == 11).sum() == 32
    grouped = fill_low_coverage(np.full((6, 6), 255, np.uint8), boxes, classes, None, whole_box=True)
    assert (grouped == 12).all()


def test_stuff_ids_of_the_workflow_are_not_limited_to_the_papers_eleven():
    label = np.full((2, 2), 15, np.uint8)
    assert (fill(label, [0, 0, 2, 2], whole_box=True) == 15).all()
    assert (fill(label, [0, 0, 2, 2], whole_box=True, stuff_ids=[15]) == 11).all()
