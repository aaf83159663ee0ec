"""True objects of an image from its annotated boxes, to score detections against."""

from __future__ import annotations

import numpy as np

from pseudogt.annotations.form import ImageAnnotations
from pseudogt.classes import ClassTable
from pseudogt.metrics.detection import TrueObjects
from pseudogt.parsing.values import parse_name


def find_true_objects(annotations: ImageAnnotations, classes: ClassTable) -> TrueObjects:
    """Boxes of an image's objects without masks.

    Parameters
    ----------
    annotations : ImageAnnotations
    classes : ClassTable
        Every object must be of one of its things.

    Raises
    ------
    ValueError
        If an object has no usable box, or is of no thing class.
    """
    name = annotations.file_name
    for broken in annotations.unusable:
        raise ValueError(f"image {name!r}: {broken.problem or f'an object {broken.kind!r} has no box'}; correct it")
    things = {parse_name(classes.names[i]): int(i) for i in classes.thing_ids}
    unknown = [box.label for box in annotations.boxes if box.label not in things]
    if unknown:
        raise ValueError(
            f"image {name!r} has an object {unknown[0]!r}, which is not a thing of dataset.classes; add it"
        )
    return TrueObjects(
        np.array([box.xyxy for box in annotations.boxes], np.float64).reshape(-1, 4),
        np.array([things[box.label] for box in annotations.boxes], np.int64),
        np.array([box.difficult for box in annotations.boxes], bool),
    )
