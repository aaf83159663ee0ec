"""Reading JSON, XML, YAML, CSV and text of unknown origin: whatever is wrong becomes a ``ValueError`` with the path."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Annotated, Any, TypeVar
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import yaml
from pydantic import Field, TypeAdapter, ValidationError

LARGEST_COORDINATE = 1e6
"""Pixels; larger numbers are no coordinates, and products of these are finite."""

LARGEST_MASK_PX = 2**28
"""Pixels of a mask; more is taken for a broken or hostile file."""

Coordinate = Annotated[float, Field(ge=-LARGEST_COORDINATE, le=LARGEST_COORDINATE, allow_inf_nan=False)]
Extent = Annotated[int, Field(ge=1, le=LARGEST_COORDINATE)]
Value = TypeVar("Value")

SHOWN = 5
"""Problems of one file that are spelled out."""


def read_bytes(path: Path) -> bytes:
    """Content of a file; ``ValueError`` if there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no such file") from error
    except OSError as error:
        raise ValueError(f"{path}: can't be read ({error.strerror})") from error


def read_text(path: Path) -> str:
    """Text in UTF-8, or in another encoding of Unicode if it starts with its mark."""
    data = read_bytes(path)
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error


def parse_json(path: Path, adapter: TypeAdapter[Value]) -> Value:
    """JSON of the given type; the error lists the first misfits with their places."""
    data = read_bytes(path)
    try:
        text = data.decode(json.detect_encoding(data))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        raise ValueError(describe_misfits(path, error)) from error


def describe_misfits(path: Path, error: ValidationError) -> str:
    """One line per misfit, at most ``SHOWN`` of them."""
    lines = []
    for problem in error.errors(include_url=False)[:SHOWN]:
        place = ".".join(str(part) for part in problem["loc"])
        found = "" if problem["type"] == "json_invalid" else f" (got {str(problem['input'])[:80]!r})"
        lines.append(f"{path}: {place + ': ' if place else ''}{problem['msg']}{found}")
    hidden = error.error_count() - len(lines)
    return "\n".join(lines + ([f"{path}: and {hidden} more of this kind"] if hidden else []))


def parse_yaml(path: Path) -> Any:
    """Plain YAML."""
    try:
        return yaml.safe_load(read_text(path))
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error


def parse_xml(path: Path) -> Element:
    """Root element of an XML file that declares no entities: those can blow a kilobyte up to gigabytes."""
    data = read_bytes(path)
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = _refuse_entity
    try:
        parser.Parse(data, True)
        return builder.close()
    except (expat.ExpatError, LookupError, ValueError, AssertionError) as error:
        raise ValueError(f"{path}: not valid XML ({error})") from error


def _refuse_entity(name: str, *_: Any) -> None:
    raise ValueError(f"it declares the entity {name!r}, which is refused; remove the declaration")


def parse_number(text: str | None, where: str) -> float:
    """A finite number of a size that a coordinate may have."""
    try:
        number = float(text or "")
    except ValueError as error:
        raise ValueError(f"{where}: {text!r} is not a number") from error
    if not math.isfinite(number) or abs(number) > LARGEST_COORDINATE:
        raise ValueError(f"{where}: {text!r} is not a coordinate")
    return number


def parse_whole_number(text: str | None, where: str) -> int:
    """A number without fraction."""
    number = parse_number(text, where)
    if number != int(number):
        raise ValueError(f"{where}: {text!r} is not a whole number")
    return int(number)


def parse_extent(text: str | None, where: str) -> int | None:
    """Width or height; None where the source left it out or at 0."""
    number = parse_whole_number(text, where) if text and text.strip() else 0
    if number < 0:
        raise ValueError(f"{where}: {number} is not a size")
    return number or None


def parse_csv(path: Path, columns: tuple[str, ...]) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Header and rows with their line numbers of a comma-separated file that has the given columns."""
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""), restkey="", restval="")
    try:
        header = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = header
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise ValueError(f"{path}: line {reader.line_num + 1} is not CSV ({error})") from error
    missing = [name for name in columns if name not in header]
    if missing or len(set(header)) != len(header):
        raise ValueError(
            f"{path}: its first line is {','.join(header)!r}; it must name the columns {','.join(columns)}, once each, "
            "separated by commas"
        )
    too_long = next((line for line, row in rows if "" in row and isinstance(row[""], list)), None)
    if too_long is not None:
        raise ValueError(f"{path}: line {too_long} has more values than the first line has names; quote commas")
    return header, [(line, {name: value.strip() for name, value in row.items()}) for line, row in rows]


def read_id_list(path: Path) -> list[str]:
    """Image ids of a list, one on each line, in file order; blank lines are left out.

    Raises
    ------
    ValueError
        If there is no such file, it is not UTF-8, or an id has a folder or is listed twice.
    """
    listed = read_image_list(path)
    with_folder = next((f"{folder}/{name}" for folder, name in listed if folder), None)
    if with_folder is not None:
        raise ValueError(f"{path}: {with_folder!r} is no image id; list file names without folder and suffix")
    return [name for _, name in listed]


def read_image_list(path: Path) -> list[tuple[str, str]]:
    """Folder, empty if there is none, and name of each image of a list, in file order; blank lines are left out.

    Raises
    ------
    ValueError
        If there is no such file, it is not UTF-8, a name is hidden or leads out of the folder, or is listed twice.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such list; write one image id on each line, without suffix")
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    seen: set[str] = set()
    for line in lines:
        if "\\" in line or any(part.startswith(".") or not part for part in line.split("/")):
            raise ValueError(f"{path}: {line!r} is no image id; list file names without suffix")
        if line in seen:
            raise ValueError(f"{path}: image {line!r} is listed twice; remove one")
        seen.add(line)
    return [(folder, name) for folder, _, name in (line.rpartition("/") for line in lines)]
