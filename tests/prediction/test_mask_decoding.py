import numpy as np
import pytest

from pseudogt.classes import VOID, ClassTable
from pseudogt.prediction.decoding import Decoding
from pseudogt.prediction.maps import MaskMaps
from pseudogt.prediction.masks import decode_masks, keep_distinct

CLASSES = ClassTable(("road", "car", "truck"), (1, 2, 3), (False, True, True), ((0, 0, 0), (255, 0, 0), (0, 255, 0)))
CARS = (slice(2, 12), slice(14, 22))
SIZE = (16, 24)
LIMITS = {"min_query_score": 0.5, "min_mask_share": 0.5, "min_stuff_fraction": 0.0, "min_instance_px": 4}


def decode(probabilities, queries, masks, **limits):
    """Decode probabilities as the logits that have them."""
    maps = MaskMaps(np.log(probabilities), np.log(queries)[None], np.log(masks / (1 - masks))[None])
    return decode_masks(maps, SIZE, CLASSES, Decoding(centre_threshold=0.1, nms_cells=5, **(LIMITS | limits)))


@pytest.fixture
def prediction():
    """Two cars side by side on a road, one query for each, one for the road, and one that is not sure."""
    probabilities = np.full((3, 16, 24), 0.05, np.float32)
    probabilities[0] = 0.9
    masks = np.full((4, 8, 12), 0.01, np.float32)
    for row, columns in enumerate(CARS):
        probabilities[:, 4:12, columns] = np.array([0.1, 0.8, 0.1])[:, None, None]
        masks[row, 2:6, columns.start // 2 : columns.stop // 2] = 0.99
    masks[2] = 1 - masks[:2].max(0)
    masks[3, 2:6, 1:11] = 0.9
    queries = np.array(
        [[0.05, 0.7, 0.2, 0.05], [1e-9, 0.9, 0.05, 0.05], [0.95, 1e-9, 1e-9, 0.05], [0.1, 0.2, 0.1, 0.6]], np.float32
    )
    return probabilities, queries, masks


def test_queries_tell_instances_apart(prediction):
    decoded = decode(*prediction)
    # The instance with the higher score is the first.
    assert (decoded.panoptic_id[4:12, CARS[0]] == 2002).all() and (decoded.panoptic_id[4:12, CARS[1]] == 2001).all()
    assert (decoded.panoptic_id[:4] == 1000).all()
    expected = {1000: 0.9, 2001: 0.95 * 0.8, 2002: 0.9 * 0.8}
    assert decoded.scores == pytest.approx(expected, rel=1e-5)


def test_the_order_of_the_queries_changes_nothing(prediction):
    probabilities, queries, masks = prediction
    decoded = decode(*prediction)
    order = [2, 3, 1, 0]
    permuted = decode(probabilities, queries[order], masks[order])
    assert (permuted.panoptic_id == decoded.panoptic_id).all()
    assert permuted.scores == decoded.scores


def test_a_query_whose_mask_others_cover_is_left_out(prediction):
    probabilities, queries, masks = prediction
    queries[3] = [1e-9, 0.6, 1e-9, 0.4]
    decoded = decode(probabilities, queries, masks)
    assert set(decoded.scores) == {1000, 2001, 2002}
    assert keep_distinct(np.array([0.9, 0.6], np.float32), masks[[0, 3]], 0.5).tolist() == [True, True]
    assert keep_distinct(np.array([0.9, 0.6], np.float32), masks[[0, 3]], 0.7).tolist() == [True, False]


def test_without_any_query_each_part_of_the_things_is_an_instance(prediction):
    probabilities, queries, masks = prediction
    decoded = decode(probabilities, queries, masks, min_query_score=1.0)
    assert set(np.unique(decoded.panoptic_id)) == {1000, 2001, 2002}


def test_small_instances_are_void(prediction):
    decoded = decode(*prediction, min_instance_px=70)
    assert (decoded.panoptic_id[4:12, CARS[1]] == VOID).all()
    assert (decoded.panoptic_id[4:12, CARS[0]] == 2001).all()
