"""Acts follow from what an image holds."""

from __future__ import annotations

import numpy as np
import pytest

from pseudogt.classes import ClassTable
from pseudogt.config.weak_labels import WeakLabelsSettings
from pseudogt.weak_labels.acts import count_acts, count_full_acts, find_kinds
from pseudogt.weak_labels.from_masks import derive_weak_labels

NAMES = ("sky", "road", "water", "car", "dog")
COLOURS = tuple((0, 0, i) for i in range(5))
CLASSES = ClassTable(NAMES, (1, 2, 3, 4, 5), (False, False, False, True, True), COLOURS)


def derive(**settings):
    """Sky, road and two cars; no water, no dog. Two crops by one."""
    panoptic_id = np.full((20, 40), 1000, np.int32)
    panoptic_id[10:] = 2000
    panoptic_id[8:14, 4:10] = 4001
    panoptic_id[8:14, 24:30] = 4002
    values = {"crop_height_fraction": 1.0, "crop_width_fraction": 0.5} | settings
    return derive_weak_labels("a", panoptic_id, set(), CLASSES, WeakLabelsSettings(**values))


@pytest.mark.parametrize(
    ("settings", "acts"),
    [
        ({"tags": "image", "boxes": False}, {"tag": 5}),
        ({"tags": "image"}, {"tag": 4, "box": 2}),
        ({"tags": "crop"}, {"tag": 4, "crop_tag": 4, "box": 2}),
        ({"tags": "image", "boxes": False, "points": "all"}, {"tag": 2, "point": 3, "further_point": 1}),
        ({"tags": "image", "points": "stuff"}, {"tag": 2, "point": 2, "box": 2}),
        ({"tags": "image", "scribbles": "stuff"}, {"tag": 2, "scribble": 2, "box": 2}),
    ],
)
def test_what_is_marked_needs_no_tag(settings, acts):
    assert count_acts(derive(**settings)) == acts


def test_a_full_label_outlines_all_segments():
    assert count_full_acts([0, 1, 3, 3], len(CLASSES)) == {"tag": 2, "outline": 4}
    assert count_full_acts([0, 3], 2, "compact_outline") == {"tag": 0, "compact_outline": 2}


def test_kinds_are_those_of_half_of_the_images():
    points = derive(tags="image", points="stuff")
    plain = derive(tags="image")
    assert find_kinds([points, plain], CLASSES) == ("image tags", "boxes", "stuff points")
    assert find_kinds([points, plain, plain], CLASSES) == ("image tags", "boxes")
    assert find_kinds([derive(scribbles="all")], CLASSES) == (
        "crop tags",
        "boxes",
        "stuff scribbles",
        "thing scribbles",
    )
