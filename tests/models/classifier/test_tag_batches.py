"""Windows of the tag classifier: cells lie where the image was cut, regions hold only where they are shown."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from weak_label_testing import make_point, make_weak_labels

from models.augmentation import Augmentation, draw_affine, warp_image
from models.classifier.batches import (
    TagSample,
    cut_out_crop,
    label_cells,
    list_tag_regions,
    locate_cells,
    make_tag_batch,
)
from pseudogt.classes import ClassTable
from pseudogt.weak_labels.candidates import candidate_classes
from pseudogt.weak_labels.marks import UNSETTLED, Marks
from pseudogt.weak_labels.records import complete_marks
from pseudogt.weak_labels.widths import ClassWidths

CLASSES = ClassTable(("road", "sky", "car"), (1, 2, 3), (False, False, True), ((0, 0, 0),) * 3)


def make_sample(height: int = 64, width: int = 96, scale: float = 0.5) -> TagSample:
    ramp = np.zeros((height, width, 3), np.float32)
    ramp[..., 0], ramp[..., 1] = np.arange(width), np.arange(height)[:, None]
    weak = make_weak_labels(
        (height, width),
        (True, True, True),
        boxes=[[8, 40, 40, 60]],
        box_classes=2,
        crops=[[0, 0, 48, 64], [48, 0, 96, 64]],
        crop_tags=[[True, False, True], [True, True, False]],
    )
    small = cv2.resize(ramp, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return TagSample(np.round(small).astype(np.uint8), weak)


@pytest.mark.parametrize("seed", range(4))
def test_cells_lie_on_the_pixels_the_window_shows(seed: int) -> None:
    sample = make_sample()
    augmentation = Augmentation(crop_size=(32, 32), zoom=(1.2, 1.5), flip=0.5, colour=0)
    affine = draw_affine(sample.image.shape[:2], augmentation, np.random.default_rng(seed))
    window = warp_image(sample.image, affine, (32, 32)).astype(float)
    rows, columns = locate_cells(sample, affine, (32, 32), 4)
    # The image holds its own coordinates; a cell's centre lies between its 2nd and 3rd pixel.
    shown_x = window[..., 0].reshape(8, 4, 8, 4).mean((1, 3)) + 0.5
    shown_y = window[..., 1].reshape(8, 4, 8, 4).mean((1, 3)) + 0.5
    np.testing.assert_allclose(shown_x, np.broadcast_to(columns, (8, 8)), atol=1.5)
    np.testing.assert_allclose(shown_y, np.broadcast_to(rows[:, None], (8, 8)), atol=1.5)


def test_the_whole_image_shows_every_region_and_its_own_candidates() -> None:
    sample = make_sample()
    whole = Augmentation(crop_size=(32, 48), zoom=(1, 1), flip=0, colour=0)
    batch = make_tag_batch([sample], CLASSES, whole, 4, np.random.default_rng(0))
    np.testing.assert_array_equal(batch["candidates"][0], candidate_classes(sample.weak, CLASSES, size=(8, 12)))
    assert batch["tags"][0].tolist() == [[True, False, True], [True, True, False], [False, False, True]]
    assert batch["known"][0].tolist() == [[True] * 3, [True] * 3, [False, False, True]]
    assert batch["columns"][0, 0].tolist() == [True] * 6 + [False] * 6
    assert batch["images"].shape == (1, 3, 32, 48)


def test_a_region_that_is_cut_off_is_left_out() -> None:
    sample = make_sample()
    rows = np.arange(2, 64, 4.0)
    assert len(list_tag_regions(sample.weak, rows, np.arange(2, 96, 4.0)).tags) == 3
    left_half = list_tag_regions(sample.weak, rows, np.arange(2, 48, 4.0))
    assert left_half.tags.tolist() == [[True, False, True], [False, False, True]]
    assert len(list_tag_regions(sample.weak, rows, np.arange(20, 60, 4.0)).tags) == 0


def test_windows_with_different_numbers_of_regions_are_padded_with_unknowns() -> None:
    sample = make_sample()
    plain = TagSample(sample.image, cut_out_crop(sample, 1).weak)
    whole = Augmentation(crop_size=(32, 48), zoom=(1, 1), flip=0, colour=0)
    batch = make_tag_batch([sample, plain], CLASSES, whole, 4, np.random.default_rng(0))
    assert batch["known"].shape == (2, 3, 3)
    assert batch["known"][1].tolist() == [[True] * 3, [False] * 3, [False] * 3]


def test_a_crop_is_an_image_of_its_own() -> None:
    sample = make_sample()
    crop = cut_out_crop(sample, 0)
    np.testing.assert_array_equal(crop.image, sample.image[:, :24])
    assert (crop.weak.height, crop.weak.width) == (64, 48)
    assert crop.weak.tags.tolist() == [True, False, True] and len(crop.weak.crops_xyxy) == 0
    assert crop.weak.boxes_xyxy.tolist() == [[8, 40, 40, 60]]
    assert len(cut_out_crop(sample, 1).weak.boxes_xyxy) == 0


def test_tags_that_leave_out_things_say_nothing_about_them() -> None:
    weak = replace(make_sample().weak, tags=np.array([True, True, False]))
    regions = list_tag_regions(weak, np.arange(2, 64, 4.0), np.arange(2, 96, 4.0))
    assert regions.known.tolist() == [[True, True, False], [True, True, False], [False, False, True]]


def mark_sample(
    sample: TagSample,
    marks: list[tuple[int, float, float, float]],
    *,
    region_scale: float = 0,
    widths: ClassWidths | None = None,
) -> TagSample:
    collected = Marks.collect(make_point(train_id, UNSETTLED, x, y, radius) for train_id, x, y, radius in marks)
    weak = replace(sample.weak, marks=collected)
    return TagSample.make(sample.image, complete_marks(weak, CLASSES), region_scale=region_scale, widths=widths)


@pytest.mark.parametrize("seed", range(6))
def test_marks_move_with_the_image(seed: int) -> None:
    """A bright disc is drawn where the mark is: the cells that see it are those that are labelled."""
    sample = make_sample(scale=1)
    y, x = np.mgrid[:64, :96]
    sample.image[:] = 255 * (np.hypot(x + 0.5 - 60, y + 0.5 - 30) <= 12)[..., None]
    marked = mark_sample(sample, [(1, 60, 30, 12)])
    augmentation = Augmentation(crop_size=(48, 48), zoom=(0.8, 1.5), flip=0.5, colour=0)
    batch = make_tag_batch([marked], CLASSES, augmentation, 4, np.random.default_rng(seed), with_marks=True)
    share = batch["images"][0, 0].float().reshape(12, 4, 12, 4).mean((1, 3)) / 255
    label = batch["marked"][0]
    assert (label[share > 0.9] == 1).all() and (label[share < 0.02] == 255).all()


def test_marks_of_a_crop_are_those_inside_it() -> None:
    sample = mark_sample(make_sample(scale=1), [(0, 20, 30, 0), (1, 60, 30, 0)])
    assert cut_out_crop(sample, 1).labelled[:, 2].tolist() == [1] * 4
    assert set(map(tuple, cut_out_crop(sample, 1).labelled[:, :2].tolist())) == {(29, 11), (29, 12), (30, 11), (30, 12)}
    again = TagSample.from_arrays(sample.to_arrays())
    np.testing.assert_array_equal(again.labelled, sample.labelled)


def test_a_cell_with_marks_of_two_classes_teaches_neither() -> None:
    sample = mark_sample(make_sample(scale=0.5), [(0, 2.5, 2.5, 0), (1, 5.5, 5.5, 0), (2, 20.5, 50.5, 0)])
    label = label_cells(sample, sample.labelled, np.eye(2, 3), (32, 48), 4)
    assert label[0, 0] == 255 and label[6, 2] == 2 and (label != 255).sum() == 1


def test_batches_without_marks_hold_what_they_held() -> None:
    whole = Augmentation(crop_size=(32, 48), zoom=(1, 1), flip=0, colour=0)
    assert "marked" not in make_tag_batch([make_sample()], CLASSES, whole, 4, np.random.default_rng(0))


def test_marks_label_the_large_even_regions_around_them() -> None:
    sample = make_sample(scale=1)
    sample.image[:], sample.image[:, :48], sample.image[2:8, 4:10] = 250, 20, 130
    marks = [(0, 20, 30, 0), (1, 90, 10, 0), (2, 7, 5, 0)]
    plain, spread = mark_sample(sample, marks), mark_sample(sample, marks, region_scale=20)
    more = spread.labelled[len(plain.labelled) :]
    assert (spread.labelled[: len(plain.labelled)] == plain.labelled).all()
    # Of two halves, one pixel in two of each axis; the small square says nothing of itself.
    rows, columns, classes = more.T
    assert (classes == (columns >= 48)).all()
    assert not ((rows >= 2) & (rows < 8) & (columns >= 4) & (columns < 10)).any()
    boxed = (rows >= 40) & (rows < 60) & (columns >= 8) & (columns < 40)
    assert not boxed.any()
    assert len(more) == pytest.approx((64 * 96 - 36 - 20 * 32) / 4, rel=0.1)


def test_regions_with_marks_of_two_classes_are_not_spread() -> None:
    sample = make_sample(scale=1)
    sample.image[:] = 99
    marks = [(0, 20, 30, 0), (1, 90, 10, 0)]
    spread = mark_sample(sample, marks, region_scale=20)
    assert set(map(tuple, spread.labelled)) == set(map(tuple, mark_sample(sample, marks).labelled))


def test_surroundings_follow_the_image_and_are_stored() -> None:
    sample = make_sample(scale=1)
    sample.image[:], sample.image[:, 46:50] = 30, 250
    marks = [(0, 20, 20, 0), (1, 48, 20, 0), (0, 80, 20, 0)]
    widths = np.array([20, 2, 0]) / np.sqrt(64 * 96)
    marked = mark_sample(sample, marks, widths=ClassWidths(widths, widths))
    assert len(marked.labelled) > len(mark_sample(sample, marks).labelled)
    # The ring of the stripe, 4 to 8 px from its click at (48, 20).
    distance = np.hypot(marked.rings[:, 1] + 0.5 - 48, marked.rings[:, 0] + 0.5 - 20)
    assert set(marked.rings[:, 2]) == {1} and distance.min() > 2.5 and distance.max() < 10
    again = TagSample.from_arrays(marked.to_arrays())
    np.testing.assert_array_equal(again.rings, marked.rings)
    crop = cut_out_crop(marked, 1)
    assert (crop.rings[:, 1] >= 0).all() and 0 < len(crop.rings) < len(marked.rings)
    whole = Augmentation(crop_size=(64, 96), zoom=(1, 1), flip=0, colour=0)
    batch = make_tag_batch([marked], CLASSES, whole, 4, np.random.default_rng(0), with_marks=True)
    rows, columns = np.nonzero(batch["rings"][0].numpy() == 1)
    shown = {(row // 4, column // 4) for row, column, _ in marked.rings}
    # Labelled cells of the class are no part of its ring.
    labelled = {(row // 4, column // 4) for row, column, train_id in marked.labelled if train_id == 1}
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == shown - labelled
