"""Read JSON, XML, YAML and text of unknown origin; every problem becomes a ``ValueError`` with the path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import yaml
from pydantic import TypeAdapter, ValidationError

from pseudogt.parsing.contents import describe_content, describe_missing
from pseudogt.parsing.problems import SHOWN

Value = TypeVar("Value")


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
