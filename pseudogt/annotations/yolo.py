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
from pseudogt.annotations.records import find_label_files, find_shift, find_synonyms, list_labels, read_objects
from pseudogt.config.annotations import find_name_files
from pseudogt.parsing.documents import parse_yaml, read_text
from pseudogt.parsing.problems import SHOWN
from pseudogt.parsing.values import parse_name, parse_number

PER_IMAGE = True
YAML_SUFFIXES = (".yaml", ".yml")
ORIENTED_BOX = 9
FARTHEST = 2.0
"""Larger values are pixels, not fractions."""

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
    files, searched, warnings = find_label_files(folder, images, ".txt")
    names_file = names_file or find_names(folder)
    names, keypoint_values = read_names(names_file)
    warnings += find_synonyms(names_file, names.items(), "numbers")
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
    everything = [line for found in lines.values() for line in found]
    problems = _describe_misreadings(folder, everything, names, names_file)
    if oriented:
        warnings.append(f"{folder}: lines of 9 values are read as oriented boxes; there is no polygon of other length")
    if polygons:
        warnings += _describe_boxes(folder, [line for line in everything if _is_box(line)])
    warnings += [] if polygons else _describe_corners(folder, everything)
    warnings += _describe_points(folder, everything)
    labels = frozenset(names.values()) | list_labels(annotated)
    return Reading(annotated, labels, problems=problems, warnings=warnings, broken=broken, searched=searched)


def _describe_misreadings(folder: Path, lines: Sequence[Line], names: Mapping[int, str], names_file: Path) -> list[str]:
    """Problems of a whole set, each line of which could be read, but as something else."""
    used = {line.words[0] for line in lines}
    problems = find_shift(folder, {int(word) for word in used if _is_number(word)}, set(names), str(names_file))
    points = _count_key_points(lines)
    if points:
        file = names_file if names_file.suffix in YAML_SUFFIXES else "data.yaml"
        problems.append(
            f"{folder}: lines of {5 + 3 * points} values are boxes with {points} key points (every third value is 0, 1 "
            f"or 2); add kpt_shape: [{points}, 3] to {file}"
        )
    return problems


def _count_key_points(lines: Sequence[Line]) -> int:
    """How many key points with visibility follow the box of each line; 0 if they are something else."""
    (length, *others) = {len(line.words) for line in lines} or {0}
    if others or length < 8 or (length - 5) % 3:
        return 0
    visible = {word for line in lines for word in line.words[7::3]}
    return (length - 5) // 3 if visible and all(_is_whole(word, 2) for word in visible) else 0


def _describe_points(folder: Path, lines: Sequence[Line]) -> list[str]:
    """Warn of polygons and oriented boxes that may be boxes with key points ``x y``: all points lie in the box."""
    lengths = {len(line.words) for line in lines}
    if len(lengths) != 1 or (length := min(lengths)) < 7 or not length % 2:
        return []
    try:
        numbers = np.array([[float(word) for word in line.words[1:]] for line in lines]).reshape(len(lines), -1, 2)
    except ValueError:
        return []
    centre, size, points = numbers[:, :1], numbers[:, 1:2], numbers[:, 2:]
    # A point at 0, 0 was not seen.
    inside = (np.abs(points - centre) <= size / 2 + OVERHANG).all(-1) | (points == 0).all(-1)
    fits = (np.abs(centre - 0.5) + size / 2 <= 0.5 + OVERHANG).all()
    text = (
        f"{folder}: all lines have {length} values, which may also be boxes with {points.shape[1]} key points; if they "
        f"are, add kpt_shape: [{points.shape[1]}, 2] to data.yaml"
    )
    return [text] if fits and inside.all() else []


def _is_whole(word: str, largest: int) -> bool:
    try:
        return float(word) in range(largest + 1)
    except ValueError:
        return False


def _describe_corners(folder: Path, lines: Sequence[Line]) -> list[str]:
    """Warn of boxes that reach far out of their images, if all of the set would fit as two corners each."""
    boxes = [line for line in lines if len(line.words) == 5 and all(map(_is_coordinate, line.words[1:]))]
    corners = [[float(word) for word in line.words[1:]] for line in boxes]
    if not all(0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1 for x0, y0, x1, y1 in corners):
        return []
    outside = [line.where for line in boxes if not _is_box(line)]
    text = (
        f"{folder}: {len(outside)} boxes reach beyond their images as [centre x, centre y, width, height], YOLO's form "
        f"({'; '.join(outside[:SHOWN])}), but all boxes would fit as corners [x0, y0, x1, y1]; if they are corners, "
        "convert them"
    )
    return [text] if outside else []


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
    """Return the file with the class names that belongs to a folder of labels; others there must not contradict it."""
    looked_in = [folder, *list(folder.resolve().parents)[:2]]
    found = [path for parent in looked_in for path in find_name_files(parent)]
    for other in found[1:]:
        if not _agree(found[0], other):
            name = other.name if other.parent == found[0].parent else other
            raise ValueError(
                f"{found[0].parent}: {found[0].name} and {name} may both hold the class names, and differ; name one in "
                "annotations.names"
            )
    if found:
        return found[0]
    raise ValueError(
        f"{folder}: no data.yaml, classes.txt or obj.names in it or above it; name the file with the class names, one "
        "on each line, in annotations.names"
    )


def _agree(path: Path, other: Path) -> bool:
    """Whether two files have the same names for the numbers that are in both, as far as they can be read."""
    try:
        names, others = read_names(path)[0], read_names(other)[0]
    except ValueError:
        return True
    return all(names[number] == others[number] for number in names.keys() & others.keys())


def read_names(path: Path) -> tuple[dict[int, str], int]:
    """Class names by number, and how many values of a line are key points."""
    if path.suffix.lower() not in YAML_SUFFIXES:
        return _read_name_list(path), 0
    document = parse_yaml(path)
    names = document.get("names") if isinstance(document, Mapping) else None
    if isinstance(names, str) and names:
        raise ValueError(
            f"{path}: 'names' is {names!r:.80}, not a list of names; if it is a file with one name on each line, set "
            "annotations.names to it"
        )
    if isinstance(names, list):
        names = {str(number): name for number, name in enumerate(names)}
    if not isinstance(names, dict) or not names or not all(_is_number(n) for n in names):
        raise ValueError(
            f"{path}: no 'names', a list of class names or a mapping from numbers to names (got {names!r:.80})"
        )
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
    """Place and words of each line that is not blank, without key points behind a box."""
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
    comma = next((word for word in words if "," in word and word not in names.values()), None)
    if comma is not None:
        raise ValueError(f"{where}: {comma!r} is not a number; separate values by blanks, and write decimal points")
    label = _find_label(line, names)
    if label is None:
        known = (
            "0 to " + str(max(names)) if set(names) == set(range(len(names))) else ", ".join(map(str, sorted(names)))
        )
        raise ValueError(f"{where}: class {words[0]} has no name; there are {known}")
    numbers = [parse_number(word, where) for word in words[1:]]
    if max(map(abs, numbers), default=0) > FARTHEST:
        raise ValueError(f"{where}: {max(numbers, key=abs):g} is not a fraction; YOLO coordinates lie in 0..1")
    if len(words) == 5:
        return AnnotatedBox(label, _bound_box(numbers, where, polygons=polygons))
    if len(words) == 6:
        raise ValueError(
            f"{where}: 6 values are a prediction with its confidence, whose last column can be removed, or a box with "
            "an angle, which must be given by its four corners"
        )
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
