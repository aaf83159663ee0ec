"""Boxes, points and scribbles as CSV.

Boxes: ``image,class,x0,y0,x1,y1`` in pixels, half-open; a row with only an image means that nothing is there.
Points: ``image,class,x,y`` in pixels, scribbles ``image,class,points`` with ``x y;x y``; each optionally with
``radius`` and ``instance``, which the marks of an object and its box share. All of these may be in one file; a row
leaves the columns empty that it does not need.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from pseudogt.annotations.form import AnnotatedBox, AnnotatedMark, ImageAnnotations, Reading, Source
from pseudogt.annotations.records import UnsupportedKindError, list_labels, read_exports, read_objects
from pseudogt.parsing.tables import DECIMAL_COMMA, EXTRA, parse_csv, parse_header
from pseudogt.parsing.values import parse_extent, parse_name, parse_number

PER_IMAGE = False
CORNERS = ("x0", "y0", "x1", "y1")
POINT = ("x", "y")
SIZE = ("width", "height")
"""Columns with the image's size in tables of TensorFlow's tools; some tools write the size of the box there."""

MARK_COLUMNS = (*POINT, "points", "radius", "instance")
SYNONYMS = {name: name for name in ("image", "class", *CORNERS, *MARK_COLUMNS)}
SYNONYMS |= {"filename": "image", "label": "class", "xmin": "x0", "ymin": "y0", "xmax": "x1", "ymax": "y1"}
SYNONYMS |= {"x_min": "x0", "y_min": "y0", "x_max": "x1", "y_max": "y1", "file_name": "image"}
"""Names of columns in lower case, with those that Roboflow, VoTT and TensorFlow's tools give them."""

CENTRE_SLACK_PX = 1.0
"""How far a point may be from the centre of the box in its row and still be taken for it: a tool may round it."""

NUMBERS = (*CORNERS, *POINT, "radius")


class _Row(NamedTuple):
    """A row that holds a box, and what it is called in messages."""

    values: dict[str, str]
    where: str


def recognise(content: Any) -> bool:
    """Whether the first line of a CSV names the columns of boxes, points or scribbles."""
    names = set(_name_columns(content).values()) if isinstance(content, tuple) else set()
    return {"image", "class"} <= names and any(set(shape) <= names for shape in (CORNERS, POINT, ("points",)))


def _name_columns(header: tuple[str, ...]) -> dict[str, str]:
    """Name each column as this module does; other names of a column stay as they are beside the exact one."""
    columns: dict[str, str] = {}
    for name in sorted(header, key=lambda name: (SYNONYMS.get(name) != name, name not in SYNONYMS)):
        known = SYNONYMS.get(name.lower(), name)
        columns[name] = name if known in columns.values() else known
    return columns


def read(source: Source) -> Reading:
    """As :func:`read_box_table`, of a file or of a folder of such files, called by the name of the format."""
    return read_exports(source.path, ".csv", read_box_table, declared=False)


def read_box_table(path: Path) -> Reading:
    """Read boxes, points and scribbles from CSV.

    Raises
    ------
    ValueError
        If the file is not CSV with these columns.
    """
    synonyms = _name_columns(parse_header(path))
    names = set(synonyms.values())
    if {*POINT, *SIZE} <= names and not names & set(CORNERS):
        raise ValueError(
            f"{path}: its columns x, y, width and height may be boxes, or points in images of that size; write boxes "
            f"as {','.join(CORNERS)}, or remove width and height"
        )
    has_marks = set(POINT) <= names or "points" in names
    has_boxes = not has_marks or bool(names & set(CORNERS)) or "class" not in names
    columns = ("image", "class", *CORNERS) if has_boxes else ("image",)
    header, rows = parse_csv(path, columns, numbers=NUMBERS, synonyms=synonyms)
    boxes: dict[str, list[_Row]] = {}
    broken = []
    for line, row in rows:
        where = f"{path}: line {line}"
        if not row["image"]:
            broken.append(f"{where} names no image")
            continue
        found = boxes.setdefault(row["image"], [])
        if any(row.get(name) for name in ("class", *CORNERS, *MARK_COLUMNS)):
            found.append(_Row(row, where))
    images = [
        ImageAnnotations(name, found, unusable=unusable)
        for name, rows_of_image in boxes.items()
        for found, unusable in [read_objects(rows_of_image, _find_label, lambda row: [_read_box(row)])]
    ]
    sizes = _find_sizes(images, boxes) if set(SIZE) <= names else {}
    images = (
        [replace(i, width=sizes[i.file_name][0], height=sizes[i.file_name][1]) for i in images] if sizes else images
    )
    known = ("image", "class", *CORNERS, *(SIZE if sizes else ()), *(MARK_COLUMNS if has_marks else ()))
    others = [name for name in header if name not in known]
    warnings = [f"{path}: columns that are not read: {', '.join(map(repr, others))}"] if others else []
    return Reading(images, list_labels(images), broken=broken, warnings=warnings)


def _find_sizes(images: list[ImageAnnotations], rows: dict[str, list[_Row]]) -> dict[str, tuple[int, int]]:
    """Width and height of each image, if these columns hold that: they agree in an image, and its boxes fit."""
    sizes = {}
    for image in images:
        found = {tuple(row.values[name] for name in SIZE) for row in rows[image.file_name]}
        try:
            ((width, height),) = [[parse_extent(text, "") or 0 for text in pair] for pair in found]
        except ValueError:
            return {}
        if any(box.xyxy[2] > width + 1 or box.xyxy[3] > height + 1 for box in image.boxes) or not width * height:
            return {}
        sizes[image.file_name] = (width, height)
    return sizes


def _find_label(row: _Row) -> str | None:
    return parse_name(row.values["class"]) or None


def _read_box(row: _Row) -> AnnotatedBox:
    label, where = _find_label(row), row.where
    if EXTRA in row.values:
        raise ValueError(f"{where} has more values than the first line has names; put values with separators in quotes")
    if label is None:
        raise ValueError(f"{where} names no class")
    shapes = [
        shape
        for shape, columns in (("box", CORNERS), ("point", POINT), ("scribble", ("points",)))
        if any(row.values.get(name) for name in columns)
    ]
    if shapes == ["box", "point"] and _is_centre(row):
        shapes = ["box"]
    if len(shapes) > 1:
        raise ValueError(f"{where} holds a {' and a '.join(shapes)}; give each a row, and the same instance")
    if shapes != ["box"] and (shapes or "x0" not in row.values):
        mark = _read_mark(row, label)
        raise UnsupportedKindError("point" if len(mark.points) == 1 else "scribble", [mark])
    x0, y0, x1, y1 = (parse_number(row.values.get(name), f"{where}, {name}") for name in CORNERS)
    return AnnotatedBox(label, (x0, y0, x1, y1), group=row.values.get("instance") or None)


def _is_centre(row: _Row) -> bool:
    """Whether the point in a row is the centre of its box, which some tools write beside the corners."""
    if not all(row.values.get(name) for name in (*CORNERS, *POINT)):
        return False
    x0, y0, x1, y1, x, y = (parse_number(row.values[name], f"{row.where}, {name}") for name in (*CORNERS, *POINT))
    return max(abs(x - (x0 + x1) / 2), abs(y - (y0 + y1) / 2)) <= CENTRE_SLACK_PX


def _read_mark(row: _Row, label: str) -> AnnotatedMark:
    values, where = row.values, row.where
    scribble = values.get("points", "").rstrip("; ")
    pairs = [_replace_decimal_commas(pair).split() for pair in scribble.split(";")] if scribble else []
    pairs = pairs or [[values.get(name, "") for name in POINT]]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"{where}: its points {values['points']!r:.80} are not 'x y;x y'")
    points = tuple((parse_number(x, f"{where}, x"), parse_number(y, f"{where}, y")) for x, y in pairs)
    radius = parse_number(values["radius"], f"{where}, radius") if values.get("radius") else None
    return AnnotatedMark(label, points, radius, group=values.get("instance") or None)


def _replace_decimal_commas(pair: str) -> str:
    """Numbers with decimal points, in a pair that a blank separates."""
    words = pair.split()
    is_pair = len(words) == 2
    return " ".join(word.replace(",", ".") if is_pair and DECIMAL_COMMA.fullmatch(word) else word for word in words)
