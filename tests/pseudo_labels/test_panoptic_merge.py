import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pseudogt.classes import BACKGROUND, IGNORE_LABEL, VOID, ClassTable
from pseudogt.pseudo_labels.panoptic_merge import merge_panoptic

CLASSES = ClassTable(("road", "person", "car", "sky"), (7, 24, 26, 30), (False, True, True, False), ((0, 0, 0),) * 4)
ROAD, PERSON, CAR, SKY = range(4)
ROAD_ID, PERSON_ID, CAR_ID, SKY_ID = 7000, 24000, 26000, 30000


def draw(shape: tuple[int, int], *boxes: tuple[int, int, int, int]) -> np.ndarray:
    masks = np.zeros((len(boxes), *shape), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    return masks


def fill(label: int, shape: tuple[int, int] = (10, 10)) -> np.ndarray:
    return np.full(shape, label, np.uint8)


def test_hand_worked_image():
    masks = draw((10, 10), (0, 0, 6, 4), (4, 0, 10, 4), (0, 5, 3, 8))
    semantic = fill(ROAD)
    semantic[9] = SKY
    merged = merge_panoptic(masks, [0.6, 0.9, 0.7], [CAR, CAR, PERSON], semantic, CLASSES, min_stuff_area_px=11)
    expected = np.full((10, 10), ROAD_ID, np.int32)
    expected[9] = VOID  # 10 pixels of sky are too few
    expected[0:4, 0:4] = CAR_ID + 2  # 8 of its 24 pixels went to the one of higher score
    expected[0:4, 4:10] = CAR_ID + 1
    expected[5:8, 0:3] = PERSON_ID + 1
    np.testing.assert_array_equal(merged.panoptic_id, expected)
    assert merged.panoptic_id.dtype == np.int32
    assert merged.scores == {CAR_ID + 1: 0.9, PERSON_ID + 1: 0.7, CAR_ID + 2: 0.6}


# The second instance is 10 pixels in a row, the first takes `taken` of them.
@pytest.mark.parametrize(
    ("score", "width", "taken", "max_overlap", "kept"),
    [
        (0.499, 10, 0, 0.5, False),  # score below
        (0.5, 10, 0, 0.5, True),  # score at the threshold
        (0.6, 0, 0, 0.5, False),  # no pixels
        (0.6, 10, 5, 0.5, True),  # half is taken, which is not above
        (0.6, 10, 6, 0.5, False),  # more than half is taken
        (0.6, 10, 6, 0.6, True),
        (0.6, 10, 10, 1.0, False),  # nothing remains
        (0.6, 10, 1, 0.0, False),
        (0.6, 10, 0, 0.0, True),
    ],
)
def test_instances_by_the_truth_table(score, width, taken, max_overlap, kept):
    masks = draw((10, 10), (0, 0, taken, 1), (0, 0, width, 1))
    merged = merge_panoptic(masks, [0.9, score], [PERSON, CAR], fill(IGNORE_LABEL), CLASSES, max_overlap=max_overlap)
    assert (CAR_ID + 1 in merged.scores) is kept
    row = [PERSON_ID + 1] * taken + [CAR_ID + 1 if kept else VOID] * (10 - taken)
    assert merged.panoptic_id[0].tolist() == row
    assert not merged.panoptic_id[1:].any()


@pytest.mark.parametrize(
    ("label", "area", "expected"),
    [
        (ROAD, 50, ROAD_ID),  # exactly enough
        (ROAD, 49, VOID),
        (CAR, 50, VOID),  # a thing without instance
        (IGNORE_LABEL, 50, VOID),
        (BACKGROUND, 50, VOID),
    ],
)
def test_free_pixels_by_the_truth_table(label, area, expected):
    semantic = fill(IGNORE_LABEL)
    semantic.ravel()[:area] = label
    merged = merge_panoptic(np.zeros((0, 10, 10)), [], [], semantic, CLASSES, min_stuff_area_px=50)
    assert merged.panoptic_id.ravel().tolist() == [expected] * area + [VOID] * (100 - area)
    assert merged.scores == {}


def test_area_of_stuff_counts_free_pixels_only():
    masks = draw((10, 10), (0, 0, 10, 6))
    merged = merge_panoptic(masks, [0.9], [CAR], fill(ROAD), CLASSES, min_stuff_area_px=41)
    assert not merged.panoptic_id[6:].any()
    merged = merge_panoptic(masks, [0.9], [CAR], fill(ROAD), CLASSES, min_stuff_area_px=40)
    assert (merged.panoptic_id[6:] == ROAD_ID).all()


def test_defaults_are_those_of_the_paper():
    """4,095 pixels of stuff are too few."""
    semantic = fill(IGNORE_LABEL, (64, 65))
    semantic.ravel()[:4095] = ROAD
    assert not merge_panoptic(np.zeros((0, 64, 65)), [], [], semantic, CLASSES).panoptic_id.any()
    semantic.ravel()[4095] = ROAD
    assert np.count_nonzero(merge_panoptic(np.zeros((0, 64, 65)), [], [], semantic, CLASSES).panoptic_id) == 4096


def test_of_equal_scores_the_first_goes_first():
    masks = draw((10, 10), (0, 0, 6, 1), (3, 0, 9, 1))
    merged = merge_panoptic(masks, [0.7, 0.7], [CAR, CAR], fill(IGNORE_LABEL), CLASSES)
    assert merged.panoptic_id[0].tolist() == [CAR_ID + 1] * 6 + [CAR_ID + 2] * 3 + [VOID]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 6))
def test_laws(seed, count):
    rng = np.random.default_rng(seed)
    masks = rng.random((count, 8, 9)) < rng.random((count, 1, 1))
    scores, train_ids = rng.random(count), rng.choice([PERSON, CAR], count)
    semantic = rng.choice(np.array([ROAD, PERSON, SKY, IGNORE_LABEL], np.uint8), (8, 9))
    copies = [a.copy() for a in (masks, scores, train_ids, semantic)]
    merged = merge_panoptic(masks, scores, train_ids, semantic, CLASSES, min_stuff_area_px=4)
    for before, after in zip(copies, (masks, scores, train_ids, semantic), strict=True):
        np.testing.assert_array_equal(before, after)
    found = set(np.unique(merged.panoptic_id).tolist())
    assert set(merged.scores) <= found <= {VOID, ROAD_ID, SKY_ID, *merged.scores}
    order = rng.permutation(count)
    shuffled = merge_panoptic(masks[order], scores[order], train_ids[order], semantic, CLASSES, min_stuff_area_px=4)
    np.testing.assert_array_equal(shuffled.panoptic_id, merged.panoptic_id)
    for segment_id in merged.scores:
        inside = merged.panoptic_id == segment_id
        assert any((inside <= mask).all() for mask in masks)


@pytest.mark.parametrize(
    ("masks", "scores", "train_ids", "message"),
    [
        (np.zeros((1, 9, 10)), [0.5], [CAR], r"masks \(1, 9, 10\), 1 scores, 1 classes and the semantic map"),
        (np.zeros((2, 10, 10)), [0.5], [CAR], "do not fit together"),
        (np.zeros((1, 10, 10)), [0.5], [CAR, CAR], "do not fit together"),
        (np.zeros((1, 10, 10)), [0.5], [ROAD], "train id 0, which is not a thing"),
        (np.zeros((1, 10, 10)), [np.nan], [CAR], "instance 0 has a score that is not finite"),
    ],
)
def test_bad_input(masks, scores, train_ids, message):
    with pytest.raises(ValueError, match=message):
        merge_panoptic(masks, scores, train_ids, fill(ROAD), CLASSES)


def test_too_many_instances():
    masks = np.eye(1000, dtype=bool).reshape(1000, 20, 50)
    with pytest.raises(ValueError, match="more than 999 instances of class car"):
        merge_panoptic(masks, np.ones(1000), np.full(1000, CAR), fill(ROAD, (20, 50)), CLASSES)
