"""Candidate classes against a loop over pixels."""

from dataclasses import replace

import numpy as np
import pytest
from weak_label_testing import make_weak_labels

from pseudogt.classes import ClassTable
from pseudogt.weak_labels.candidates import candidate_classes
from pseudogt.weak_labels.records import ImageWeakLabels

CLASSES = ClassTable(("road", "sky", "car", "person"), (1, 2, 3, 4), (False, False, True, True), ((0, 0, 0),) * 4)


def make_weak(
    rng: np.random.Generator, *, crops: int, boxes: int, height: int = 13, width: int = 17
) -> ImageWeakLabels:
    def rectangles(count: int) -> np.ndarray:
        x = np.sort(rng.integers(0, width, (count, 2)), axis=1) + [0, 1]
        y = np.sort(rng.integers(0, height, (count, 2)), axis=1) + [0, 1]
        return np.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], axis=1).astype(np.int32).reshape(-1, 4)

    return make_weak_labels(
        (height, width),
        boxes=rectangles(boxes),
        box_classes=rng.integers(2, 4, boxes),
        tags=(True, True, True, rng.random() < 0.5),
        crops=rectangles(crops),
        crop_tags=rng.random((crops, 4)) < 0.6,
    )


def candidates_of_pixel(weak: ImageWeakLabels, x: int, y: int, *, things_in_boxes: bool) -> list[bool]:
    def covers(box: np.ndarray) -> bool:
        return bool(box[0] <= x < box[2] and box[1] <= y < box[3])

    possible = []
    for c in range(len(CLASSES)):
        boxes = weak.boxes_xyxy[weak.box_classes == c]
        crops = zip(weak.crops_xyxy, weak.crop_tags, strict=True)
        tagged = weak.tags[c] and all(tags[c] for crop, tags in crops if covers(crop))
        told_by_boxes = len(boxes) > 0 and not weak.tags[c]
        boxed = not things_in_boxes or len(boxes) == 0 or any(map(covers, boxes))
        possible.append(bool((tagged or told_by_boxes) and boxed))
    return possible


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("things_in_boxes", [True, False])
def test_equals_a_loop_over_pixels(seed: int, things_in_boxes: bool) -> None:
    weak = make_weak(np.random.default_rng(seed), crops=seed, boxes=seed)
    got = candidate_classes(weak, CLASSES, things_in_boxes=things_in_boxes)
    for y in range(weak.height):
        for x in range(weak.width):
            assert got[:, y, x].tolist() == candidates_of_pixel(weak, x, y, things_in_boxes=things_in_boxes)


@pytest.mark.parametrize("size", [(5, 6), (26, 34), (1, 1), (13, 17)])
def test_another_size_samples_the_pixel_under_the_centre(size: tuple[int, int]) -> None:
    weak = make_weak(np.random.default_rng(3), crops=6, boxes=4)
    full = candidate_classes(weak, CLASSES)
    got = candidate_classes(weak, CLASSES, size=size)
    rows = ((np.arange(size[0]) + 0.5) * 13 / size[0]).astype(int)
    columns = ((np.arange(size[1]) + 0.5) * 17 / size[1]).astype(int)
    np.testing.assert_array_equal(got, full[:, rows][:, :, columns])


def test_without_tags_nothing_is_possible() -> None:
    weak = make_weak(np.random.default_rng(0), crops=2, boxes=0)
    untagged = replace(weak, tags=np.zeros(4, bool))
    assert not candidate_classes(untagged, CLASSES).any()


def test_without_crops_and_boxes_the_image_tags_decide() -> None:
    weak = make_weak(np.random.default_rng(0), crops=0, boxes=0)
    assert candidate_classes(weak, CLASSES).all(axis=(1, 2)).tolist() == weak.tags.tolist()
    assert weak.tags[2] and not weak.tags[3]
