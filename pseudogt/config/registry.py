"""Tables of plug-ins: modules that contain one import per entry and nothing else.

    from pseudogt.export import coco_panoptic

A table is read as text. The configuration therefore knows its names while the workflow is parsed, a stage imports only
the entries that it uses, and the digest of its code covers only these. To add an entry, write its module and add one
line.
"""

from __future__ import annotations

import ast
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
"""Folder that holds the packages."""


class Entry(NamedTuple):
    """Where an entry of a table is defined: a module and a name in it, which is empty if the module is the entry."""

    module: str
    name: str


class Registry:
    """A table whose entries are imported when they are asked for.

    Parameters
    ----------
    table : str
        Dotted name of the table's module.
    kind : str
        What the entries are, for messages: "annotation format".
    """

    def __init__(self, table: str, kind: str) -> None:
        self.table = table
        self.kind = kind

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the entries, in the order of the table."""
        return tuple(list_entries(self.table))

    def load(self, name: str) -> Any:
        """Import an entry; a ``ValueError`` names the known ones."""
        entries = list_entries(self.table)
        if name not in entries:
            raise ValueError(f"unknown {self.kind} {name!r}; known are {', '.join(entries)}")
        module, attribute = entries[name]
        loaded = import_module(module)
        return getattr(loaded, attribute) if attribute else loaded


@cache
def list_entries(table: str) -> dict[str, Entry]:
    """Entries of a table by name, without importing anything."""
    path = ROOT.joinpath(*table.split(".")).with_suffix(".py")
    entries: dict[str, Entry] = {}
    for node in ast.parse(path.read_text(encoding="utf-8"), str(path)).body:
        if isinstance(node, ast.ImportFrom) and node.module != "__future__":
            assert node.module is not None
            entries |= {alias.asname or alias.name: _resolve(node.module, alias.name) for alias in node.names}
    return entries


def find_source(module: str) -> Path | None:
    """File of a first-party module or package; None if there is none."""
    base = ROOT.joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def _resolve(module: str, name: str) -> Entry:
    inner = f"{module}.{name}"
    return Entry(inner, "") if find_source(inner) else Entry(module, name)
