"""From the common form to weak labels: class names to train ids, coordinates to whole pixels, tags to three states."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pseudogt.annotations.form import Corners, ImageAnnotations, Reading
from pseudogt.annotations.frames import turn_upright
from pseudogt.annotations.matching import match_names
from pseudogt.classes import ClassTable
from pseudogt.config.annotations import AnnotationsSettings
from pseudogt.files.index import ImageRecord
from pseudogt.weak_labels.records import ImageWeakLabels

SHOWN = 5
"""Names that are spelled out where there may be thousands."""

ROUNDING_PX = 0.05
"""A corner this far inside a pixel does not count it: tools write fractions of the image with few digits."""

UNKNOWN, ABSENT, PRESENT = -1, 0, 1

WholeCorners = tuple[int, int, int, int]


class FittedBox(NamedTuple):
    """A box in whole pixels of its image, half-open."""

    corners: WholeCorners
    train_id: int
    iscrowd: bool


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
    frames = turn_upright(pairs[0], records)
    result.problems += frames.problems
    result.warnings += frames.warnings
    pairs[0] = frames.annotations
    for record in records:
        try:
            converted = converter.convert(record, pairs[0].get(record.image_id), pairs[1].get(record.image_id))
        except ValueError as error:
            result.problems.append(str(error))
            continue
        result.images.append(converted)
    result.problems += [*converter.problems, *converter.describe_stuff_boxes()]
    result.warnings += [f"{count} {what}" for what, count in converter.counts.items() if count]
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
    if matches.ambiguous:
        result.problems.append(
            f"{len(matches.ambiguous)} annotated images may be any of several of their name: "
            f"{_shorten(matches.ambiguous)}; write the folder of the image before its name"
        )
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
        self.tag_names_of_boxes = set(boxes.tag_labels) if boxes else set()
        self.stuff_boxes: Counter[str] = Counter()
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

    def describe_stuff_boxes(self) -> list[str]:
        """Problems with boxes of stuff."""
        return [
            f"{count} boxes are of {name!r}, which is stuff in dataset.classes; make it a thing, or leave its boxes "
            f"out with annotations.rename: {{{name}: null}}"
            for name, count in self.stuff_boxes.items()
        ]

    def convert(
        self, record: ImageRecord, boxed: ImageAnnotations | None, tagged: ImageAnnotations | None
    ) -> ImageWeakLabels:
        """Weak labels of one image."""
        state = self._start_state(boxed, tagged)
        kept: list[FittedBox] = []
        drawn: set[str] = set()
        if boxed is not None:
            check_size(boxed, record)
            kept = list(self._fit_boxes(boxed, record, state))
            drawn = {box.label for box in boxed.boxes}
        for source in (boxed, tagged):
            self._apply_tags(state, source.tags if source else {}, drawn, record.image_id)
        state[[box.train_id for box in kept]] = PRESENT
        if self.background is not None and boxed is not None and boxed.boxed:
            state[self.background] = PRESENT
        return assemble(record, kept if self.settings.boxes else [], state)

    def _start_state(self, boxed: ImageAnnotations | None, tagged: ImageAnnotations | None) -> NDArray[np.int8]:
        """Absent is what a source that knows the image could have named, unknown the rest."""
        state = np.full(len(self.classes), UNKNOWN, np.int8)
        looked_for: set[str] = set()
        if boxed is not None and boxed.boxed:
            looked_for |= self.box_names | self.tag_names_of_boxes
        if tagged is not None:
            looked_for |= self.tag_names
        if self.settings.unlisted == "absent":
            state[[self.train_ids[name] for name in looked_for if name in self.train_ids]] = ABSENT
        return state

    def _apply_tags(
        self, state: NDArray[np.int8], tags: Mapping[str, bool | None], drawn: Collection[str], image_id: str
    ) -> None:
        for name, value in tags.items():
            train_id = self.train_ids.get(name)
            if train_id is None or state[train_id] == PRESENT:
                continue
            if value is False and name in drawn:
                self.problems.append(f"image {image_id!r} has a box of {name!r} and a tag that says it is absent")
            state[train_id] = UNKNOWN if value is None else PRESENT if value else ABSENT

    def _fit_boxes(self, boxed: ImageAnnotations, record: ImageRecord, state: NDArray[np.int8]) -> Iterable[FittedBox]:
        """Boxes of things inside the image, each once; a class with difficult ones becomes unknown in ``state``."""
        seen = set()
        for number, box in enumerate(boxed.boxes, 1):
            train_id = self.train_ids.get(box.label)
            if train_id is None:
                continue
            if not self.classes.isthing[train_id]:
                self.stuff_boxes[box.label] += 1
                continue
            if box.difficult and self.settings.difficult == "skip":
                state[train_id] = UNKNOWN
                continue
            pixels = scale_corners(box.xyxy, record.width, record.height) if boxed.relative else box.xyxy
            whole = round_outwards(pixels)
            clipped = clip_to_image(whole, pixels, record)
            if clipped is None:
                self._report_bad_box(number, box.label, pixels, record)
                continue
            if clipped != whole:
                self.counts["boxes stick out of their image and are clipped"] += 1
            if (clipped, train_id) in seen:
                self.counts["boxes are there twice, with equal corners and class; one of each is kept"] += 1
                continue
            seen.add((clipped, train_id))
            yield FittedBox(clipped, train_id, box.iscrowd)

    def _report_bad_box(self, number: int, label: str, pixels: Corners, record: ImageRecord) -> None:
        if self.settings.bad_boxes == "skip":
            self.counts["boxes without area in their image are left out"] += 1
            return
        self.problems.append(
            f"image {record.image_id!r}: box {number} ({label}) at {[round(v, 2) for v in pixels]} has no area in the "
            f"{record.width}x{record.height} image; correct it, or set annotations.bad_boxes: skip"
        )


def assemble(record: ImageRecord, boxes: Sequence[FittedBox], state: NDArray[np.int8]) -> ImageWeakLabels:
    """Weak labels of an image from its boxes and the state ``(C,)`` of each class."""
    return ImageWeakLabels(
        image_id=record.image_id,
        height=record.height,
        width=record.width,
        boxes_xyxy=np.array([box.corners for box in boxes], np.int32).reshape(-1, 4),
        box_classes=np.array([box.train_id for box in boxes], np.uint8),
        box_iscrowd=np.array([box.iscrowd for box in boxes], bool),
        tags=state == PRESENT,
        crops_xyxy=np.zeros((0, 4), np.int32),
        crop_tags=np.zeros((0, len(state)), bool),
        unknown_ids=tuple(np.flatnonzero(state == UNKNOWN).tolist()),
    )


def clip_to_image(whole: WholeCorners, pixels: Corners, record: ImageRecord) -> WholeCorners | None:
    """Whole pixels of a box inside its image; None if it, or what is to be seen of it, has no area."""
    x0, y0, x1, y1 = whole
    if x0 < 0 or y0 < 0 or x1 > record.width or y1 > record.height:
        x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, record.width), min(y1, record.height)
    has_area = pixels[2] > pixels[0] and pixels[3] > pixels[1] and x1 > x0 and y1 > y0
    return (x0, y0, x1, y1) if has_area else None


def scale_corners(corners: Corners, width: int, height: int) -> Corners:
    """Corners in pixels from fractions of the image."""
    x0, y0, x1, y1 = corners
    return x0 * width, y0 * height, x1 * width, y1 * height


def round_outwards(corners: Corners) -> WholeCorners:
    """Smallest half-open box of whole pixels that holds the corners, of each axis at least one pixel."""
    x0, y0 = math.floor(corners[0] + ROUNDING_PX), math.floor(corners[1] + ROUNDING_PX)
    x1, y1 = math.ceil(corners[2] - ROUNDING_PX), math.ceil(corners[3] - ROUNDING_PX)
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)


def check_size(annotations: ImageAnnotations, record: ImageRecord) -> None:
    """Raise ``ValueError`` if a source and the file disagree about the size of an image."""
    size, expected = (annotations.width, annotations.height), (record.width, record.height)
    if None in size or size == expected:
        return
    raise ValueError(
        f"{record.image}: is {expected[0]}x{expected[1]}, its annotations are for {size[0]}x{size[1]}; annotate the "
        "file that is used, or put back the one that was annotated"
    )


def _shorten(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:SHOWN])
    return shown + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
