"""Read and write tables in CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from pseudogt.parsing.documents import read_text

EXTRA = "\0more"
"""Column of the values of a CSV row that its header has no name for."""

DELIMITERS = (",", ";", "\t")
"""Marks that separate the values of a CSV."""

DECIMAL_COMMA = re.compile(r"[-+]?[0-9]+,[0-9]+")


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write rows under a line with the names of the columns; what a row lacks stays empty."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def parse_header(path: Path) -> tuple[str, ...]:
    """Names of the columns of a table in CSV; ``ValueError`` as :func:`parse_csv`."""
    return tuple(_open_table(path)[0].fieldnames or ())


def parse_csv(
    path: Path, columns: tuple[str, ...], *, numbers: tuple[str, ...] = (), synonyms: Mapping[str, str] | None = None
) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Header and rows with their line numbers of a table in CSV that has the given columns.

    Values are separated by commas, or by semicolons or tabs, as spreadsheets write them where the comma is the decimal
    mark. Rows without any value are left out. A row with more values than the header has names keeps them under the
    key ``EXTRA``.

    Parameters
    ----------
    path : Path
    columns : tuple of str
        Names that the header must have.
    numbers : tuple of str
        Columns of numbers, if they are there, in which a decimal comma becomes a point if commas separate no values.
    synonyms : mapping, optional
        Other names of columns.
    """
    reader, skipped = _open_table(path)
    try:
        first = list(reader.fieldnames or ())
        names = [(synonyms or {}).get(name, name) for name in first]
        reader.fieldnames = names
        rows = [(reader.line_num + skipped, {k: ",".join(v).strip() for k, v in _wrap(row)}) for row in reader]
    except csv.Error as error:
        raise ValueError(f"{path}: line {reader.line_num + skipped + 1} is not CSV ({error})") from error
    missing = [name for name in columns if name not in names]
    if missing or len(set(names)) != len(names):
        raise ValueError(
            f"{path}: its first line is {','.join(first)!r:.200}; it must name the columns {','.join(columns)}, once "
            "each, separated by commas, semicolons or tabs"
        )
    if reader.reader.dialect.delimiter != ",":
        present = [name for name in numbers if name in names]
        for _, row in rows:
            row |= {name: row[name].replace(",", ".") for name in present if DECIMAL_COMMA.fullmatch(row[name])}
    return names, [(line, row) for line, row in rows if any(row.values())]


def _open_table(path: Path) -> tuple[csv.DictReader[str], int]:
    """Reader of a table after its first line, and how many lines come before that one."""
    text = read_text(path)
    first, _, rest = text.partition("\n")
    # A spreadsheet program may name its separator.
    declared = first.strip().lower().startswith("sep=")
    marks = first.strip()[len("sep=") :] if declared else first
    delimiter = max(DELIMITERS, key=marks.count)
    lines = io.StringIO(rest if declared else text, newline="")
    reader = csv.DictReader(lines, restkey=EXTRA, restval="", delimiter=delimiter)
    try:
        reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
    except csv.Error as error:
        raise ValueError(f"{path}: line {reader.line_num + 1} is not CSV ({error})") from error
    return reader, int(declared)


def _wrap(row: Mapping[str, str | list[str]]) -> Iterator[tuple[str, list[str]]]:
    """Name and values of each column; only what the header does not name has several."""
    return ((name, value if isinstance(value, list) else [value]) for name, value in row.items())
