"""The common form of what annotation tools write: boxes, marks and tags of images, by class name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

Corners = tuple[float, float, float, float]


class Source(NamedTuple):
    """Where the annotations of some images are.

    Attributes
    ----------
    path : Path
        File or folder.
    images : mapping
        Image id -> path of the image, where each image has a label file of its own: those that are looked for.
    names : Path or None
        File with the names of the classes, for formats that need one.
    attribute : str or None
        Attribute that holds the class, for formats that have several.
    points : bool
        Whether key points and points are wanted where an object has them besides its box.
    masks : bool
        Whether masks are wanted; they make up most of a file.
    """

    path: Path
    images: Mapping[str, str]
    names: Path | None
    attribute: str | None = None
    points: bool = False
    masks: bool = False


class AnnotatedBox(NamedTuple):
    """One object.

    Attributes
    ----------
    label : str
        Name of its class in the source.
    xyxy : tuple of float
        Half-open ``(x0, y0, x1, y1)``, in pixels, or as fractions of the image if its
        :class:`ImageAnnotations` is ``relative``.
    iscrowd : bool
        True for a box around a group.
    difficult : bool
        True if the annotators were told to mark it but not to count on it (VOC).
    segmentation
        Its mask as COCO writes it, if the source has one: polygons ``[[x, y, x, y, ...], ...]`` in the
        unit of the box, or run lengths ``{"size": [h, w], "counts": [...]}``.
    group : str or None
        Key shared by all marks of the same object.
    """

    label: str
    xyxy: Corners
    iscrowd: bool = False
    difficult: bool = False
    segmentation: Any = None
    group: str | None = None


class AnnotatedMark(NamedTuple):
    """Pixels of an object that were clicked or painted over, without its outline.

    Attributes
    ----------
    label : str
        Name of its class in the source.
    points : tuple of (x, y)
        In pixels: a point, or the vertices of a scribble. Empty if there is a mask.
    radius : float or None
        Radius in pixels of the disc around a point, or half the width of a scribble, if the source gives it.
    segmentation : dict or None
        Uncompressed run lengths ``{"size": [h, w], "counts": [...]}``.
    group : str or None
        Key shared by the box and the other marks of the same object.
    is_named : bool
        False if the source does not identify the object: a box of the same class around the marks then owns them.
    """

    label: str
    points: tuple[tuple[float, float], ...] = ()
    radius: float | None = None
    segmentation: Any = None
    group: str | None = None
    is_named: bool = True


class UnusableObject(NamedTuple):
    """A mark from which no box can be made; its class is therefore not absent.

    Attributes
    ----------
    label : str or None
        Name of its class in the source; None if that is not known, so that it may be any.
    kind : str
        What the source calls it: ``polyline``, ``keypointlabels``; ``BROKEN`` for a record that should hold a box.
    problem : str
        What is wrong with a broken record, naming file and value.
    marks : tuple of AnnotatedMark
        Single pixels that it labels, if these are wanted.
    """

    label: str | None
    kind: str
    problem: str = ""
    marks: tuple[AnnotatedMark, ...] = ()


BROKEN = "box that can't be read"
"""Kind of a record that should hold a box."""

REGION_CHOICE = "choice of a region"
"""Kind of a remark on a region. It may be the name of a class, or not."""


@dataclass(frozen=True, slots=True)
class ImageAnnotations:
    """Annotations of one image in a source.

    Attributes
    ----------
    file_name : str
        As the source names it; only compared with the images there are, never opened.
    boxes : sequence of AnnotatedBox
    boxed : bool
        True if somebody looked for objects, so a class without a box is absent. False: unknown.
    tags : mapping
        Class name -> whether it is in the image; None if that is unknown.
    width, height : int or None
        Size of the image as the source knows it.
    relative : bool
        True if coordinates are fractions of the image's width and height.
    unusable : sequence of UnusableObject
        What was seen besides the boxes.
    vocabulary : frozenset of str or None
        Classes that boxes of this image may have, if its source has several files that differ in them.
    marks : sequence of AnnotatedMark
        What is known of single pixels.
    """

    file_name: str
    boxes: Sequence[AnnotatedBox] = ()
    boxed: bool = True
    tags: Mapping[str, bool | None] = field(default_factory=dict)
    width: int | None = None
    height: int | None = None
    relative: bool = False
    unusable: Sequence[UnusableObject] = ()
    vocabulary: frozenset[str] | None = None
    marks: Sequence[AnnotatedMark] = ()


@dataclass(frozen=True)
class Reading:
    """Content of one source.

    Attributes
    ----------
    images : list of ImageAnnotations
    box_labels, tag_labels : frozenset of str
        Class names that boxes and tags of the source may have: those it declares, or else those that occur.
    problems : list of str
        What has to be fixed, each naming file and value.
    warnings : list of str
        What is allowed but may not be meant.
    broken : list of str
        Records that can't be read and belong to no image, each naming file and value.
    searched : str
        Where the label files of images were looked for, if there are none.
    """

    images: list[ImageAnnotations]
    box_labels: frozenset[str] = frozenset()
    tag_labels: frozenset[str] = frozenset()
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    searched: str = ""

    def list_faults(self) -> list[str]:
        """Whatever keeps the source from being read as a whole."""
        unusable = (seen for image in self.images for seen in image.unusable)
        return [*self.problems, *self.broken, *(seen.problem or f"{seen.kind} of {seen.label!r}" for seen in unusable)]


class AnnotationFormat(Protocol):
    """Interface of a format's module.

    Attributes
    ----------
    PER_IMAGE : bool
        Whether each image has a file of its own; a source is then their folder.
    """

    PER_IMAGE: bool

    def read(self, source: Source) -> Reading:
        """Read a source; ``ValueError`` if that is impossible as a whole."""

    def recognise(self, content: Any) -> bool:
        """Whether the parsed content of a file is of this format.

        ``content`` is a value of JSON, the root element of XML, the first line of a CSV as a tuple of names, or the
        text of a text file.
        """
