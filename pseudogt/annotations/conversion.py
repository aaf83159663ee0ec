"""From the common form to weak labels of each image: boxes, marks, and for each class present, absent or unknown."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pseudogt.annotations.class_names import ClassNames
from pseudogt.annotations.fitting import (
    FittedBox,
    check_size,
    clip_to_image,
    find_group_owners,
    fit_mark,
    reaches_far_out,
    round_outwards,
    scale_corners,
)
from pseudogt.annotations.form import (
    BROKEN,
    AnnotatedMark,
    Corners,
    ImageAnnotations,
    Reading,
    UnusableObject,
)
from pseudogt.annotations.frames import turn_upright
from pseudogt.annotations.matching import explain_case_difference, match_names
from pseudogt.classes import ClassTable
from pseudogt.config.annotations import AnnotationsSettings
from pseudogt.files.index import ImageRecord
from pseudogt.files.parsing import SHOWN, quote_key, shorten_list
from pseudogt.weak_labels.gaps import describe_nothing
from pseudogt.weak_labels.marks import NO_MARKS, UNSETTLED, Mark, Marks
from pseudogt.weak_labels.records import ImageWeakLabels, complete_marks

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
    reason: str = "",
) -> Conversion:
    """Weak labels of the images from a source of boxes (which may have tags, too) and one of tags.

    ==============================  =============================================
    a class in an image             its tag
    ==============================  =============================================
    has a box or a tag              present
    has neither, others have        absent (``unlisted: unknown``: unknown)
    is nowhere in the source        unknown
    the source lacks the image      unknown
    has difficult boxes only        unknown (``difficult`` absent: absent, use: present)
    was seen, but has no usable box unknown (``leave_out``: as if it was not seen)
    has marks that are wanted       present
    ==============================  =============================================

    If there is nothing to learn from, ``reason`` is added to the error message.

    Returns
    -------
    Conversion
        Every image is there; one that no source has, has no box and unknown tags only.
    """
    converter = _Converter(boxes, tags, classes, settings)
    result = Conversion(problems=converter.names.describe_problems())
    pairs = []
    for reading in (boxes, tags):
        found: Mapping[str, ImageAnnotations] = {}
        if reading is not None:
            result.problems += reading.problems
            result.warnings += reading.warnings
            converter.report_broken(reading.broken)
            found = pick_images(reading, records, result)
            if settings.points == "weak" or settings.masks == "scribbles":
                found = {image_id: converter.use_marks(annotations) for image_id, annotations in found.items()}
        pairs.append(found)
    result.problems += describe_fractions(pairs[0].values())
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
    result.problems += converter.problems
    result.warnings += converter.describe_counts()
    unlabelled = [r.image_id for r in records if not any(r.image_id in found for found in pairs)]
    if unlabelled:
        result.warnings.append(
            f"{len(unlabelled)} images have no annotations and train nothing: {_shorten(unlabelled)}"
        )
    if not result.problems:
        reason = "Its objects can't be used; the warnings say why" if converter.unusable else reason
        result.problems += describe_nothing(result.images, converter.names.background, reason)
    return result


def pick_images(reading: Reading, records: Sequence[ImageRecord], result: Conversion) -> dict[str, ImageAnnotations]:
    """Which entry of a source belongs to each image."""
    matches = match_names((i.file_name for i in reading.images), {r.image_id: r.image for r in records})
    if matches.unmatched:
        text = (
            f"{len(matches.unmatched)} annotated images are not among those to train on: {_shorten(matches.unmatched)}"
            f"{explain_case_difference(matches.unmatched, [r.image for r in records])}"
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


def describe_fractions(found: Iterable[ImageAnnotations]) -> list[str]:
    """Problem of a source in pixels, all of whose coordinates look like fractions of the image.

    In VOC the first pixel is 1, so that a fraction as its corner lies between -1 and 0.
    """
    shapes = (
        shape
        for image in found
        if not image.relative
        for shape in (*(box.xyxy for box in image.boxes), *(point for mark in image.marks for point in mark.points))
    )
    has_fraction = False
    for shape in shapes:
        if not all(-1 <= value <= 1 for value in shape):
            return []
        has_fraction |= any(value % 1 for value in shape)
    text = "all coordinates of the annotations lie between 0 and 1, like fractions of the image; give them in pixels"
    return [text] if has_fraction else []


class _Converter:
    """Converts images one by one, and collects what is to be said about all of them."""

    def __init__(
        self, boxes: Reading | None, tags: Reading | None, classes: ClassTable, settings: AnnotationsSettings
    ) -> None:
        self.classes, self.settings = classes, settings
        self.names = ClassNames(boxes, tags, classes, settings)
        self.problems: list[str] = []
        self.counts: Counter[str] = Counter()
        self.unusable: defaultdict[tuple[str, bool], Counter[str]] = defaultdict(Counter)
        self.with_marks: set[str] = set()
        self.examples: list[str] = []
        self.clashes: list[str] = []
        self.far_out: list[str] = []

    def report_broken(self, records: Sequence[str]) -> None:
        """Records that belong to no image: problems, or counted."""
        if self.settings.bad_boxes == "skip":
            self.counts[f"records can't be read and are left out: {'; '.join(records[:SHOWN])}"] += len(records)
            return
        self.problems += [f"{record}; correct it, or set annotations.bad_boxes: skip" for record in records]

    def describe_counts(self) -> list[str]:
        """Whatever was left out or changed, one line for each kind of it."""
        lines = [f"{count} {what}" for what, count in self.counts.items() if count]
        if self.far_out:
            lines.append(
                f"{len(self.far_out)} boxes reach far out of their image, as if drawn on a larger copy of it or "
                f"written in another form; check them: {'; '.join(shorten_list(self.far_out))}"
            )
        if self.clashes:
            lines.append(
                f"{len(self.clashes)} pixels are clicked for several classes and stay without label: "
                f"{'; '.join(shorten_list(self.clashes))}"
            )
        for (kind, left_out), labels in self.unusable.items():
            total = f"{labels.total()} objects of kind {kind!r} ({_shorten(list(labels))})"
            if left_out:
                lines.append(f"{total} are left out")
                continue
            line = (
                f"{total} have no box that can be used, so their class is unknown in their image, unless it has others"
            )
            remedy = f"; to leave them out, set annotations.leave_out: [{kind}]"
            remedy += "; to learn from their pixels, set annotations.points: weak" if kind in self.with_marks else ""
            lines.append(f"{line}: {'; '.join(self.examples)}" if kind == BROKEN else line + remedy)
        return lines

    def convert(
        self, record: ImageRecord, boxed: ImageAnnotations | None, tagged: ImageAnnotations | None
    ) -> ImageWeakLabels:
        """Weak labels of one image."""
        state = self._start_state(boxed, tagged)
        kept: list[FittedBox] = []
        drawn: set[str] = set()
        if boxed is not None:
            check_size(boxed, record)
            for seen in boxed.unusable:
                self._apply_unusable(seen, state)
            kept = list(self._fit_boxes(boxed, record, state))
            drawn = {box.label for box in boxed.boxes} | {mark.label for mark in boxed.marks}
        for source in (boxed, tagged):
            self._apply_tags(state, source.tags if source else {}, drawn, record.image_id)
        things = [box for box in kept if self.classes.isthing[box.train_id]] if self.settings.boxes else []
        marks = list(self._fit_marks(boxed.marks, record, things, state)) if boxed is not None else []
        self._note_clashes(marks, record.image_id)
        state[[box.train_id for box in kept] + [mark.train_id for mark in marks]] = PRESENT
        if self.names.background is not None and boxed is not None and boxed.boxed:
            state[self.names.background] = PRESENT
        return complete_marks(assemble(record, things, marks, state), self.classes)

    def _start_state(self, boxed: ImageAnnotations | None, tagged: ImageAnnotations | None) -> NDArray[np.int8]:
        """Absent is what a source that knows the image could have named, unknown the rest."""
        state = np.full(len(self.classes), UNKNOWN, np.int8)
        looked_for: set[str] = set()
        if boxed is not None and boxed.boxed:
            looked_for |= self.names.box_names if boxed.vocabulary is None else boxed.vocabulary
            looked_for |= self.names.tag_names_of_boxes
        if tagged is not None:
            looked_for |= self.names.tag_names
        if self.settings.unlisted == "absent":
            state[self.names.find_train_ids(looked_for)] = ABSENT
        return state

    def use_marks(self, annotations: ImageAnnotations) -> ImageAnnotations:
        """Take what the settings want as marks out of the objects without box, and out of the boxes."""
        marks, unusable, boxes = list(annotations.marks), [], []
        for seen in annotations.unusable:
            if seen.marks and self.settings.points == "weak" and not self.names.leaves_out(seen):
                marks += seen.marks
            else:
                unusable.append(seen)
        for box in annotations.boxes:
            if self.settings.masks == "scribbles" and isinstance(box.segmentation, dict) and not box.iscrowd:
                marks.append(AnnotatedMark(box.label, segmentation=box.segmentation, group=box.group))
            else:
                boxes.append(box)
        return replace(annotations, boxes=boxes, unusable=unusable, marks=marks)

    def _fit_marks(
        self, marks: Sequence[AnnotatedMark], record: ImageRecord, things: Sequence[FittedBox], state: NDArray[np.int8]
    ) -> Iterable[Mark]:
        """Marks inside the image; a class with bad ones becomes unknown in ``state``."""
        owners = find_group_owners([(box.train_id, box.group) for box in things])
        next_object = len(things)  # objects without box are numbered after the boxes
        next_group = UNSETTLED - 1
        for number, mark in enumerate(marks, 1):
            train_id = self.names.train_ids.get(mark.label)
            if train_id is None:
                continue
            try:
                radius, values = fit_mark(mark, record, self.settings.point_radius_px)
            except ValueError as error:
                self._report_bad_mark(f"image {record.image_id!r}: mark {number} ({mark.label}) {error}")
                state[train_id] = UNKNOWN
                continue
            key = (train_id, mark.group or "")
            if mark.group and self.classes.isthing[train_id] and key not in owners:
                if mark.is_named:
                    owners[key], next_object = next_object, next_object + 1
                else:
                    owners[key], next_group = next_group, next_group - 1
            yield Mark(train_id, owners.get(key, UNSETTLED), radius, values)

    def _note_clashes(self, marks: Iterable[Mark], image_id: str) -> None:
        """Remember the pixels that were clicked for several classes."""
        clicked: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
        for mark in marks:
            if mark.kind == "point":
                clicked[int(mark.values[0, 0]), int(mark.values[0, 1])].add(mark.train_id)
        for place, train_ids in clicked.items():
            if len(train_ids) > 1:
                names = ", ".join(self.classes.names[train_id] for train_id in sorted(train_ids))
                self.clashes.append(f"image {image_id!r} at {place} ({names})")

    def _report_bad_mark(self, problem: str) -> None:
        if self.settings.bad_boxes == "skip":
            self.counts["marks that don't fit their image are left out, so their class is unknown there"] += 1
            return
        self.problems.append(f"{problem}; correct it, or set annotations.bad_boxes: skip")

    def _apply_unusable(self, seen: UnusableObject, state: NDArray[np.int8]) -> None:
        """Make the class of something that was seen, but has no box, unknown in ``state``."""
        label = seen.label or "no class"
        if self.names.leaves_out(seen):
            self.unusable[seen.kind, True][label] += 1
            return
        if seen.problem and self.settings.bad_boxes == "error":
            self.problems.append(f"{seen.problem}; correct it, or set annotations.bad_boxes: skip")
            return
        self.unusable[seen.kind, False][label] += 1
        self.with_marks |= {seen.kind} if seen.marks else set()
        if seen.problem and len(self.examples) < SHOWN:
            self.examples.append(seen.problem)
        if seen.label is None:
            state[self.names.find_train_ids(self.names.box_names)] = UNKNOWN
        elif label in self.names.train_ids:
            state[self.names.train_ids[label]] = UNKNOWN

    def _apply_tags(
        self, state: NDArray[np.int8], tags: Mapping[str, bool | None], drawn: Collection[str], image_id: str
    ) -> None:
        for name, value in tags.items():
            train_id = self.names.train_ids.get(name)
            if train_id is None or state[train_id] == PRESENT:
                continue
            if value is False and name in drawn:
                self.problems.append(
                    f"image {image_id!r} has a box or a mark of {name!r}, and a tag that says it is absent; remove one"
                )
            state[train_id] = UNKNOWN if value is None else PRESENT if value else ABSENT

    def _fit_boxes(self, boxed: ImageAnnotations, record: ImageRecord, state: NDArray[np.int8]) -> Iterable[FittedBox]:
        """Boxes inside the image, each once; a class with bad or skipped ones becomes unknown in ``state``."""
        seen = set()
        for number, box in enumerate(boxed.boxes, 1):
            train_id = self.names.train_ids.get(box.label)
            if train_id is None:
                continue
            is_thing = self.classes.isthing[train_id]
            if not is_thing and self.settings.stuff == "error":
                self._report_stuff(number, box.label, record)
                continue
            if box.difficult and self.settings.difficult != "use":
                if self.settings.difficult == "skip":
                    state[train_id] = UNKNOWN
                outcome = "unknown in their image" if self.settings.difficult == "skip" else "as if they were not there"
                self.counts[f"boxes are difficult, so their class is {outcome}"] += 1
                continue
            pixels = scale_corners(box.xyxy, record.width, record.height) if boxed.relative else box.xyxy
            whole = round_outwards(pixels)
            clipped = clip_to_image(whole, pixels, record)
            if clipped is None:
                self._report_bad_box(number, box.label, pixels, record)
                state[train_id] = UNKNOWN
                continue
            if clipped != whole and is_thing:
                self.counts["boxes stick out of their image and are clipped"] += 1
                if reaches_far_out(pixels, record):
                    self.far_out.append(f"image {record.image_id!r}: box {number} ({box.label})")
            if (clipped, train_id) in seen:
                self.counts["boxes are there twice, with equal corners and class; one of each is kept"] += is_thing
                continue
            seen.add((clipped, train_id))
            if not is_thing:
                self.counts["boxes and polygons of stuff became tags of their class"] += 1
            yield FittedBox(clipped, train_id, box.iscrowd, box.group)

    def _report_stuff(self, number: int, label: str, record: ImageRecord) -> None:
        self.problems.append(
            f"image {record.image_id!r}: box {number} is of {label!r}, which is stuff in dataset.classes; make it a "
            "thing, set annotations.stuff: tags to use it as a tag, or leave it out with annotations.rename: "
            f"{{{quote_key(label)}: null}}"
        )

    def _report_bad_box(self, number: int, label: str, pixels: Corners, record: ImageRecord) -> None:
        if self.settings.bad_boxes == "skip":
            self.counts["boxes without area in their image are left out, so their class is unknown there"] += 1
            return
        corners = [round(float(v), 2) for v in pixels]
        self.problems.append(
            f"image {record.image_id!r}: box {number} ({label}) at {corners} has no area in the "
            f"{record.width}x{record.height} image; correct it, or set annotations.bad_boxes: skip"
        )


def assemble(
    record: ImageRecord, boxes: Sequence[FittedBox], marks: Sequence[Mark], state: NDArray[np.int8]
) -> ImageWeakLabels:
    """Weak labels of an image from its boxes, its marks and the state ``(C,)`` of each class."""
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
        marks=Marks.collect(marks) if marks else NO_MARKS,
    )


def _shorten(names: Sequence[str]) -> str:
    shown = ", ".join(f"{name!r:.100}" for name in names[:SHOWN])
    return shown + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
