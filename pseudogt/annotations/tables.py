"""Boxes and tags as CSV, tags as JSON.

Boxes: ``image,class,x0,y0,x1,y1`` in pixels, half-open; a row with an image alone says that nothing is there.

Tags, one row for each: ``image,class`` and, if wanted, ``state``: present, absent or unknown.
Tags, one row for each image: ``image`` and a column for each class with 1, 0 or nothing for unknown.
Tags as JSON: ``{"image": ["class", ...]}`` or ``{"image": {"class": true, false or null}}``.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter

from pseudogt.annotations.form import AnnotatedBox, ImageAnnotations, Reading, Source
from pseudogt.files.parsing import parse_csv, parse_json, parse_number

CORNERS = ("x0", "y0", "x1", "y1")
STATES: dict[str, bool | None] = {
    "present": True,
    "1": True,
    "true": True,
    "yes": True,
    "absent": False,
    "0": False,
    "false": False,
    "no": False,
    "unknown": None,
    "": None,
}


def read(source: Source) -> Reading:
    """As :func:`read_box_table`, called by the name of the format."""
    return read_box_table(source.path)


def read_box_table(path: Path) -> Reading:
    """Read boxes from CSV.

    Raises
    ------
    ValueError
        If the file is not CSV with these columns.
    """
    _, rows = parse_csv(path, ("image", "class", *CORNERS))
    boxes: dict[str, list[AnnotatedBox]] = {}
    problems = []
    for line, row in rows:
        where = f"{path}: line {line}"
        if not row["image"]:
            problems.append(f"{where} names no image")
            continue
        found = boxes.setdefault(row["image"], [])
        if any(row[name] for name in ("class", *CORNERS)):
            try:
                found.append(_read_box(row, where))
            except ValueError as error:
                problems.append(str(error))
    labels = frozenset(box.label for found in boxes.values() for box in found)
    return Reading([ImageAnnotations(name, found) for name, found in boxes.items()], labels, problems=problems)


def _read_box(row: dict[str, str], where: str) -> AnnotatedBox:
    if not row["class"]:
        raise ValueError(f"{where} names no class")
    x0, y0, x1, y1 = (parse_number(row[name], f"{where}, {name}") for name in CORNERS)
    return AnnotatedBox(row["class"], (x0, y0, x1, y1))


def read_tags(path: Path) -> Reading:
    """Read tags from CSV of either form, or from JSON.

    Raises
    ------
    ValueError
        If the file is neither.
    """
    states, problems = _read_json_tags(path) if path.suffix.lower() == ".json" else _read_csv_tags(path)
    labels = frozenset(label for found in states.values() for label in found)
    images = [ImageAnnotations(name, boxed=False, tags=found) for name, found in states.items()]
    return Reading(images, tag_labels=labels, problems=problems)


States = dict[str, dict[str, bool | None]]


def _read_json_tags(path: Path) -> tuple[States, list[str]]:
    document = parse_json(path, TypeAdapter(dict[str, list[str] | dict[str, bool | None]]))
    return {
        name: dict.fromkeys(found, True) if isinstance(found, list) else dict(found) for name, found in document.items()
    }, []


def _read_csv_tags(path: Path) -> tuple[States, list[str]]:
    header, rows = parse_csv(path, ("image",))
    is_long = "class" in header
    states: States = {}
    problems = []
    for line, row in rows:
        if not row["image"]:
            problems.append(f"{path}: line {line} names no image")
            continue
        found = states.setdefault(row["image"], {})
        named = (
            [(row["class"], row.get("state", "present"))]
            if is_long
            else [(name, row[name]) for name in header if name != "image"]
        )
        for label, state in named:
            if not label:
                continue
            if state.lower() not in STATES:
                problems.append(f"{path}: line {line}: {state!r} is no state; use present, absent or unknown")
            elif label in found and found[label] != STATES[state.lower()]:
                problems.append(f"{path}: line {line}: image {row['image']!r} has two states of class {label!r}")
            else:
                found[label] = STATES[state.lower()]
    return states, problems
