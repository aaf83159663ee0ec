from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from weak_label_testing import make_point, make_weak_labels

from pseudogt.classes import ClassTable
from pseudogt.reporting.overlays import (
    BORDER_COLOR,
    color_segments,
    draw_grid,
    draw_legend,
    draw_marks,
    draw_panoptic,
    find_borders,
    resize_to_width,
)
from pseudogt.weak_labels.marks import NO_OBJECT, Mark, Marks

CLASSES = ClassTable(("road", "car"), (7, 26), (False, True), ((128, 64, 128), (0, 0, 142)))
ROAD, CAR = 7000, 26000


def test_class_color_is_kept_and_instances_differ():
    ids = np.array([[0, ROAD, CAR, *range(CAR + 1, CAR + 31)]], np.int32)
    colors = color_segments(ids, CLASSES)
    assert colors[0, :3].tolist() == [[0, 0, 0], [128, 64, 128], [0, 0, 142]]
    assert len({tuple(c) for c in colors[0, 2:].tolist()}) == 31


def test_color_of_an_instance_does_not_depend_on_the_others():
    one = color_segments(np.array([[CAR + 5]], np.int32), CLASSES)
    assert (color_segments(np.array([[CAR + 1, CAR + 5]], np.int32), CLASSES)[0, 1] == one[0, 0]).all()


def test_borders_lie_between_segments():
    ids = np.array([[1, 1, 2], [1, 1, 2], [3, 3, 3]], np.int32)
    assert find_borders(ids).tolist() == [[False, True, False], [True, True, True], [False, False, False]]


def test_overlay_marks_what_has_no_label_and_what_is_background():
    image = np.full((4, 12, 3), (200, 100, 0), np.uint8)
    ids = np.repeat([[0] * 4 + [CLASSES.background_category_id * 1000] * 4 + [ROAD] * 4], 4, axis=0).astype(np.int32)
    overlay = draw_panoptic(image, ids, CLASSES, opacity=1.0)
    assert overlay[0, 0].tolist() == [105, 105, 105]
    assert overlay[0, 2].tolist() == [35, 35, 35]
    assert overlay[0, 5].tolist() == [114, 114, 114]
    assert overlay[0, 10].tolist() == [128, 64, 128]
    assert overlay[0, 3].tolist() == list(BORDER_COLOR)
    assert (draw_panoptic(image, ids, CLASSES, opacity=0.0)[0, 10] == image[0, 0]).all()
    assert image[0, 0].tolist() == [200, 100, 0]
    with pytest.raises(ValueError, match="differ in size"):
        draw_panoptic(image[:2], ids, CLASSES)


@pytest.mark.parametrize("width", [7, 40])
def test_scaled_labels_hold_no_new_ids(width):
    ids = np.random.default_rng(0).choice(np.array([0, ROAD, CAR + 1], np.int32), (10, 20))
    small = resize_to_width(ids, width)
    assert small.shape == (round(10 * width / 20), width)
    assert small.dtype == np.int32
    assert set(np.unique(small)) <= {0, ROAD, CAR + 1}
    assert resize_to_width(np.zeros((10, 20, 3), np.uint8), width).shape == (*small.shape, 3)


def test_grid_holds_panels_of_different_height_gaps_and_text_beyond_ascii():
    panel = np.full((30, 80, 3), (7, 200, 9), np.uint8)
    legend = draw_legend(CLASSES, [0, 1], 3 * 80)
    grid = draw_grid([[panel, None, panel[:10]], [panel, panel, panel]], ["a", "b", "c"], ["Zürich", "x"], legend)
    assert (grid == panel[0, 0]).all(axis=2).sum() == 80 * (30 * 4 + 10)
    assert grid.shape[1] == 3 * 84 + 4


def test_titles_stay_above_their_panels():
    panel = np.zeros((30, 64, 3), np.uint8)
    grid = draw_grid([[panel] * 3], ["labels of round 0", "box masks", "labels of round 12"], ["x"])
    above = grid[: -30 - 24]
    assert (above[:, [0, 1, 2, 68, 69, 70, 136, 137, 138]] == 255).all() and (above < 255).any()


def test_legend_breaks_lines_where_it_is_narrow():
    assert draw_legend(CLASSES, [0, 1], 150).shape[0] > draw_legend(CLASSES, [0, 1], 600).shape[0]


def test_marks_are_seen_where_they_are_however_small_the_picture():
    marks = [make_point(0, NO_OBJECT, 500, 200, 1), Mark(1, NO_OBJECT, 1.0, np.array([[100, 700.0], [300, 700.0]]))]
    weak = make_weak_labels((800, 1000), (True, True), marks=marks)
    drawn = draw_marks(np.zeros((80, 100, 3), np.uint8), weak, CLASSES)
    assert drawn[20, 50].tolist() == [128, 64, 128] and drawn[70, 20].tolist() == [0, 0, 142]
    assert not drawn[:12].any() and not drawn[30:60].any() and (drawn == BORDER_COLOR).all(-1).any()
    assert draw_marks(drawn, replace(weak, marks=Marks.collect([])), CLASSES).tolist() == drawn.tolist()
