"""From the common form to weak labels of the dataset's images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pseudogt.annotations.class_names import ClassNames
from pseudogt.annotations.conversion_report import ConversionReport
from pseudogt.annotations.form import ImageAnnotations, Reading
from pseudogt.annotations.frames import turn_upright
from pseudogt.annotations.image_conversion import ImageConverter
from pseudogt.annotations.matching import find_annotations
from pseudogt.classes import ClassTable
from pseudogt.config.annotations import AnnotationsSettings
from pseudogt.files.index import ImageRecord
from pseudogt.parsing.problems import shorten_names
from pseudogt.weak_labels.gaps import describe_nothing
from pseudogt.weak_labels.records import ImageWeakLabels


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
    names = ClassNames(boxes, tags, classes, settings)
    report = ConversionReport(skip_bad=settings.bad_boxes == "skip")
    converter = ImageConverter(names, classes, settings, report)
    result = Conversion(problems=names.describe_problems())
    sources: list[dict[str, ImageAnnotations]] = []
    for reading in (boxes, tags):
        found: dict[str, ImageAnnotations] = {}
        if reading is not None:
            matched = find_annotations(reading, records)
            result.problems += [*reading.problems, *matched.problems]
            result.warnings += [*reading.warnings, *matched.warnings]
            report.add_broken(reading.broken)
            found = {image_id: converter.use_marks(each) for image_id, each in matched.annotations.items()}
        sources.append(found)
    boxed, tagged = sources
    result.problems += describe_fractions(boxed.values())
    upright = turn_upright(boxed, records)
    result.problems += upright.problems
    result.warnings += upright.warnings
    for record in records:
        try:
            image = converter.convert(record, upright.annotations.get(record.image_id), tagged.get(record.image_id))
        except ValueError as error:
            result.problems.append(str(error))
        else:
            result.images.append(image)
    result.problems += report.problems
    result.warnings += report.describe()
    unlabelled = [record.image_id for record in records if record.image_id not in boxed.keys() | tagged.keys()]
    if unlabelled:
        text = f"{len(unlabelled)} images have no annotations and train nothing: {shorten_names(unlabelled)}"
        result.warnings.append(text)
    if not result.problems:
        reason = "Its objects can't be used; the warnings say why" if report.unusable else reason
        result.problems += describe_nothing(result.images, names.background, reason)
    return result


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
