"""Values that other tools write in several ways: truth values, names, ids, coordinates, sizes."""

from __future__ import annotations

import math
import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

LARGEST_COORDINATE = 1e6
"""Pixels; larger numbers are not coordinates, and products of these are finite."""

LARGEST_MASK_PX = 2**28
"""Maximum number of pixels of a mask; a larger one is treated as a broken or hostile file."""

Coordinate = Annotated[float, Field(ge=-LARGEST_COORDINATE, le=LARGEST_COORDINATE, allow_inf_nan=False)]
Extent = Annotated[int, Field(ge=1, le=LARGEST_COORDINATE)]

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
