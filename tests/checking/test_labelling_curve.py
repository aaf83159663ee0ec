"""What labels have cost, and what the next hour buys, by the committed results."""

from __future__ import annotations

from collections import Counter

import pytest

from pseudogt.checking.counts import describe_full_labelling
from pseudogt.checking.findings import DatasetFindings, format_findings
from pseudogt.checking.images import ImageFindings
from pseudogt.checking.labelling import MEASURED, describe_labelling, find_purchases, read_results
from pseudogt.classes import ClassTable
from pseudogt.files.io import write_json

WEAK, MORE = ["image tags", "boxes"], ["image tags", "boxes", "stuff points"]


def write_point(folder, form, pq, *, kinds=WEAK, acts=None, seed=0, split="", full_percent=0, dataset="here"):
    scores = {"pq": pq, "pq_th": pq, "pq_st": None, "miou": pq}
    entry = {
        "dataset": dataset,
        "split": split,
        "form": form,
        "seed": seed,
        "kinds": kinds,
        "full_percent": full_percent,
        "images": 100,
        "acts": acts or {"box": 2.0},
        "labels": {"train": scores},
        "model": {"val": scores},
    }
    write_json(folder / dataset / f"{form}-{split}-{seed}.json", entry)


def test_a_seed_counts_once_it_has_all_splits(tmp_path):
    for split, seed, pq in (("a", 0, 0.2), ("b", 0, 0.4), ("a", 1, 0.4), ("b", 1, 0.4), ("a", 2, 0.9)):
        write_point(tmp_path, "boxes", pq, seed=seed, split=split)
    (result,) = read_results(tmp_path)
    assert result.scores["pq"] == pytest.approx([0.3, 0.4]) and result.runs == 2
    assert result.find_error("pq") == pytest.approx(0.05)
    assert result.seconds == 14 and set(result.scores) == {"pq", "pq_th", "miou"}


def test_forms_are_compared_on_the_splits_that_all_have(tmp_path):
    for split, pq in (("a", 0.4), ("b", 0.6)):
        write_point(tmp_path, "boxes", pq, split=split)
    write_point(tmp_path, "points", 0.5, split="a")
    assert {result.form: result.mean("pq") for result in read_results(tmp_path)} == {"boxes": 0.4, "points": 0.5}
    assert all(result.splits == {"a"} for result in read_results(tmp_path))


def test_an_hour_goes_a_part_of_the_way_to_a_form_that_adds_to_the_labels(tmp_path):
    for seed, noise in enumerate((-0.01, 0.01)):
        write_point(tmp_path, "boxes", 0.4 + noise, seed=seed)
        write_point(tmp_path, "points", 0.5, kinds=MORE, acts={"box": 2.0, "point": 3.0}, seed=seed)
        write_point(tmp_path, "full-5", 0.42, acts={"box": 2.0, "outline": 1.0}, full_percent=5, seed=seed)
        write_point(tmp_path, "crops", 0.9, kinds=["crop tags"], acts={"crop_tag": 50.0}, seed=seed)
    results = read_results(tmp_path)
    first, second = find_purchases(results, WEAK, 20.0, images=1000)
    assert (first.result.form, second.result.form) == ("points", "full-5")
    share = 3600 / (1000 * 7.2)
    assert first.gain == pytest.approx(0.1 * share) and first.images == pytest.approx(500)
    assert first.error == pytest.approx(0.01 * share)
    assert second.images == pytest.approx(3600 / 79.2 * 0.05)
    # A whole step is all that was measured.
    assert find_purchases(results, WEAK, 20.0, images=10)[0].gain == pytest.approx(0.1)


def test_what_was_not_measured_is_not_known(tmp_path):
    write_point(tmp_path, "boxes", 0.4)
    write_point(tmp_path, "points", 0.5, kinds=MORE, acts={"box": 2.0, "point": 3.0})
    acts = Counter(box=20, tag=30)
    text = describe_labelling(acts, WEAK, 10, tmp_path)
    assert (
        "2.8 minutes so far by published seconds, 1.4 minutes to 5.7 minutes at half and double" in text
        and "20 boxes at 7 s" in text
        and "30 tags at 1 s" in text
    )
    assert "PQ +0.100 (standard error unknown, one seed) if 10 images get points, as on here" in text
    for kinds, images in ((WEAK, 1), (["boxes"], 10)):
        unknown = describe_labelling(acts, kinds, images, tmp_path)
        assert "the next hour: not known" in unknown and "1500 points, 514 boxes or 45 outlines" in unknown
    assert "not known" in describe_labelling(acts, WEAK, 10, tmp_path / "none")


def test_committed_results_are_readable():
    for result in read_results(MEASURED):
        assert result.seconds > 0 and 0 <= result.mean("pq") <= 1


def test_check_says_what_full_labels_have_cost():
    classes = ClassTable(("sky", "car", "dog"), (1, 2, 3), (False, True, True), ((0, 0, 1), (0, 0, 2), (0, 0, 3)))
    checked = [
        ImageFindings("train", "a", present=frozenset({0, 1}), instances=(1, 1)),
        ImageFindings("val", "b", present=frozenset({0}), instances=()),
    ]
    text = describe_full_labelling(checked, classes)
    assert "3 outlines at 79.2 s" in text and "1 tags at 1 s" in text
    assert text in format_findings(DatasetFindings(labelling=text))
    assert describe_full_labelling(checked[1:], classes) == ""
