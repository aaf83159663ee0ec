"""Select the annotations that belong to the training images, and list the classes that they name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from pseudogt.annotations import read_annotations
from pseudogt.annotations.form import ImageAnnotations, Reading
from pseudogt.annotations.matching import match_names
from pseudogt.annotations.tags import read_tags
from pseudogt.config.annotations import AnnotationsSettings
from pseudogt.setup.survey import FoundSource


@dataclass(frozen=True)
class SourceChoice:
    """A source and how much of the dataset it covers.

    Attributes
    ----------
    source : FoundSource
    matched : int
        Images to train on that it annotates.
    reading : Reading or None
        What it holds, None if it can't be read.
    problem : str
        Why it can't be read.
    """

    source: FoundSource
    matched: int = 0
    reading: Reading | None = None
    problem: str = ""

    @property
    def is_drawn(self) -> bool:
        """Whether every object has a mask, as far as the reader keeps masks."""
        boxes = [box for image in self.reading.images for box in image.boxes] if self.reading else []
        return bool(boxes) and all(box.segmentation is not None for box in boxes)

    @property
    def faults(self) -> int:
        """Number of records that can't be used."""
        return len(self.reading.list_faults()) if self.reading else 0


@dataclass
class ClassCount:
    """How often a class occurs.

    Attributes
    ----------
    boxes, images, tags : int
        Boxes, images with one, and images with a tag of the class.
    unusable : int
        Objects without a box.
    marks : int
        Points, scribbles and painted masks without a box; also counted as ``unusable`` where they have to be asked for.
    shares : list of float
        Part of its image that each box covers, where the size of the image is known.
    """

    boxes: int = 0
    images: int = 0
    tags: int = 0
    unusable: int = 0
    marks: int = 0
    shares: list[float] = field(default_factory=list)

    @property
    def median_share(self) -> float:
        """Part of its image that a usual box covers; 0 if nothing is known of it."""
        return median(self.shares) if self.shares else 0.0


def choose_source(root: Path, found: Sequence[FoundSource], images: Mapping[str, str]) -> SourceChoice | None:
    """Choose the source that annotates most of the images, with the fewest faults, the first of equal ones.

    None if there is none.

    Parameters
    ----------
    root : Path
    found : sequence of FoundSource
    images : mapping
        Image id -> path of the image: those to train on.
    """
    choices = [try_source(root, source, images) for source in found]
    return max(choices, key=lambda choice: (choice.matched, choice.reading is not None, -choice.faults), default=None)


def try_source(root: Path, source: FoundSource, images: Mapping[str, str]) -> SourceChoice:
    """Read a source."""
    try:
        reading = read_annotations(AnnotationsSettings(format=source.format, path=source.path), root, images)
    except ValueError as error:
        return SourceChoice(source, problem=str(error))
    assert reading is not None
    return SourceChoice(source, count_matches(reading, images), reading)


def choose_tags(root: Path, found: Iterable[str], images: Mapping[str, str]) -> tuple[str, Reading] | None:
    """Choose the file of tags that names most of the images; None if none names any."""
    best: tuple[int, str, Reading] | None = None
    for path in found:
        try:
            reading = read_tags(root / path)
        except ValueError:
            continue
        matched = count_matches(reading, images)
        if matched and (best is None or matched > best[0]):
            best = matched, path, reading
    return best[1:] if best else None


def count_matches(reading: Reading, images: Mapping[str, str]) -> int:
    """Count the images about which a reading has any information."""
    return len(match_names((image.file_name for image in reading.images), images).by_image)


def count_classes(readings: Iterable[Reading]) -> dict[str, ClassCount]:
    """Classes that occur, the most frequent first."""
    counts: dict[str, ClassCount] = {}
    for reading in readings:
        for image in reading.images:
            _count_image(image, counts)
    return dict(sorted(counts.items(), key=lambda item: (-item[1].boxes, -item[1].tags, item[0])))


def _count_image(image: ImageAnnotations, counts: dict[str, ClassCount]) -> None:
    area = 1 if image.relative else (image.width or 0) * (image.height or 0)
    for box in image.boxes:
        count = counts.setdefault(box.label, ClassCount())
        count.boxes += 1
        x0, y0, x1, y1 = box.xyxy
        if area:
            count.shares.append((x1 - x0) * (y1 - y0) / area)
    for label in Counter(box.label for box in image.boxes):
        counts[label].images += 1
    for seen in image.unusable:
        if seen.label is not None:
            count = counts.setdefault(seen.label, ClassCount())
            count.unusable += 1
            count.marks += bool(seen.marks)
    for mark in image.marks:
        counts.setdefault(mark.label, ClassCount()).marks += 1
    for label, state in image.tags.items():
        counts.setdefault(label, ClassCount()).tags += state is True
