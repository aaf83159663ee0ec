"""JSON documents and lists of records that are written and read piece by piece."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pseudogt.files.io import replace_atomically

RECORDS = "records.jsonl"


class Records:
    """The records of several shards, read line by line each time they are gone through."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = list(paths)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for path in self._paths:
            with path.open(encoding="utf-8") as file:
                for line in file:
                    yield json.loads(line)


def write_records(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object per line, atomically."""
    with replace_atomically(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(record) + "\n")


def stream_object(path: Path, members: Mapping[str, Iterable[Any] | Mapping[str, Any] | str]) -> None:
    """Write a JSON object whose lists come from iterables, element by element; atomic.

    Mappings and strings are written as they are.
    """
    with replace_atomically(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for position, (key, value) in enumerate(members.items()):
            file.write(f"{',' if position else '{'}\n{json.dumps(key)}: ")
            if isinstance(value, Mapping | str):
                file.write(json.dumps(value))
            else:
                _write_list(file, value)
        file.write("\n}\n")


def stream_list(path: Path, elements: Iterable[Any]) -> None:
    """Write a JSON list element by element; atomic."""
    with replace_atomically(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        _write_list(file, elements)
        file.write("\n")


def _write_list(file: Any, elements: Iterable[Any]) -> None:
    file.write("[")
    for position, element in enumerate(elements):
        file.write(f"{',' if position else ''}\n{json.dumps(element)}")
    file.write("\n]")
