"""Laws of the label algebra: declared values, symmetry, idempotence, monotony, mirror images."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pseudogt.box_masks.consensus import combine_boxes, fuse_masks
from pseudogt.boxes import fill_class_masks
from pseudogt.classes import BACKGROUND, IGNORE_LABEL
from pseudogt.pseudo_labels.cleaning import (
    apply_box_prior,
    check_crop_tags,
    fill_low_coverage,
    merge_box_masks,
    threshold_scores,
)
from pseudogt.pseudo_labels.instances import NO_OWNER, assign_instances
from pseudogt.wsps.boxes import half_open_to_inclusive, inclusive_to_half_open

HEIGHT, WIDTH = 6, 9
STUFF, THINGS = [0, 1], [2, 3]
VALUES = [*STUFF, *THINGS, IGNORE_LABEL]

labels = hnp.arrays(np.uint8, (HEIGHT, WIDTH), elements=st.sampled_from(VALUES))
box_labels = hnp.arrays(np.uint8, (HEIGHT, WIDTH), elements=st.sampled_from([*THINGS, BACKGROUND, IGNORE_LABEL]))
scores = hnp.arrays(np.float32, (HEIGHT, WIDTH), elements=st.floats(0, 1, width=32))
masks = hnp.arrays(bool, (3, 4))


@st.composite
def boxes(draw, max_size=5):
    corners, classes, crowd = [], [], []
    for _ in range(draw(st.integers(0, max_size))):
        x0, y0 = draw(st.integers(0, WIDTH - 1)), draw(st.integers(0, HEIGHT - 1))
        corners.append([x0, y0, draw(st.integers(x0 + 1, WIDTH)), draw(st.integers(y0 + 1, HEIGHT))])
        classes.append(draw(st.sampled_from(THINGS)))
        crowd.append(draw(st.booleans()))
    return np.array(corners, np.int32).reshape(-1, 4), np.array(classes, int), np.array(crowd, bool)


def mirror(corners):
    return np.column_stack([WIDTH - corners[:, 2], corners[:, 1], WIDTH - corners[:, 0], corners[:, 3]])


@given(labels, scores, st.floats(0, 1), st.floats(0, 1))
def test_higher_threshold_ignores_a_superset(label, score, a, b):
    low, high = (threshold_scores(label, score, t) == IGNORE_LABEL for t in sorted((a, b)))
    assert (high | ~low).all()


@given(labels, scores, st.floats(0, 1), box_labels, boxes())
def test_steps_are_idempotent_and_stay_in_the_value_set(label, score, threshold, masks_of_boxes, found):
    corners, classes, crowd = found
    class_masks = fill_class_masks(corners, classes, label.shape)
    crops = np.array([[0, 0, 6, HEIGHT], [4, 0, WIDTH, HEIGHT]])
    tags = np.array([[True, False, True, True], [True, True, False, True]])
    ids = {"stuff_ids": STUFF, "thing_ids": THINGS}
    steps = {
        "threshold": lambda x: threshold_scores(x, score, threshold),
        "tags": lambda x: check_crop_tags(x, crops, tags),
        "merge": lambda x: merge_box_masks(masks_of_boxes, x, **ids, background=BACKGROUND),
        "prior": lambda x: apply_box_prior(x, class_masks, thing_ids=THINGS),
        "fill": lambda x: fill_low_coverage(x, corners[:1], classes[:1], crowd[:1], stuff_ids=STUFF, whole_box=True),
    }
    for name, step in steps.items():
        before = label.copy()
        once = step(label)
        assert np.isin(once, VALUES).all(), name
        np.testing.assert_array_equal(step(once), once, err_msg=name)
        np.testing.assert_array_equal(label, before, err_msg=f"{name} changed its input")


@given(labels, scores, box_labels, boxes())
def test_pixelwise_steps_commute_with_mirroring(label, score, masks_of_boxes, found):
    corners, classes, _ = found
    ids = {"stuff_ids": STUFF, "thing_ids": THINGS}

    def chain(x, s, m, b):
        x = merge_box_masks(m, threshold_scores(x, s, 0.5), **ids, background=BACKGROUND)
        return apply_box_prior(x, fill_class_masks(b, classes, x.shape), thing_ids=THINGS)

    mirrored = chain(label[:, ::-1], score[:, ::-1], masks_of_boxes[:, ::-1], mirror(corners))
    np.testing.assert_array_equal(mirrored[:, ::-1], chain(label, score, masks_of_boxes, corners))


@given(st.lists(masks, min_size=2, max_size=4), st.randoms())
def test_consensus_of_masks_is_symmetric(votes, random):
    shuffled = list(votes)
    random.shuffle(shuffled)
    fused = fuse_masks(votes, 2)
    np.testing.assert_array_equal(fuse_masks(shuffled, 2), fused)
    np.testing.assert_array_equal(fuse_masks([votes[0], votes[0]], 2), np.where(votes[0], 2, BACKGROUND))


@settings(max_examples=60)
@given(boxes(), st.data())
def test_classes_do_not_depend_on_the_order_of_boxes(found, data):
    corners, classes, crowd = found
    verdicts = [
        data.draw(
            hnp.arrays(
                np.uint8, (int(y1 - y0), int(x1 - x0)), elements=st.sampled_from([int(c), BACKGROUND, IGNORE_LABEL])
            )
        )
        for (x0, y0, x1, y1), c in zip(corners, classes, strict=True)
    ]
    result = combine_boxes(verdicts, corners, classes, crowd, (HEIGHT, WIDTH))
    backwards = combine_boxes(verdicts[::-1], corners[::-1], classes[::-1], crowd[::-1], (HEIGHT, WIDTH))
    np.testing.assert_array_equal(backwards.semantic, result.semantic)
    assert np.isin(result.semantic, [*THINGS, BACKGROUND, IGNORE_LABEL]).all()
    owned = result.owner != NO_OWNER
    assert (classes[result.owner[owned]] == result.semantic[owned]).all()
    assert not crowd[result.owner[owned]].any()


@given(labels, boxes())
def test_instances_lie_in_a_box_of_their_class(label, found):
    corners, classes, crowd = found
    step = assign_instances(label, corners, classes, crowd)
    for number, index in enumerate(step.box_indices, start=1):
        rows, columns = np.nonzero(step.instances == number)
        x0, y0, x1, y1 = corners[index]
        assert ((rows >= y0) & (rows < y1) & (columns >= x0) & (columns < x1)).all()
        assert (label[rows, columns] == classes[index]).all()
    assert ((step.instances == -1) | (label != IGNORE_LABEL)).all()


@given(hnp.arrays(np.int32, (4, 4), elements=st.integers(-1000, 1000)))
def test_box_conventions_round_trip(corners):
    np.testing.assert_array_equal(half_open_to_inclusive(inclusive_to_half_open(corners)), corners)
