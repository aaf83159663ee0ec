"""From the annotations of one image to its weak labels: boxes, marks, and each class present, absent or unknown."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pseudogt.annotations.class_names import ClassNames
from pseudogt.annotations.conversion_report import ConversionReport
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
from pseudogt.annotations.form import AnnotatedMark, ImageAnnotations, UnusableObject
from pseudogt.classes import ClassTable
from pseudogt.config.annotations import AnnotationsSettings
from pseudogt.files.index import ImageRecord
from pseudogt.weak_labels.marks import NO_MARKS, UNSETTLED, Mark, Marks
from pseudogt.weak_labels.records import ImageWeakLabels, complete_marks

UNKNOWN, ABSENT, PRESENT = -1, 0, 1
"""What is known of a class in an image."""


class ImageConverter:
    """Converts images one by one; what is to be said about them goes to ``report``."""

    def __init__(
        self, names: ClassNames, classes: ClassTable, settings: AnnotationsSettings, report: ConversionReport
    ) -> None:
        self.names, self.classes, self.settings, self.report = names, classes, settings, report

    def use_marks(self, annotations: ImageAnnotations) -> ImageAnnotations:
        """Take what the settings want as marks out of the objects without box, and out of the boxes."""
        wants_points, wants_scribbles = self.settings.points == "weak", self.settings.masks == "scribbles"
        if not (wants_points or wants_scribbles):
            return annotations
        marks, unusable, boxes = list(annotations.marks), [], []
        for seen in annotations.unusable:
            if seen.marks and wants_points and not self.names.leaves_out(seen):
                marks += seen.marks
            else:
                unusable.append(seen)
        for box in annotations.boxes:
            if wants_scribbles and isinstance(box.segmentation, dict) and not box.iscrowd:
                marks.append(AnnotatedMark(box.label, segmentation=box.segmentation, group=box.group))
            else:
                boxes.append(box)
        return replace(annotations, boxes=boxes, unusable=unusable, marks=marks)

    def convert(
        self, record: ImageRecord, boxed: ImageAnnotations | None, tagged: ImageAnnotations | None
    ) -> ImageWeakLabels:
        """Weak labels of one image, from what the sources of boxes and of tags have of it."""
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
        self.report.add_clashes(marks, record.image_id, self.classes)
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

    def _apply_unusable(self, seen: UnusableObject, state: NDArray[np.int8]) -> None:
        """Make the class of something that was seen, but has no box, unknown in ``state``."""
        is_left_out = self.names.leaves_out(seen)
        self.report.add_unusable(seen, is_left_out=is_left_out)
        if not is_left_out:
            labels = self.names.box_names if seen.label is None else [seen.label]
            state[self.names.find_train_ids(labels)] = UNKNOWN

    def _fit_boxes(self, boxed: ImageAnnotations, record: ImageRecord, state: NDArray[np.int8]) -> Iterable[FittedBox]:
        """Boxes inside the image, each once; a class with bad or skipped ones becomes unknown in ``state``."""
        seen = set()
        for number, box in enumerate(boxed.boxes, 1):
            train_id = self.names.train_ids.get(box.label)
            if train_id is None:
                continue
            is_thing = self.classes.isthing[train_id]
            if not is_thing and self.settings.stuff == "error":
                self.report.add_stuff(number, box.label, record)
                continue
            if box.difficult and self.settings.difficult != "use":
                if self.settings.difficult == "skip":
                    state[train_id] = UNKNOWN
                outcome = "unknown in their image" if self.settings.difficult == "skip" else "as if they were not there"
                self.report.count(f"boxes are difficult, so their class is {outcome}")
                continue
            pixels = scale_corners(box.xyxy, record.width, record.height) if boxed.relative else box.xyxy
            whole = round_outwards(pixels)
            clipped = clip_to_image(whole, pixels, record)
            if clipped is None:
                self.report.add_bad_box(number, box.label, pixels, record)
                state[train_id] = UNKNOWN
                continue
            if clipped != whole and is_thing:
                self.report.count("boxes stick out of their image and are clipped")
                if reaches_far_out(pixels, record):
                    self.report.add_far_out(number, box.label, record)
            if (clipped, train_id) in seen:
                self.report.count(
                    "boxes are there twice, with equal corners and class; one of each is kept", int(is_thing)
                )
                continue
            seen.add((clipped, train_id))
            if not is_thing:
                self.report.count("boxes and polygons of stuff became tags of their class")
            yield FittedBox(clipped, train_id, box.iscrowd, box.group)

    def _apply_tags(
        self, state: NDArray[np.int8], tags: Mapping[str, bool | None], drawn: Collection[str], image_id: str
    ) -> None:
        for name, value in tags.items():
            train_id = self.names.train_ids.get(name)
            if train_id is None or state[train_id] == PRESENT:
                continue
            if value is False and name in drawn:
                self.report.problems.append(
                    f"image {image_id!r} has a box or a mark of {name!r}, and a tag that says it is absent; remove one"
                )
            state[train_id] = UNKNOWN if value is None else PRESENT if value else ABSENT

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
                self.report.add_bad_mark(number, mark.label, error, record)
                state[train_id] = UNKNOWN
                continue
            key = (train_id, mark.group or "")
            if mark.group and self.classes.isthing[train_id] and key not in owners:
                if mark.is_named:
                    owners[key], next_object = next_object, next_object + 1
                else:
                    owners[key], next_group = next_group, next_group - 1
            yield Mark(train_id, owners.get(key, UNSETTLED), radius, values)


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
