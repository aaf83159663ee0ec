"""Whether the classifier's windows can show what is tagged, held to the windows that are drawn."""

import re

import numpy as np
import pytest
from weak_label_testing import make_point, make_weak_labels

from models.augmentation import Augmentation, draw_affine
from models.classifier.batches import TagSample, list_tag_regions, locate_cells
from models.classifier.network import STRIDE
from pseudogt.classes import ClassTable
from pseudogt.weak_labels.records import ImageWeakLabels
from pseudogt.weak_labels.windows import Windows, check_windows, find_unlearned

CLASSES = ClassTable(("sky", "road", "car"), (1, 2, 3), (False, False, True), ((0, 0, 0),) * 3)

WINDOWS = Windows((128, 256), (1.0, 1.2), 1.0)


def make_weak(height=480, width=640, box=None, tags=(True, True, False), crops=(), marks=()) -> ImageWeakLabels:
    of_image = np.array(tags) | (np.arange(3) == 2) * bool(box)
    boxes = [box] if box else []
    return make_weak_labels(
        (height, width), of_image, boxes=boxes, box_classes=2, crops=crops, crop_tags=tags, marks=marks
    )


def measure_windows_with_tag(weak: ImageWeakLabels, windows: Windows, train_id: int, count=300) -> float:
    """Share of drawn windows in which a class is learned from a tag or a box."""
    generator = np.random.default_rng(0)
    size = [max(STRIDE, round(extent * windows.scale)) for extent in (weak.height, weak.width)]
    sample = TagSample(np.zeros((*size, 3), np.uint8), weak)
    augmentation = Augmentation(windows.crop_size, windows.zoom, 0.5, 0.0)
    learned = 0
    for _ in range(count):
        affine = draw_affine(sample.image.shape[:2], augmentation, generator)
        regions = list_tag_regions(weak, *locate_cells(sample, affine, windows.crop_size, STRIDE))
        learned += regions.tags[:, train_id].any()
    return learned / count


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.3, 0.26, 0.25, 0.2])
def test_what_is_refused_is_hardly_ever_drawn(scale):
    weak, windows = make_weak(), Windows(WINDOWS.crop_size, WINDOWS.zoom, scale)
    share = measure_windows_with_tag(weak, windows, 0)
    assert (share < 0.1) == bool(find_unlearned([weak], CLASSES, windows).problems)


@pytest.mark.parametrize(("height", "width"), [(480, 640), (4000, 3000), (200, 6000)])
def test_the_remedy_works(height, width):
    images = [make_weak(height, width)]
    with pytest.raises(ValueError, match="can't learn 'sky', 'road'") as error:
        check_windows(images, CLASSES, WINDOWS)
    scale = float(re.search(r"scale to ([\d.e-]+)", str(error.value))[1])
    windows = Windows(WINDOWS.crop_size, WINDOWS.zoom, scale)
    check_windows(images, CLASSES, windows)
    assert measure_windows_with_tag(images[0], windows, 0) > 0.2


@pytest.mark.parametrize(
    ("weak", "unlearned"),
    [
        ({"height": 100, "width": 200}, set()),
        ({"crops": [[0, 0, 200, 100]]}, set()),
        ({"marks": [make_point(0, -1, 50, 50, 1)]}, {"road"}),
        ({"box": [0, 0, 100, 100]}, {"sky", "road"}),
        ({"box": [0, 0, 640, 480]}, {"sky", "road", "car"}),
        ({"box": [0, 0, 100, 100], "tags": (False, False, False)}, set()),
    ],
    ids=["a small image", "small crops", "marks of a class", "a small box", "a large box", "boxes alone"],
)
def test_classes_that_are_learned(weak, unlearned):
    found = find_unlearned([make_weak(**weak)], CLASSES, WINDOWS)
    told = [{name for name in CLASSES.names if f"'{name}'" in " ".join(lines)} for lines in found]
    assert told == [unlearned - {"car"}, unlearned & {"car"}], "box masks remain of what has boxes"


def test_a_class_is_learned_from_one_image_of_many():
    assert not any(find_unlearned([make_weak(), make_weak(100, 200), make_weak()], CLASSES, WINDOWS))


def test_a_single_class_of_stuff_is_everything_outside_the_boxes():
    classes = ClassTable(("car", "ground"), (1, 2), (True, False), ((0, 0, 0),) * 2)
    weak = make_weak_labels((480, 640), (True, True), boxes=[(0, 0, 50, 50)])
    assert not any(find_unlearned([weak], classes, WINDOWS))
