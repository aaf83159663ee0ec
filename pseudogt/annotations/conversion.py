"""From the common form to weak labels: class names to train ids, coordinates to whole pixels, tags to three states."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pseudogt.annotations.form import AnnotatedBox, Corners, ImageAnnotations, Reading
from pseudogt.annotations.matching import match_names
from pseudogt.config.annotations import AnnotationsSettings
from pseudogt.index import ImageRecord
from pseudogt.labels import ClassTable
from pseudogt.weak_labels import ImageWeakLabels

SHOWN = 5
"""Names that are spelled out where there may be thousands."""

ROUNDING_PX = 0.05
"""A corner this far inside a pixel does not count it: tools write fractions of the image with few digits."""

UNKNOWN, ABSENT, PRESENT = -1, 0, 1


@dataclass
class Conversion:
    """Weak labels of the dataset's images, in their order, and what is to be said about them."""

    images: list[ImageWeakLabels] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def convert_readings(
    boxes: Reading | None,
    tags: Reading | None,
    records: Sequence[ImageRecord],
    classes: ClassTable,
    settings: AnnotationsSettings,
) -> Conversion:
    """Weak labels of the images from a source of boxes (which may have tags, too) and one of tags.

    ==============================  =============================================
    a class in an image             its tag
    ==============================  =============================================
    has a box or a tag              present
    has neither, others have        absent (``unlisted: unknown``: unknown)
    is nowhere in the source        unknown
    the source lacks the image      unknown
    has difficult boxes only        unknown (``difficult: use``: present)
    ==============================  =============================================

    Returns
    -------
    Conversion
        Every image is there; one that no source has, has no box and unknown tags only.
    """
    converter = _Converter(boxes, tags, classes, settings)
    result = Conversion(problems=converter.describe_classes())
    pairs = []
    for reading in (boxes, tags):
        found: Mapping[str, ImageAnnotations] = {}
        if reading is not None:
            result.problems += reading.problems
            result.warnings += reading.warnings
            found = pick_images(reading, records, result)
        pairs.append(found)
    for record in records:
        try:
            converted = converter.convert(record, pairs[0].get(record.image_id), pairs[1].get(record.image_id))
        except ValueError as error:
            result.problems.append(str(error))
            continue
        result.images.append(converted)
    result.problems += converter.problems
    result.warnings += [f"{count} {what}" for what, count in converter.counts.items()]
    unlabelled = [r.image_id for r in records if not any(r.image_id in found for found in pairs)]
    if unlabelled:
        result.warnings.append(
            f"{len(unlabelled)} images have no annotations and train nothing: {_shorten(unlabelled)}"
        )
    return result


def pick_images(reading: Reading, records: Sequence[ImageRecord], result: Conversion) -> dict[str, ImageAnnotations]:
    """Which entry of a source belongs to each image."""
    matches = match_names((i.file_name for i in reading.images), {r.image_id: r.image for r in records})
    if matches.strangers:
        text = (
            f"{len(matches.strangers)} annotated images are not among those to train on: {_shorten(matches.strangers)}"
        )
        (result.warnings if matches.by_image else result.problems).append(text)
    for image_id, positions in matches.by_image.items():
        if len(positions) > 1:
            names = _shorten([reading.images[p].file_name for p in positions])
            result.problems.append(
                f"image {image_id!r} is annotated {len(positions)} times ({names}); remove all but one"
            )
    return {image_id: reading.images[positions[0]] for image_id, positions in matches.by_image.items()}


class _Converter:
    """What is the same for all images."""

    def __init__(
        self, boxes: Reading | None, tags: Reading | None, classes: ClassTable, settings: AnnotationsSettings
    ) -> None:
        self.classes, self.settings = classes, settings
        self.problems: list[str] = []
        self.counts: Counter[str] = Counter()
        readings = [reading for reading in (boxes, tags) if reading is not None]
        self.box_names = set(boxes.box_labels) if boxes else set()
        self.tag_names = {name for reading in readings for name in reading.tag_labels}
        self.train_ids = {
            name: classes.names.index(target)
            for name in self.box_names | self.tag_names
            if (target := settings.rename.get(name, name)) in classes.names
        }
        self.tags_beside_boxes = bool(boxes and boxes.tag_labels)
        self.background = int(classes.stuff_ids[0]) if settings.background and len(classes.stuff_ids) == 1 else None

    def describe_classes(self) -> list[str]:
        """Problems with the names of classes."""
        known, occurring = ", ".join(self.classes.names), self.box_names | self.tag_names
        problems = [
            f"class {name!r} of the annotations is not in dataset.classes ({known}); add it, or set "
            f"annotations.rename: {{{name}: a class, or null to leave it out}}"
            for name in sorted(occurring)
            if name not in self.train_ids and self.settings.rename.get(name, name) is not None
        ]
        problems += [
            f"annotations.rename: {name!r} is no class of the annotations; they have {', '.join(sorted(occurring))}"
            for name in sorted(set(self.settings.rename) - occurring)
        ]
        if self.settings.background and self.background is None:
            problems.append(
                f"annotations.background needs exactly one stuff class in dataset.classes, there are "
                f"{len(self.classes.stuff_ids)}; add one named background, or set it to null"
            )
        return problems

    def convert(
        self, record: ImageRecord, boxed: ImageAnnotations | None, tagged: ImageAnnotations | None
    ) -> ImageWeakLabels:
        """Weak labels of one image."""
        state = np.full(len(self.classes), UNKNOWN, np.int8)
        corners: list[tuple[int, int, int, int]] = []
        train_ids: list[int] = []
        iscrowd: list[bool] = []
        if self.settings.unlisted == "absent":
            self._mark(state, self.box_names if boxed and boxed.boxed else ())
            tags_are_known = tagged is not None or (boxed is not None and boxed.boxed and self.tags_beside_boxes)
            self._mark(state, self.tag_names - self.box_names if tags_are_known else ())
            self._mark(state, self.tag_names if tagged is not None else ())
        if boxed is not None:
            check_size(boxed, record)
            for corner, train_id, crowd in self._convert_boxes(boxed, record, state):
                corners.append(corner)
                train_ids.append(train_id)
                iscrowd.append(crowd)
        drawn = {box.label for box in boxed.boxes} if boxed is not None else set()
        for source in (boxed, tagged):
            self._apply_tags(state, source.tags if source else {}, drawn, record.image_id)
        state[train_ids] = PRESENT
        if not self.settings.boxes:
            corners, train_ids, iscrowd = [], [], []
        if self.background is not None and boxed is not None and boxed.boxed:
            state[self.background] = PRESENT
        return ImageWeakLabels(
            image_id=record.image_id,
            height=record.height,
            width=record.width,
            boxes_xyxy=np.array(corners, np.int32).reshape(-1, 4),
            box_classes=np.array(train_ids, np.uint8),
            box_iscrowd=np.array(iscrowd, bool),
            tags=state == PRESENT,
            crops_xyxy=np.zeros((0, 4), np.int32),
            crop_tags=np.zeros((0, len(self.classes)), bool),
            unknown_ids=tuple(np.flatnonzero(state == UNKNOWN).tolist()),
        )

    def _mark(self, state: NDArray[np.int8], names: Collection[str]) -> None:
        state[[self.train_ids[name] for name in names if name in self.train_ids]] = ABSENT

    def _apply_tags(
        self, state: NDArray[np.int8], tags: Mapping[str, bool | None], boxed: Collection[str], image_id: str
    ) -> None:
        for name, value in tags.items():
            train_id = self.train_ids.get(name)
            if train_id is None or state[train_id] == PRESENT:
                continue
            if value is False and name in boxed:
                self.problems.append(f"image {image_id!r} has a box of {name!r} and a tag that says it is absent")
            state[train_id] = UNKNOWN if value is None else PRESENT if value else ABSENT

    def _convert_boxes(
        self, boxed: ImageAnnotations, record: ImageRecord, state: NDArray[np.int8]
    ) -> Iterable[tuple[tuple[int, int, int, int], int, bool]]:
        seen = set()
        for number, box in enumerate(boxed.boxes, 1):
            train_id = self.train_ids.get(box.label)
            if train_id is None:
                continue
            if not self.classes.isthing[train_id]:
                raise ValueError(
                    f"image {record.image_id!r} has a box of {box.label!r}, which is stuff in dataset.classes; make it "
                    f"a thing, or leave its boxes out with annotations.rename: {{{box.label}: null}}"
                )
            if box.difficult and self.settings.difficult == "skip":
                state[train_id] = UNKNOWN
                continue
            corners = self._fit_box(box, boxed.relative, record, number)
            if corners is None:
                continue
            if (corners, train_id) in seen:
                self.counts["boxes are there twice, with equal corners and class; one of each is kept"] += 1
                continue
            seen.add((corners, train_id))
            yield corners, train_id, box.iscrowd

    def _fit_box(
        self, box: AnnotatedBox, relative: bool, record: ImageRecord, number: int
    ) -> tuple[int, int, int, int] | None:
        """Whole pixels of a box, clipped to the image; None if nothing is left."""
        pixels = scale_corners(box.xyxy, record.width, record.height) if relative else box.xyxy
        whole = round_outwards(pixels)
        x0, y0, x1, y1 = (
            min(max(value, 0), limit) for value, limit in zip(whole, (record.width, record.height) * 2, strict=True)
        )
        if pixels[2] <= pixels[0] or pixels[3] <= pixels[1] or x1 <= x0 or y1 <= y0:
            if self.settings.bad_boxes == "skip":
                self.counts["boxes without area in their image are left out"] += 1
            else:
                self.problems.append(
                    f"image {record.image_id!r}: box {number} ({box.label}) at {[round(v, 2) for v in pixels]} has no "
                    f"area in the {record.width}x{record.height} image; correct it, or set annotations.bad_boxes: skip"
                )
            return None
        if (x0, y0, x1, y1) != whole:
            self.counts["boxes stick out of their image and are clipped"] += 1
        return x0, y0, x1, y1


def scale_corners(corners: Corners, width: int, height: int) -> Corners:
    """Corners in pixels from fractions of the image."""
    x0, y0, x1, y1 = corners
    return x0 * width, y0 * height, x1 * width, y1 * height


def round_outwards(corners: Corners) -> tuple[int, int, int, int]:
    """Smallest half-open box of whole pixels that holds the corners, of each axis at least one pixel."""
    x0, y0 = (math.floor(value + ROUNDING_PX) for value in corners[:2])
    x1, y1 = (math.ceil(value - ROUNDING_PX) for value in corners[2:])
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)


def check_size(annotations: ImageAnnotations, record: ImageRecord) -> None:
    """Raise ``ValueError`` if a source and the file disagree about the size of an image."""
    size, expected = (annotations.width, annotations.height), (record.width, record.height)
    if None in size or size == expected:
        return
    turned = " (turned: was the image stored with an EXIF orientation? write it anew without)"
    raise ValueError(
        f"{record.image}: is {expected[0]}x{expected[1]}, its annotations are for {size[0]}x{size[1]}"
        f"{turned if size == expected[::-1] else ''}; annotate the file that is used"
    )


def _shorten(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:SHOWN])
    return shown + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
