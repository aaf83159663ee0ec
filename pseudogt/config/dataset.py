"""Section ``dataset``: the images, where their labels are, and what the values mean."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from pseudogt.config.base import Section, expand_home, listed_in
from pseudogt.parsing.contents import describe_missing
from pseudogt.parsing.tables import EXTRA, parse_csv, parse_header
from pseudogt.parsing.values import Name, parse_name

REPOSITORY = Path(__file__).resolve().parents[2]
CLASS_COLUMNS = ("name", "id", "isthing", "color")
"""Columns that every class table in CSV has."""

OTHER_COLUMNS = ("source_id", "prompt")
"""Columns that it may have."""

LARGEST_ID = 16777
"""As in :mod:`pseudogt.classes`, which parsing does not import: a segment has the id of its class * 1000 + number."""

KINDS = {"thing": True, "stuff": False}
"""Words for ``isthing``, beside truth values."""


class ClassEntry(Section):
    """One class of the table."""

    name: Name = Field(min_length=1, description="Name of the class, shown in reports.")
    id: int = Field(
        ge=1, le=LARGEST_ID, description="Category id in every label file this workflow writes; at least 1."
    )
    isthing: bool = Field(description="True for countable objects with instances, false for stuff.")
    color: tuple[Annotated[int, Field(ge=0, le=255)], ...] = Field(
        min_length=3, max_length=3, description="Colour in pictures: [r, g, b] in 0..255, or '#rrggbb'."
    )
    source_id: int = Field(ge=0, le=65535, description="Value of the class in the semantic files; `id` if left out.")
    # Of all stages, only that of `cams.method: concepts` reads it; a changed prompt must not remake the others' files.
    prompt: Name = Field(
        min_length=1,
        exclude=True,
        description="Words by which `cams.method: concepts` asks for the class; `name` if left out.",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        filled = {key: value for key, value in data.items() if value != ""}
        if str(filled.get("id")).strip() == "0":
            raise ValueError(
                f"class {filled.get('name')!r} has id 0, which means no label; number ids from 1, and write 0 to "
                "source_id if label files hold 0 for the class"
            )
        filled.setdefault("source_id", filled.get("id"))
        filled.setdefault("prompt", filled.get("name"))
        if isinstance(filled.get("isthing"), str):
            filled["isthing"] = KINDS.get(filled["isthing"].strip().lower(), filled["isthing"])
        if isinstance(filled.get("color"), str):
            filled["color"] = _parse_color(filled["color"])
        return filled


def read_class_csv(path: Path | str) -> list[dict[str, str]]:
    """Rows of a class table in CSV with the columns name, id, isthing, color and, if there are, source_id and prompt.

    A relative path is looked up in the working folder, then in the repository.

    Raises
    ------
    ValueError
        If the file is missing, empty or lacks a column; the message names it.
    """
    path = Path(expand_home(str(path)))
    found = next((p for p in (path, REPOSITORY / path) if p.is_file()), None)
    if found is None:
        raise ValueError(f"class table {path}: {describe_missing(path)}")
    names = {name: name.lower() for name in parse_header(found)}
    columns = list(names.values())
    others = [name for name in columns if name not in CLASS_COLUMNS]
    is_complete = set(CLASS_COLUMNS) <= set(columns) and len(set(columns)) == len(columns)
    if not is_complete or not set(others) <= set(OTHER_COLUMNS):
        raise ValueError(
            f"class table {found}: its first line must be {','.join(CLASS_COLUMNS)}; source_id, prompt may follow. It "
            f"is {','.join(names)!r:.200}"
        )
    rows = parse_csv(found, CLASS_COLUMNS, synonyms=names)[1]
    wide = next((line for line, row in rows if EXTRA in row), None)
    if wide is not None:
        raise ValueError(f"class table {found}: line {wide} has more values than the first line has names")
    if not rows:
        raise ValueError(f"class table {found}: contains no class")
    empty = next(((line, name) for line, row in rows for name in CLASS_COLUMNS if not row.get(name)), None)
    if empty is not None:
        raise ValueError(f"class table {found}: line {empty[0]} has no {empty[1]}; add it, or remove the line")
    return [row for _, row in rows]


def _parse_color(text: str) -> tuple[int, ...]:
    if re.fullmatch("#?[0-9a-fA-F]{6}", text) is None:
        raise ValueError(f"colour {text!r} is not of the form #rrggbb")
    return tuple(bytes.fromhex(text.removeprefix("#")))


def _read_classes(value: Any) -> Any:
    if isinstance(value, str):
        return read_class_csv(value)
    if isinstance(value, list) and any(_is_bare(entry) for entry in value):
        raise ValueError("a list of names does not say what is countable; write {name: thing, name: stuff}")
    return number_classes(value) if isinstance(value, dict) else value


def _is_bare(entry: Any) -> bool:
    """Whether an entry of a list is a name alone, or a name with its kind: ``- car: thing``."""
    kinds = entry.values() if isinstance(entry, dict) else [entry]
    return all(isinstance(kind, str | int | float) and (kind is entry or kind in KINDS) for kind in kinds)


def number_classes(kinds: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Entries of a plain mapping ``{name: thing or stuff}``: ids from 1 in its order, colours that differ.

    Raises
    ------
    ValueError
        If a class is neither.
    """
    wrong = [f"{name}: {kind}" for name, kind in kinds.items() if kind not in ("thing", "stuff")]
    if wrong:
        raise ValueError(f"classes as a mapping are 'name: thing' or 'name: stuff', got {', '.join(wrong)}")
    return [
        {"name": parse_name(name), "id": number, "isthing": kind == "thing", "color": _choose_color(number)}
        for number, (name, kind) in enumerate(kinds.items(), 1)
    ]


def _choose_color(number: int) -> str:
    """Hues apart by the golden ratio, so that neighbours differ however many there are."""
    red, green, blue = colorsys.hsv_to_rgb(number * 0.618034 % 1, 0.6, 0.95 - 0.25 * (number % 2))
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


class DatasetSettings(Section):
    """Where a dataset's files are and what their values mean."""

    format: Annotated[str, listed_in("pseudogt.datasets.layouts")] = Field(
        "streets",
        description="Layout of data_root: `streets` is the generated demo; `cityscapes`, `coco`, `voc2007`, `voc2012` "
        "are the official layouts (docs/datasets.md); `folder` has images/, semantic/, instances/ and split lists; "
        "`images` is a folder of images whose boxes and tags section annotations names.",
    )
    train_split: str = Field(
        "train",
        description="Split to train on: <data_root>/<name>.txt (folder), leftImg8bit/<name>/ (cityscapes), <name>/ "
        "(coco, images), a list of ImageSets (voc). Join several with +: train+sbd.",
    )
    val_split: str | None = Field(
        "val", description="Split to score on, named like train_split; null for none, or with val_fraction."
    )
    val_fraction: float | None = Field(
        None, gt=0, lt=1, description="Share of train_split to set aside as val if a dataset has only one list."
    )
    split_seed: int = Field(
        0, description="Seed of the val_fraction split; change it for another split of the same size."
    )
    classes: Annotated[tuple[ClassEntry, ...], BeforeValidator(_read_classes)] = Field(
        min_length=1,
        description="Class table: a list of entries (name, id, isthing, color, source_id if it differs from id, and "
        "prompt if a model of concepts needs other words than the name), the path of a CSV file with these columns, or "
        "a plain mapping {nucleus: thing, background: stuff}. A CSV file is read with the configuration, so editing it "
        "reruns what it changes.",
    )
    void_values: tuple[int, ...] = Field(
        (255,), description="Values of the semantic files that mean 'no class'; any other unlisted value is an error."
    )
    bad_segments: Literal["error", "skip"] = Field(
        "error",
        description="coco: segments with an unreadable record are an error, or are skipped; their pixels are then void "
        "and their class is unknown in the image.",
    )
    instance_divisor: int | None = Field(
        1000,
        ge=2,
        description="Values of the instance files are class * divisor + number; smaller values have no instance (in a "
        "thing class: a group). Null: values are plain instance numbers, 0 for none.",
    )
    masks: Literal["own", "sbd"] = Field(
        "own",
        description="voc2012: which masks to use for images that VOC and SBD both annotate: VOC's, with void borders, "
        "or SBD's, as the JTSM authors convert them.",
    )

    @property
    def has_ground_truth(self) -> bool:
        """Whether there are full labels to score against and to derive weak labels from."""
        return self.format not in ("images", "voc2007")

    @property
    def has_true_boxes(self) -> bool:
        """Whether there are objects to score detections against: those of the full labels, or VOC's boxes."""
        return self.has_ground_truth or self.format == "voc2007"

    @model_validator(mode="after")
    def _check(self) -> DatasetSettings:
        if self.val_fraction is not None and self.val_split is not None:
            raise ValueError("val_fraction takes val from train_split; set val_split to null with it")
        if self.val_split == self.train_split:
            raise ValueError(f"val_split and train_split are both {self.train_split!r}; no image may be in both")
        for column in ("name", "id", "source_id"):
            values = [getattr(entry, column) for entry in self.classes]
            twice = sorted({str(value) for value in values if values.count(value) > 1})
            if twice:
                raise ValueError(f"classes: {column} {', '.join(twice)} is there more than once")
        if not self.has_ground_truth:  # no label files whose values could contradict
            return self
        both = sorted({entry.source_id for entry in self.classes} & set(self.void_values))
        if both:
            raise ValueError(f"void_values {both} are also source ids of classes; remove them from one of the two")
        has_thing_0 = any(entry.isthing and entry.source_id == 0 for entry in self.classes)
        if self.format != "coco" and self.instance_divisor and has_thing_0:
            raise ValueError(
                "a thing class with source_id 0 has no instance values of the form class * divisor + number; "
                "give it another value or set instance_divisor to null"
            )
        return self
