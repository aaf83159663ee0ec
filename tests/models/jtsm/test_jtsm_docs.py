"""The table of settings in docs/jtsm.md is that of the config files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.utils import update_config

from pseudogt.config.run import RunConfig

ROOT = Path(__file__).parents[3]
NAMES = ("voc2012-jtsm", "voc2012-jtsm-r50", "voc2012-jtsm-r101", "voc2007-jtsm", "coco-jtsm")
SECTIONS = ("mining", "mined")


def read_setting(name: str, key: str) -> Any:
    """Value that a setting has with a config file."""
    section, field = key.split(".")
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    update_config(config, yaml.safe_load((ROOT / "configs" / f"{name}.yaml").read_text()))
    return RunConfig.model_validate(config | {"data_root": "somewhere"}).model_dump(mode="json")[section][field]


def read_cell(cell: str) -> Any:
    """The value in a cell's backticks; `a, b, ..., z` is an even series."""
    text = re.findall(r"`([^`]+)`", cell)[0]
    if "..., " in text:
        first, second, last = (int(n) for n in text.replace("..., ", "").split(", "))
        return list(range(first, last + 1, second - first))
    return yaml.safe_load(text)


def list_rows() -> list[tuple[str, str, str]]:
    """Config, key and cell of every value of ours in the tables."""
    rows = []
    for line in (ROOT / "docs" / "jtsm.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        key = (
            re.fullmatch(r"`((mining|mined|proposals|dataset|weak_labels|annotations)\.\w+)`", cells[1])
            if len(cells) > 3
            else None
        )
        if key:
            values = cells[2:] if len(cells) == 2 + len(NAMES) else [cells[2]] * len(NAMES)
            rows.extend((name, key[1], cell) for name, cell in zip(NAMES, values, strict=True))
    return rows


@pytest.mark.parametrize(("name", "key", "cell"), list_rows())
def test_documented_value_is_the_configs(name, key, cell):
    assert read_cell(cell) == read_setting(name, key)


def test_every_setting_of_the_configs_is_documented():
    documented = {(name, key) for name, key, _ in list_rows()}
    for name in NAMES:
        config = yaml.safe_load((ROOT / "configs" / f"{name}.yaml").read_text())
        given = {(name, f"{section}.{key}") for section in SECTIONS for key in config[section]}
        assert given <= documented
