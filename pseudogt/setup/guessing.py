"""Guess whether a class is a thing or stuff, by its name or by its annotations."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from pseudogt.config.dataset import REPOSITORY, read_class_csv
from pseudogt.setup.sources import ClassCount

TABLES = REPOSITORY / "configs" / "classes"
"""Class tables of public datasets, which classify many names as things or stuff."""

LARGE_SHARE = 0.5
"""Boxes that usually cover this part of their image are of stuff, if there is about one in each image."""

BOXES_PER_IMAGE = 1.5
"""Most boxes per image of which that is said."""


class Guess(NamedTuple):
    """Whether a class is a thing or stuff, and why."""

    isthing: bool
    reason: str


def guess_kinds(counts: Mapping[str, ClassCount]) -> dict[str, Guess]:
    """Guess of each class whether it is a thing; at least one class with boxes is, if there is any."""
    guesses = {name: guess_kind(name, count) for name, count in counts.items()}
    boxed = [name for name, count in counts.items() if count.boxes]
    if boxed and not any(guesses[name].isthing for name in boxed):
        guesses |= {name: Guess(True, "has boxes, and no other class is a thing") for name in boxed}
    return guesses


def guess_kind(name: str, count: ClassCount) -> Guess:
    """Guess of one class whether it is a thing."""
    known = list_known_names().get(normalise_name(name))
    if known is not None:
        return known
    if count.marks and not count.boxes:
        return Guess(True, "has points or scribbles, and its name is not known")
    if not count.boxes:
        return Guess(False, "is tagged, and nobody drew it")
    per_image = count.boxes / count.images
    if count.median_share >= LARGE_SHARE and per_image <= BOXES_PER_IMAGE:
        return Guess(False, f"its boxes usually cover {count.median_share:.0%} of their image, one in each")
    return Guess(True, f"has boxes, {per_image:.1f} in an image")


def guess_by_name(name: str) -> bool:
    """Guess from its name whether a class is a thing; what no table knows is one."""
    known = list_known_names().get(normalise_name(name))
    return known is None or known.isthing


@cache
def list_known_names() -> dict[str, Guess]:
    """Names in the class tables of this repository; those on which two tables disagree are left out."""
    known: dict[str, Guess] = {}
    unclear = set()
    for path in sorted(TABLES.glob("*.csv")):
        for row in read_class_csv(path):
            name, isthing = normalise_name(row["name"]), row["isthing"] == "1"
            if name in known and known[name].isthing != isthing:
                unclear.add(name)
            known.setdefault(name, Guess(isthing, f"as in configs/classes/{path.name}"))
    return {name: guess for name, guess in known.items() if name not in unclear}


def normalise_name(name: str) -> str:
    """Name in lower case and singular, without what COCO appends to its classes of stuff.

    Examples
    --------
    >>> normalise_name("Trees"), normalise_name("sky-other-merged"), normalise_name("other")
    ('tree', 'sky', 'other')
    """
    words = name.lower().replace("_", " ").replace("-", " ").split()
    plain = [word for word in words if word not in ("merged", "other", "stuff")] or words
    return " ".join(plain).removesuffix("s")
