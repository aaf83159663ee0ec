"""Settings that stages inherit from shared sections; a stage's own value takes precedence."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from pseudogt.config.augmentation import AugmentationSettings
from pseudogt.config.base import Section
from pseudogt.config.machine import MachineSettings
from pseudogt.config.optimisation import OptimisationSettings

Sections = Mapping[str, type[Section]]

SHARED: Sections = {
    "machine": MachineSettings,
    "optimisation": OptimisationSettings,
    "augmentation": AugmentationSettings,
}
"""A section inherits from these the settings that its model inherits from their models without redefining them."""


def list_sections(model: type[BaseModel]) -> dict[str, type[Section]]:
    """Models of the fields of ``model`` that are sections, by name."""
    annotations = {name: field.annotation for name, field in model.model_fields.items()}
    return {name: a for name, a in annotations.items() if isinstance(a, type) and issubclass(a, Section)}


def list_own(section: type[Section]) -> list[str]:
    """Settings that a section does not inherit from a shared one, in the order in which its classes define them."""
    shared = set() if section in SHARED.values() else {base for model in SHARED.values() for base in model.__mro__}
    own = [name for model in section.__mro__[::-1] if model not in shared for name in inspect.get_annotations(model)]
    return [name for name in dict.fromkeys(own) if name in section.model_fields]


def list_inherited(section: type[Section], shared: str) -> list[str]:
    """Settings that a section inherits from the shared section of that name."""
    own = list_own(section)
    return [name for name in SHARED[shared].model_fields if name in section.model_fields and name not in own]


def resolve(config: Mapping[str, Any], sections: Sections) -> dict[str, Any]:
    """Write what each section inherits into it.

    Parameters
    ----------
    config : mapping
        A configuration that is not validated yet. What is wrong in it is left for the validation, and a wrong
        value of a shared section is not inherited, so that it is reported once.
    sections : mapping
        Models of all sections by name.

    Returns
    -------
    dict
        A copy; equal to ``config`` if that was resolved already.

    Raises
    ------
    ValueError
        If a setting that can be inherited is null.
    """
    # YAML reads a section whose settings are all commented out as null.
    resolved = {key: {} if value is None and key in sections else value for key, value in config.items()}
    for shared in SHARED:
        given = _keep_valid(resolved.get(shared), SHARED[shared])
        for name, section in sections.items():
            own = resolved.get(name, {})
            inherited = list_inherited(section, shared)
            if not inherited or not isinstance(own, Mapping):
                continue
            empty = next((key for key in inherited if own.get(key, "") is None), None)
            if empty is not None:
                raise ValueError(f"{name}.{empty} is null; leave it out to inherit {shared}.{empty}, or give a value")
            resolved[name] = {key: given[key] for key in inherited if key in given} | dict(own)
    return resolved


def _keep_valid(given: Any, section: type[Section]) -> dict[str, Any]:
    """The values of a shared section without those that its model refuses."""
    if not isinstance(given, Mapping):
        return {}
    try:
        section.model_validate(given)
    except ValidationError as error:
        wrong = {problem["loc"][0] for problem in error.errors() if problem["loc"]}
        return {key: value for key, value in given.items() if key not in wrong}
    return dict(given)
