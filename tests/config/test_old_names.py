"""Who uses an old name is told the new one."""

from __future__ import annotations

import pytest

from pseudogt.config.inheritance import list_sections
from pseudogt.config.old_names import REMOVED, RENAMED
from pseudogt.config.run import RunConfig, parse_run_config

KNOWN = {f"{name}.{key}" for name, section in list_sections(RunConfig).items() for key in section.model_fields}


def refuse(key):
    """The lines of the error for a config with an old name, the first one left out."""
    section, setting = key.split(".")
    config = {"name": "old", "dataset": {"classes": "configs/classes/streets.csv", "void_values": []}}
    with pytest.raises(ValueError, match="the configuration has problems") as caught:
        parse_run_config(config | {section: {setting: "old value"}})
    return str(caught.value).splitlines()[1:]


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_renamed_setting(old, new):
    assert refuse(old) == [f"{old}: this setting is called {new} now (got 'old value')"]
    assert new in KNOWN


@pytest.mark.parametrize(("old", "remedy"), REMOVED.items())
def test_removed_setting(old, remedy):
    assert refuse(old) == [f"{old}: this setting was removed: {remedy} (got 'old value')"]


def test_old_names_are_free():
    assert not KNOWN & (RENAMED.keys() | REMOVED.keys())
    assert not RENAMED.keys() & REMOVED.keys()
