from __future__ import annotations

import base64

import cv2
import numpy as np
import pytest
from weak_label_testing import make_weak_labels

from pseudogt.classes import ClassTable
from pseudogt.reporting.overlays import draw_weak_boxes
from pseudogt.reporting.pictures import color_label, embed_image
from pseudogt.weak_labels.records import ImageWeakLabels

CLASSES = ClassTable(("road", "car"), (7, 26), (False, True), ((128, 64, 128), (0, 0, 142)))


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 255, (90, 160, 3), np.uint8)


@pytest.fixture
def label():
    panoptic_id = np.full((90, 160), 7000, np.int32)
    panoptic_id[20:60, 30:80] = 26001
    panoptic_id[:10] = 0
    return panoptic_id


def make_weak(boxes: list[list[int]]) -> ImageWeakLabels:
    return make_weak_labels((90, 160), (True, True), boxes=boxes, box_classes=1)


def decode(uri: str) -> np.ndarray:
    kind, _, data = uri.partition(";base64,")
    assert kind == "data:image/webp"
    decoded = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)


def test_labels_are_embedded_without_loss(image, label):
    found = embed_image(image, {"truth": label}, None, CLASSES, width_px=160, limit_bytes=10**6)
    np.testing.assert_array_equal(decode(found.labels["truth"]), color_label(label, CLASSES))
    assert decode(found.photo).shape == (90, 160, 3)
    assert found.marked is None
    assert found.size_bytes == len(found.photo) + len(found.labels["truth"])


def test_pictures_shrink_until_they_fit(image, label):
    large = embed_image(image, {"truth": label}, None, CLASSES, width_px=320, limit_bytes=10**6)
    small = embed_image(image, {"truth": label}, None, CLASSES, width_px=320, limit_bytes=large.size_bytes // 4)
    assert small.size_bytes <= large.size_bytes // 4
    assert small.width < large.width == 320
    assert decode(small.photo).shape[:2] == decode(small.labels["truth"]).shape[:2] == (small.height, small.width)


def test_photo_loses_quality_before_size(image):
    large = embed_image(image, {}, None, CLASSES, width_px=160, limit_bytes=10**6)
    small = embed_image(image, {}, None, CLASSES, width_px=160, limit_bytes=large.size_bytes - 1)
    assert small.width == 160
    assert small.size_bytes < large.size_bytes


def test_boxes_are_drawn_in_the_colour_of_their_class(image):
    weak = make_weak([[20, 10, 60, 50]])
    drawn = draw_weak_boxes(image, weak, CLASSES)
    assert drawn[30, 20].tolist() == [0, 0, 142]
    assert (drawn[25:35, 30:50] == image[25:35, 30:50]).all()
    assert embed_image(image, {}, weak, CLASSES, width_px=160, limit_bytes=10**6).marked is not None


def test_image_with_tags_alone_has_no_picture_of_them(image):
    assert embed_image(image, {}, make_weak([]), CLASSES, width_px=160, limit_bytes=10**6).marked is None


def test_unlabelled_pixels_are_hatched(label):
    colors = color_label(label, CLASSES)
    assert set(map(tuple, colors[:9].reshape(-1, 3).tolist())) == {(30, 30, 30), (110, 110, 110)}
    assert colors[70, 100].tolist() == [128, 64, 128]
