"""The main benchmark: which runs a command line asks for, and what is reported of several."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from pseudogt.config.inheritance import list_sections
from pseudogt.config.optimisation import OptimisationSettings
from pseudogt.config.run import RunConfig
from pseudogt.files.io import read_json, write_json

REPOSITORY = Path(__file__).resolve().parents[2]
TRAININGS = [n for n, section in list_sections(RunConfig).items() if issubclass(section, OptimisationSettings)]


def plan(loop, *options):
    return loop.plan_runs(loop.parse_arguments([*options, "--json", "out.json"]))


@pytest.mark.parametrize("name", sorted(path.stem for path in (REPOSITORY / "configs").glob("*.yaml")))
def test_seed_is_that_of_every_training(loop, name):
    """No configuration overrides it in a section."""
    config, own = (yaml.safe_load((REPOSITORY / p).read_text()) for p in ("config.yaml", f"configs/{name}.yaml"))
    for values in (own, *plan(loop, "--run", name, "--data", "somewhere", "--seeds", "3")):
        update_config(config, values)
    resolved = RunConfig.model_validate(config)
    assert {section: getattr(resolved, section).seed for section in TRAININGS} == dict.fromkeys(TRAININGS, 3)
    assert {"classifier", "mining", "segmenter"} < set(TRAININGS)


def test_seeds_and_split_seeds_make_a_run_of_each_pair(loop):
    runs = plan(loop, "--run", "dsb2018", "--seeds", "0", "1", "--split-seeds", "5", "6")
    assert [(r["dataset"]["split_seed"], r["optimisation"]["seed"]) for r in runs] == [(5, 0), (5, 1), (6, 0), (6, 1)]
    names = [run["name"] for run in runs]
    assert names == [f"dsb2018-split{split}-seed{seed}" for split in (5, 6) for seed in (0, 1)]


def test_without_options_nothing_is_set_but_the_name(loop):
    assert plan(loop, "--run", "voc2012") == [{"name": "voc2012"}]


def test_settings_of_the_command_line_are_merged_with_those_of_options(loop):
    settings = ("segmenter={weights: a.pth}", "segmenter={steps: 5}", "optimisation={batch_size: 2}", "name=other")
    (run,) = plan(loop, "--config", *settings[:2], "--config", *settings[2:], "--tags", "image", "--seeds", "4")
    assert run == {
        "name": "other-image-seed4",
        "segmenter": {"weights": "a.pth", "steps": 5},
        "optimisation": {"batch_size": 2, "seed": 4},
        "weak_labels": {"tags": "image"},
    }
    with pytest.raises(SystemExit, match="--config steps: not of the form KEY=VALUE"):
        plan(loop, "--config", "steps")


def test_snakemake_is_given_the_files_in_order_of_precedence(loop, tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(subprocess, "run", lambda command, **_: commands.append(command))
    monkeypatch.chdir(tmp_path)
    write_json(tmp_path / "results" / "camvid-seed1" / "evaluation" / "summary.json", {"pq": 0.5})
    more = ["--configfile", "mine.yaml", "--config", "segmenter={weights: null}"]
    arguments = loop.parse_arguments(["--run", "camvid", *more, "--seeds", "1", "--json", "out.json"])
    assert loop.run(arguments, *loop.plan_runs(arguments)) == {"pq": 0.5}
    (command,) = commands
    *files, own = command[command.index("--configfile") + 1 :]
    assert files == [str(REPOSITORY / "configs" / "camvid.yaml"), "mine.yaml"]
    settings = {"name": "camvid-seed1", "segmenter": {"weights": None}, "optimisation": {"seed": 1}}
    assert read_json(tmp_path / own) == settings


def test_spread_is_that_of_scores_and_of_ratios(loop):
    def summarise(weak, full):
        scores = [dict.fromkeys(loop.SCORES, value) for value in (weak, full, weak / full)]
        names = ({"rounds": [{"model": {"val": scores[0]}}]}, {"reference": {"val": scores[1]}}, {"ratio": scores[2]})
        return {key: value for part in names for key, value in part.items()} | {"seconds": {"all": 10.0}}

    figures = loop.collect_figures([summarise(0.4, 0.5), summarise(0.6, 0.5)])
    assert figures["runs"] == 2 and figures["seconds"] == 10
    assert figures["pq_weak"] == pytest.approx(0.5) and figures["pq_weak_stdev"] == pytest.approx(0.02**0.5)
    assert figures["pq_reference"] == 0.5 and figures["pq_reference_stdev"] == 0
    assert figures["pq_ratio"] == pytest.approx(1.0) and figures["pq_ratio_stdev"] == pytest.approx(0.08**0.5)
    assert "pq_weak_stdev" not in loop.collect_figures([summarise(0.4, 0.5)])
