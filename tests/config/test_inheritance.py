"""Shared sections: a stage's own value wins, then that of the shared section, then the default."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from pseudogt.config.base import Section
from pseudogt.config.inheritance import SHARED, list_inherited, list_own, list_sections, resolve
from pseudogt.config.machine import ComputingSettings, MachineSettings
from pseudogt.config.run import RunConfig, parse_run_config

REPOSITORY = Path(__file__).resolve().parents[2]
SECTIONS = list_sections(RunConfig)
INHERITED = [
    (name, shared, key)
    for name, section in SECTIONS.items()
    for shared in SHARED
    for key in list_inherited(section, shared)
]
NETWORKS = ["cams", "classifier", "mined", "mining", "predictions", "segmenter"]


class Plain(Section):
    """Inherits nothing, though one setting is called like a shared one."""

    device: str = "none"


class Inheriting(ComputingSettings):
    """Inherits two settings and has another default of the third."""

    precision: str = "fp32"  # type: ignore[assignment]
    size: int = 1


def configure(**changes):
    """The embedded default with changes, as Snakemake merges them."""
    config = yaml.safe_load((REPOSITORY / "config.yaml").read_text())
    update_config(config, changes)
    return parse_run_config(config)


def test_section_inherits_what_it_does_not_define_itself():
    assert list_inherited(Inheriting, "machine") == ["device", "torch_threads"]
    assert list_own(Inheriting) == ["precision", "size"]
    assert list_inherited(Plain, "machine") == []
    assert list_own(MachineSettings) == list(MachineSettings.model_fields)


def test_own_value_wins_over_the_shared_one():
    config = {"machine": {"device": "cpu", "torch_threads": 8, "precision": "bf16"}, "a": {"torch_threads": 3}}
    resolved = resolve(config, {"a": Inheriting, "b": Inheriting, "c": Plain})
    assert resolved["a"] == {"device": "cpu", "torch_threads": 3}
    assert resolved["b"] == {"device": "cpu", "torch_threads": 8}
    assert "c" not in resolved
    assert config["a"] == {"torch_threads": 3}


def test_no_setting_is_in_two_shared_sections():
    names = [key for section in SHARED.values() for key in section.model_fields]
    assert len(names) == len(set(names))


def test_stages_inherit_the_machine():
    config = configure(machine={"torch_threads": 5, "precision": "bf16"}, mined={"torch_threads": 7})
    threads = {name: getattr(config, name).torch_threads for name in NETWORKS}
    assert threads == dict.fromkeys(NETWORKS, 5) | {"mined": 7}
    assert config.predictions.precision == "bf16"
    assert config.cams.precision == "fp32"


def test_trainings_inherit_the_optimisation():
    config = configure(optimisation={"seed": 9, "optimiser": "sgd", "learning_rate": 0.1})
    assert [s.seed for s in (config.classifier, config.mining, config.segmenter)] == [9, 9, 9]
    assert (config.classifier.learning_rate, config.mining.learning_rate) == (0.1, 0.01)
    assert (config.streets.seed, config.dataset.split_seed) == (0, 0)


def test_resolved_config_stays_as_it_is():
    config = configure(machine={"loader_workers": 1}, augmentation={"flip": 0})
    again = RunConfig.model_validate(config.model_dump(mode="json"))
    assert again == config
    assert again.mining.flip == 0


@pytest.mark.parametrize(("name", "shared", "key"), INHERITED)
def test_null_does_not_mean_inherit(name, shared, key):
    with pytest.raises(ValueError, match=f"{name}.{key} is null; leave it out to inherit {shared}.{key}"):
        resolve({name: {key: None}}, SECTIONS)


def test_wrong_shared_value_is_reported_once():
    with pytest.raises(ValueError, match="the configuration has problems") as caught:
        configure(machine={"precision": "fp64", "torch_threads": 3}, optimisation={"sed": 3})
    assert str(caught.value).splitlines()[1:] == [
        "machine.precision: Input should be 'auto', 'fp32' or 'bf16' (got 'fp64')",
        "optimisation.sed: unknown key; did you mean seed? (got 3)",
    ]


def test_inherited_key_is_suggested_for_an_unknown_one():
    with pytest.raises(ValueError, match=r"predictions\.torch_thread: unknown key; did you mean torch_threads\?"):
        configure(predictions={"torch_thread": 2})


def test_inherited_values_are_checked_with_the_stages_own():
    with pytest.raises(ValueError, match=r"classifier: .*batch_size 9 is not a multiple of images_per_pass 4"):
        configure(optimisation={"images_per_pass": 4}, classifier={"batch_size": 9})
