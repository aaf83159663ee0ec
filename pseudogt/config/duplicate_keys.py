"""Find duplicate keys in configuration files; YAML parsers silently keep only the last one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import yaml


class Duplicate(NamedTuple):
    """A key that one mapping holds twice.

    Attributes
    ----------
    key : str
        With the keys of the mappings around it: ``segmenter.steps``.
    first, second : int
        Lines of the file, counted from 1.
    """

    key: str
    first: int
    second: int


def check_duplicate_keys(paths: Iterable[Path | str]) -> None:
    """Refuse config files, in YAML or JSON, in which a mapping holds a key twice.

    Raises
    ------
    ValueError
        Naming file, keys and lines of all duplicates.
    """
    problems = [
        f"{path}: {found.key} is in line {found.first} and again in line {found.second}; remove one of them"
        for path in paths
        for found in find_duplicate_keys(Path(path).read_text(encoding="utf-8"))
    ]
    if problems:
        raise ValueError("\n".join(problems))


def find_duplicate_keys(text: str) -> list[Duplicate]:
    """Duplicate keys of a YAML or JSON document in the order of its lines."""
    # JSON may be indented by tabs, YAML may not.
    root = yaml.compose(text.expandtabs(), Loader=yaml.SafeLoader)
    return list(_search(root, "", set())) if root else []


def _search(node: yaml.Node, place: str, seen: set[int]) -> Iterator[Duplicate]:
    """Duplicates of a node and below; ``seen`` are nodes that an alias may lead to again."""
    if id(node) in seen or not isinstance(node, yaml.CollectionNode):
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _search(item, f"{place}{number}.", seen)
        return
    lines: dict[tuple[str, str], int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        name = key.value if isinstance(key, yaml.ScalarNode) else "?"
        if (key.tag, name) in lines:
            yield Duplicate(place + name, lines[key.tag, name], line)
        elif name != "?":
            lines[key.tag, name] = line
        yield from _search(value, f"{place}{name}.", seen)
