"""Weak labels: boxes of things, marks, tags of images and of crops; COCO-style JSON on disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pseudogt.classes import ClassTable
from pseudogt.files.io import read_json, write_json
from pseudogt.files.parsing import parse_flag, parse_number, unify_id
from pseudogt.weak_labels.mark_entries import MarkContext, describe_mark, parse_marks
from pseudogt.weak_labels.marks import NO_MARKS, NO_OBJECT, Marks, find_marked_classes, settle_owners


@dataclass(frozen=True)
class ImageWeakLabels:
    """What is known about one image.

    Attributes
    ----------
    image_id : str
    height, width : int
    boxes_xyxy : (N, 4) int32
        Half-open ``[x0, y0, x1, y1)``, inside the image.
    box_classes : (N,) uint8
        Train ids.
    box_iscrowd : (N,) bool
        True for a box around a group of instances.
    tags : (C,) bool
        Classes anywhere in the image.
    crops_xyxy : (G, 4) int32
        The crops that were tagged; G = 0 if only the whole image was.
    crop_tags : (G, C) bool
    unknown_ids : tuple of int
        Train ids of classes about which the tags say nothing, neither present nor absent.
    marks : Marks
        Points, scribbles and masks.
    partly_boxed_ids : tuple of int
        Train ids of things that have boxes, and marks outside them: boxes do not hold all of them.
    """

    image_id: str
    height: int
    width: int
    boxes_xyxy: NDArray[np.int32]
    box_classes: NDArray[np.uint8]
    box_iscrowd: NDArray[np.bool_]
    tags: NDArray[np.bool_]
    crops_xyxy: NDArray[np.int32]
    crop_tags: NDArray[np.bool_]
    unknown_ids: tuple[int, ...] = ()
    marks: Marks = NO_MARKS
    partly_boxed_ids: tuple[int, ...] = ()

    @property
    def known(self) -> NDArray[np.bool_]:
        """Classes ``(C,)`` whose tags say something."""
        known = np.ones(len(self.tags), bool)
        known[list(self.unknown_ids)] = False
        return known

    @property
    def possible(self) -> NDArray[np.bool_]:
        """Classes ``(C,)`` that may be in the image: those that are, and those of which nobody knows."""
        return self.tags | ~self.known

    @property
    def object_classes(self) -> NDArray[np.uint8]:
        """Train ids of all objects: of the boxes ``(N,)``, then of those that marks alone show."""
        owners = self.marks.owners
        found = np.zeros(max(len(self.boxes_xyxy), owners.max(initial=NO_OBJECT) + 1), np.uint8)
        found[owners[owners >= 0]] = self.marks.classes[owners >= 0]
        found[: len(self.boxes_xyxy)] = self.box_classes
        return found

    def without_boxes(self) -> ImageWeakLabels:
        """The same, less the boxes."""
        return replace(
            self,
            boxes_xyxy=self.boxes_xyxy[:0],
            box_classes=self.box_classes[:0],
            box_iscrowd=self.box_iscrowd[:0],
        )


def complete_marks(weak: ImageWeakLabels, classes: ClassTable) -> ImageWeakLabels:
    """Let marks say all they imply: their objects, and the tags of the image and of the crops that they lie in.

    A class with a mark is known to be in an image without crops, even if its tag was unknown.
    """
    if not len(weak.marks):
        return weak
    size, count = (weak.height, weak.width), len(classes)
    marks = settle_owners(weak.marks, weak.boxes_xyxy, weak.box_classes, weak.box_iscrowd, classes.isthing, size)
    marked = np.isin(np.arange(count), marks.classes)
    known_now = marked if not len(weak.crops_xyxy) else np.zeros(count, bool)
    outside = marks.classes[marks.owners >= len(weak.boxes_xyxy)]
    return replace(
        weak,
        marks=marks,
        tags=weak.tags | marked,
        crop_tags=weak.crop_tags | find_marked_classes(marks, weak.crops_xyxy, size, count),
        unknown_ids=tuple(train_id for train_id in weak.unknown_ids if not known_now[train_id]),
        partly_boxed_ids=tuple(np.intersect1d(outside, weak.box_classes).tolist()),
    )


def write_weak_labels(path: Path | str, images: Iterable[ImageWeakLabels], classes: ClassTable) -> None:
    """Write COCO-style JSON with ``image_tags``, ``crop_tags`` and, if there are, ``unknown_tags`` and ``marks``."""
    document: dict[str, Any] = {
        "images": [],
        "categories": classes.to_categories(),
        "annotations": [],
        "image_tags": {},
        "crop_tags": {},
    }
    to_category = [int(c) for c in classes.category_ids]
    for image in images:
        document["images"].append({"id": image.image_id, "height": image.height, "width": image.width})
        document["image_tags"][image.image_id] = [to_category[i] for i in np.flatnonzero(image.tags)]
        if image.unknown_ids:
            unknown = document.setdefault("unknown_tags", {})
            unknown[image.image_id] = [to_category[i] for i in image.unknown_ids]
        if len(image.crops_xyxy):
            document["crop_tags"][image.image_id] = [
                {"crop_xyxy": crop.tolist(), "tags": [to_category[i] for i in np.flatnonzero(tags)]}
                for crop, tags in zip(image.crops_xyxy, image.crop_tags, strict=True)
            ]
        if len(image.marks):
            first_id = len(document["annotations"]) + 1
            document.setdefault("marks", {})[image.image_id] = [
                describe_mark(mark, to_category, len(image.boxes_xyxy), first_id, (image.height, image.width))
                for mark in image.marks
            ]
        columns = (image.boxes_xyxy.tolist(), image.box_classes.tolist(), image.box_iscrowd.tolist())
        for (x0, y0, x1, y1), train_id, crowd in zip(*columns, strict=True):
            document["annotations"].append(
                {
                    "id": len(document["annotations"]) + 1,
                    "image_id": image.image_id,
                    "category_id": to_category[train_id],
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": (x1 - x0) * (y1 - y0),
                    "iscrowd": int(crowd),
                }
            )
    write_json(path, document, indent=None)


def read_weak_labels(paths: Iterable[Path | str]) -> tuple[dict[str, ImageWeakLabels], ClassTable]:
    """Weak labels of all images in the given files (in file order) and their class table.

    Raises
    ------
    ValueError
        For a missing or broken file, an unknown category or image, an inverted or outside box,
        class tables that differ; the message names the file and the value.
    """
    images: dict[str, ImageWeakLabels] = {}
    table: ClassTable | None = None
    for path in paths:
        document = read_json(path)
        try:
            classes = ClassTable.from_categories(document["categories"])
            parsed = _parse_document(document, classes, Path(path))
        except (KeyError, TypeError, AttributeError, IndexError, ArithmeticError) as error:
            raise ValueError(f"{path}: not a file of weak labels ({error!r}); see docs/your-data.md") from error
        except ValueError as error:
            named = str(error) if str(path) in str(error) else f"{path}: {error}"
            raise ValueError(named) from error
        if table is not None and classes != table:
            raise ValueError(f"{path}: its categories differ from those of the files before it")
        table = classes
        for image in parsed:
            if image.image_id in images:
                raise ValueError(f"{path}: image {image.image_id!r} is listed twice")
            images[image.image_id] = image
    if table is None:
        raise ValueError("no weak-label file given")
    return images, table


def _parse_document(document: dict[str, Any], classes: ClassTable, path: Path) -> list[ImageWeakLabels]:
    sizes = {str(i["id"]): (int(i["height"]), int(i["width"])) for i in document["images"]}
    to_train = {unify_id(c): i for i, c in enumerate(classes.category_ids)}
    boxes = _parse_boxes(document["annotations"], sizes, to_train, path)
    unknown, crops = document.get("unknown_tags", {}), document.get("crop_tags", {})
    marks = document.get("marks", {})
    strangers = [image_id for image_id in marks if image_id not in sizes]
    if strangers:
        raise ValueError(f"{path}: 'marks' names image {strangers[0]!r}, which is not in 'images'")
    parsed = []
    for image_id, (height, width) in sizes.items():
        encode = partial(_encode_tags, to_train=to_train, classes=classes, where=f"{path}: image {image_id!r}")
        own_boxes, own_crops = boxes[image_id], crops.get(image_id, [])
        keys = {box.key: (position, box.train_id) for position, box in enumerate(own_boxes)}
        context = MarkContext(path, image_id, (height, width), to_train, keys)
        parsed.append(
            ImageWeakLabels(
                image_id=image_id,
                height=height,
                width=width,
                boxes_xyxy=np.array([box.corners for box in own_boxes], np.int32).reshape(-1, 4),
                box_classes=np.array([box.train_id for box in own_boxes], np.uint8),
                box_iscrowd=np.array([box.iscrowd for box in own_boxes], bool),
                tags=encode(document["image_tags"].get(image_id, [])),
                crops_xyxy=np.array([c["crop_xyxy"] for c in own_crops], np.int32).reshape(-1, 4),
                crop_tags=np.array([encode(c["tags"]) for c in own_crops], bool).reshape(-1, len(classes)),
                unknown_ids=tuple(np.flatnonzero(encode(unknown.get(image_id, []))).tolist()),
                marks=parse_marks(marks[image_id], context) if image_id in marks else NO_MARKS,
            )
        )
    return [complete_marks(image, classes) for image in parsed]


class _Box(NamedTuple):
    """A box of a file, and its id there."""

    key: str
    corners: list[int]
    train_id: int
    iscrowd: bool


def _parse_boxes(
    annotations: Iterable[dict[str, Any]],
    sizes: Mapping[str, tuple[int, int]],
    to_train: Mapping[int | str, int],
    path: Path,
) -> dict[str, list[_Box]]:
    """Boxes of all annotations, by image."""
    boxes: dict[str, list[_Box]] = {image_id: [] for image_id in sizes}
    for annotation in annotations:
        image_id, category_id = str(annotation["image_id"]), unify_id(annotation["category_id"])
        where = f"{path}: annotation {annotation['id']}"
        if image_id not in sizes:
            raise ValueError(f"{where} names image {image_id!r}, which is not in 'images'")
        if category_id not in to_train:
            raise ValueError(f"{where} has category_id {category_id}, not one of {sorted(to_train)}")
        box = _check_box(annotation["bbox"], *sizes[image_id], where=where)
        iscrowd = parse_flag(annotation.get("iscrowd"), f"{where}, iscrowd")
        boxes[image_id].append(_Box(str(annotation["id"]), box, to_train[category_id], iscrowd))
    return boxes


def _encode_tags(
    categories: Sequence[int | str], *, to_train: Mapping[int | str, int], classes: ClassTable, where: str
) -> NDArray[np.bool_]:
    """Whether each class ``(C,)`` is among the categories."""
    unknown = [c for c in categories if unify_id(c) not in to_train]
    if unknown:
        raise ValueError(f"{where}: tags {unknown} are not in 'categories'")
    return classes.encode_tags(to_train[unify_id(c)] for c in categories)


def _check_box(bbox: list[float], height: int, width: int, *, where: str) -> list[int]:
    x, y, w, h = (parse_number(value, f"{where}, bbox") for value in bbox)
    x0, y0, x1, y1 = int(np.floor(x)), int(np.floor(y)), int(np.ceil(x + w)), int(np.ceil(y + h))
    if w <= 0 or h <= 0:
        raise ValueError(f"{where}: bbox {bbox} is empty or inverted; it is [x, y, width, height]")
    if x0 < 0 or y0 < 0 or x1 > width or y1 > height:
        raise ValueError(f"{where}: bbox {bbox} sticks out of the {width}x{height} image; clip it")
    return [x0, y0, x1, y1]
