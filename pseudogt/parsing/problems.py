"""Read on after a broken record, and list many problems in a few lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

Value = TypeVar("Value")
Record = TypeVar("Record")

SHOWN = 5
"""Problems or names that a message spells out."""


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
