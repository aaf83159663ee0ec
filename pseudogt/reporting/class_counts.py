"""Counts of each class in labels, beside the images that have the class by their weak labels; needs no ground truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from pseudogt.classes import ClassTable
from pseudogt.weak_labels.records import ImageWeakLabels

COLUMNS = ("name", "isthing", "images", "labelled_images", "boxes", "instances", "pixel_share")
"""Columns of the table that :func:`count_labels` makes."""


class ListedSegments(Protocol):
    """Labels that list the segments of an image, such as a label folder."""

    def segments(self, image_id: str) -> list[dict[str, Any]]:
        """``category_id`` and ``area`` of each segment."""
        ...


def count_labels(
    weak_labels: Mapping[str, ImageWeakLabels], labels: Mapping[str, ListedSegments], classes: ClassTable
) -> list[dict[str, Any]]:
    """Count the images, instances and pixels of each class in labels of training images.

    Parameters
    ----------
    weak_labels, labels : mapping
        By image id. Images without labels count as images that have a class, too.
    classes : ClassTable

    Returns
    -------
    list of dict
        For each class ``name``, ``isthing``, ``images`` (that have it by a tag, a box or a mark), ``labelled_images``
        (those of them whose label has it), ``boxes``, ``instances`` (segments of a thing; 0 for stuff) and
        ``pixel_share`` (of all labelled pixels).
    """
    count = len(classes)
    images, labelled, boxes, instances, areas = np.zeros((5, count), np.int64)
    isthing = np.array(classes.isthing)
    for image_id, weak in weak_labels.items():
        has = weak.tags.copy()
        has[weak.box_classes] = True
        has[weak.marks.classes] = True
        images += has
        boxes += np.bincount(weak.box_classes, minlength=count)
        segments = labels[image_id].segments(image_id) if image_id in labels else []
        train_ids = classes.category_to_train[[segment["category_id"] for segment in segments]].astype(np.int64)
        found = np.bincount(train_ids, minlength=count)
        labelled += has & (found > 0)
        instances += found * isthing
        areas += np.bincount(train_ids, [segment["area"] for segment in segments], count).astype(np.int64)
    columns = [classes.names, classes.isthing, images, labelled, boxes, instances, areas / max(areas.sum(), 1)]
    return [dict(zip(COLUMNS, row, strict=True)) for row in zip(*map(_listed, columns), strict=True)]


def _listed(column: Any) -> list[Any]:
    return np.asarray(column).tolist()
