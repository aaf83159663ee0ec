"""Box segmenters behind one signature: clear objects, degenerate boxes and images, what the files lack."""

from __future__ import annotations

import numpy as np
import pytest

from models.pretrained.loading import BOX_SEGMENTERS, load_engine, load_segmenters
from pseudogt.box_masks.scene import BoxScene
from pseudogt.boxes import measure_box_radius, measure_thing_radius
from pseudogt.config.box_masks import BoxMasksSettings
from pseudogt.config.proposals import ProposalsSettings

NAMES = [name for name in BOX_SEGMENTERS.names if name != "sam"]
FAST = ProposalsSettings(
    contours="gradient", ranking="rule", max_proposals=80, max_regions=30, grown_unions=50, kept_unions=100
)


@pytest.fixture(scope="module")
def segment():
    """Masks of all boxes of an image by one segmenter."""
    prepare = {name: load_segmenters(BoxMasksSettings(segmenters=(name,)))[0] for name in NAMES}
    propose = load_engine(FAST)

    def segment(name, image, boxes):
        proposals = propose(image).proposals if name == "proposal" else None
        boxes = np.array(boxes, np.int32).reshape(-1, 4)
        segmenter = prepare[name](BoxScene(image, boxes, np.zeros(len(boxes), int), proposals))
        return [segmenter(index) for index in range(len(boxes))]

    return segment


def draw_disc(seed=0, shape=(80, 100), centre=(50, 40), radii=(24, 16)):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    mask = ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2 <= 1
    image = np.where(mask[..., None], [200, 60, 60], [60, 140, 60]) + rng.integers(-6, 6, (*shape, 3))
    return image.astype(np.uint8), mask


def measure_iou(found, truth):
    found = found > 0.5
    return (found & truth).sum() / (found | truth).sum()


@pytest.mark.parametrize("name", NAMES)
def test_a_clear_object_is_found(segment, name):
    image, mask = draw_disc()
    (found,) = segment(name, image, [[26, 24, 75, 57]])
    truth = mask[24:57, 26:75]
    assert measure_iou(found, truth) > (truth.mean() - 0.01 if name == "fill" else 0.88)


@pytest.mark.parametrize("name", NAMES)
def test_degenerate_boxes_and_images_have_masks_that_fit(segment, name):
    boxes = [[3, 4, 4, 5], [0, 0, 30, 25], [0, 0, 2, 25], [5, 5, 25, 6], [10, 5, 30, 25]]
    for image in (np.full((25, 30, 3), 90, np.uint8), draw_disc(shape=(25, 30), centre=(15, 12), radii=(9, 7))[0]):
        for found, (x0, y0, x1, y1) in zip(segment(name, image, boxes), boxes, strict=True):
            assert found.shape == (y1 - y0, x1 - x0)
            assert np.isfinite(found).all()
    (tiny,) = segment(name, np.zeros((1, 1, 3), np.uint8), [[0, 0, 1, 1]])
    assert tiny.shape == (1, 1)


@pytest.mark.parametrize("name", NAMES)
def test_no_boxes_and_more_than_255(segment, name):
    image, _ = draw_disc()
    assert segment(name, image, []) == []
    boxes = [[x, y, x + 5, y + 4] for y in range(0, 75, 4) for x in range(0, 90, 6)]
    assert len(boxes) > 255
    assert [found.shape for found in segment(name, image, boxes)] == [(4, 5)] * len(boxes)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("fill", "ellipse")])
def test_a_thing_cut_by_the_border_reaches_it(segment, name):
    image, mask = draw_disc(centre=(0, 40), radii=(30, 20))
    (found,) = segment(name, image, [[0, 20, 31, 61]])
    assert measure_iou(found, mask[20:61, 0:31]) > 0.8


def test_a_box_that_no_proposal_covers_gets_the_ellipse(segment):
    image, _ = draw_disc()
    box = [90, 2, 95, 77]
    (found,) = segment("proposal", image, [box])
    np.testing.assert_array_equal(found, measure_box_radius(75, 5) <= 1)


def test_the_middle_of_a_cut_thing_lies_nearer_to_the_border():
    shape = (60, 80)
    inner = measure_thing_radius([20, 20, 40, 40], shape)
    np.testing.assert_array_equal(inner, measure_box_radius(20, 20))
    left = measure_thing_radius([0, 20, 20, 40], shape)
    np.testing.assert_array_equal(left, measure_box_radius(20, 30)[:, 10:])
    everything = measure_thing_radius([0, 0, 80, 60], shape)
    np.testing.assert_array_equal(everything, measure_box_radius(120, 160)[30:90, 40:120])


@pytest.mark.parametrize("name", ["network", "grabcut", "hierarchy"])
def test_equal_scenes_give_equal_masks_whatever_came_before(segment, name):
    image, _ = draw_disc()
    first = segment(name, image, [[26, 24, 75, 57], [0, 0, 20, 20]])
    segment(name, draw_disc(1)[0], [[5, 5, 60, 60]])
    for a, b in zip(first, segment(name, image, [[26, 24, 75, 57], [0, 0, 20, 20]]), strict=True):
        np.testing.assert_array_equal(a, b)
