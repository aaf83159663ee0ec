"""Weak labels as an annotator would give them, derived from full masks for a benchmark."""

from __future__ import annotations

from collections.abc import Container, Iterable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from pseudogt.classes import IGNORE_LABEL, INSTANCE_DIVISOR, VOID, ClassTable, panoptic_to_semantic
from pseudogt.config.weak_labels import WeakLabelsSettings
from pseudogt.weak_labels.clicks import Drawn, draw_in_segments, draw_points, draw_strokes
from pseudogt.weak_labels.crops import crop_grid
from pseudogt.weak_labels.marks import NO_OBJECT, Mark, Marks
from pseudogt.weak_labels.records import ImageWeakLabels, complete_marks


def derive_weak_labels(
    image_id: str,
    panoptic_id: NDArray[np.int32],
    crowd_ids: Container[int],
    classes: ClassTable,
    settings: WeakLabelsSettings,
    unknown_categories: Iterable[int] = (),
) -> ImageWeakLabels:
    """Boxes and tags of one image.

    Parameters
    ----------
    image_id : str
    panoptic_id : (H, W) int32
        Ground truth, ``VOID`` where nothing is known.
    crowd_ids
        Panoptic ids that are groups.
    classes : ClassTable
    settings : WeakLabelsSettings
    unknown_categories
        Ids of the categories that may be where nothing is known.

    Returns
    -------
    ImageWeakLabels
        If wanted, a tight box per thing instance and one around all pixels of each group, ordered by
        panoptic id; tags of the image; tags of each crop unless ``tags`` is ``image``; points or a stroke in each
        segment for which ``points`` or ``scribbles`` ask.
    """
    height, width = panoptic_id.shape
    boxes, box_classes, iscrowd = find_boxes(panoptic_id, crowd_ids, classes)
    kept = (~iscrowd | settings.group_boxes) & settings.boxes
    semantic = panoptic_to_semantic(panoptic_id, classes)
    if not settings.group_tags:
        groups = [segment_id for segment_id in np.unique(panoptic_id).tolist() if segment_id in crowd_ids]
        semantic[np.isin(panoptic_id, groups)] = IGNORE_LABEL
    crops = np.zeros((0, 4), np.int32)
    if settings.tags == "crop":
        crops = crop_grid(height, width, settings.crop_height_fraction, settings.crop_width_fraction)
    can_tag = np.array([settings.thing_tags or not thing for thing in classes.isthing])
    tags = find_tags(semantic, np.array([[0, 0, width, height]]), len(classes))[0] & can_tag
    unknown = sorted(int(classes.category_to_train[category]) for category in unknown_categories)
    weak = ImageWeakLabels(
        image_id=image_id,
        height=height,
        width=width,
        boxes_xyxy=boxes[kept],
        box_classes=box_classes[kept],
        box_iscrowd=iscrowd[kept],
        tags=tags,
        crops_xyxy=crops,
        crop_tags=find_tags(semantic, crops, len(classes)) & can_tag,
        unknown_ids=tuple(train_id for train_id in unknown if not tags[train_id]),
        marks=_derive_marks(image_id, panoptic_id, crowd_ids, classes, settings),
    )
    return complete_marks(weak, classes)


def _derive_marks(
    image_id: str,
    panoptic_id: NDArray[np.int32],
    crowd_ids: Container[int],
    classes: ClassTable,
    settings: WeakLabelsSettings,
) -> Marks:
    """A mark in each segment that is asked for; it belongs to the segment's box, if there is one."""
    isthing = np.array(classes.isthing)
    wanted = {"stuff": ~isthing, "things": isthing, "all": np.ones(len(classes), bool)}
    drawn: list[Drawn] = []
    click = partial(draw_points, count=settings.points_per_segment)
    for asked, draw in ((settings.points, click), (settings.scribbles, draw_strokes)):
        if asked:
            drawn += draw_in_segments(
                draw, image_id, panoptic_id, crowd_ids, classes, wanted[asked], seed=settings.points_seed
            )
    things = [int(i) for i in np.unique(panoptic_id) if i != VOID and isthing[_find_class(int(i), classes)]]
    boxed = [i for i in things if settings.boxes and (settings.group_boxes or i not in crowd_ids)]
    # Objects are numbered as their boxes are, those without box after them.
    numbers = {segment_id: number for number, segment_id in enumerate(boxed)}
    owners = [numbers.setdefault(m.segment_id, len(numbers)) if isthing[m.train_id] else NO_OBJECT for m in drawn]
    # A stroke is thinner where the segment is; of a point the radius is what the setting says.
    radii = [min(settings.point_radius_px, m.room if len(m.vertices) > 1 else np.inf) for m in drawn]
    return Marks.collect(
        Mark(mark.train_id, owner, radius, mark.vertices)
        for mark, owner, radius in zip(drawn, owners, radii, strict=True)
    )


def _find_class(segment_id: int, classes: ClassTable) -> int:
    return int(classes.category_to_train[segment_id // INSTANCE_DIVISOR])


def find_boxes(
    panoptic_id: NDArray[np.int32], crowd_ids: Container[int], classes: ClassTable
) -> tuple[NDArray[np.int32], NDArray[np.uint8], NDArray[np.bool_]]:
    """Tight half-open boxes ``(N, 4) int32`` of all thing segments, their train ids and whether they are groups."""
    # Number the ids from 1; find_objects then finds all tight boxes in one pass.
    ids, index = np.unique(panoptic_id, return_inverse=True)
    slices = find_objects(index.reshape(panoptic_id.shape) + 1)
    boxes, train_ids, iscrowd = [], [], []
    for segment_id, (rows, columns) in zip(ids.tolist(), slices, strict=True):
        train_id = _find_class(segment_id, classes)
        if segment_id == VOID or not classes.isthing[train_id]:
            continue
        boxes.append((columns.start, rows.start, columns.stop, rows.stop))
        train_ids.append(train_id)
        iscrowd.append(segment_id in crowd_ids)
    return np.array(boxes, np.int32).reshape(-1, 4), np.array(train_ids, np.uint8), np.array(iscrowd, bool)


def find_tags(semantic: NDArray[np.uint8], crops_xyxy: NDArray[np.int32], class_count: int) -> NDArray[np.bool_]:
    """Classes ``(N, C) bool`` that occur in each crop of train ids ``(H, W) uint8``."""
    tags = np.zeros((len(crops_xyxy), class_count), bool)
    for row, (x0, y0, x1, y1) in zip(tags, crops_xyxy, strict=True):
        row[:] = np.bincount(semantic[y0:y1, x0:x1].ravel(), minlength=256)[:class_count] > 0
    return tags
