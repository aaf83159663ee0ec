"""Tags of images as CSV or JSON.

CSV, one tag per row: ``image,class`` and, optionally, ``state``: present, absent or unknown.
CSV, one row for each image: ``image`` and a column for each class with 1, 0 or nothing for unknown.
JSON: ``{"image": ["class", ...]}`` or ``{"image": {"class": true, false or null}}``.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from pseudogt.annotations.form import ImageAnnotations, Reading
from pseudogt.annotations.tables import SIZE, SYNONYMS, recognise
from pseudogt.parsing.documents import parse_json, read_text
from pseudogt.parsing.tables import EXTRA, parse_csv, parse_header
from pseudogt.parsing.values import parse_flag, parse_name

NO_CLASSES = {*SYNONYMS, "lead_time", "file_size", "region_shape_attributes", *SIZE} - {
    "image",
    "filename",
    "file_name",
    "class",
    "label",
}
"""Columns that no table of tags has: those of boxes and marks, and some of Label Studio's, VIA's and other CSV."""

STATE_WORDS: dict[str, bool | None] = {"present": True, "absent": False, "unknown": None, "": None}
"""Words for the state of a tag, beside truth values."""

States = dict[str, dict[str, bool | None]]
"""Image -> class -> whether it is there; None for unknown."""

ANY = ""
"""Key that stands for an unreadable record: classes that its image does not list are then unknown there."""


def recognise_tags(content: Any) -> bool:
    """Whether a CSV or a JSON holds tags of images and nothing else."""
    if isinstance(content, tuple):
        is_other = recognise(content) or NO_CLASSES & {name.lower() for name in content}
        return "image" in _name_tag_columns(content).values() and len(content) > 1 and not is_other
    if not isinstance(content, dict) or not content:
        return False
    return all(
        isinstance(found, list | dict) and all(map(_is_state, _list_values(found))) for found in content.values()
    )


def _list_values(found: list[Any] | dict[str, Any]) -> list[Any]:
    return list(found.values()) if isinstance(found, dict) else found


def _is_state(value: Any) -> bool:
    """Whether a value may be a class or its state."""
    return value is None or isinstance(value, str | bool)


def read_tags(path: Path) -> Reading:
    """Read tags from CSV of either form, or from JSON.

    Raises
    ------
    ValueError
        If the file is neither.
    """
    states, broken = _read_json_tags(path) if path.suffix.lower() == ".json" else _read_csv_tags(path)
    labels = frozenset(label for found in states.values() for label in found) - {ANY}
    for found in states.values():
        if ANY in found:
            del found[ANY]
            found |= {label: None for label in labels if label not in found}
    images = [ImageAnnotations(name, boxed=False, tags=found) for name, found in states.items()]
    return Reading(images, tag_labels=labels, broken=broken)


def _read_json_tags(path: Path) -> tuple[States, list[str]]:
    states: States = {}
    # The validator keeps the last of equal keys.
    twice = _find_twice(read_text(path))
    broken = [f"{path}: image {name!r} is there twice" for name in twice]
    for image, found in parse_json(path, TypeAdapter(dict[str, Any])).items():
        where, states[image] = f"{path}: image {image!r}", {}
        if isinstance(found, list):
            found = [(name, "present") for name in found]
        elif isinstance(found, dict):
            found = list(found.items())
        else:
            broken.append(f"{where}: {found!r:.80} is neither a list of classes nor a mapping from classes to states")
            states[image][ANY] = None
            continue
        for label, state in found:
            _add_state(states[image], label, state, where, broken)
    for image in twice:
        states[image][ANY] = None
    return states, broken


def _find_twice(text: str) -> list[str]:
    """Keys that the mapping at the top of a JSON holds more than once."""
    pairs: list[tuple[str, Any]] = []

    def keep(found: list[tuple[str, Any]]) -> dict[str, Any]:
        pairs[:] = found  # of nested mappings first, of the top last
        return dict(found)

    try:
        json.loads(text, object_pairs_hook=keep)
    except (ValueError, RecursionError):
        return []
    return [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]


def _read_csv_tags(path: Path) -> tuple[States, list[str]]:
    header, rows = parse_csv(path, ("image",), synonyms=_name_tag_columns(parse_header(path)))
    is_long = "class" in header
    states: States = {}
    broken: list[str] = []
    for line, row in rows:
        where = f"{path}: line {line}"
        if not row["image"]:
            broken.append(f"{where} names no image")
            continue
        found = states.setdefault(row["image"], {})
        if EXTRA in row:
            broken.append(
                f"{where} has more values than the first line has names; put values with separators in quotes"
            )
            found[ANY] = None
            continue
        named = (
            [(row["class"], row.get("state", "present"))]
            if is_long
            else [(name, row[name]) for name in header if name != "image"]
        )
        for label, state in named:
            if label:
                _add_state(found, label, state, f"{where}: image {row['image']!r}", broken)
    return states, broken


def _name_tag_columns(header: tuple[str, ...]) -> dict[str, str]:
    """As :func:`_name_columns`, for tags: without a column of classes, every other column is named after a class."""
    found = {name.lower(): name for name in header[::-1]} | {name: name for name in header}
    lower = {name.lower() for name in header}
    other = next((name for name in ("filename", "file_name") if name in lower), "image")
    # Only Roboflow's tables have one row for each image and call it so.
    if "image" not in lower and (other == "filename" or lower == {other, "label"}):
        found["image"] = found[other]
    if "label" in lower <= {"image", other, "label", "state"}:
        found["class"] = found["label"]
    expected = ("image", "class", "state") if "class" in found else ("image",)
    return {found[name]: name for name in expected if name in found}


def _add_state(found: dict[str, bool | None], label: Any, state: Any, where: str, broken: list[str]) -> None:
    """Add the tag of a class of an image; a class with an unclear state is unknown."""
    try:
        label = parse_name(label)
        if label == ANY:
            raise ValueError("names no class")
    except ValueError as error:
        broken.append(f"{where}: {label!r:.80}: {error}")
        found[ANY] = None
        return
    word = "" if state is None else str(state).strip().lower()
    try:
        known = STATE_WORDS[word] if word in STATE_WORDS else parse_flag(word, where)
    except ValueError:
        broken.append(f"{where}: {state!r:.80} is not a state of class {label!r}; use present, absent or unknown")
        found[label] = None
        return
    if label in found and found[label] != known:
        broken.append(f"{where} has two states of class {label!r}")
        known = None
    found[label] = known
