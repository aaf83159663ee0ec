"""The formats of annotations, and which one a file is of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from pseudogt.annotations.form import AnnotationFormat
from pseudogt.annotations.tables import recognise_tags
from pseudogt.config.registry import Registry
from pseudogt.files.parsing import parse_header, parse_json, parse_xml, read_text

FORMATS = Registry("pseudogt.annotations.formats", "annotation format")

PARSERS: dict[str, Callable[[Path], Any]] = {
    ".json": lambda path: parse_json(path, TypeAdapter(Any)),
    ".xml": parse_xml,
    ".csv": parse_header,
    ".txt": read_text,
}
"""Parser that recognises a file, by its suffix."""


def recognise_file(path: Path) -> str | None:
    """Name of the format that a file is of; empty for tags of images, None for anything else."""
    try:
        content = PARSERS[path.suffix.lower()](path)
    except ValueError:
        return None
    name = next((name for name in FORMATS.names if get_format(name).recognise(content)), None)
    return "" if name is None and recognise_tags(content) else name


def get_format(name: str) -> AnnotationFormat:
    """Return the module of a format."""
    reader: AnnotationFormat = FORMATS.load(name)
    return reader


def suggest_format(path: Path, name: str) -> str:
    """Sentence on the format that a file, or the first of a folder that is of any, is of; empty if it is ``name``."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    for file in files:
        found = recognise_file(file) if file.is_file() and file.suffix.lower() in PARSERS else None
        if found:
            return "" if found == name else f"; {file} looks like the format {found}: set annotations.format to {found}"
    return ""
