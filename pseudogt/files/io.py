"""Writing files and folders atomically, and JSON with a checksum. Imports nothing heavy: parsing needs it."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TIMESTAMP = ".snakemake_timestamp"
"""File by which Snakemake dates a folder."""

LONGEST_START = 40
"""Characters of a name that the name of its temporary file starts with."""

CHECKSUM = "sha256"
"""Entry of a JSON document that holds the checksum of the others."""


@contextmanager
def replace_atomically(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside ``path``; rename it to ``path`` if the block ends well.

    The temporary may become a file or a folder. After an exception it is removed and an existing
    ``path`` is untouched. The suffix of ``path`` is kept, so that writers that look at it work.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Processes of two machines or containers may have equal numbers. A whole name may be as long as the disk allows.
    temporary = path.with_name(f".{path.stem[:LONGEST_START]}.{os.getpid()}-{secrets.token_hex(4)}.part{path.suffix}")
    try:
        yield temporary
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        os.replace(temporary, path)
    except OSError as error:
        # Where a disk is full, the system does not say which file it was. Errors without a number are messages.
        if error.errno is not None:
            error.filename = error.filename or str(path)
        raise
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


def link_atomically(source: Path | str, path: Path | str) -> None:
    """Make ``path`` a copy of a file, or of a folder, whose files are hard links.

    Snakemake sets the time of a job's outputs: of a file, and of a file of its own in a folder. As hard links they
    would give their new time to the source, and what was made from it would be made again.
    """
    with replace_atomically(path) as temporary:
        if Path(source).is_dir():
            ignored = shutil.ignore_patterns(TIMESTAMP)
            shutil.copytree(source, temporary, copy_function=link_file, ignore=ignored)
        else:
            shutil.copyfile(source, temporary)


def link_file(source: Path | str, path: Path | str) -> None:
    """Hard-link a file, or copy it where that is not possible: exFAT and some network drives have no hard links."""
    try:
        os.link(source, path)
    except FileExistsError:
        raise
    except OSError:
        shutil.copyfile(source, path)


def read_json(path: Path | str) -> Any:
    """Parsed JSON; ``ValueError`` naming the file if it is missing, broken or differs from its checksum."""
    path = Path(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ValueError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise ValueError(f"{path}: is a folder; name a file") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not valid JSON ({error}); if a run made it, delete it and run again") from error
    if isinstance(value, dict) and CHECKSUM in value:
        expected = value.pop(CHECKSUM)
        if _compute_checksum(value) != expected:
            raise ValueError(
                f"{path}: differs from its checksum; delete it and run again, or, if you changed it, remove its "
                f"entry {CHECKSUM}"
            )
    return value


def write_json(path: Path | str, value: Any, *, indent: int | None = 1, checksum: bool = False) -> None:
    """Write JSON atomically; equal values give equal bytes.

    Parameters
    ----------
    path
    value
    indent : int, optional
    checksum : bool
        Add an entry to a dict that :func:`read_json` compares and leaves out.
    """
    if checksum:
        value = {**value, CHECKSUM: _compute_checksum(value)}
    with replace_atomically(path) as temporary:
        temporary.write_text(json.dumps(value, indent=indent, sort_keys=False) + "\n", encoding="utf-8")


def _compute_checksum(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
