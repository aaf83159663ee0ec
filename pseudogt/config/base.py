"""What all config sections share."""

from __future__ import annotations

import dataclasses
import difflib
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from pseudogt.registry import list_entries

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Plan = TypeVar("Plan", bound="DataclassInstance")


class Section(BaseModel):
    """A frozen config section in which an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def fill(self, plan: type[Plan], **others: Any) -> Plan:
        """Build a dataclass of plain values from the settings that its fields are named after, and ``others``."""
        names = {f.name for f in dataclasses.fields(plan)} & type(self).model_fields.keys() - others.keys()
        return plan(**{name: getattr(self, name) for name in names}, **others)


def listed_in(table: str) -> AfterValidator:
    """Let a field hold a name of a table of :mod:`pseudogt.registry`."""

    def check(name: str) -> str:
        names = list_entries(table)
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            raise ValueError(f"unknown name; did you mean {near[0]}?" if near else f"known are {', '.join(names)}")
        return name

    return AfterValidator(check)


def describe_validation_error(error: ValidationError, model: type[BaseModel]) -> str:
    """One line per problem: ``section.key: message (got value)``, with the nearest key for an unknown one."""
    lines = []
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"]
        if problem["type"] == "extra_forbidden":
            known = _list_fields(model, problem["loc"][:-1])
            near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1)
            message = "unknown key" + (f"; did you mean {near[0]}?" if near else f"; known are {', '.join(known)}")
        lines.append(f"{place}: {message} (got {problem['input']!r})" if place else message)
    return "\n".join(lines)


def _list_fields(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of the section at ``path``; empty inside lists."""
    section: Any = model
    for part in path:
        section = section.model_fields[part].annotation if part in getattr(section, "model_fields", {}) else None
    return list(getattr(section, "model_fields", {}))
