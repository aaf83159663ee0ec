"""All scores of a file of detections: AP of COCO and of VOC 2007 on val, CorLoc on train.

Objects and detections are COCO annotations, as :mod:`pseudogt.files.detections` reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pseudogt.classes import ClassTable
from pseudogt.metrics.average_precision import ImageThings, compute_average_precision
from pseudogt.metrics.detection import ScoredBoxes, TrueObjects, compute_corloc, compute_voc_average_precision

Annotations = Sequence[dict[str, Any]]

DETECTION_KEYS = ("box_ap", "box_ap50", "box_ap75", "mask_ap", "mask_ap50", "mask_ap75", "voc_ap")
LOCALISATION_KEYS = ("corloc",)
MEASURE_KEYS = {"ap": DETECTION_KEYS, "corloc": LOCALISATION_KEYS}
"""Scores of each measure."""


def score_detections(
    sizes: Mapping[str, tuple[int, int]],
    truth: Mapping[str, Annotations],
    found: Mapping[str, Annotations],
    classes: ClassTable,
    *,
    max_detections: int,
) -> dict[str, Any]:
    """AP of boxes, of masks and of VOC 2007.

    Parameters
    ----------
    sizes : mapping
        ``(H, W)`` of every image that is scored.
    truth, found : mapping
        Objects of every image; detections of those that have any.
    classes : ClassTable
    max_detections : int
        Detections of the highest score that count for COCO's AP, of an image and class.

    Returns
    -------
    dict
        ``DETECTION_KEYS``; ``per_class``, the same by name of the thing; ``images``, ``objects``, ``categories``.
        None where nothing applies: a class without objects, masks where an object or a detection has none.

    Raises
    ------
    ValueError
        If a detection is of an image that is not scored, or of no thing class.
    """
    _check_found(found, sizes, classes)
    images = [
        ImageThings(*size, list(truth[i]), [{"area": _measure_area(each), **each} for each in found.get(i, ())])
        for i, size in sizes.items()
    ]
    kinds: list[tuple[str, Any]] = [("box", "bbox")]
    if all("segmentation" in each for image in images for each in (*image.truth, *image.detections)):
        kinds.append(("mask", "segm"))
    by_key: dict[str, tuple[float, NDArray[np.float64]]] = {}
    for name, overlap in kinds:
        ap = compute_average_precision(images, classes, max_detections=max_detections, overlap=overlap)
        by_key[f"{name}_ap"] = (ap.ap, ap.per_class_ap)
        by_key[f"{name}_ap50"] = (ap.ap50, ap.per_class_ap50)
        by_key[f"{name}_ap75"] = (ap.ap75, ap.per_class_ap75)
    voc = compute_voc_average_precision(
        [gather_objects(truth[i], classes) for i in sizes],
        [gather_found(found.get(i, ()), classes) for i in sizes],
        len(classes),
    )
    by_key["voc_ap"] = (_mean_known(voc), voc)
    return _arrange(by_key, DETECTION_KEYS, classes) | _count(truth, sizes, classes)


def score_localisation(
    truth: Mapping[str, Annotations], found: Mapping[str, Annotations], classes: ClassTable
) -> dict[str, Any]:
    """CorLoc; of the detections, :func:`keep_best` are enough.

    Returns
    -------
    dict
        ``LOCALISATION_KEYS``, otherwise as :func:`score_detections`.

    Raises
    ------
    ValueError
        As :func:`score_detections`.
    """
    _check_found(found, truth, classes)
    objects = [gather_objects(each, classes) for each in truth.values()]
    corloc = compute_corloc(objects, [gather_found(found.get(i, ()), classes) for i in truth], len(classes))
    by_key = {"corloc": (_mean_known(corloc), corloc)}
    return _arrange(by_key, LOCALISATION_KEYS, classes) | _count(truth, truth, classes)


def score_nothing(keys: Iterable[str]) -> dict[str, Any]:
    """Scores without a single image: all are None."""
    return dict.fromkeys(keys) | {"per_class": {}, "images": 0, "objects": 0, "categories": []}


def keep_best(found: Annotations) -> list[dict[str, Any]]:
    """The detection of highest score of each class, the first of equal ones."""
    best: dict[int, dict[str, Any]] = {}
    for each in found:
        of_class = best.get(each["category_id"])
        if of_class is None or each["score"] > of_class["score"]:
            best[each["category_id"]] = each
    return list(best.values())


def gather_objects(annotations: Annotations, classes: ClassTable) -> TrueObjects:
    """Boxes of one image's objects; crowds are difficult."""
    return TrueObjects(
        _gather_boxes(annotations), _gather_train_ids(annotations, classes), _gather(annotations, "iscrowd", bool)
    )


def gather_found(annotations: Annotations, classes: ClassTable) -> ScoredBoxes:
    """Boxes and scores of one image's detections."""
    return ScoredBoxes(
        _gather_boxes(annotations), _gather_train_ids(annotations, classes), _gather(annotations, "score", np.float64)
    )


def _gather(annotations: Annotations, key: str, kind: Any) -> NDArray[Any]:
    return np.array([each[key] for each in annotations], kind)


def _gather_boxes(annotations: Annotations) -> NDArray[np.float64]:
    boxes = _gather(annotations, "bbox", np.float64).reshape(-1, 4)
    return np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])


def _gather_train_ids(annotations: Annotations, classes: ClassTable) -> NDArray[np.int64]:
    return np.asarray(classes.category_to_train[_gather(annotations, "category_id", np.int64)], np.int64)


def _measure_area(annotation: Mapping[str, Any]) -> float:
    return float(annotation["bbox"][2] * annotation["bbox"][3])


def _check_found(found: Mapping[str, Annotations], scored: Iterable[str], classes: ClassTable) -> None:
    unlisted = sorted(set(found) - set(scored))
    if unlisted:
        raise ValueError(f"image {unlisted[0]!r} has detections but no entry among the true objects; recompute both")
    things = {classes.category_ids[i] for i in classes.thing_ids}
    for image_id, of_image in found.items():
        for each in of_image:
            if each["category_id"] not in things:
                raise ValueError(
                    f"image {image_id!r}: a detection of category {each['category_id']}, which is not a thing"
                )


def _arrange(
    by_key: Mapping[str, tuple[float, NDArray[np.float64]]], keys: Iterable[str], classes: ClassTable
) -> dict[str, Any]:
    """Scores by key, overall and by class; keys that were not computed are None."""

    def pick(train_id: int | None) -> dict[str, float | None]:
        values = {key: mean if train_id is None else each[train_id] for key, (mean, each) in by_key.items()}
        return {key: None if np.isnan(values.get(key, np.nan)) else float(values[key]) for key in keys}

    return pick(None) | {"per_class": {classes.names[i]: pick(int(i)) for i in classes.thing_ids}}


def _count(truth: Mapping[str, Annotations], scored: Iterable[str], classes: ClassTable) -> dict[str, Any]:
    image_ids = list(scored)
    return {
        "images": len(image_ids),
        "objects": sum(not each["iscrowd"] for i in image_ids for each in truth[i]),
        "categories": classes.to_categories(),
    }


def _mean_known(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
