"""What all config sections share."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError


class Section(BaseModel):
    """A frozen config section in which an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
