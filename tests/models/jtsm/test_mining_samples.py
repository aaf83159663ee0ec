"""Samples of JTSM: images with their proposals, and views of them."""

from __future__ import annotations

import numpy as np
import pytest

from models.jtsm.samples import MiningAugmentation, MiningImage, Placement, choose_size, draw_view, make_view
from pseudogt.proposals.members import Members


def make_image(seed=0, shape=(48, 64)):
    """A red square (a thing) on green ground (stuff), with superpixels of 8x8 and proposals of both."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    superpixels = (y // 8 * (shape[1] // 8) + x // 8).astype(np.int32)
    top, left = 8 * rng.integers(1, 3), 8 * rng.integers(1, 5)
    square = (y >= top) & (y < top + 16) & (x >= left) & (x < left + 16)
    has_thing = seed % 2 == 0
    image = np.full((*shape, 3), (60, 150, 60))
    if has_thing:
        image[square] = (210, 50, 50)
    image = (image + rng.integers(-5, 6, image.shape)).astype(np.uint8)
    rects = [[left, top, left + 16, top + 16], [0, 32, shape[1], shape[0]], [0, 32, 32, 48], [32, 32, 64, 48]]
    members = np.zeros((len(rects), superpixels.max() + 1), bool)
    for row, (x0, y0, x1, y1) in zip(members, rects, strict=True):
        row[np.unique(superpixels[y0:y1, x0:x1])] = True
    return MiningImage(
        image=image,
        superpixels=superpixels,
        members=Members.from_dense(members),
        boxes_xyxy=np.array(rects, np.int32),
        scores=np.full(len(rects), 0.5, np.float32),
        tags=np.array([has_thing, False, True]),
        known=np.ones(3, bool),
    )


def change(sample, **changes):
    return MiningImage(**{**vars(sample), **changes})


def pick_proposals(sample, rows):
    members = sample.members.take(rows)
    return change(sample, members=members, boxes_xyxy=sample.boxes_xyxy[rows], scores=sample.scores[rows])


def test_boxes_come_back_from_a_view():
    for flipped in (False, True):
        placement = Placement((5, 3, 45, 33), (60, 120), flipped)
        boxes = np.array([[5, 3, 45, 33], [10.5, 8, 20, 30]])
        np.testing.assert_allclose(placement.to_image(placement.to_view(boxes)), boxes, atol=1e-4)
        assert placement.to_view(boxes[:1]).tolist() == [[0, 0, 120, 60]]


def test_proposals_of_a_view_are_distinct_filled_and_few():
    sample = make_image()
    doubled = MiningImage(
        sample.image,
        sample.superpixels,
        sample.members.take([0, 0, 1, 2, 3]),
        np.array([[8, 8, 24, 24], [8, 8, 24, 24], [0, 0, 64, 48], [60, 0, 64, 8], [40, 40, 40, 44]], np.int32),
        np.ones(5, np.float32),
        sample.tags,
        sample.known,
    )
    placement = Placement((0, 0, 48, 48), (96, 96), False)
    view = make_view(doubled, placement, 10)
    assert view.rows.tolist() == [0, 2]  # equal, outside the window, without width
    assert view.boxes_xyxy.tolist() == [[16, 16, 48, 48], [0, 0, 96, 96]]
    assert make_view(doubled, placement, 1).rows.tolist() == [0]
    with pytest.raises(ValueError, match="no proposal has a pixel in the window"):
        make_view(pick_proposals(doubled, [3, 4]), Placement((0, 0, 4, 4), (8, 8), False), 10)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"boxes_xyxy": np.zeros((0, 4), np.int32)}, "no proposals"),
        ({"superpixels": np.full((48, 64), 9, np.int32)}, "9..9, but a proposal has superpixel 47"),
        ({"superpixels": np.zeros((4, 4), np.int32)}, "differ in size"),
        ({"scores": np.zeros(3, np.float32)}, "3 scores differ"),
        ({"tags": np.ones(4, bool)}, "4 tags for 3 classes"),
    ],
)
def test_parts_that_do_not_fit(changes, message):
    with pytest.raises(ValueError, match=message):
        change(make_image(), **changes).check(3)


def test_size_by_shorter_and_longer_side():
    assert choose_size((40, 60), 80, 1000) == (80, 120)
    assert choose_size((40, 60), 80, 90) == (60, 90)


def test_boxes_of_a_view_may_be_whole_pixels():
    """Cut before mirroring, as whole numbers in a file would be."""
    placement = Placement((1, 0, 11, 10), (15, 15), True)
    boxes = np.array([[2, 1, 8, 4]])
    assert placement.to_view(boxes).tolist() == [[4.5, 1.5, 13.5, 6.0]]
    assert placement.to_view(boxes, whole_pixels=True).tolist() == [[5, 1, 14, 6]]


def test_views_are_drawn_within_bounds():
    rng = np.random.default_rng(0)
    augmentation = MiningAugmentation((40, 56), 80, 0.8, 0.5, 0.2)
    for _ in range(20):
        view = draw_view(make_image(0), augmentation, 10, rng)
        x0, y0, x1, y1 = view.placement.window_xyxy
        assert 0 <= x0 < x1 <= 64 and 0 <= y0 < y1 <= 48
        assert x1 - x0 >= 51 and y1 - y0 >= 38
        assert view.image.shape[:2] == view.superpixels.shape == view.placement.size
        assert max(view.placement.size) <= 80


def test_a_window_without_proposals_is_given_up():
    """The one proposal is a pixel in a corner that most windows miss."""
    boxes = np.array([[63, 47, 64, 48]], np.int32)
    sample = change(pick_proposals(make_image(0), [0]), boxes_xyxy=boxes)
    augmentation, rng = MiningAugmentation((48,), 80, 0.5, 0, 0), np.random.default_rng(0)
    windows = [draw_view(sample, augmentation, 10, rng).placement.window_xyxy for _ in range(10)]
    assert windows.count((0, 0, 64, 48)) >= 8
