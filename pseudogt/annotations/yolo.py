"""YOLO's text files: one per image, one object on each line, coordinates as fractions of the image.

=======================  ==============================================================
values on a line         meaning
=======================  ==============================================================
5                        class, centre x, centre y, width, height
9 (in a set of only 9)   class and four corners: an oriented box
7, 9, 11, ...            class and the points of a polygon: a mask
5 + the key points       with ``kpt_shape`` in data.yaml: a box, whose points are left out
6                        a prediction with its confidence: an error
=======================  ==============================================================

Lines of five values in a set of polygons are boxes, with a warning. One that extends beyond the image is assumed to be
a polygon that was simplified to two points.

A single line of 9 values may be an oriented box or a polygon of four points. Only the whole set tells
them apart: a set of polygons also has lines of other lengths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pseudogt.annotations.form import AnnotatedBox, Corners, ImageAnnotations, Reading, Source
from pseudogt.annotations.geometry import bound_points, flatten_points
from pseudogt.annotations.records import find_label_files, list_labels, read_objects
from pseudogt.config.annotations import find_name_files
from pseudogt.files.parsing import SHOWN, parse_name, parse_number, parse_yaml, read_text

PER_IMAGE = True
ORIENTED_BOX = 9
FARTHEST = 2.0
"""Fractions farther out are no fractions but pixels."""

OVERHANG = 0.01
"""Share of the image by which a box may reach beyond it: tools round, and objects are cut by the border."""


class Line(NamedTuple):
    """Words of a line, and what it is called in messages."""

    where: str
    words: Sequence[str]


def recognise(content: Any) -> bool:
    """Whether the lines of a text are a class and the coordinates of a box or a polygon."""
    lines = [line.split() for line in content.splitlines() if line.strip()] if isinstance(content, str) else []
    return bool(lines) and all(len(words) >= 5 and all(map(_is_coordinate, words[1:])) for words in lines)


def _is_coordinate(word: str) -> bool:
    try:
        return abs(parse_number(word, "")) <= FARTHEST
    except ValueError:
        return False


def read(source: Source) -> Reading:
    """As :func:`read_yolo`, called by the name of the format."""
    return read_yolo(source.path, source.images, source.names)


def read_yolo(folder: Path, images: Mapping[str, str], names_file: Path | None = None) -> Reading:
    """Read the label files of the given images.

    Parameters
    ----------
    folder : Path
        Holds ``<image>.txt``. An empty file means that nothing is there; a missing one means unlabelled.
    images : mapping
        Image id -> path of the image.
    names_file : Path, optional
        ``data.yaml``, ``classes.txt`` or ``obj.names``; by default the first found in the folder or the two above it.

    Raises
    ------
    ValueError
        If there is no folder or no list of names.
    """
    files, searched = find_label_files(folder, images, ".txt")
    names_file = names_file or find_names(folder)
    names, keypoint_values = read_names(names_file)
    broken: list[str] = []
    lines: dict[str, list[Line]] = {}
    for image_id, path in files.items():
        try:
            lines[image_id] = read_lines(path, keypoint_values)
        except ValueError as error:
            broken.append(str(error))
    lengths = {len(line.words) for found in lines.values() for line in found}
    oriented = ORIENTED_BOX in lengths and not lengths - {5, ORIENTED_BOX}
    polygons = not oriented and any(length > 6 and length % 2 for length in lengths)
    annotated = [
        ImageAnnotations(image_id, boxes, relative=True, unusable=unusable)
        for image_id, found in lines.items()
        for boxes, unusable in [
            read_objects(
                found,
                lambda line: _find_label(line, names),
                lambda line: [make_box(line, names, oriented=oriented, polygons=polygons)],
            )
        ]
    ]
    warnings = []
    if oriented:
        warnings.append(f"{folder}: lines of 9 values are read as oriented boxes; there is no polygon of other length")
    if polygons:
        boxes = [line for found in lines.values() for line in found if _is_box(line)]
        warnings += _describe_boxes(folder, boxes)
    labels = frozenset(names.values()) | list_labels(annotated)
    return Reading(annotated, labels, warnings=warnings, broken=broken, searched=searched)


def _describe_boxes(folder: Path, boxes: Sequence[Line]) -> list[str]:
    """Warn of boxes among polygons."""
    if not boxes:
        return []
    examples = "; ".join(line.where for line in boxes[:SHOWN])
    return [
        f"{folder}: {len(boxes)} lines of 5 values among polygons are read as boxes ({examples}); if they are polygons "
        "of two points, remove them"
    ]


def find_names(folder: Path) -> Path:
    """Return the file with the class names that belongs to a folder of labels."""
    looked_in = [folder, *list(folder.resolve().parents)[:2]]
    for parent in looked_in:
        found = find_name_files(parent)
        if len(found) > 1 and found[0].suffix == ".names":
            raise ValueError(
                f"{parent}: {found[0].name} and {found[1].name} may both hold the class names; name one in "
                "annotations.names"
            )
        if found:
            return found[0]
    raise ValueError(
        f"{folder}: no data.yaml, classes.txt or obj.names in it or above it; name the file with the class names, one "
        "on each line, in annotations.names"
    )


def read_names(path: Path) -> tuple[dict[int, str], int]:
    """Class names by number, and how many values of a line are key points."""
    if path.suffix.lower() not in (".yaml", ".yml"):
        return _read_name_list(path), 0
    document = parse_yaml(path)
    names = document.get("names") if isinstance(document, Mapping) else None
    if isinstance(names, list):
        names = {str(number): name for number, name in enumerate(names)}
    if not isinstance(names, dict) or not names or not all(_is_number(n) for n in names):
        raise ValueError(f"{path}: no 'names', a list of class names or a mapping from numbers to names")
    wrong = next((name for name in names.values() if not isinstance(name, str) or not name.strip()), None)
    if wrong is not None:
        raise ValueError(f"{path}: names holds {wrong!r}, which is not a class name; write one name for each number")
    return {int(number): parse_name(name) for number, name in names.items()}, _count_keypoint_values(document, path)


def _read_name_list(path: Path) -> dict[int, str]:
    """Names of a file with one on each line."""
    if path.suffix == ".data":
        raise ValueError(f"{path}: names the files of a darknet training; set annotations.names to its .names file")
    lines = [line.strip() for line in read_text(path).strip().splitlines()]
    if "" in lines:
        raise ValueError(
            f"{path}: line {lines.index('') + 1} is blank, so the numbers of the classes after it are unsure"
        )
    return {number: parse_name(line) for number, line in enumerate(lines)}


def _is_number(text: Any) -> bool:
    return isinstance(text, str) and text.isdecimal()


def _count_keypoint_values(document: Mapping[Any, Any], path: Path) -> int:
    shape = document.get("kpt_shape")
    if shape is None:
        return 0
    if not (isinstance(shape, list) and len(shape) == 2 and all(_is_number(n) and int(n) > 0 for n in shape)):
        raise ValueError(f"{path}: kpt_shape is {shape}; it must be [points, 2] or [points, 3]")
    return int(shape[0]) * int(shape[1])


def read_lines(path: Path, keypoint_values: int = 0) -> list[Line]:
    """Place and words of each line that is not blank, less key points behind a box."""
    found = []
    for number, text in enumerate(read_text(path).splitlines(), 1):
        words = text.split()
        if keypoint_values and len(words) == 5 + keypoint_values:
            words = words[:5]
        if words:
            found.append(Line(f"{path}: line {number}", words))
    return found


def _find_label(line: Line, names: Mapping[int, str]) -> str | None:
    """Name of the class of a line: its first word is the number of one, or a name."""
    word = line.words[0]
    try:
        return names.get(float(word))  # type: ignore[call-overload]
    except ValueError:
        return word if word in names.values() else None


def make_box(line: Line, names: Mapping[int, str], *, oriented: bool, polygons: bool) -> AnnotatedBox:
    """Make a box of the values of a line.

    Parameters
    ----------
    line : Line
    names : mapping
        Class names by number.
    oriented, polygons : bool
        What the set holds besides boxes.

    Raises
    ------
    ValueError
        For an unknown class, another number of values, or pixels in place of fractions.
    """
    where, words = line
    label = _find_label(line, names)
    if label is None:
        raise ValueError(f"{where}: class {words[0]} has no name; there are 0 to {max(names, default=-1)}")
    numbers = [parse_number(word, where) for word in words[1:]]
    if max(map(abs, numbers), default=0) > FARTHEST:
        raise ValueError(f"{where}: {max(numbers, key=abs):g} is no fraction; YOLO coordinates lie in 0..1")
    if len(words) == 5:
        return AnnotatedBox(label, _bound_box(numbers, where, polygons=polygons))
    if len(words) == 6:
        raise ValueError(f"{where}: 6 values are a prediction with its confidence; remove the last column")
    if len(words) < 7 or len(words) % 2 == 0:
        raise ValueError(f"{where}: {len(words)} values; a box has 5, a polygon 7, 9, 11, ...")
    points = np.reshape(numbers, (-1, 2))
    segmentation = None if oriented else [flatten_points(points)]
    return AnnotatedBox(label, bound_points(points), segmentation=segmentation)


def _is_box(line: Line) -> bool:
    """Whether five words are a box that lies in the image."""
    try:
        return len(line.words) == 5 and bool(_bound_box([float(word) for word in line.words[1:]], "", polygons=True))
    except ValueError:
        return False


def _bound_box(numbers: Sequence[float], where: str, *, polygons: bool) -> Corners:
    x, y, width, height = numbers
    corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    if polygons and not -OVERHANG <= min(corners) <= max(corners) <= 1 + OVERHANG:
        raise ValueError(
            f"{where}: as a box it reaches beyond the image, and the set holds polygons: a polygon of two points"
        )
    return corners
