"""``config.yaml`` is written from the models and holds every setting once; the files of ``configs/`` fit it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from pseudogt.config.__main__ import main
from pseudogt.config.dataset import DatasetSettings
from pseudogt.config.document import EMBEDDED, INDEX, ON_COMMAND_LINE, render_config
from pseudogt.config.inheritance import SHARED, list_inherited, list_sections
from pseudogt.config.registry import list_entries
from pseudogt.config.run import RunConfig

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIG = REPOSITORY / "config.yaml"
SECTIONS = list_sections(RunConfig)


def list_settings(config):
    return {
        f"{name}.{key}" if key else name
        for name, value in config.items()
        for key in (value if isinstance(value, dict) else [""])
    }


def test_config_is_that_of_the_models():
    assert CONFIG.read_text(encoding="utf-8") == render_config(), "run `python -m pseudogt.config write`"


def test_command_writes_it(tmp_path):
    main(["write", "--out", str(tmp_path / "config.yaml")])
    assert (tmp_path / "config.yaml").read_text(encoding="utf-8") == render_config()


def test_every_setting_is_written_once():
    """A setting that a stage inherits stands in the shared section alone."""
    everything = list_settings(RunConfig.model_validate(EMBEDDED).model_dump())
    inherited = {f"{n}.{key}" for n, section in SECTIONS.items() for s in SHARED for key in list_inherited(section, s)}
    assert list_settings(yaml.safe_load(CONFIG.read_text())) == everything - inherited - set(ON_COMMAND_LINE)


def test_values_are_the_defaults():
    assert RunConfig.model_validate(yaml.safe_load(CONFIG.read_text())) == RunConfig.model_validate(EMBEDDED)


@pytest.mark.parametrize("name", SECTIONS)
def test_every_setting_is_described(name):
    assert SECTIONS[name].__doc__
    for key, field in SECTIONS[name].model_fields.items():
        assert re.fullmatch(r"(?s)\S.*[.:]", field.description or ""), key


def test_index_names_settings_that_exist():
    settings = list_settings(yaml.safe_load(CONFIG.read_text()))
    assert set(INDEX) <= settings
    assert 25 <= len(INDEX) <= 35


@pytest.mark.parametrize("path", sorted((REPOSITORY / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_configs_are_valid_and_keep_no_class_of_the_default(path):
    """As Snakemake merges them: deeply into the embedded default."""
    merged, override = (yaml.safe_load(file.read_text()) for file in (CONFIG, path))
    own = DatasetSettings.model_validate(override.get("dataset", merged["dataset"]))
    update_config(merged, override)
    assert RunConfig.model_validate(merged | {"data_root": "somewhere"}).dataset.classes == own.classes


@pytest.mark.parametrize(
    ("section", "setting", "table"),
    [
        ("dataset", "format", "pseudogt.datasets.layouts"),
        ("box_masks", "segmenters", "models.pretrained.box_segmenters"),
        ("segmenter", "network", "models.segmenter.networks"),
        ("export", "formats", "pseudogt.export.formats"),
    ],
)
def test_descriptions_name_all_entries_of_a_table(section, setting, table):
    description = SECTIONS[section].model_fields[setting].description
    assert not [name for name in list_entries(table) if name not in description]
