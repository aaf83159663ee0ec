"""The curve: which forms are measured with which settings, what lies on the frontier, and what the page says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pseudogt.checking.labelling import FormResult, read_results
from pseudogt.files.io import read_json, write_json

REPOSITORY = Path(__file__).resolve().parents[2]


def open_bench(name, tmp_path, *options):
    import labelling

    command = ["--dataset", name, "--data", str(tmp_path), "--results", str(tmp_path / "points"), *options]
    return labelling.Bench(name, labelling.DATASETS[name], labelling.parse_arguments(command))


def make_result(form, pq, dataset="camvid-imagenet", kinds=("boxes",), full_percent=0, **acts):
    scores = {"pq": [pq], "pq_th": [pq], "miou": [pq]}
    return FormResult(dataset, form, frozenset(kinds), full_percent, frozenset({"fold_a"}), 100, acts, scores, {})


@pytest.mark.parametrize("name", ["camvid-imagenet", "msrc-imagenet", "dsb2018"])
def test_every_form_has_settings_that_the_workflow_takes(name, tmp_path):
    from labelling_forms import FIRST_FORMS, WEAK_FORMS, Form, Point, find_reason

    bench = open_bench(name, tmp_path)
    steps = set()
    for form in (*FIRST_FORMS, *(Form(weak, 5) for weak in WEAK_FORMS)):
        if find_reason(form, bench.classes):
            continue
        config = bench.settings.resolve(Point(name, bench.splits[-1], form, 2))
        assert config.segmenter.seed == config.classifier.seed == config.weak_labels.points_seed == 2
        assert config.rounds.min == config.rounds.max
        assert config.method == ("jtsm" if form.weak == "image tags" else "wsps")
        assert config.weak_labels.boxes == (not form.weak or "boxes" in form.weak)
        steps.add((config.segmenter.steps, config.rounds.max, config.segmenter.backbone))
    assert len(steps) == 1


def test_camvid_is_measured_on_its_folds(tmp_path):
    from labelling_forms import Form, Point

    bench = open_bench("camvid-imagenet", tmp_path)
    assert bench.splits == ("fold_a", "fold_b", "fold_c")
    dataset = bench.settings.resolve(Point("camvid-imagenet", "fold_b", Form("points"), 0)).dataset
    assert (dataset.train_split, dataset.val_split) == ("fold_b_train", "fold_b_val")
    assert list(open_bench("camvid-imagenet", tmp_path, "--splits", "fold_c").splits) == ["fold_c"]


def test_cells_that_make_no_sense_have_a_reason():
    from labelling_forms import DATASETS, FIRST_FORMS, find_reason, read_classes

    senseless = {
        name: {form.name for form in FIRST_FORMS if find_reason(form, read_classes(dataset.config))}
        for name, dataset in DATASETS.items()
    }
    where = ("crop tags", "stuff points", "3 stuff points", "stuff scribbles")
    without_stuff = {"image tags", *(f"{marks} + boxes" for marks in where)}
    assert senseless == {"camvid-imagenet": set(), "msrc-imagenet": set(), "dsb2018": without_stuff}


def test_names_of_points_differ(tmp_path):
    from labelling_forms import WEAK_FORMS, Point, list_forms

    points = [
        Point("camvid-imagenet", split, f, s) for f in list_forms(WEAK_FORMS) for split in ("", "a") for s in (0, 1)
    ]
    assert len({point.locate(tmp_path) for point in points}) == len(points) == (7 + 3 + 14) * 4
    assert all(" " not in point.run_name and "%" not in point.run_name for point in points)


def test_frontier_and_best_forms_follow_from_costs_and_quality():
    from labelling_forms import choose_best, find_frontier, list_mixtures

    results = [
        make_result("image tags", 0.1, tag=10),
        make_result("points", 0.3, point=10),
        make_result("crop tags + boxes", 0.25, box=20),
        make_result("image tags + boxes", 0.4, box=10),
        make_result("all full", 0.5, full_percent=100, outline=10),
    ]
    assert find_frontier(results) == ["image tags", "points", "image tags + boxes", "all full"]
    assert find_frontier(results, {"box": 1.0}) == ["image tags + boxes", "all full"]
    assert choose_best(results) == ["image tags + boxes", "points"]
    names = [form.name for form in list_mixtures(choose_best(results))]
    assert names[0] == "5% full + image tags + boxes" and len(names) == 4


def test_a_point_is_measured_once_for_its_settings(tmp_path, monkeypatch):
    from labelling_forms import Form, Point

    bench = open_bench("dsb2018", tmp_path)
    scores = {"pq": 0.5, "pq_th": 0.5, "pq_st": 0.5, "miou": 0.5}
    measured = {"images": 60, "acts": {"box": 2.0}, "kinds": ["boxes"], "labels": None, "model": {"val": scores}}
    runs = []
    monkeypatch.setattr(bench, "run", lambda point: runs.append(point) or dict(measured))
    point = Point("dsb2018", "", Form("image tags + boxes"), 0)
    for _ in range(2):
        bench.measure([point.form])
    assert runs == [point]
    entry = read_json(point.locate(tmp_path / "points"))
    assert entry["seconds_per_image"] == 14 and entry["commit"] and str(tmp_path) not in str(entry)
    (result,) = bench.read_results()
    assert result.form == "image tags + boxes" and result.mean("pq") == 0.5
    write_json(point.locate(tmp_path / "points"), entry | {"digest": "of other settings"})
    bench.measure([point.form])
    assert len(runs) == 2
    steps, threads = (
        open_bench("dsb2018", tmp_path, "--config", setting).settings.digest(point)
        for setting in ("segmenter={steps: 5}", "machine={torch_threads: 1}")
    )
    assert steps != bench.settings.digest(point) == threads


def test_some_points_can_be_measured_alone(tmp_path, monkeypatch):
    from labelling import measure_curve
    from labelling_forms import Point, find_forms

    bench = open_bench("dsb2018", tmp_path, "--forms", "20% full + points", "all full", "--seeds", "1", "2")
    measured = []
    monkeypatch.setattr(bench, "measure_point", measured.append)
    measure_curve(bench, screen=False)
    forms = find_forms(["20% full + points", "all full"])
    assert measured == [Point("dsb2018", "", form, seed) for form in forms for seed in (1, 2)]
    with pytest.raises(SystemExit, match=r"'clicks' is not a form; choose from: image tags,"):
        find_forms(["clicks"])


def test_a_run_that_fails_stops_no_other(tmp_path, monkeypatch):
    from labelling_forms import Form

    bench = open_bench("dsb2018", tmp_path)
    runs = []

    def fail(point):
        runs.append(point.form.name)
        raise subprocess.CalledProcessError(1, "snakemake")

    monkeypatch.setattr(bench, "run", fail)
    bench.measure([Form("points"), Form("image tags + boxes")])
    assert runs == ["points", "image tags + boxes"] and len(bench.failed) == 2
    assert bench.read_results() == []


def test_page_says_what_is_not_measured_and_recommends_what_is_best():
    from labelling_page import render_sections

    nothing = render_sections([], {"dsb2018": {"images": 60, "acts": {"points": {"point": 10.0}}}})
    assert "recommends nothing" in nothing["answer"] and "makes no sense: boxes alone" in nothing["curves"]
    assert "| points | 24 | 0.4 | not measured |" in nothing["curves"]
    results = [make_result("points", 0.3, point=10), make_result("all full", 0.5, full_percent=100, outline=10)]
    found = render_sections(results, {})
    rows = dict(line.strip("| ").split(" | ", 1) for line in found["answer"].splitlines()[2:-2])
    assert "**points**, PQ 0.300 (one seed)" in rows["1"] and "**all full**" in rows["30"]
    assert "not measured" in rows["1"] and "2 on camvid-imagenet (fold_a), 0 on msrc-imagenet" in found["answer"]
    assert "| **points** | 24 | 0.7 | 0.300 (one seed) | 0.60 |" in found["curves"]


def test_page_holds_the_committed_points():
    from labelling_page import PAGE, read_costs, render_sections, replace_sections

    text = PAGE.read_text(encoding="utf-8")
    assert replace_sections(text, render_sections(read_results(), read_costs())) == text, (
        "run `benchmarks/labelling.py --page`"
    )


@pytest.mark.slow
def test_quick_run_measures_three_forms(tmp_path):
    subprocess.run(
        [sys.executable, str(REPOSITORY / "benchmarks" / "labelling.py"), "--quick"], check=True, cwd=tmp_path
    )
    results = {result.form: result for result in read_results(tmp_path / "labelling")}
    assert set(results) == {"stuff points + boxes", "20% full", "20% full + stuff points + boxes"}
    weak, mixed, full = (results[f] for f in ("stuff points + boxes", "20% full + stuff points + boxes", "20% full"))
    assert "outline" not in weak.acts and weak.seconds < mixed.seconds and full.acts["outline"] == mixed.acts["outline"]
    assert weak.kinds == mixed.kinds == {"image tags", "boxes", "stuff points"} and not full.kinds
