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

A line of 9 values means the same to a reader of one file whether it is an oriented box or a polygon
of four points. What tells them apart is the whole set: a set of polygons has others, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pseudogt.annotations.form import AnnotatedBox, ImageAnnotations, Reading, Source
from pseudogt.annotations.geometry import bound_points, flatten_points
from pseudogt.config.annotations import NAME_FILES
from pseudogt.files.parsing import parse_number, parse_yaml, read_text

ORIENTED_BOX = 9
FARTHEST = 2.0
"""Fractions farther out are no fractions but pixels."""


def read(source: Source) -> Reading:
    """As :func:`read_yolo`, called by the name of the format."""
    return read_yolo(source.path, source.image_ids, source.names)


def read_yolo(folder: Path, stems: Iterable[str], names_file: Path | None = None) -> Reading:
    """Read the label files of the given images.

    Parameters
    ----------
    folder : Path
        Holds ``<stem>.txt``. An empty file says that nothing is there, a missing one nothing at all.
    stems : iterable of str
        Names of the images without suffix.
    names_file : Path, optional
        ``data.yaml`` or ``classes.txt``; by default the first found in the folder or the two above it.

    Raises
    ------
    ValueError
        If there is no folder or no list of names.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; annotations.path must hold one .txt per image")
    names_file = names_file or find_names(folder)
    names, keypoint_values = read_names(names_file)
    problems: list[str] = []
    lines: dict[str, list[tuple[str, list[float]]]] = {}
    for stem in stems:
        path = folder / f"{stem}.txt"
        if path.is_file():
            try:
                lines[stem] = read_lines(path, keypoint_values)
            except ValueError as error:
                problems.append(str(error))
    lengths = {len(values) for found in lines.values() for _, values in found}
    oriented = ORIENTED_BOX in lengths and not lengths - {5, ORIENTED_BOX}
    images = []
    for stem, found in lines.items():
        boxes = []
        for where, values in found:
            try:
                boxes.append(make_box(values, names, oriented=oriented, where=where))
            except ValueError as error:
                problems.append(str(error))
        images.append(ImageAnnotations(stem, boxes, relative=True))
    warnings = []
    if oriented:
        warnings.append(f"{folder}: lines of 9 values are read as oriented boxes; there is no polygon of other length")
    return Reading(images, box_labels=frozenset(names.values()), problems=problems, warnings=warnings)


def find_names(folder: Path) -> Path:
    """Return the file with the class names that belongs to a folder of labels."""
    looked_in = [folder, *list(folder.resolve().parents)[:2]]
    found = next((parent / name for parent in looked_in for name in NAME_FILES if (parent / name).is_file()), None)
    if found is None:
        raise ValueError(f"{folder}: no data.yaml or classes.txt in it or above it; name one in annotations.names")
    return found


def read_names(path: Path) -> tuple[dict[int, str], int]:
    """Class names by number, and how many values of a line are key points."""
    if path.suffix == ".txt":
        return dict(enumerate(line.strip() for line in read_text(path).splitlines() if line.strip())), 0
    document = parse_yaml(path)
    names = document.get("names") if isinstance(document, Mapping) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names or not all(isinstance(n, int) and n >= 0 for n in names):
        raise ValueError(f"{path}: no 'names', a list of class names or a mapping from numbers to names")
    return {number: str(name) for number, name in names.items()}, _count_keypoint_values(document, path)


def _count_keypoint_values(document: Mapping[Any, Any], path: Path) -> int:
    shape = document.get("kpt_shape")
    if shape is None:
        return 0
    if not (isinstance(shape, list) and len(shape) == 2 and all(isinstance(n, int) and n > 0 for n in shape)):
        raise ValueError(f"{path}: kpt_shape is {shape!r}; it must be [points, 2] or [points, 3]")
    return shape[0] * shape[1]


def read_lines(path: Path, keypoint_values: int = 0) -> list[tuple[str, list[float]]]:
    """Place and values of each line that is not blank."""
    found = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        where = f"{path}: line {number}"
        values = [parse_number(word, where) for word in line.split()]
        if keypoint_values and len(values) == 5 + keypoint_values:
            values = values[:5]
        if values:
            found.append((where, values))
    return found


def make_box(values: list[float], names: Mapping[int, str], *, oriented: bool, where: str) -> AnnotatedBox:
    """Make a box of the values of a line.

    Raises
    ------
    ValueError
        For an unknown class, another number of values, or pixels in place of fractions.
    """
    if values[0] not in names:
        raise ValueError(f"{where}: class {values[0]:g} has no name; there are 0 to {max(names)}")
    label, numbers = names[int(values[0])], values[1:]
    if max(map(abs, numbers), default=0) > FARTHEST:
        raise ValueError(f"{where}: {max(numbers, key=abs):g} is no fraction; YOLO coordinates lie in 0..1")
    if len(values) == 5:
        x, y, width, height = numbers
        return AnnotatedBox(label, (x - width / 2, y - height / 2, x + width / 2, y + height / 2))
    if len(values) == 6:
        raise ValueError(f"{where}: 6 values are a prediction with its confidence; remove the last column")
    if len(values) < 7 or len(values) % 2 == 0:
        raise ValueError(f"{where}: {len(values)} values; a box has 5, a polygon 7, 9, 11, ...")
    points = np.reshape(numbers, (-1, 2))
    segmentation = None if oriented else [flatten_points(points)]
    return AnnotatedBox(label, bound_points(points), segmentation=segmentation)
