from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pseudogt.classes import ClassTable
from pseudogt.metrics.average_precision import compute_average_precision, describe_things, encode_segments

CLASSES = ClassTable(("road", "person", "car"), (7, 24, 26), (False, True, True), ((0, 0, 0),) * 3)
ROAD, PERSON, CAR = 7000, 24000, 26000


def make_map(rng: np.random.Generator, objects: int) -> np.ndarray:
    panoptic_id = np.full((40, 60), ROAD, np.int32)
    for k in range(1, objects + 1):
        y, x = rng.integers(0, 30), rng.integers(0, 45)
        panoptic_id[y : y + rng.integers(4, 12), x : x + rng.integers(4, 15)] = rng.choice([PERSON, CAR]) + k
    panoptic_id[35:, :10] = CAR
    return panoptic_id


def score_segments(rng: np.random.Generator, panoptic_id: np.ndarray, decimals: int) -> dict[int, float]:
    return {i: round(float(rng.random()), decimals) for i in np.unique(panoptic_id).tolist()}


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (23, 17)])
def test_encoding_is_that_of_pycocotools(shape):
    rng = np.random.default_rng(0)
    panoptic_id = rng.choice(np.array([0, ROAD, CAR + 1, CAR + 2], np.int32), shape)
    encoded = encode_segments(panoptic_id)
    assert list(encoded) == [i for i in np.unique(panoptic_id).tolist() if i]
    for segment_id, mask in encoded.items():
        assert mask == coco_mask.encode(np.asfortranarray(panoptic_id == segment_id, np.uint8))


def evaluate_directly(pairs) -> np.ndarray:
    """pycocotools' `COCOeval` as its documentation shows it, masks encoded one by one."""
    images, truth, detections = [], [], []
    for image_id, (true_id, predicted_id, scores) in enumerate(pairs):
        images.append({"id": image_id, "height": true_id.shape[0], "width": true_id.shape[1]})
        for ids, found in ((true_id, truth), (predicted_id, detections)):
            for segment_id in np.unique(ids).tolist():
                if segment_id < PERSON or (found is detections and segment_id % 1000 == 0):
                    continue
                mask = coco_mask.encode(np.asfortranarray(ids == segment_id, np.uint8))
                found.append(
                    {
                        "id": len(found) + 1,
                        "image_id": image_id,
                        "category_id": segment_id // 1000,
                        "segmentation": mask,
                        "area": float(coco_mask.area(mask)),
                        "iscrowd": int(segment_id % 1000 == 0),
                        "score": scores.get(segment_id),
                    }
                )
    with contextlib.redirect_stdout(io.StringIO()):
        truth_coco = COCO()
        truth_coco.dataset = {"images": images, "annotations": truth, "categories": CLASSES.to_categories()}
        truth_coco.createIndex()
        evaluation = COCOeval(truth_coco, truth_coco.loadRes(detections), "segm")
        evaluation.params.catIds = [24, 26]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


@pytest.mark.parametrize("decimals", [1, 3])  # with one decimal, many scores are equal
@pytest.mark.parametrize("seed", range(5))
def test_ap_is_that_of_pycocotools(seed, decimals):
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(4):
        truth = make_map(rng, 6)
        predicted = np.roll(truth, rng.integers(-1, 2, 2), axis=(0, 1))
        predicted[10:14, 10:20] = CAR + 77
        pairs.append((truth, predicted, score_segments(rng, predicted, decimals)))
    found = compute_average_precision([describe_things(*pair, CLASSES) for pair in pairs], CLASSES)
    expected = evaluate_directly(pairs)
    assert 0 < found.ap < 1
    assert found.ap == pytest.approx(expected[0], abs=1e-12)
    assert found.ap50 == pytest.approx(expected[1], abs=1e-12)
    assert found.ap == pytest.approx(np.nanmean(found.per_class_ap))


def test_hand_worked_case():
    """One of two cars is found exactly, after a wrong detection of higher score: precision 1/2 up to recall 1/2."""
    truth = np.full((10, 20), ROAD, np.int32)
    truth[0:4, 0:5] = CAR + 1
    truth[0:4, 10:15] = CAR + 2
    predicted = np.full((10, 20), ROAD, np.int32)
    predicted[0:4, 0:5] = CAR + 1
    predicted[6:9, 0:5] = CAR + 2
    things = describe_things(truth, predicted, {CAR + 1: 0.5, CAR + 2: 0.9}, CLASSES)
    found = compute_average_precision([things], CLASSES)
    # Recall has 101 points, 0.00 to 1.00; 51 of them lie at or below 1/2.
    assert found.ap == found.ap50 == pytest.approx(0.5 * 51 / 101)
    assert np.isnan(found.per_class_ap[:2]).all()


def test_detections_on_a_crowd_do_not_count():
    truth = np.full((10, 20), ROAD, np.int32)
    truth[0:4] = CAR
    truth[6:9, 0:5] = CAR + 1
    predicted = truth.copy()
    predicted[0:4] = CAR + 2
    found = compute_average_precision(
        [describe_things(truth, predicted, {CAR + 1: 0.5, CAR + 2: 0.9}, CLASSES)], CLASSES
    )
    assert found.ap == pytest.approx(1)


def test_limit_on_detections_keeps_the_best():
    truth = np.full((10, 20), ROAD, np.int32)
    truth[0:4, 0:5] = CAR + 1
    predicted = truth.copy()
    predicted[6:9, 0:5] = CAR + 2
    things = [describe_things(truth, predicted, {CAR + 1: 0.1, CAR + 2: 0.9}, CLASSES)]
    assert compute_average_precision(things, CLASSES, max_detections=1).ap == 0
    assert compute_average_precision(things, CLASSES).ap == pytest.approx(0.5)


def test_no_things_no_images_and_no_detections():
    stuff = np.full((4, 4), ROAD, np.int32)
    car = np.full((4, 4), CAR + 1, np.int32)
    assert np.isnan(compute_average_precision([], CLASSES).ap)
    assert np.isnan(compute_average_precision([describe_things(stuff, stuff, {}, CLASSES)], CLASSES).ap)
    assert compute_average_precision([describe_things(car, stuff, {}, CLASSES)], CLASSES).ap == 0


def test_missing_score_and_different_sizes_are_errors():
    car = np.full((4, 4), CAR + 1, np.int32)
    with pytest.raises(ValueError, match=r"segments \[26001\] have no score"):
        describe_things(car, car, {}, CLASSES)
    with pytest.raises(ValueError, match="differ in size"):
        describe_things(car, car[:3], {}, CLASSES)
