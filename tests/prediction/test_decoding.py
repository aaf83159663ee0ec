import numpy as np
import pytest
import torch
import torch.nn.functional as F

from models.segmenter.targets import encode_targets, find_instance_targets
from pseudogt.boxes import find_tight_box
from pseudogt.classes import VOID, ClassTable, panoptic_to_semantic
from pseudogt.maps import enlarge_rows, resize_maps
from pseudogt.prediction import decoding
from pseudogt.prediction.bottom_up import decode_panoptic
from pseudogt.prediction.decoding import Decoding
from pseudogt.prediction.maps import PanopticMaps

CLASSES = ClassTable(("road", "sky", "car", "person"), (7, 23, 26, 24), (False, False, True, True), ((0, 0, 0),) * 4)
ROAD, SKY, CAR, PERSON = 7000, 23000, 26000, 24000


def encode(panoptic_id, classes=CLASSES):
    """What a perfect network would say about a label."""
    ids = np.unique(panoptic_id[panoptic_id % 1000 > 0])
    boxes = np.array([find_tight_box(panoptic_id == i) for i in ids], np.int32).reshape(-1, 4)
    box_classes = classes.category_to_train[ids // 1000]
    targets = find_instance_targets(panoptic_id, boxes, box_classes, classes, boxes_are_complete=True)
    maps = encode_targets(
        torch.from_numpy(targets.instance)[None],
        torch.from_numpy(targets.centres_yx)[None],
        torch.from_numpy(targets.sizes)[None],
    )
    semantic = panoptic_to_semantic(panoptic_id, classes)
    probabilities = np.eye(len(classes), dtype=np.float32)[semantic].transpose(2, 0, 1)
    return probabilities, maps.centre[0, 0].numpy(), maps.offset[0].numpy()


def decode(probabilities, centre, offset, classes=CLASSES, **changes):
    settings = {"centre_threshold": 0.1, "nms_cells": 3, "min_stuff_fraction": 0, "min_instance_px": 0} | changes
    logits = np.log(np.maximum(probabilities, 1e-9))
    return decode_panoptic(PanopticMaps(logits, centre[None], offset), logits.shape[1:], classes, Decoding(**settings))


def assert_same_segments(found, expected):
    """Equal up to the numbers of the instances."""
    pairs = np.unique(np.stack([found.ravel(), expected.ravel()]), axis=1)
    assert len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]
    assert (pairs[0] // 1000 == pairs[1] // 1000).all()


@pytest.fixture
def panoptic_id():
    ids = np.full((64, 96), ROAD, np.int32)
    ids[:20] = SKY
    ids[24:44, 8:36] = CAR + 1
    ids[24:40, 48:76] = CAR + 2
    ids[30:60, 80:90] = PERSON + 1
    return ids


def test_decoding_inverts_encoding(panoptic_id):
    decoded = decode(*encode(panoptic_id))
    assert_same_segments(decoded.panoptic_id, panoptic_id)
    assert set(decoded.scores) == set(np.unique(decoded.panoptic_id).tolist())
    assert all(0.6 < score <= 1 for score in decoded.scores.values())


def test_dozens_of_small_instances_are_told_apart():
    nuclei = ClassTable(("background", "nucleus"), (1, 2), (False, True), ((0, 0, 0),) * 2)
    y, x = np.mgrid[:256, :256]
    expected = np.full((256, 256), 1000, np.int32)
    inside = ((y % 18 - 8) ** 2 + (x % 18 - 8) ** 2 < 36) & (y < 252) & (x < 252)
    expected[inside] = 2001 + (y // 18 * 14 + x // 18)[inside]
    assert_same_segments(decode(*encode(expected, nuclei), nuclei).panoptic_id, expected)


def test_without_any_centre_each_part_of_the_things_is_an_instance(panoptic_id):
    probabilities, centre, offset = encode(panoptic_id)
    probabilities[2:, 24:30, 8:12] = probabilities[3:1:-1, 24:30, 8:12]  # a corner of the car looks like a person
    decoded = decode(probabilities, 0.09 * centre, offset)
    assert_same_segments(decoded.panoptic_id, panoptic_id)
    assert decoded.panoptic_id[30, 10] == CAR + 1  # the largest first
    assert decoded.scores[CAR + 1] == pytest.approx(0.09, abs=0.03)


def test_more_parts_than_numbers_become_void():
    specks = ClassTable(("background", "speck"), (1, 2), (False, True), ((0, 0, 0),) * 2)
    y, x = np.mgrid[:100, :100]
    semantic = np.where((y % 3 < 2) & (x % 3 < 2), 1, 0)
    probabilities = np.eye(2, dtype=np.float32)[semantic].transpose(2, 0, 1)
    nothing = np.zeros((3, 25, 25), np.float32)
    decoded = decode(probabilities, nothing[0], nothing[:2], specks, min_instance_px=1)
    assert decoded.panoptic_id.max() == 2999
    # Of 1089 specks of 4 pixels, 66 of 2 and one of 1, the last ones by size.
    assert (decoded.panoptic_id == VOID).sum() == (1089 - 999) * 4 + 66 * 2 + 1


def test_an_instance_has_one_class(panoptic_id):
    probabilities, centre, offset = encode(panoptic_id)
    patch = probabilities[:, 24:30, 8:20]
    patch[2], patch[3] = 0.0, 1.0
    decoded = decode(probabilities, centre, offset)
    assert len(np.unique(decoded.panoptic_id[24:44, 8:36])) == 1
    car = decoded.panoptic_id[26, 10]
    assert car // 1000 == 26
    assert decoded.scores[car] == pytest.approx(1 - 72 / 560, abs=0.05)


def test_score_is_centre_height_times_mean_probability(panoptic_id):
    probabilities, centre, offset = encode(panoptic_id)
    decoded = decode(0.8 * probabilities + 0.2 / 3 * (1 - probabilities), 0.5 * centre, offset)
    assert decoded.scores[CAR + 1] == pytest.approx(0.4, abs=0.02)
    assert decoded.scores[ROAD] == pytest.approx(0.8)


def test_small_segments_become_void(panoptic_id):
    panoptic_id[60:62, 0:4] = SKY
    outputs = encode(panoptic_id)
    decoded = decode(*outputs, min_instance_px=320)
    assert (decoded.panoptic_id[30:60, 80:90] == VOID).all()
    assert PERSON + 1 not in decoded.scores
    assert (decode(*outputs, min_stuff_fraction=(20 * 96 + 9) / (64 * 96)).panoptic_id[:20] == VOID).all()
    assert (decode(*outputs, min_stuff_fraction=(20 * 96 + 8) / (64 * 96)).panoptic_id[:20] == SKY).all()


def test_labels_larger_than_the_networks_input(panoptic_id):
    probabilities, centre, offset = encode(panoptic_id)
    twice = probabilities.repeat(2, axis=1).repeat(2, axis=2)
    assert_same_segments(decode(twice, centre, offset).panoptic_id, panoptic_id.repeat(2, 0).repeat(2, 1))


def make_smooth_maps(height, width):
    """Maps with stuff, things and centres in them, as a network might give for an image of that size."""
    rng = np.random.default_rng(0)

    def draw(channels, stride):
        coarse = rng.normal(0, 2, (channels, 4, 6)).astype(np.float32)
        return resize_maps(coarse, (height // stride, width // stride))

    return PanopticMaps(draw(4, 2), 0.3 * draw(1, 4), 4 * draw(2, 4))


SETTINGS = Decoding(centre_threshold=0.1, nms_cells=5, min_stuff_fraction=0.002, min_instance_px=16)


def test_result_does_not_depend_on_how_many_rows_are_decoded_at_once(monkeypatch):
    maps = make_smooth_maps(128, 192)
    whole = decode_panoptic(maps, (120, 200), CLASSES, SETTINGS)
    assert len(whole.scores) > 4
    monkeypatch.setattr(decoding, "VALUES_AT_ONCE", 7 * 4 * 200)
    strips = decode_panoptic(maps, (120, 200), CLASSES, SETTINGS)
    assert np.array_equal(strips.panoptic_id, whole.panoptic_id)
    assert strips.scores == pytest.approx(whole.scores, rel=1e-12)


@pytest.mark.parametrize("size", [(128, 192), (120, 200), (301, 411), (40, 64)])
def test_probabilities_are_those_that_torch_computes(size):
    logits = make_smooth_maps(128, 192).semantic
    rows = slice(size[0] // 3, size[0] // 2)
    found = decoding.compute_probabilities(enlarge_rows(logits, size, rows))
    enlarged = F.interpolate(torch.from_numpy(logits)[None], size=size, mode="bilinear", align_corners=False)
    np.testing.assert_allclose(found, enlarged.softmax(1)[0, :, rows], atol=1e-5)


def test_image_without_things_and_class_table_without_things():
    maps = make_smooth_maps(64, 96)
    maps.semantic[2:] = -9
    assert set(decode_panoptic(maps, (64, 96), CLASSES, SETTINGS).scores) == {ROAD, SKY}
    stuff = ClassTable(CLASSES.names, CLASSES.category_ids, (False,) * 4, CLASSES.colors)
    assert set(decode_panoptic(maps, (64, 96), stuff, SETTINGS).scores) == {ROAD, SKY}
