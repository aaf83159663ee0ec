"""Files of weak labels: COCO-style JSON with tags of images and crops, and marks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NotRequired

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from pseudogt.classes import ClassTable
from pseudogt.files.io import read_json, write_json
from pseudogt.parsing.documents import fit_record
from pseudogt.parsing.problems import read_each, shorten_list
from pseudogt.parsing.values import Coordinate, Extent, Flag, unify_id
from pseudogt.weak_labels.mark_entries import MarkContext, describe_mark, parse_marks
from pseudogt.weak_labels.marks import NO_MARKS, Marks
from pseudogt.weak_labels.records import ImageWeakLabels, complete_marks


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
                describe_mark(mark, classes, len(image.boxes_xyxy), first_id, (image.height, image.width))
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


class WeakLabelFile(NamedTuple):
    """Content of a weak-label file.

    Attributes
    ----------
    images : dict
        Weak labels by image id, in file order. What a broken record may have been about is unknown in its image.
    classes : ClassTable
    broken : list of str
        Records that can't be read and are left out, each naming file and value.
    """

    images: dict[str, ImageWeakLabels]
    classes: ClassTable
    broken: list[str]


def read_weak_labels(paths: Iterable[Path | str]) -> tuple[dict[str, ImageWeakLabels], ClassTable]:
    """Weak labels of all images in the given files (in file order) and their class table.

    Raises
    ------
    ValueError
        For a missing file or one of another kind, a record that can't be read, class tables that differ; the message
        names the file and the value.
    """
    images: dict[str, ImageWeakLabels] = {}
    table: ClassTable | None = None
    for path in paths:
        found, classes, broken = read_weak_label_file(Path(path))
        if broken:
            raise ValueError("\n".join(shorten_list(broken)))
        if table is not None and classes != table:
            raise ValueError(f"{path}: its categories differ from those of the files before it")
        table = classes
        twice = next((image_id for image_id in found if image_id in images), None)
        if twice is not None:
            raise ValueError(f"{path}: image {twice!r} is listed twice")
        images |= found
    if table is None:
        raise ValueError("no weak-label file given")
    return images, table


def read_weak_label_file(path: Path) -> WeakLabelFile:
    """Read a file of weak labels; a record that can't be read hides no other.

    Raises
    ------
    ValueError
        If there is no such file, or it is of another kind.
    """
    document = read_json(path)
    try:
        parser = _Parser(document, path)
        images = parser.parse()
    except (KeyError, TypeError, AttributeError, IndexError, ArithmeticError) as error:
        what = f"an entry lacks {error}" if isinstance(error, KeyError) else repr(error)
        raise ValueError(f"{path}: not a file of weak labels ({what}); see docs/your-data.md") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return WeakLabelFile(images, parser.classes, parser.broken)


class WeakImage(TypedDict):
    """An entry of ``images``."""

    id: Annotated[str, Field(coerce_numbers_to_str=True)]
    height: Extent
    width: Extent


class WeakBox(TypedDict):
    """An entry of ``annotations``."""

    bbox: tuple[Coordinate, Coordinate, Coordinate, Coordinate]
    iscrowd: NotRequired[Flag]


class WeakCrop(TypedDict):
    """An entry of ``crop_tags`` of an image."""

    crop_xyxy: tuple[Extent | Literal[0], Extent | Literal[0], Extent, Extent]
    tags: list[Any]


IMAGE, BOX, CROP = TypeAdapter(WeakImage), TypeAdapter(WeakBox), TypeAdapter(WeakCrop)


class _Box(NamedTuple):
    """Id in the file, corners, class and whether it is a group."""

    key: str
    corners: list[int]
    train_id: int
    iscrowd: bool


class _Parser:
    """Reads a document and collects the records of it that can't be read."""

    def __init__(self, document: dict[str, Any], path: Path) -> None:
        self.document, self.path = document, path
        self.classes = ClassTable.from_categories(document["categories"])
        self.to_train = {unify_id(c): i for i, c in enumerate(self.classes.category_ids)}
        self.everything = frozenset(range(len(self.classes)))
        self.broken: list[str] = []
        self.doubtful: defaultdict[str, set[int]] = defaultdict(set)

    def parse(self) -> dict[str, ImageWeakLabels]:
        """Weak labels by image id."""
        sizes = self._parse_sizes()
        boxes = self._parse_boxes(sizes)
        given = {kind: self.document.get(kind, {}) for kind in ("crop_tags", "unknown_tags", "marks")}
        given["image_tags"] = self.document["image_tags"]
        self.broken += [
            f"{self.path}: {kind} name image {image_id!r}, which is not in 'images'"
            for kind, by_image in given.items()
            for image_id in by_image
            if image_id not in sizes
        ]
        parsed = {}
        for image_id, (height, width) in sizes.items():
            tags = self._encode_tags(image_id, given["image_tags"].get(image_id, []))
            unknown = self._encode_tags(image_id, given["unknown_tags"].get(image_id, []))
            crops = self._parse_crops(image_id, given["crop_tags"].get(image_id, []))
            marks = self._parse_marks(image_id, (height, width), given["marks"].get(image_id, []), boxes[image_id])
            # Classes of unusable objects are unknown, unless a tag makes them present.
            unknown[[i for i in self.doubtful[image_id] if not tags[i]]] = True
            weak = ImageWeakLabels(
                image_id=image_id,
                height=height,
                width=width,
                boxes_xyxy=np.array([box.corners for box in boxes[image_id]], np.int32).reshape(-1, 4),
                box_classes=np.array([box.train_id for box in boxes[image_id]], np.uint8),
                box_iscrowd=np.array([box.iscrowd for box in boxes[image_id]], bool),
                tags=tags,
                crops_xyxy=np.array([corners for corners, _ in crops], np.int32).reshape(-1, 4),
                crop_tags=np.array([found for _, found in crops], bool).reshape(-1, len(self.classes)),
                unknown_ids=tuple(np.flatnonzero(unknown).tolist()),
                marks=marks,
            )
            parsed[image_id] = complete_marks(weak, self.classes)
        return parsed

    def _parse_sizes(self) -> dict[str, tuple[int, int]]:
        """Height and width by image id."""
        sizes: dict[str, tuple[int, int]] = {}
        where = f"{self.path}: image number"
        entries = enumerate(self.document["images"])
        for (number, _), image, error in read_each(entries, lambda e: fit_record(IMAGE, e[1], f"{where} {e[0]}")):
            if image is None:
                self.broken.append(str(error))
            elif image["id"] in sizes:
                self.broken.append(f"{where} {number}: image {image['id']!r} is listed twice")
            else:
                sizes[image["id"]] = image["height"], image["width"]
        return sizes

    def _parse_boxes(self, sizes: Mapping[str, tuple[int, int]]) -> dict[str, list[_Box]]:
        """Boxes of each image."""
        boxes: dict[str, list[_Box]] = {image_id: [] for image_id in sizes}
        entries = [entry if isinstance(entry, dict) else {} for entry in self.document["annotations"]]
        for (_, entry), box, error in read_each(enumerate(entries), lambda e: self._read_box(*e, sizes)):
            image_id = str(entry.get("image_id"))
            if box is not None:
                boxes[image_id].append(box)
                continue
            self.broken.append(str(error))
            train_id = self._find_class(entry.get("category_id"))
            self.doubtful[image_id] |= self.everything if train_id is None else {train_id}
        return boxes

    def _read_box(self, number: int, entry: dict[str, Any], sizes: Mapping[str, tuple[int, int]]) -> _Box:
        where = f"{self.path}: annotation {entry.get('id', f'number {number}')}"
        image_id, category = str(entry.get("image_id")), entry.get("category_id")
        if image_id not in sizes:
            raise ValueError(f"{where} names image {image_id!r}, which is not in 'images'")
        train_id = self._find_class(category)
        if train_id is None:
            raise ValueError(f"{where} has category_id {category!r}, not one of {sorted(self.to_train)}")
        record = fit_record(BOX, entry, where)
        corners = _check_box(record["bbox"], *sizes[image_id], where=where)
        return _Box(str(entry.get("id", "")), corners, train_id, record.get("iscrowd", False))

    def _parse_crops(self, image_id: str, entries: Sequence[Any]) -> list[tuple[tuple[int, ...], NDArray[np.bool_]]]:
        """Corners and tags ``(C,)`` of the crops of an image."""
        where = f"{self.path}: crop_tags of image {image_id!r}"
        crops: list[tuple[tuple[int, ...], NDArray[np.bool_]]] = []
        for _, crop, error in read_each(entries, lambda entry: fit_record(CROP, entry, where)):
            if crop is not None:
                crops.append((crop["crop_xyxy"], self._encode_tags(image_id, crop["tags"])))
                continue
            self.broken.append(str(error))
            self.doubtful[image_id] |= self.everything
        return crops

    def _parse_marks(self, image_id: str, size: tuple[int, int], entries: Any, boxes: Sequence[_Box]) -> Marks:
        """Points, scribbles and masks of an image of ``size`` (H, W)."""
        if not entries:
            return NO_MARKS
        # A mark can name a box only by an id that no other box has.
        counts = Counter(box.key for box in boxes)
        keys = {box.key: (i, box.train_id) for i, box in enumerate(boxes) if box.key and counts[box.key] == 1}
        marks, broken = parse_marks(entries, MarkContext(self.path, image_id, size, self.to_train, keys, len(boxes)))
        for train_id, problem in broken:
            self.broken.append(problem)
            self.doubtful[image_id] |= self.everything if train_id is None else {train_id}
        return marks

    def _encode_tags(self, image_id: str, categories: Any) -> NDArray[np.bool_]:
        """Whether each class ``(C,)`` is among the categories."""
        listed = categories if isinstance(categories, list) else [categories]
        found = {repr(category): self._find_class(category) for category in listed}
        strange = [category for category, train_id in found.items() if train_id is None]
        if strange:
            self.broken.append(f"{self.path}: image {image_id!r}: tags [{', '.join(strange)}] are not in 'categories'")
            self.doubtful[image_id] |= self.everything
        return self.classes.encode_tags(train_id for train_id in found.values() if train_id is not None)

    def _find_class(self, category: Any) -> int | None:
        """Train id of a category, whose id may be written as text."""
        return self.to_train.get(unify_id(category)) if isinstance(category, int | str) else None


def _check_box(bbox: Sequence[float], height: int, width: int, *, where: str) -> list[int]:
    x, y, w, h = bbox
    x0, y0, x1, y1 = int(np.floor(x)), int(np.floor(y)), int(np.ceil(x + w)), int(np.ceil(y + h))
    if w <= 0 or h <= 0:
        raise ValueError(f"{where}: bbox {list(bbox)} is empty or inverted; it is [x, y, width, height]")
    if x0 < 0 or y0 < 0 or x1 > width or y1 > height:
        raise ValueError(f"{where}: bbox {list(bbox)} sticks out of the {width}x{height} image; clip it")
    return [x0, y0, x1, y1]
