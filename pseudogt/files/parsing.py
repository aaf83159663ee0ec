"""Read JSON, XML, YAML and text of unknown origin; every problem becomes a ``ValueError`` with the path."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError

from pseudogt.files.contents import describe_content, describe_missing

LARGEST_COORDINATE = 1e6
"""Pixels; larger numbers are not coordinates, and products of these are finite."""

LARGEST_MASK_PX = 2**28
"""Maximum number of pixels of a mask; a larger one is treated as a broken or hostile file."""

Coordinate = Annotated[float, Field(ge=-LARGEST_COORDINATE, le=LARGEST_COORDINATE, allow_inf_nan=False)]
Extent = Annotated[int, Field(ge=1, le=LARGEST_COORDINATE)]
Value = TypeVar("Value")
Record = TypeVar("Record")

SHOWN = 5
"""Problems or names that a message spells out."""

PLAIN_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,17}")
"""Text that a program which keeps ids as numbers would have written as one."""

PLAIN_KEY = re.compile(r"[^\W\d_][\w-]*(?: [\w-]+)*")
"""Name that YAML reads as text without quotes, unless it is a word for a truth value."""

QUOTE = "YAML reads an unquoted yes, no, on or off as a truth value; put the word in quotes"
"""Why a word arrives as a truth value, and the remedy."""

FLAGS = {
    **dict.fromkeys(("1", "1.0", "true", "t", "yes", "y", "on"), True),
    **dict.fromkeys(("0", "0.0", "false", "f", "no", "n", "off", "", "none", "null"), False),
}
"""Truth values as text, in lower case."""


def read_bytes(path: Path) -> bytes:
    """Content of a file; ``ValueError`` if there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ValueError(f"{path}: {describe_missing(path)}") from error
    except OSError as error:
        raise ValueError(f"{path}: can't be read ({error.strerror})") from error


def read_document(path: Path) -> bytes:
    """Content of a file that must hold text of some kind; ``ValueError`` if it is empty or something else."""
    data = read_bytes(path)
    found = describe_content(data)
    if found:
        raise ValueError(f"{path}: {found}")
    return data


def read_text(path: Path) -> str:
    """Text in UTF-8, or in another encoding of Unicode if it starts with its mark; it may be empty."""
    data = read_bytes(path) and read_document(path)
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error


class MisfitError(ValueError):
    """A file is JSON, but not of the type that was asked for."""


def parse_json(path: Path, adapter: TypeAdapter[Value]) -> Value:
    """JSON of the given type; a ``MisfitError`` lists what does not fit, with its places.

    Raises
    ------
    ValueError
        If the file is not JSON at all.
    """
    data = read_document(path)
    try:
        text = data.decode(json.detect_encoding(data))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        is_json = all(problem["type"] != "json_invalid" for problem in error.errors(include_url=False))
        raise (MisfitError if is_json else ValueError)(describe_misfits(path, error)) from error


def describe_misfits(path: Path, error: ValidationError) -> str:
    """One line per misfit, at most ``SHOWN`` of them."""
    lines = []
    for problem in error.errors(include_url=False)[:SHOWN]:
        place = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "json_invalid":
            found = "; if the file was cut, or edited, export it again"
        elif problem["type"] == "missing" and isinstance(problem["input"], dict):
            found = f" (got the keys {', '.join(map(repr, problem['input']))[:80] or 'of nothing'})"
        else:
            found = f" (got {str(problem['input'])[:80]!r})"
        lines.append(f"{path}: {place + ': ' if place else ''}{problem['msg']}{found}")
    hidden = error.error_count() - len(lines)
    return "\n".join(lines + ([f"{path}: and {hidden} more of this kind"] if hidden else []))


def fit_record(adapter: TypeAdapter[Value], record: Any, where: str) -> Value:
    """Validate one record of a file; the ``ValueError`` says in one line what does not fit."""
    try:
        return adapter.validate_python(record)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        raise ValueError(f"{where}: {f'{place}: ' if place else ''}{message} (got {problem['input']!r:.80})") from error


def read_each(
    records: Iterable[Record], read: Callable[[Record], Value]
) -> Iterator[tuple[Record, Value | None, ValueError | None]]:
    """Read records one by one, so that a broken one hides no other: each with its value or its problem."""
    for record in records:
        try:
            yield record, read(record), None
        except ValueError as error:
            yield record, None, error


def shorten_list(problems: Sequence[str]) -> list[str]:
    """At most ``SHOWN`` problems, and how many there are beside them."""
    hidden = len(problems) - SHOWN
    return [*problems[:SHOWN], *([f"and {hidden} more of this kind"] if hidden > 0 else [])]


def shorten_names(names: Sequence[str]) -> str:
    """At most ``SHOWN`` names in one line, and how many there are beside them."""
    hidden = len(names) - SHOWN
    return ", ".join(f"{name!r:.100}" for name in names[:SHOWN]) + (f" and {hidden} more" if hidden > 0 else "")


class _TextLoader(yaml.BaseLoader):
    """Every scalar as text. YAML's own loaders keep the last of equal keys; here they are an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((key for number, key in enumerate(keys) if key in keys[:number]), None)
        if twice is not None:
            line = node.start_mark.line + 1
            raise ValueError(f"{twice!r} is there twice in the mapping that starts in line {line}; remove one")
        return super().construct_mapping(node, deep=deep)


def parse_yaml(path: Path) -> Any:
    """YAML with every scalar as text: ``no``, ``1e3`` and ``2026-01-01`` stay as they are written.

    Raises
    ------
    ValueError
        If the file is not YAML, or a mapping holds a key twice.
    """
    text = read_text(path)
    try:
        return _TextLoader(text).get_single_data()
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def parse_xml(path: Path) -> Element:
    """Root element of an XML file that declares no entities: those can blow a kilobyte up to gigabytes."""
    data = read_document(path)
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
        raise ValueError(f"{path}: not valid XML ({error}); export it again, or save it as UTF-8") from error


def _refuse_entity(name: str, *_: Any) -> None:
    raise ValueError(f"it declares the entity {name!r}, which is refused; remove the declaration")


def parse_flag(value: object, where: str) -> bool:
    """Truth value, also as a number or as text, which is read as what it says; nothing is false.

    Examples
    --------
    >>> parse_flag("0", "iscrowd"), parse_flag("Yes", "iscrowd"), parse_flag(None, "iscrowd")
    (False, True, False)
    """
    known = FLAGS.get(str("" if value is None else value).strip().lower())
    if known is None:
        raise ValueError(f"{where}: {value!r:.80} is not a truth value; write true or false")
    return known


def parse_name(value: object) -> str:
    """Name of a class, which may be written as a number; without blanks around it, umlauts as one character each."""
    if isinstance(value, bool):
        raise ValueError(f"a class name must be text; {QUOTE}")
    if not isinstance(value, str | int | float):
        raise ValueError("a class name must be text")
    return unicodedata.normalize("NFC", str(value).strip())


def quote_key(name: str) -> str:
    """Name as a key of YAML that stands for it and for nothing else.

    Examples
    --------
    >>> print(quote_key("traffic light"), quote_key("no"), quote_key("car, red"))
    traffic light 'no' 'car, red'
    """
    is_plain = PLAIN_KEY.fullmatch(name) is not None and name.lower() not in FLAGS
    return name if is_plain else "'" + name.replace("'", "''") + "'"


def unify_id(value: int | str) -> int | str:
    """Number of an id that is written as text, as it is otherwise: ids that differ only in type are equal.

    Examples
    --------
    >>> unify_id("17"), unify_id("017"), unify_id("a")
    (17, '017', 'a')
    """
    return int(value) if isinstance(value, str) and PLAIN_NUMBER.fullmatch(value) else value


Flag = Annotated[bool, BeforeValidator(lambda value: parse_flag(value, "truth value"))]
Name = Annotated[str, BeforeValidator(parse_name)]
Key = Annotated[int | str, AfterValidator(unify_id)]


def parse_number(text: str | float | None, where: str) -> float:
    """A finite number of a size that a coordinate may have."""
    try:
        number = float("" if text is None or isinstance(text, bool) else text)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{where}: {text!r} is not a number") from error
    if not math.isfinite(number) or abs(number) > LARGEST_COORDINATE:
        raise ValueError(f"{where}: {text!r} is not a coordinate")
    return number


def parse_whole_number(text: str | float | None, where: str) -> int:
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
        raise ValueError(f"{path}: {with_folder!r} is not an image id; list file names without folder and suffix")
    return [name for _, name in listed]


def read_image_list(path: Path) -> list[tuple[str, str]]:
    """Folder, empty if there is none, and name of each image of a list, in file order; blank lines are left out.

    Raises
    ------
    ValueError
        If there is no such file, it is not UTF-8, a name is hidden or leads out of the folder, or is listed twice.
    """
    if not path.is_file():
        raise ValueError(f"{path}: {describe_missing(path, 'list')}; write one image id per line, without suffix")
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    seen: set[str] = set()
    for line in lines:
        if "\\" in line or any(part.startswith(".") or not part for part in line.split("/")):
            raise ValueError(f"{path}: {line!r} is not an image id; list file names without suffix")
        if line in seen:
            raise ValueError(f"{path}: image {line!r} is listed twice; remove one")
        seen.add(line)
    return [(folder, name) for folder, _, name in (line.rpartition("/") for line in lines)]
