"""How often each class occurs in weak labels or in the ground truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pseudogt.checking.findings import COUNTED
from pseudogt.checking.images import ImageFindings
from pseudogt.checking.labelling import describe_labelling
from pseudogt.classes import ClassTable
from pseudogt.weak_labels.acts import count_full_acts
from pseudogt.weak_labels.records import ImageWeakLabels


def count_weak_labels(images: Sequence[ImageWeakLabels], classes: ClassTable) -> list[dict[str, Any]]:
    """Images, boxes and marks of each class in weak labels; kinds of marks that do not occur are left out."""
    tagged = np.sum([image.tags for image in images], 0)
    unknown = np.sum([~image.known for image in images], 0)
    boxes = np.sum([np.bincount(image.box_classes, minlength=len(classes)) for image in images], 0)
    rows = _tabulate_classes(classes, tagged.tolist(), boxes.tolist(), unknown.tolist())
    counts = Counter((mark.train_id, f"{mark.kind}s") for image in images for mark in image.marks)
    found = {kind for _, kind in counts}
    for kind in (kind for kind in ("points", "scribbles", "masks") if kind in found):
        rows = [row | {kind: counts[train_id, kind]} for train_id, row in enumerate(rows)]
    return rows


def count_ground_truth(checked: Iterable[ImageFindings], classes: ClassTable) -> list[dict[str, Any]]:
    """Images and instances of each class in the ground truth."""
    images = Counter(train_id for image in checked for train_id in image.present)
    boxes = Counter(train_id for image in checked for train_id in image.instances)
    everywhere = range(len(classes))
    return _tabulate_classes(
        classes, [images[i] for i in everywhere], [boxes[i] for i in everywhere], [0] * len(classes)
    )


def _tabulate_classes(
    classes: ClassTable, images: Sequence[int], boxes: Sequence[int], unknown: Sequence[int]
) -> list[dict[str, Any]]:
    """One row per class."""
    columns = zip(classes.names, classes.isthing, images, unknown, boxes, strict=True)
    return [dict(zip(COUNTED, row, strict=True)) for row in columns]


def describe_gaps(checked: Iterable[ImageFindings], rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Classes that never occur in the ground truth and images without any class."""
    warnings = [
        f"class {row['name']!r} occurs in no image; take it out of dataset.classes" for row in rows if not row["images"]
    ]
    warnings += [
        f"class {row['name']!r} is a thing, but no pixel of it has an instance number, so it gives no boxes; if the "
        "instance files hold plain numbers, set dataset.instance_divisor to null"
        for row in rows
        if row["isthing"] and row["images"] and not row["boxes"]
    ]
    return warnings + [
        f"image {image.image_id!r} holds no class, so it gets no box and no tag; take it off the list"
        for image in checked
        if not image.problems and not image.present
    ]


def describe_full_labelling(checked: Iterable[ImageFindings], classes: ClassTable) -> str:
    """What full labels of the training images cost: an outline for each object and each class of stuff."""
    train = [image for image in checked if image.split == "train" and image.present]
    stuff = set(classes.stuff_ids)
    acts = sum(
        (count_full_acts([*(image.present & stuff), *image.instances], len(classes)) for image in train), Counter()
    )
    return describe_labelling(acts, ["full labels"], len(train)) if train else ""
