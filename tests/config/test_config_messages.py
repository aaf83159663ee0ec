"""What the configuration refuses, and how short it says so."""

from __future__ import annotations

from copy import deepcopy
from datetime import date
from functools import cache
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from pseudogt.config.run import RunConfig, parse_run_config
from pseudogt.config.unread import find_unread

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIGS = sorted((REPOSITORY / "configs").glob("*.yaml"))
JTSM = {"method": "jtsm", "weak_labels": {"boxes": False, "tags": "image"}}
GIVEN = {"annotations": {"format": "csv", "path": "marks.csv"}}


@cache
def read_defaults():
    return yaml.safe_load((REPOSITORY / "config.yaml").read_text())


def configure(changes) -> RunConfig:
    """The embedded default with changes, as Snakemake merges them."""
    config = deepcopy(read_defaults())
    update_config(config, changes)
    return parse_run_config(config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cams": {"width_exponent": True}}, "cams.width_exponent: Input should be a number, not a truth value"),
        ({"rounds": {"max": True}}, "rounds.max: Input should be a number, not a truth value"),
        ({"classifier": {"learning_rate": float("inf")}}, "classifier.learning_rate: Input should be a finite number"),
        ({"cams": {"concept_model": "facebook/sam3"}}, "set method to concepts, or concept_model to null"),
        ({"annotations": {"points": "weak"}}, "annotations.path, which is not set"),
        (GIVEN | {"weak_labels": {"points": "stuff"}}, "set it to null, and annotations.points to weak"),
        ({"provided": {"weak_labels": "w.json"}, "weak_labels": {"scribbles": "all"}}, "set it to null"),
        (
            {"gpus": 8},
            "segmenter.batch_size 4 can't be divided among 8 GPUs, of which each computes 1 at once; set it to",
        ),
        (
            {"gpus": 2, "segmenter": {"batch_size": 24, "images_per_pass": 8}},
            "each computes 8 at once; set it to a multiple of 16",
        ),
        (JTSM | {"gpus": 3, "segmenter": {"batch_size": 6}, "mining": {"init": "scratch"}}, "mining.batch_size 4"),
        (
            {"name": 2026},
            "name: Input should be a valid string; YAML reads it as a number or a date, so put",
        ),
        ({"name": date(2026, 1, 1)}, "put it in quotes"),
        ({"annotations": GIVEN["annotations"] | {"leave_out": "polyline"}}, "write it in brackets"),
        ({"classifier": "small"}, "write settings below it, indented"),
        ({"steps": 100}, "steps: unknown key; it is a setting of classifier, mining, segmenter: indent it"),
        (
            {"segmenter.steps": 9},
            "unknown key; write {segmenter: {steps: ...}}, and after --config 'segmenter={\"steps\": ...}'",
        ),
        ({"dataset": {"classes": ["car", "sky"]}}, "write {name: thing, name: stuff}"),
        ({"dataset": {"classes": [{"car": "thing"}, {"sky": "stuff"}]}}, "write {name: thing, name: stuff}"),
        ({"segmenter": {"steps:5": None}}, "segmenter.steps:5: unknown key; put a space after the colon: steps: 5"),
        ({"dataset": {"classes": [{"name": "car", "is_thing": 1}]}}, "is_thing: unknown key; did you mean isthing?"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ValueError, match=r"(?s)problems") as caught:
        configure(changes)
    assert message in str(caught.value)


def test_a_problem_inside_of_a_list_is_told_once():
    with pytest.raises(ValueError, match="isthing") as caught:
        configure({"dataset": {"classes": [{"name": "car", "id": 1, "isthing": "maybe", "color": "#ff0000"}]}})
    assert len(str(caught.value).splitlines()) == 2


def test_a_section_without_settings_changes_nothing():
    """YAML reads it as null."""
    assert configure({"classifier": None, "machine": None}) == configure({})


def test_null_on_the_command_line():
    """Snakemake reads what follows --config as text."""
    config = configure(
        {"full_labels": {"split": "null"}, "annotations": {**GIVEN["annotations"], "rename": {"*": "null"}}}
    )
    assert (config.full_labels.split, config.annotations.rename) == (None, {"*": None})


def test_the_home_folder_in_paths(monkeypatch):
    """A shell leaves it in --config data_root=~/data."""
    monkeypatch.setenv("HOME", "/home/me")
    config = configure(
        {"data_root": "~/data", **GIVEN, "predict_to": "a~/b"}
        | {"annotations": GIVEN["annotations"] | {"tags": "~/t.csv"}}
    )
    assert (config.data_root, config.annotations.tags, config.predict_to) == ("/home/me/data", "/home/me/t.csv", "a~/b")


@pytest.mark.parametrize(
    ("images", "predict_to", "problem"),
    [
        ("photos", ".", "holds images="),
        ("photos", "photos", "holds images="),
        ("photos", "mine", "holds no predictions"),
        ("photos", "empty", "holds no predictions"),
    ],
)
def test_predictions_take_the_place_of_predictions_alone(tmp_path, monkeypatch, images, predict_to, problem):
    """Snakemake would report that everything is up to date, or remove the folder first."""
    monkeypatch.chdir(tmp_path)
    for folder in ("photos", "mine", "empty", "predicted"):
        (tmp_path / folder).mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    (tmp_path / "predicted" / "panoptic.json").write_text("{}")
    assert configure({"images": images}).predict_to == "predicted"
    with pytest.raises(ValueError, match=f"predict_to={predict_to}: .*{problem}.*give another folder"):
        configure({"images": images, "predict_to": predict_to})


def test_section_that_does_not_fit_together_is_not_printed_as_a_whole():
    with pytest.raises(ValueError, match="overlap_power") as caught:
        configure(JTSM | {"mining": {"overlap_power": 2}})
    assert str(caught.value).splitlines()[1:] == [
        "mining: overlap_power: 2 with decoder: false; set decoder to true, or overlap_power to 0"
    ]


def test_only_trainings_of_the_run_have_to_suit_its_gpus():
    configure({"gpus": 3, "classifier": {"batch_size": 6}, "segmenter": {"batch_size": 6}})
    configure(JTSM | {"gpus": 4, "mining": {"init": "scratch"}, "classifier": {"batch_size": 3}})


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"mining": {"overlap_power": 2, "decoder": True}}, "mining.decoder, mining.overlap_power: only method: jtsm"),
        ({"cams": {"width_exponent": 1}}, "cams.width_exponent: no image has points"),
        ({"cams": {"min_share": 0.1, "method": "gradcam"}}, "cams.min_share: cams.method: gradcam"),
        ({"classifier": {"ring_weight": 1}}, "classifier.ring_weight: no image has points"),
        (
            {"cams": {"width_exponent": 1, "method": "concepts", "concept_model": "m"}},
            "cams.width_exponent: cams.method",
        ),
        (
            {"classifier": {"steps": 7, "ring_weight": 1}, "cams": {"method": "concepts", "concept_model": "m"}},
            "classifier.steps, classifier.ring_weight: cams.method: concepts trains no classifier",
        ),
        ({"segmenter": {"full_share": 0.5}}, "segmenter.full_share: no image has a full label"),
        ({"predictions": {"min_query_score": 1}}, "predictions.min_query_score: segmenter.network: bottom_up"),
        (
            {"dataset": {"format": "voc2012"}, "data_root": "d", "streets": {"seed": 3}},
            "streets.seed: dataset.format is voc2012",
        ),
    ],
)
def test_changed_settings_that_nothing_reads_are_named(changes, setting):
    (line,) = find_unread(configure(changes))
    assert line.startswith(f"nothing reads {setting}")


def test_the_remedy_is_none_that_the_method_refuses():
    (line,) = find_unread(configure(JTSM | {"classifier": {"ring_weight": 1}}))
    assert line.endswith("no image has points, scribbles or masks as weak labels")


@pytest.mark.parametrize(
    "changes",
    [
        {"provided": {"weak_labels": "w.json"}, "weak_labels": {"boxes": False}},
        {"annotations": {**GIVEN["annotations"], "points": "weak"}, "weak_labels": {"boxes": False}},
    ],
)
def test_given_weak_labels_need_no_derived_boxes(changes):
    assert configure(changes).has_given_weak_labels


@pytest.mark.parametrize(
    "changes",
    [
        {},
        JTSM | {"mining": {"overlap_power": 2, "decoder": True}},
        {"cams": {"width_exponent": 1}, "weak_labels": {"points": "stuff"}},
        {"cams": {"width_exponent": 1}, "annotations": {**GIVEN["annotations"], "points": "weak"}},
        {"cams": {"width_exponent": 1}, "provided": {"weak_labels": "w.json"}},
        {"segmenter": {"full_share": 0.5}, "full_labels": {"images": "full.txt"}},
        {"images": "photos", "segmenter": {"full_share": 0.5}},
    ],
)
def test_settings_that_are_read_are_not_named(changes):
    assert find_unread(configure(changes)) == []


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configurations_of_the_repository_change_only_what_is_read(path):
    assert find_unread(configure(yaml.safe_load(path.read_text()) | {"data_root": "d"})) == []
