from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torchmetrics.detection import MeanAveragePrecision

from pseudogt.classes import ClassTable
from pseudogt.metrics.average_precision import ImageThings, compute_average_precision
from pseudogt.metrics.detection import (
    ScoredBoxes,
    TrueObjects,
    compute_corloc,
    compute_voc_average_precision,
    describe_found,
    describe_objects,
)

CLASSES = ClassTable(("road", "person", "car"), (7, 24, 26), (False, True, True), ((0, 0, 0),) * 3)
PERSON, CAR = 1, 2
SHAPE = (60, 90)


def draw_boxes(boxes: np.ndarray) -> np.ndarray:
    masks = np.zeros((len(boxes), *SHAPE), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes.round().astype(int), strict=True):
        mask[max(y0, 0) : y1, max(x0, 0) : x1] = True
    return masks


def make_image(rng: np.random.Generator, *, difficult: float = 0.0) -> tuple[TrueObjects, ScoredBoxes]:
    """Objects at random places, detections moved from them and others anywhere."""

    def scatter(count: int) -> np.ndarray:
        corners = rng.uniform((0, 0), (60, 35), (count, 2))
        return np.hstack([corners, corners + rng.uniform(8, 25, (count, 2))]).round()

    boxes = scatter(rng.integers(0, 6))
    train_ids = rng.choice([PERSON, CAR], len(boxes))
    truth = TrueObjects(boxes, train_ids, rng.random(len(boxes)) < difficult, draw_boxes(boxes))
    moved = np.concatenate([boxes + rng.uniform(-4, 4, boxes.shape), boxes + rng.uniform(-2, 2, boxes.shape)])
    found = np.concatenate([moved, scatter(3)])
    found_ids = np.concatenate([train_ids, train_ids, rng.choice([PERSON, CAR], 3)])
    scores = rng.permutation(len(found)) / 64 + rng.random() / 100
    return truth, ScoredBoxes(found, found_ids, scores, draw_boxes(found))


def make_images(seed: int, *, count: int = 6, difficult: float = 0.0) -> tuple[list[TrueObjects], list[ScoredBoxes]]:
    rng = np.random.default_rng(seed)
    pairs = [make_image(rng, difficult=difficult) for _ in range(count)]
    return [p[0] for p in pairs], [p[1] for p in pairs]


def describe_things_of(truth: TrueObjects, found: ScoredBoxes) -> ImageThings:
    return ImageThings(*SHAPE, describe_objects(truth, CLASSES), describe_found(found, CLASSES))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("overlap", ["bbox", "segm"])
def test_ap_is_that_of_torchmetrics(seed, overlap):
    truth, found = make_images(seed, difficult=0.2)
    if overlap == "segm":  # where there are no true masks, torchmetrics 1.9 forgets the false ones
        found = [f for t, f in zip(truth, found, strict=True) if len(t.boxes_xyxy)]
        truth = [t for t in truth if len(t.boxes_xyxy)]
    things = [describe_things_of(t, f) for t, f in zip(truth, found, strict=True)]
    ours = compute_average_precision(things, CLASSES, max_detections=100, overlap=overlap)
    peer = MeanAveragePrecision(
        iou_type=overlap,
        class_metrics=True,
        backend="pycocotools",
        # Its own are rounded to 32 bits, by which a recall of 0.3 is too little.
        rec_thresholds=np.linspace(0, 1, 101).tolist(),
        iou_thresholds=np.linspace(0.5, 0.95, 10).tolist(),
    )
    peer.update(
        [
            {
                "boxes": torch.from_numpy(f.boxes_xyxy),
                "masks": torch.from_numpy(f.masks),
                "scores": torch.from_numpy(f.scores),
                "labels": torch.from_numpy(f.train_ids),
            }
            for f in found
        ],
        [
            {
                "boxes": torch.from_numpy(t.boxes_xyxy),
                "masks": torch.from_numpy(t.masks),
                "labels": torch.from_numpy(t.train_ids),
                "iscrowd": torch.from_numpy(t.difficult.astype(np.int64)),
            }
            for t in truth
        ],
    )
    expected = peer.compute()
    assert 0.2 < ours.ap50 < 1 and ours.ap < ours.ap50
    assert ours.ap == pytest.approx(expected["map"].item(), abs=1e-6)
    assert ours.ap50 == pytest.approx(expected["map_50"].item(), abs=1e-6)
    np.testing.assert_allclose(ours.per_class_ap[1:], expected["map_per_class"].numpy(), atol=1e-6)


def test_overlapping_masks_are_kept_apart():
    """Two detections share pixels, which a panoptic map could not hold; both are right."""
    boxes = np.array([[0, 0, 20, 20], [10, 0, 30, 20]])
    masks = draw_boxes(boxes)
    truth = TrueObjects(boxes, np.array([CAR, CAR]), np.zeros(2, bool), masks)
    found = ScoredBoxes(boxes, np.array([CAR, CAR]), np.array([0.5, 0.4]), masks)
    things = describe_things_of(truth, found)
    assert compute_average_precision([things], CLASSES).ap50 == 1


def evaluate_voc_by_coco(truth, found, recalls: np.ndarray) -> np.ndarray:
    """11-point AP at IoU 0.5 from COCOeval; matches are the same while no two objects of a class overlap."""
    annotations = [
        {"image_id": i, "category_id": int(c), "bbox": [*b[:2], *(b[2:] - b[:2])], "area": 1, "iscrowd": 0}
        for i, t in enumerate(truth, 1)
        for b, c in zip(t.boxes_xyxy, t.train_ids, strict=True)
    ]
    detections = [
        {"image_id": i, "category_id": int(c), "bbox": [*b[:2], *(b[2:] - b[:2])], "score": s}
        for i, f in enumerate(found, 1)
        for b, c, s in zip(f.boxes_xyxy, f.train_ids, f.scores, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": i} for i in range(1, len(truth) + 1)],
            "categories": [{"id": PERSON}, {"id": CAR}],
            "annotations": [{**a, "id": n} for n, a in enumerate(annotations, 1)],
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(detections), "bbox")
        evaluation.params.iouThrs = np.array([0.5])
        evaluation.params.recThrs = recalls
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][0, :, :, 0, -1].mean(0)


@pytest.mark.parametrize("seed", range(6))
def test_voc_ap_is_that_of_coco_at_eleven_recalls(seed):
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(8):
        # One object of a class in each half of the image at most, so none overlap.
        boxes = np.array([[2, 5, 2 + w, 5 + h] for w, h in rng.integers(15, 35, (4, 2))], float)
        boxes[2:, [0, 2]] += 45
        train_ids = np.array([PERSON, CAR, PERSON, CAR])
        there = rng.random(4) < 0.7
        detected = np.concatenate([boxes + rng.uniform(-7, 7, (4, 4)), boxes + rng.uniform(-4, 4, (4, 4))])
        truth.append(TrueObjects(boxes[there], train_ids[there], np.zeros(there.sum(), bool)))
        found.append(ScoredBoxes(detected, np.tile(train_ids, 2), rng.random(8)))
    ours = compute_voc_average_precision(truth, found, 3)
    assert np.isnan(ours[0])
    expected = evaluate_voc_by_coco(truth, found, np.arange(11) / 10)
    assert (expected > 0.1).all() and (expected < 1).all()
    np.testing.assert_allclose(ours[1:], expected, atol=1e-12)


def box(x0: float, width: float = 10) -> list[float]:
    return [x0, 0, x0 + width, 10]


def objects(*boxes: list[float], train_id: int = CAR, difficult: tuple[int, ...] = ()) -> TrueObjects:
    hard = np.isin(np.arange(len(boxes)), difficult)
    return TrueObjects(np.array(boxes, float).reshape(-1, 4), np.full(len(boxes), train_id), hard)


def detections(*pairs: tuple[float, list[float]], train_id: int = CAR) -> ScoredBoxes:
    boxes = np.array([b for _, b in pairs], float).reshape(-1, 4)
    return ScoredBoxes(boxes, np.full(len(pairs), train_id), np.array([s for s, _ in pairs], float))


def test_voc_compares_with_the_object_that_overlaps_most():
    """The second detection overlaps the first object most, which is taken, and the other one enough: false."""
    truth = [objects(box(0, 20), box(6, 20))]
    found = [detections((0.9, box(0, 20)), (0.8, box(2, 20)))]
    assert compute_voc_average_precision(truth, found, 3)[CAR] == pytest.approx(6 / 11)  # recall 1/2 at most


def test_voc_sides_count_both_end_pixels():
    """Inclusive boxes of 6 and 3 columns, [0, 5] and [0, 2], have IoU 3/6 and not 2/5; half is not above half."""
    truth = [objects([0, 0, 6, 1])]
    found = [detections((0.9, [0, 0, 3, 1]))]
    assert compute_voc_average_precision(truth, found, 3, min_iou=0.49)[CAR] == 1
    assert compute_voc_average_precision(truth, found, 3, min_iou=0.5)[CAR] == 0
    assert compute_corloc(truth, found, 3, min_iou=0.49)[CAR] == 1
    assert compute_corloc(truth, found, 3, min_iou=0.5)[CAR] == 0


def test_voc_recall_is_compared_exactly():
    """3 of 10 objects found are a recall of 0.3."""
    truth = [objects(*(box(20 * i) for i in range(10)))]
    found = [detections(*((0.9 - i / 100, box(20 * i)) for i in range(3)))]
    assert compute_voc_average_precision(truth, found, 3)[CAR] == pytest.approx(4 / 11)


def test_voc_without_detections():
    assert compute_voc_average_precision([objects(box(0))], [detections()], 3)[CAR] == 0


def test_voc_with_difficult_objects_only():
    truth = [objects(box(0), difficult=(0,))]
    found = [detections((0.9, box(0)))]
    assert np.isnan(compute_voc_average_precision(truth, found, 3)[CAR])
    assert np.isnan(compute_corloc(truth, found, 3)[CAR])


def test_corloc_by_hand():
    truth = [
        objects(box(0), box(20)),  # the best detection is on the second object
        objects(box(0)),  # it is beside, the next would be right
        objects(box(0), box(20), difficult=(1,)),  # it is on the difficult object, which is right
        objects(box(0), difficult=(0,)),  # does not count
        objects(box(0)),  # nothing was found
        objects(),  # no such object
    ]
    found = [
        detections((0.3, box(60)), (0.9, box(20))),
        detections((0.9, box(60)), (0.8, box(0))),
        detections((0.9, box(20))),
        detections((0.9, box(60))),
        detections(),
        detections((0.9, box(60))),
    ]
    corloc = compute_corloc(truth, found, 3)
    assert corloc[CAR] == pytest.approx(2 / 4)
    assert np.isnan(corloc[:CAR]).all()


def test_detections_of_another_class_do_not_count():
    truth = [objects(box(0))]
    other = detections((0.9, box(0)))._replace(train_ids=np.array([PERSON]))
    assert compute_corloc(truth, [other], 3)[CAR] == 0
    assert compute_voc_average_precision(truth, [other], 3)[CAR] == 0


def test_bad_input():
    with pytest.raises(ValueError, match="ground truth of 1 images, detections of 0"):
        compute_corloc([objects()], [], 3)
    with pytest.raises(ValueError, match=r"ScoredBoxes: attributes have \[1, 1, 2\] entries"):
        compute_corloc([objects()], [detections((0.5, box(0)))._replace(scores=np.ones(2))], 3)
    with pytest.raises(ValueError, match="score that is not finite"):
        compute_voc_average_precision([objects()], [detections((np.nan, box(0)))], 3)
    with pytest.raises(ValueError, match="train id 0, which is not a thing"):
        describe_objects(objects(box(0))._replace(train_ids=np.array([0])), CLASSES)
