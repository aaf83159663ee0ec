"""Recognise files that are not what their names say, and names that are nearly right. Imports nothing heavy."""

from __future__ import annotations

import os
import unicodedata
from functools import lru_cache
from pathlib import Path

ARCHIVES = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"7z\xbc\xaf\x27\x1c", b"Rar!", b"\x28\xb5\x2f\xfd")
"""First bytes of what gzip, bzip2, xz, 7-Zip, RAR and Zstandard write."""

ARCHIVE_SUFFIXES = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"})

SPREADSHEETS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""First bytes of the files of spreadsheet programs: a zip archive, and a compound file of old ones."""

POINTER = b"version https://git-lfs.github.com/spec/"
"""Start of the file that Git keeps where Git LFS has not fetched the content."""

WEB_PAGES = (b"<!doctype html", b"<html")

PHONE_BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif")
"""Brands of HEIC and AVIF files, which follow ``ftyp`` behind a length."""

START = 64
"""Bytes that are enough to recognise a file."""


def describe_content(data: bytes) -> str:
    """Say what a file really is, and what to do; empty for anything that is not recognised.

    Examples
    --------
    >>> describe_content(b"BZh91AY")
    'is compressed, whatever its name says; unpack it'
    >>> describe_content(b"{}")
    ''
    """
    if not data:
        return "is empty (0 bytes), as after a broken copy or on a full disk; replace the file"
    if data.startswith(POINTER):
        return "is a pointer of Git LFS in place of the content; run `git lfs pull`"
    if data.startswith(SPREADSHEETS):
        return "is a spreadsheet or an archive, whatever its name says; save it as text (CSV UTF-8), or unpack it"
    if data.startswith(ARCHIVES):
        return "is compressed, whatever its name says; unpack it"
    if data.lstrip()[:START].lower().startswith(WEB_PAGES):
        return "is a web page, as a download leaves that failed; download the file again"
    if data[4:8] == b"ftyp" and data[8:12] in PHONE_BRANDS:
        return "is HEIC or AVIF, whatever its name says, which is not read; save it as JPEG or PNG"
    return ""


def describe_file(path: Path) -> str:
    """As :func:`describe_content`, of a file; empty if it can't be read."""
    try:
        with path.open("rb") as file:
            return describe_content(file.read(START))
    except OSError:
        return ""


def describe_missing(path: Path, kind: str = "file") -> str:
    """Say that there is no such file or folder, and which one was probably meant."""
    if path.is_symlink():
        return f"is a link to {os.readlink(path)}, which is not there"
    if path.exists():
        return f"is no {kind}"
    if "\\" in str(path):
        return f"no such {kind}; separate folders by / in place of \\"
    if "$" in str(path):
        return f"no such {kind}; variables of the environment are not replaced, so write the whole path"
    there = _list_folded(str(path.parent))
    near = there.get(_fold(path.name)) or (there.get(_fold(path.stem)) if path.suffix else None)
    if near:
        return f"no such {kind}; there is {near!r}"
    return f"no such {kind}" if path.is_absolute() else f"no such {kind} below {Path.cwd()}"


@lru_cache(maxsize=4)
def _list_folded(folder: str) -> dict[str, str]:
    """Names in a folder by what they fold to, with and without suffix. Thousands may be missing in one folder."""
    try:
        there = sorted(os.listdir(folder))
    except OSError:
        return {}
    return {_fold(os.path.splitext(name)[0]): name for name in there} | {_fold(name): name for name in there}


def _fold(name: str) -> str:
    """Name without what disks of other systems do not tell apart: case, normal form, and blanks around it."""
    return unicodedata.normalize("NFC", name).casefold().strip()
