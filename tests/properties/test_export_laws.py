"""Laws of the codes in which masks leave: what comes back is what went out."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pseudogt.annotations.geometry import decode_runs
from pseudogt.classes import ClassTable
from pseudogt.export.cvat import encode_rows
from pseudogt.export.palettes import number_colours
from pseudogt.export.polygons import AMBIGUOUS_POINTS, MIN_POINTS, fill_polygon, trace_polygon
from pseudogt.export.segments import assign_panoptic_ids, find_segments, paint
from pseudogt.files.brush import LONGEST_RUN, decode_brush, encode_brush

CLASSES = ClassTable(("road", "sky", "car"), (7, 23, 26), (False, False, True), ((9, 9, 9), (0, 0, 255), (255, 0, 0)))
masks = hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))
labels = hnp.arrays(np.int32, (7, 9), elements=st.sampled_from([0, 7000, 23000, 26000, 26001, 26002, 26007]))


@settings(deadline=None)
@given(masks)
def test_brushes_come_back(mask):
    np.testing.assert_array_equal(decode_brush(encode_brush(mask), *mask.shape), mask)


def test_runs_longer_than_a_length_come_back():
    mask = np.zeros((300, LONGEST_RUN // 256), bool)
    mask[-1, -1] = True
    np.testing.assert_array_equal(decode_brush(encode_brush(mask), *mask.shape), mask)


@settings(deadline=None)
@given(masks)
def test_rows_come_back(mask):
    np.testing.assert_array_equal(decode_runs(encode_rows(mask), mask.shape, "C"), mask)


@settings(deadline=None)
@given(masks.filter(lambda mask: mask.any()))
def test_polygons_cover_the_mask_and_have_enough_points(mask):
    polygon = trace_polygon(mask)
    assert len(polygon) >= MIN_POINTS and len(polygon) != AMBIGUOUS_POINTS
    assert fill_polygon(polygon, mask.shape)[mask].all()


@settings(deadline=None)
@given(st.integers(1, 7), st.integers(1, 7))
def test_rectangles_come_back_exactly(height, width):
    rectangle = np.zeros((8, 8), bool)
    rectangle[:height, :width] = True
    np.testing.assert_array_equal(fill_polygon(trace_polygon(rectangle), rectangle.shape), rectangle)


@settings(deadline=None)
@given(labels)
def test_segments_painted_are_the_label(label):
    segments = ((s.id, (s.box_xyxy[1], s.box_xyxy[0]), s.mask) for s in find_segments(label, CLASSES))
    np.testing.assert_array_equal(paint(label.shape, segments), label)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["", "a3", "26001", "26005", "7000", "7001", "26000"]))))
def test_numbered_segments_have_their_class_and_things_without_a_name_of_ours_differ(found):
    numbered = assign_panoptic_ids(found, CLASSES)
    for (train_id, _), segment_id in zip(found, numbered, strict=True):
        assert segment_id // 1000 == CLASSES.category_ids[train_id]
        assert CLASSES.isthing[train_id] or segment_id % 1000 == 0
    new = [
        i for (t, name), i in zip(found, numbered, strict=True) if t == 2 and name not in ("26001", "26005", "26000")
    ]
    assert len(set(new)) == len(new)


def test_numbers_have_the_colours_of_pascal_voc():
    assert number_colours()[[0, 1, 2, 20, 255]].tolist() == [
        [0, 0, 0], [128, 0, 0], [0, 128, 0], [0, 64, 128], [224, 224, 192],
    ]  # fmt: skip
