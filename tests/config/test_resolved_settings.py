"""What every stage is given by each config of the repository, so that no change of a setting goes unnoticed.

After a change on purpose, rewrite the record and look at its difference: python tests/config/test_resolved_settings.py
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.utils import update_config

from pseudogt.config.inheritance import SHARED
from pseudogt.config.run import RunConfig

REPOSITORY = Path(__file__).resolve().parents[2]
RECORD = Path(__file__).with_name("resolved.json")
"""Settings by dotted name: all of ``config.yaml``, and of each file of ``configs/`` what differs from these."""

CONFIGS = ["config", *sorted(path.stem for path in (REPOSITORY / "configs").glob("*.yaml"))]


def resolve_file(name: str) -> dict[str, Any]:
    """Settings by dotted name, as Snakemake merges the file into ``config.yaml``; the class table is a digest."""
    config = yaml.safe_load((REPOSITORY / "config.yaml").read_text())
    if name != "config":
        update_config(config, yaml.safe_load((REPOSITORY / "configs" / f"{name}.yaml").read_text()))
    flat: dict[str, Any] = {}
    for key, value in RunConfig.model_validate(config | {"data_root": "somewhere"}).model_dump(mode="json").items():
        if key not in SHARED:
            flat |= {f"{key}.{inner}": v for inner, v in value.items()} if isinstance(value, dict) else {key: value}
    classes = json.dumps(flat["dataset.classes"], sort_keys=True).encode()
    return flat | {"dataset.classes": hashlib.sha256(classes).hexdigest()[:16]}


@pytest.mark.parametrize("name", CONFIGS)
def test_settings_are_those_of_the_record(name):
    record = json.loads(RECORD.read_text())
    assert set(record) == set(CONFIGS)
    assert resolve_file(name) == record["config"] | record[name]


def write_record() -> None:
    """One setting a line, so that a difference shows which one changed."""
    resolved = {name: resolve_file(name) for name in CONFIGS}
    defaults = resolved["config"]
    parts = []
    for name, values in resolved.items():
        shown = {k: v for k, v in sorted(values.items()) if name == "config" or v != defaults[k]}
        lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in shown.items())
        parts.append(f" {json.dumps(name)}: {{\n{lines}\n }}")
    RECORD.write_text("{\n" + ",\n".join(parts) + "\n}\n")


if __name__ == "__main__":
    write_record()
