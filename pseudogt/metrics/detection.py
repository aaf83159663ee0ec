"""Scores of detections: COCO's mask and box AP, VOC 2007's AP, CorLoc.

Boxes are half-open. VOC's files hold inclusive boxes, whose sides its programs compute as
``x1 - x0 + 1``. The sides of the same half-open boxes are ``x1 - x0``, so the IoU is the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from pseudogt.classes import ClassTable

VOC07_POINTS = 11
"""Recalls 0, 0.1, ..., 1 at which VOC 2007 reads the precision."""


class TrueObjects(NamedTuple):
    """Things of one image.

    Attributes
    ----------
    boxes_xyxy : (N, 4) floating
        Half-open.
    train_ids : (N,) int
    difficult : (N,) bool
        VOC: a detection of it counts neither for nor against. COCO: crowds.
    masks : (N, H, W) bool, optional
    """

    boxes_xyxy: NDArray[Any]
    train_ids: NDArray[Any]
    difficult: NDArray[np.bool_]
    masks: NDArray[np.bool_] | None = None


class ScoredBoxes(NamedTuple):
    """Detections in one image.

    Attributes
    ----------
    boxes_xyxy : (N, 4) floating
        Half-open.
    train_ids : (N,) int
    scores : (N,) floating
    masks : (N, H, W) bool, optional
        They may overlap.
    """

    boxes_xyxy: NDArray[Any]
    train_ids: NDArray[Any]
    scores: NDArray[Any]
    masks: NDArray[np.bool_] | None = None


def describe_objects(truth: TrueObjects, classes: ClassTable) -> list[dict[str, Any]]:
    """True objects of one image as COCO annotations without ``id`` and ``image_id``; difficult ones are crowds."""
    annotations = _describe(truth, classes)
    return [each | {"iscrowd": int(hard)} for each, hard in zip(annotations, truth.difficult, strict=True)]


def describe_found(found: ScoredBoxes, classes: ClassTable) -> list[dict[str, Any]]:
    """Detections in one image as COCO results without ``image_id``."""
    annotations = _describe(found, classes)
    return [each | {"score": float(score)} for each, score in zip(annotations, found.scores, strict=True)]


def _describe(objects: TrueObjects | ScoredBoxes, classes: ClassTable) -> list[dict[str, Any]]:
    unknown = np.setdiff1d(objects.train_ids, classes.thing_ids)
    if unknown.size:
        raise ValueError(f"an object has train id {unknown[0]}, which is not a thing of the class table")
    annotations: list[dict[str, Any]] = [
        {"category_id": classes.category_ids[int(train_id)], "bbox": box.tolist(), "area": float(box[2] * box[3])}
        for train_id, box in zip(objects.train_ids, _to_xywh(objects.boxes_xyxy), strict=True)
    ]
    if objects.masks is not None:
        for annotation, mask in zip(annotations, objects.masks, strict=True):
            annotation["segmentation"] = coco_mask.encode(np.asfortranarray(mask, np.uint8))
            annotation["area"] = float(np.count_nonzero(mask))
    return annotations


def compute_voc_average_precision(
    truth: Sequence[TrueObjects], found: Sequence[ScoredBoxes], class_count: int, *, min_iou: float = 0.5
) -> NDArray[np.float64]:
    """AP of VOC 2007 by class (Everingham et al., IJCV 2010).

    A detection is compared with the object of its class that overlaps it most. In order of
    descending score over all images:

    =========================================  ==============
    that object                                detection
    =========================================  ==============
    IoU is not above ``min_iou``, or none      false
    is difficult                               does not count
    was found before                           false
    otherwise                                  true
    =========================================  ==============

    Parameters
    ----------
    truth, found
        One entry per image, in the same order.
    class_count : int
    min_iou : float

    Returns
    -------
    (C,) float64
        Mean of the highest precision at recall 0, 0.1, ..., 1 or more; NaN for classes without an
        object that is not difficult.

    Raises
    ------
    ValueError
        If numbers of images or of entries differ.

    Differs from the authors' code: of equal scores the first given goes first, scores and boxes are
    not rounded to the decimals of a result file, and recall is compared exactly (there 3 of 10
    objects are less than a recall of 0.3).
    """
    _check_images(truth, found)
    precisions = np.full(class_count, np.nan)
    for train_id in range(class_count):
        count = sum(int((~t.difficult[t.train_ids == train_id]).sum()) for t in truth)
        if count:
            verdicts = _judge_detections(truth, found, train_id, min_iou)
            precisions[train_id] = _read_precision(verdicts, count)
    return precisions


def _judge_detections(
    truth: Sequence[TrueObjects], found: Sequence[ScoredBoxes], train_id: int, min_iou: float
) -> NDArray[np.bool_]:
    """Which of a class's detections that count are true ``(N,)``, by descending score."""
    scores: list[float] = []
    best: list[tuple[int, int]] = []  # image and object that a detection overlaps most, object -1 for none
    for image, (of_image, iou) in enumerate(_overlaps(truth, found, train_id)):
        scores.extend(of_image)
        for row in iou:
            position = int(row.argmax()) if row.size and row.max() > min_iou else -1
            best.append((image, position))
    difficult = [t.difficult[t.train_ids == train_id] for t in truth]
    taken: set[tuple[int, int]] = set()
    verdicts = []
    for index in np.argsort(-np.array(scores), kind="stable").tolist():
        image, position = best[index]
        if position >= 0 and difficult[image][position]:
            continue
        verdicts.append(position >= 0 and best[index] not in taken)
        taken.add(best[index])
    return np.array(verdicts, bool)


def _read_precision(verdicts: NDArray[np.bool_], object_count: int) -> float:
    """Mean over the recalls of VOC 2007 of the highest precision that goes with as much or more."""
    true = np.cumsum(verdicts)
    precision = true / np.arange(1, len(true) + 1)
    steps = VOC07_POINTS - 1
    # Compare recalls as products of integers, which is exact; a recall that is never reached gives precision 0.
    highest = [precision[true * steps >= step * object_count].max(initial=0) for step in range(VOC07_POINTS)]
    return float(np.mean(highest))


def compute_corloc(
    truth: Sequence[TrueObjects], found: Sequence[ScoredBoxes], class_count: int, *, min_iou: float = 0.5
) -> NDArray[np.float64]:
    """Share of images with a class in which its detection of highest score is correct (Deselaers et al., IJCV 2012).

    Parameters
    ----------
    truth, found
        One entry per image, in the same order.
    class_count : int
    min_iou : float
        Correct is an IoU above it with any object of the class, difficult ones included.

    Returns
    -------
    (C,) float64
        By class; an image counts if it has an object of the class that is not difficult, and without
        a detection it is a failure. NaN for classes in no such image.

    Raises
    ------
    ValueError
        If numbers of images or of entries differ.
    """
    _check_images(truth, found)
    corloc = np.full(class_count, np.nan)
    for train_id in range(class_count):
        verdicts = []
        for objects, (scores, iou) in zip(truth, _overlaps(truth, found, train_id), strict=True):
            if (~objects.difficult[objects.train_ids == train_id]).any():
                verdicts.append(len(scores) > 0 and bool(iou[np.argmax(scores)].max() > min_iou))
        if verdicts:
            corloc[train_id] = np.mean(verdicts)
    return corloc


def _overlaps(
    truth: Sequence[TrueObjects], found: Sequence[ScoredBoxes], train_id: int
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Scores ``(N,)`` of a class's detections in each image, and their IoU ``(N, M)`` with its objects."""
    for objects, detections in zip(truth, found, strict=True):
        of_class = detections.train_ids == train_id
        true_boxes = _to_xywh(objects.boxes_xyxy[objects.train_ids == train_id])
        boxes = _to_xywh(detections.boxes_xyxy[of_class])
        iou = np.zeros((len(boxes), len(true_boxes)))
        if iou.size:
            iou[:] = coco_mask.iou(boxes, true_boxes, [False] * len(true_boxes))
        yield np.asarray(detections.scores[of_class], np.float64), iou


def _to_xywh(boxes_xyxy: NDArray[Any]) -> NDArray[np.float64]:
    boxes = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4)
    return np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])


def _check_images(truth: Sequence[TrueObjects], found: Sequence[ScoredBoxes]) -> None:
    if len(truth) != len(found):
        raise ValueError(f"ground truth of {len(truth)} images, detections of {len(found)}")
    for objects, detections in zip(truth, found, strict=True):
        check_objects(objects, detections)


def check_objects(truth: TrueObjects, found: ScoredBoxes) -> None:
    """Refuse objects or detections whose attributes differ in length, and scores that are not finite."""
    for entries in (truth, found):
        lengths = [len(value) for value in entries if value is not None]
        if len(set(lengths)) > 1:
            raise ValueError(f"{type(entries).__name__}: attributes have {lengths} entries")
    if not np.isfinite(found.scores).all():
        raise ValueError("a detection has a score that is not finite")
