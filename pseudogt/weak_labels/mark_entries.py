"""Marks in a weak-label file, and in other plain JSON: how they are written and read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pseudogt.classes import ClassTable
from pseudogt.parsing.problems import read_each
from pseudogt.parsing.values import parse_flag, parse_number, parse_whole_number, unify_id
from pseudogt.weak_labels.marks import MASK_RADIUS, NO_OBJECT, UNSETTLED, Mark, Marks, count_runs, make_mask


@dataclass(frozen=True)
class MarkContext:
    """Context for reading the entries of an image.

    Attributes
    ----------
    path : Path
    image_id : str
    size : (H, W)
    to_train : mapping
        Category id -> train id.
    boxes : mapping
        Id of the annotation of each box of the image that has one of its own -> its position and train id.
    box_count : int
        Boxes of the image.
    """

    path: Path
    image_id: str
    size: tuple[int, int]
    to_train: Mapping[int | str, int]
    boxes: Mapping[str, tuple[int, int]]
    box_count: int


def describe_mark(
    mark: Mark, classes: ClassTable, box_count: int, first_annotation: int, size: tuple[int, int]
) -> dict[str, Any]:
    """Entry of a mark.

    Parameters
    ----------
    mark : Mark
    classes : ClassTable
    box_count : int
        Boxes of the image.
    first_annotation : int
        Id of the annotation of the first box; the others follow.
    size : (H, W)
    """
    entry: dict[str, Any] = {"category_id": int(classes.category_ids[mark.train_id])}
    if 0 <= mark.owner < box_count:
        entry["annotation_id"] = first_annotation + mark.owner
    elif mark.owner >= box_count:
        entry["instance"] = mark.owner - box_count + 1
    elif mark.owner == NO_OBJECT and classes.isthing[mark.train_id]:
        # Without a key, the reader would look for a box of this mark alone.
        entry["no_object"] = True
    if mark.radius == MASK_RADIUS:
        return entry | {"segmentation": {"size": list(size), "counts": count_runs(mark, size[0] * size[1])}}
    return entry | {"points": mark.values.tolist(), "radius": mark.radius}


def parse_marks(entries: Sequence[Any], context: MarkContext) -> tuple[Marks, list[tuple[int | None, str]]]:
    """Marks of an image, and unreadable ones: their train id, if it is known, and the problem.

    Broken are an unknown category or annotation, points outside the image and a mask of another size; the message names
    the file and the value.
    """
    instances: dict[tuple[int, str], int] = {}
    marks, broken = [], []
    for (_, entry), mark, error in read_each(enumerate(entries), lambda each: _parse_mark(*each, context, instances)):
        if mark is not None:
            marks.append(mark)
            continue
        category = entry.get("category_id") if isinstance(entry, Mapping) else None
        train_id = context.to_train.get(unify_id(category)) if isinstance(category, int | str) else None
        broken.append((train_id, str(error)))
    return Marks.collect(marks), broken


def _parse_mark(number: int, entry: Any, context: MarkContext, instances: dict[tuple[int, str], int]) -> Mark:
    where = f"{context.path}: image {context.image_id!r}, mark {number}"
    try:
        category = unify_id(entry["category_id"])
        if category not in context.to_train:
            raise ValueError(f"{where} has category_id {category}, not one of {sorted(map(str, context.to_train))}")
        train_id = context.to_train[category]
        owner = UNSETTLED
        if entry.get("annotation_id") is not None:
            owner = _find_box(str(entry["annotation_id"]), train_id, context, where)
        elif entry.get("instance") is not None:
            # Objects without box are numbered after the boxes.
            owner = instances.setdefault((train_id, str(entry["instance"])), context.box_count + len(instances))
        elif parse_flag(entry.get("no_object"), f"{where}, no_object"):
            owner = NO_OBJECT
        return _parse_shape(entry, context.size, train_id, owner, where)
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        what = f"it lacks {error}" if isinstance(error, KeyError) else repr(error)
        raise ValueError(f"{where} is not a mark ({what}); see docs/your-data.md") from error


def _find_box(key: str, train_id: int, context: MarkContext, where: str) -> int:
    position, box_class = context.boxes.get(key, (None, None))
    if position is None:
        raise ValueError(f"{where} belongs to annotation {key}, which is not a box of this image")
    if box_class != train_id:
        raise ValueError(f"{where} is of another class than annotation {key}, to which it belongs")
    return position


def _parse_shape(entry: Mapping[str, Any], size: tuple[int, int], train_id: int, owner: int, where: str) -> Mark:
    if entry.get("segmentation") is not None:
        found, counts = list(entry["segmentation"]["size"]), entry["segmentation"]["counts"]
        runs = [parse_whole_number(count, f"{where}, counts") for count in counts]
        if found != list(size) or min(runs, default=-1) < 0 or sum(runs) != size[0] * size[1]:
            raise ValueError(f"{where}: run lengths of a mask of {found} do not fill the image of {list(size)}")
        return make_mask(train_id, owner, runs)
    radius = parse_number(entry["radius"], f"{where}, radius")
    if not 0 <= radius <= max(size):
        raise ValueError(f"{where} has radius {radius}; it is in pixels, at least 0 and smaller than the image")
    return Mark(train_id, owner, radius, check_vertices(entry["points"], size, where))


def check_vertices(points: Any, size: tuple[int, int], where: str) -> NDArray[np.float64]:
    """Vertices ``(K, 2)`` (x, y), one or more, that lie in the image of ``size`` (H, W)."""
    pairs = [[parse_number(value, f"{where}, points") for value in point] for point in points]
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"{where}: its points are not [[x, y], ...]")
    vertices = np.array(pairs, float)
    outside = (vertices < 0).any(1) | (vertices > [size[1], size[0]]).any(1)
    if outside.any():
        raise ValueError(f"{where}: {vertices[outside][0].tolist()} lies outside the {size[1]}x{size[0]} image")
    return vertices
