"""Boxes of photos that are stored turned: read where sizes decide, an error that helps where not."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pseudogt.annotations.conversion import convert_readings
from pseudogt.annotations.form import AnnotatedBox, ImageAnnotations, Reading
from pseudogt.classes import ClassTable
from pseudogt.config.annotations import AnnotationsSettings
from pseudogt.files.headers import ORIENTATION
from pseudogt.files.images import read_image
from pseudogt.files.index import ImageRecord

CLASSES = ClassTable(("car",), (1,), (True,), ((0, 0, 0),))
LOW, SMALL = (10, 70, 50, 110), (20, 20, 40, 40)
"""Boxes that fit 80x120 only, and both ways."""


def convert(*images, records):
    return convert_readings(
        Reading(list(images), box_labels=frozenset({"car"})), None, records, CLASSES, AnnotationsSettings()
    )


def make_record(orientation=6, name="a", width=80, height=120):
    return ImageRecord(name, f"/images/{name}.jpg", height, width, "", orientation)


def annotate(*corners, size=(None, None), name="a", relative=False):
    boxes = [AnnotatedBox("car", c) for c in corners]
    return ImageAnnotations(name, boxes, width=size[0], height=size[1], relative=relative)


def find_boxes(result):
    assert not result.problems, result.problems
    return [image.boxes_xyxy.tolist() for image in result.images]


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("size", [(80, 120), (None, None)])
def test_sizes_and_boxes_that_agree(orientation, size):
    result = convert(annotate(LOW, SMALL, size=size), records=[make_record(orientation)])
    assert find_boxes(result) == [[list(LOW), list(SMALL)]] and not result.warnings


@pytest.mark.parametrize("orientation", [1, 6])
def test_upright_boxes_beside_the_stored_size(orientation):
    """A photo with its tag, and one whose pixels were turned since."""
    result = convert(annotate(LOW, size=(120, 80)), records=[make_record(orientation)])
    assert find_boxes(result) == [[list(LOW)]]
    assert "their boxes fit the upright image and stay as they are" in result.warnings[0]


@pytest.mark.parametrize("size", [(120, 80), (None, None)])
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_of_the_stored_image_are_turned_with_it(tmp_path, orientation, size):
    x0, y0, x1, y1 = (70, 10, 110, 50)
    pixels = np.zeros((80, 120, 3), np.uint8)
    pixels[y0:y1, x0:x1] = 255
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[ORIENTATION] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    result = convert(annotate((x0, y0, x1, y1), size=size), records=[make_record(orientation)])
    ((box,),) = find_boxes(result)
    upright = read_image(tmp_path / "a.png")
    assert (upright[box[1] : box[3], box[0] : box[2]] == 255).all() and (upright == 255).sum() == 3 * 40 * 40
    assert "fit the image as it is stored and are turned with it" in result.warnings[0]


@pytest.mark.parametrize("relative", [False, True])
def test_boxes_that_fit_both_ways(relative):
    corners = (0.2, 0.2, 0.4, 0.4) if relative else SMALL
    record = make_record()
    (problem,) = convert(annotate(corners, size=(120, 80), relative=relative), records=[record]).problems
    assert "/images/a.jpg: is stored as 120x80 with EXIF orientation 6, which makes it 80x120 upright" in problem
    # Each remedy leads to the boxes of its cause.
    upright = annotate(SMALL, size=(80, 120))
    assert find_boxes(convert(upright, records=[record])) == [[list(SMALL)]]
    without_tag = make_record(1, width=120, height=80)
    assert find_boxes(convert(annotate(SMALL, size=(120, 80)), records=[without_tag])) == [[list(SMALL)]]


def test_photos_that_decide_nothing_follow_the_others_of_the_source():
    records = [make_record(), make_record(name="b")]
    size = (120, 80)
    low = annotate(LOW, size=size)
    assert find_boxes(convert(low, annotate(SMALL, size=size, name="b"), records=records)) == [
        [list(LOW)],
        [list(SMALL)],
    ]
    wide = annotate((70, 10, 110, 50), size=size)
    turned = find_boxes(convert(wide, annotate(SMALL, size=size, name="b"), records=records))
    assert turned == [[[30, 70, 70, 110]], [[40, 20, 60, 40]]]
    records.append(make_record(name="c"))
    contrary = annotate((70, 10, 110, 50), size=size, name="c")
    (problem,) = convert(low, annotate(SMALL, size=size, name="b"), contrary, records=records).problems
    assert "/images/b.jpg" in problem


def test_without_sizes_one_wrong_box_turns_no_other_photo():
    records = [make_record(name=name) for name in "abc"]
    outside, small = annotate((70, 10, 110, 50)), annotate(SMALL, name="c")
    result = convert(outside, annotate(LOW, name="b"), small, records=records)
    assert find_boxes(result)[1:] == [[list(LOW)], [list(SMALL)]]
    result = convert(outside, annotate(SMALL, name="b"), small, records=records)
    assert find_boxes(result)[1:] == [[list(SMALL)], [list(SMALL)]]
    assert result.warnings[0].startswith("1 images are stored turned, and their annotations give no size; ")
    both = convert(outside, annotate((70, 10, 110, 50), name="b"), small, records=records)
    assert find_boxes(both)[2] == [[40, 20, 60, 40]] and both.warnings[0].startswith("3 images are stored turned")


def test_a_tag_that_was_removed_does_not_move_boxes_in_silence():
    """The boxes reach far out of the photo as it is now, and fit it turned."""
    record = make_record(1, width=120, height=80)
    (problem,) = convert(annotate(LOW, size=(120, 80)), records=[record]).problems
    assert "is 120x80, and its boxes reach out of it but fit 80x120" in problem and "Put back the file" in problem
    slightly = convert(annotate((10, 50, 50, 84), size=(120, 80)), records=[record])
    assert find_boxes(slightly) == [[[10, 50, 50, 80]]] and "clipped" in slightly.warnings[0]


def test_a_turned_size_without_a_tag_is_an_error():
    (problem,) = convert(annotate(SMALL, size=(80, 120)), records=[make_record(1, width=120, height=80)]).problems
    assert "is 120x80, its annotations are for 80x120. If the photo was turned after they were drawn" in problem


def test_images_without_boxes_have_none_to_move():
    empty, boxed = annotate(size=(120, 80)), annotate(SMALL, size=(80, 120), name="b")
    result = convert(empty, boxed, records=[make_record(), make_record(name="b")])
    assert find_boxes(result) == [[], [list(SMALL)]]
