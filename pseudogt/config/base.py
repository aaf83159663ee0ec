"""The base of all configuration sections."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from pseudogt.config.registry import list_entries
from pseudogt.parsing.values import QUOTE

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Plan = TypeVar("Plan", bound="DataclassInstance")


def expand_home(path: str) -> str:
    """Path with the user's folder in place of ``~``: a shell does not replace it in ``--config data_root=~/data``."""
    return str(Path(path).expanduser()) if path == "~" or path.startswith("~/") else path


PathText = Annotated[str, AfterValidator(expand_home)]


class Section(BaseModel):
    """A frozen config section in which an unknown key is an error, and so is a number that is not finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_truth_values(cls, value: Any, info: ValidationInfo) -> Any:
        """Python counts truth values among the numbers: without this, `true` would be 1."""
        annotation = cls.model_fields[info.field_name or ""].annotation
        kinds = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
        if isinstance(value, bool) and bool not in kinds and (int in kinds or float in kinds):
            raise ValueError("Input should be a number, not a truth value")
        return value

    def fill(self, plan: type[Plan], **others: Any) -> Plan:
        """Build a dataclass of plain values from ``others`` and the settings and properties that its fields name."""
        names = {f.name for f in dataclasses.fields(plan) if hasattr(self, f.name)} - others.keys()
        return plan(**{name: getattr(self, name) for name in names}, **others)


def listed_in(table: str, families: str | None = None, others: Sequence[str] = ()) -> AfterValidator:
    """Let a field hold a name of a table of :mod:`pseudogt.config.registry`.

    Parameters
    ----------
    table : str
    others : sequence of str
        Names that are allowed as well.
    families : str, optional
        Table of families, whose members are called ``family/member``. Which members there are is for
        the family's code to say: settings are parsed without it.
    """

    def check(name: str) -> str:
        names = [*list_entries(table), *others]
        prefixes = list_entries(families) if families else {}
        family, separator, member = name.partition("/")
        if family in prefixes:
            if not separator or not member:
                raise ValueError(f"{family} is a family; give {family}/ and the name of a member")
            return name
        if name not in names:
            known = [*names, *(f"{prefix}/{member or '...'}" for prefix in prefixes)]
            near = difflib.get_close_matches(name, known, n=1)
            raise ValueError(f"unknown name; did you mean {near[0]}?" if near else f"known are {', '.join(known)}")
        return name

    return AfterValidator(check)


def describe_validation_error(
    error: ValidationError, model: type[BaseModel], explain: Callable[[str], str | None] = lambda key: None
) -> str:
    """One line per problem: ``section.key: message (got value)``, with the nearest key for an unknown one.

    Parameters
    ----------
    error : ValidationError
    model : type of BaseModel
        What was validated.
    explain : callable
        Returns an explanation of an unknown key, or None.
    """
    lines = []
    places = [problem["loc"] for problem in error.errors()]
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        message = f"{message}{_find_remedy(problem['type'], problem['input'])}"
        if problem["type"] == "too_short" and any(p != problem["loc"] == p[: len(problem["loc"])] for p in places):
            continue  # it lacks what has a problem of its own
        if problem["type"] == "extra_forbidden":
            message = explain(place) or _name_nearest(problem["loc"], model)
        # A section that does not fit together names the settings itself; all its values would hide that.
        whole = isinstance(problem["input"], dict) and problem["type"] == "value_error"
        found = "" if whole or not place else f" (got {problem['input']!r})"
        lines.append(f"{place}: {message}{found}" if place else message)
    return "\n".join(lines)


def _find_remedy(kind: str, value: Any) -> str:
    """Remedy for a value of another type than its setting."""
    if kind in ("string_type", "literal_error") and isinstance(value, bool):
        return f"; {QUOTE}, or write null for none"
    if kind == "string_type" and isinstance(value, int | float | date):
        return "; YAML reads it as a number or a date, so put it in quotes"
    if kind in ("tuple_type", "list_type"):
        return "; write it in brackets, even if it is only one: [a]"
    if kind in ("model_type", "dict_type"):
        return "; write settings below it, indented, each as 'name: value'"
    return ""


def _name_nearest(path: tuple[int | str, ...], model: type[BaseModel]) -> str:
    """Name the known key most similar to an unknown one, or all known keys."""
    known = _list_fields(model, path[:-1])
    section, dot, name = str(path[-1]).partition(".")
    if dot and section in known and len(path) == 1:
        return f"unknown key; write {{{section}: {{{name}: ...}}}}, and after --config '{section}={{\"{name}\": ...}}'"
    if ":" in section:
        return f"unknown key; put a space after the colon: {section.replace(':', ': ', 1)}"
    near = difflib.get_close_matches(str(path[-1]), known, n=1)
    sections = [name for name in known if path[-1] in _list_fields(model, (name,))] if len(path) == 1 else []
    if sections:
        return f"unknown key; it is a setting of {', '.join(sections)}: indent it below one of these"
    return "unknown key" + (f"; did you mean {near[0]}?" if near else f"; known are {', '.join(known)}")


def _list_fields(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of the section at ``path``, or of an entry of a list."""
    section: Any = model
    for part in path:
        if isinstance(part, int):
            section = next(iter(get_args(section)), None)
        else:
            section = section.model_fields[part].annotation if part in getattr(section, "model_fields", {}) else None
    return list(getattr(section, "model_fields", {}))
