"""Mask and box AP of things from run-length masks in memory.

hotcoco, a port of pycocotools to Rust, evaluates; its precision equals that of pycocotools, which the tests compare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from hotcoco import COCO, COCOeval
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from pseudogt.classes import INSTANCE_DIVISOR, VOID, ClassTable, panoptic_to_semantic


@dataclass(frozen=True)
class AveragePrecision:
    """Mask or box AP; NaN where there is no ground truth.

    Attributes
    ----------
    ap, ap50, ap75 : float
        Mean over the classes that occur in the ground truth; ``ap`` over IoU 0.50, 0.55, ..., 0.95.
    per_class_ap, per_class_ap50, per_class_ap75 : (C,) float64
        By train id; NaN for stuff.
    """

    ap: float
    ap50: float
    ap75: float
    per_class_ap: NDArray[np.float64]
    per_class_ap50: NDArray[np.float64]
    per_class_ap75: NDArray[np.float64]


@dataclass(frozen=True)
class ImageThings:
    """Thing segments of one image as COCO annotations without ``id`` and ``image_id``."""

    height: int
    width: int
    truth: list[dict[str, Any]]
    detections: list[dict[str, Any]]


def encode_segments(panoptic_id: NDArray[np.int32]) -> dict[int, dict[str, Any]]:
    """Compressed COCO run-length masks of all segments of a map, from one pass over it.

    Parameters
    ----------
    panoptic_id : (H, W) int32

    Returns
    -------
    dict
        ``id -> {"size": [H, W], "counts": bytes}``, ascending, without ``VOID``; each equal to
        ``pycocotools.mask.encode`` of ``panoptic_id == id``.
    """
    height, width = panoptic_id.shape
    # Cut the map, read column by column as COCO does, into runs of one id: (R,) starts and ends.
    column_major = panoptic_id.ravel(order="F")
    starts = np.concatenate(([0], np.flatnonzero(column_major[1:] != column_major[:-1]) + 1))
    ends = np.append(starts[1:], column_major.size)
    # Group the runs by id; the stable sort keeps the runs of a segment in reading order.
    order = np.argsort(column_major[starts], kind="stable")
    ids, first = np.unique(column_major[starts][order], return_index=True)
    encoded = {}
    for segment_id, runs in zip(ids.tolist(), np.split(order, first[1:]), strict=True):
        if segment_id == VOID:
            continue
        # Differences of the edges are the lengths of runs outside and inside the segment in turn, outside first.
        edges = np.stack([starts[runs], ends[runs]], axis=1).ravel()
        counts = np.diff(edges, prepend=0).tolist()
        if edges[-1] < column_major.size:
            counts.append(column_major.size - int(edges[-1]))
        encoded[segment_id] = coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    return encoded


def describe_things(
    truth: NDArray[np.int32], predicted: NDArray[np.int32], scores: Mapping[int, float], classes: ClassTable
) -> ImageThings:
    """Thing segments of one image, ready for :func:`compute_average_precision`.

    Parameters
    ----------
    truth, predicted : (H, W) int32
        Panoptic ids. Things with k = 0 are crowds in the ground truth, nothing in a prediction.
    scores
        Confidence of every predicted thing segment by its id.
    classes : ClassTable

    Raises
    ------
    ValueError
        If sizes differ or a predicted thing segment has no score.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"ground truth {truth.shape} and prediction {predicted.shape} differ in size")
    true_things = describe_true_things(truth, classes)
    detections = [a for a in _describe_map(predicted, classes) if a["segment_id"] % INSTANCE_DIVISOR]
    without = [a["segment_id"] for a in detections if a["segment_id"] not in scores]
    if without:
        raise ValueError(f"the predicted segments {without[:5]} have no score in segments_info")
    for annotation in detections:
        annotation["score"] = float(scores[annotation["segment_id"]])
    height, width = truth.shape
    return ImageThings(height, width, true_things, detections)


def describe_true_things(panoptic_id: NDArray[np.int32], classes: ClassTable) -> list[dict[str, Any]]:
    """Things of a ground truth ``(H, W)`` as COCO annotations without ``id`` and ``image_id``; k = 0 is a crowd."""
    things = _describe_map(panoptic_id, classes)
    return [thing | {"iscrowd": int(thing["segment_id"] % INSTANCE_DIVISOR == 0)} for thing in things]


def _describe_map(panoptic_id: NDArray[np.int32], classes: ClassTable) -> list[dict[str, Any]]:
    encoded = encode_segments(panoptic_id)
    train_ids = panoptic_to_semantic(np.array(list(encoded), np.int32), classes)
    return [
        {
            "segment_id": segment_id,
            "category_id": segment_id // INSTANCE_DIVISOR,
            "segmentation": mask,
            "area": int(coco_mask.area(mask)),
            "bbox": coco_mask.toBbox(mask).tolist(),
        }
        for (segment_id, mask), is_thing in zip(encoded.items(), np.isin(train_ids, classes.thing_ids), strict=True)
        if is_thing
    ]


def compute_average_precision(
    images: Sequence[ImageThings],
    classes: ClassTable,
    *,
    max_detections: int = INSTANCE_DIVISOR,
    overlap: Literal["segm", "bbox"] = "segm",
) -> AveragePrecision:
    """Mask or box AP over images by the rules of COCO.

    Parameters
    ----------
    images : sequence of ImageThings
    classes : ClassTable
    max_detections : int
        Segments of the highest score that count per image and class. COCO takes 100; a panoptic
        map has no overlapping candidates, so a limit only hurts images with more objects.
    overlap : str
        What IoU is measured on: masks (``segmentation``) or boxes (``bbox``).

    Returns
    -------
    AveragePrecision
        All NaN without images or things.
    """
    thing_ids = classes.thing_ids
    if not images or not len(thing_ids):
        nowhere = np.full(len(classes), np.nan)
        return AveragePrecision(np.nan, np.nan, np.nan, nowhere, nowhere.copy(), nowhere.copy())
    precision = _evaluate(images, classes, max_detections, overlap)
    # All IoU thresholds, 0.50 alone and 0.75 alone.
    parts = precision, precision[:1], precision[5:6]
    overall = [_mean_valid(part) for part in parts]
    per_class = [_average_by_class(part, classes) for part in parts]
    return AveragePrecision(
        ap=overall[0],
        ap50=overall[1],
        ap75=overall[2],
        per_class_ap=per_class[0],
        per_class_ap50=per_class[1],
        per_class_ap75=per_class[2],
    )


def _evaluate(
    images: Sequence[ImageThings], classes: ClassTable, max_detections: int, overlap: str
) -> NDArray[np.float64]:
    """Precision ``(10 IoU thresholds, 101 recalls, things)`` over objects of all areas; -1 = no ground truth."""
    truth = _make_coco([i.truth for i in images], images, classes)
    detections = _make_coco([i.detections for i in images], images, classes)
    evaluation = COCOeval(truth, detections, overlap)
    parameters = evaluation.params
    parameters.cat_ids = [classes.category_ids[i] for i in classes.thing_ids]
    parameters.max_dets = [max_detections]
    parameters.area_rng = parameters.area_rng[:1]
    parameters.area_rng_lbl = parameters.area_rng_lbl[:1]
    evaluation.evaluate()
    evaluation.accumulate()
    assert evaluation.eval is not None
    return np.asarray(evaluation.eval["precision"])[:, :, :, 0, 0]


def _make_coco(annotations: Sequence[list[dict[str, Any]]], images: Sequence[ImageThings], classes: ClassTable) -> COCO:
    numbered = [{**a, "image_id": i} for i, of_image in enumerate(annotations, start=1) for a in of_image]
    return COCO(
        {
            "images": [{"id": i, "height": m.height, "width": m.width} for i, m in enumerate(images, start=1)],
            "categories": classes.to_categories(),
            "annotations": [{**a, "id": n} for n, a in enumerate(numbered, start=1)],
        }
    )


def _average_by_class(precision: NDArray[np.float64], classes: ClassTable) -> NDArray[np.float64]:
    """Mean ``(C,)`` over IoU thresholds and recalls of ``(T, R, things)``; NaN for stuff."""
    means = np.full(len(classes), np.nan)
    means[classes.thing_ids] = [_mean_valid(precision[:, :, k]) for k in range(precision.shape[2])]
    return means


def _mean_valid(precision: NDArray[np.float64]) -> float:
    valid = precision[precision > -1]
    return float(valid.mean()) if valid.size else float("nan")
