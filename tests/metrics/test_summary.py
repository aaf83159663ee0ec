from __future__ import annotations

import pytest

from pseudogt.metrics.panoptic_quality import SCORE_KEYS
from pseudogt.metrics.summary import build_protocol, build_summary, compute_ratio, sum_seconds


def make_scores(pq: float | None, **others) -> dict:
    plain = dict.fromkeys(SCORE_KEYS) | {"pq": pq, "per_class": {}, "images": 3}
    return plain | {"subject": "x", "categories": [{"id": 1}], "per_image": {"a": {}}} | others


def build(**others) -> dict:
    arguments = {
        "dataset": "tiny",
        "supervision": "crop_tags+boxes",
        "label_scores": [make_scores(0.3), make_scores(0.4), make_scores(0.4)],
        "model_scores": [make_scores(0.5, miou=0.6), make_scores(0.4, miou=0.5), make_scores(0.4, miou=0.5)],
        "linked": [False, False, True],
        "stage_scores": {"cams": make_scores(None)},
        "reference_scores": make_scores(0.8, miou=0.0, ap=0.3),
        "detection_scores": {},
        "seconds": {"cams": 2.0},
    }
    return build_summary(**(arguments | others))


def test_summary_has_the_documented_keys_and_only_scores():
    summary = build()
    assert set(summary) == {
        "dataset", "supervision", "categories", "rounds", "stages", "reference", "detections", "ratio", "seconds",
        "versions",
    }  # fmt: skip
    assert tuple(summary["stages"]["cams"]) == tuple(summary["reference"]["val"]) == SCORE_KEYS
    assert summary["categories"] == [{"id": 1}]
    assert "python" in summary["versions"]


def test_linked_rounds_are_left_out_and_the_ratio_is_that_of_the_last_round_not_the_best():
    summary = build()
    assert [r["round"] for r in summary["rounds"]] == [0, 1]
    assert summary["ratio"]["pq"] == pytest.approx(0.4 / 0.8)


def test_ratio_is_null_without_a_score_or_with_a_reference_of_zero():
    assert build()["ratio"] | {"pq": None} == dict.fromkeys(["pq", "pq_th", "pq_st", "miou", "ap"])
    assert set(build(reference_scores=None)["ratio"].values()) == {None}
    assert build(reference_scores=None)["reference"] == {"val": None}
    assert compute_ratio(0.0, 0.5) == 0
    assert compute_ratio(None, 0.5) is None


def test_no_rounds():
    summary = build(label_scores=[], model_scores=[], linked=[])
    assert summary["rounds"] == []
    assert set(summary["ratio"].values()) == {None}


COUNTS = {"per_class": {"car": {}}, "images": 4, "objects": 9, "categories": [{"id": 3}]}
AP = {"box_ap": 0.1, "box_ap50": 0.2, "box_ap75": 0.05, "mask_ap": None, "mask_ap50": None, "mask_ap75": None}
AP |= {"voc_ap": 0.25} | COUNTS
CORLOC = {"corloc": 0.5} | COUNTS


def test_detections_of_a_dataset_without_full_labels():
    nothing = {"label_scores": [], "model_scores": [], "linked": [], "stage_scores": {}, "reference_scores": None}
    assert build(**nothing)["detections"] == {"val": None, "train": None}
    summary = build(**nothing, detection_scores={"corloc": CORLOC, "ap": AP})
    assert summary["detections"]["val"] == {key: AP[key] for key in AP if key != "categories"}
    assert summary["detections"]["train"] == {key: CORLOC[key] for key in CORLOC if key != "categories"}
    assert summary["categories"] == [{"id": 3}]


def test_protocol_is_null_where_a_table_of_the_paper_has_nothing():
    boxes = build_protocol("voc2007", None, {"ap": AP, "corloc": CORLOC})
    assert (boxes["pq"], boxes["voc_ap"], boxes["corloc"], boxes["mask_ap50"]) == (None, 0.25, 0.5, None)
    panoptic = build_protocol("voc2012", make_scores(0.4, pq_th=0.3), {"ap": AP})
    assert (panoptic["pq"], panoptic["pq_th"], panoptic["box_ap50"], panoptic["corloc"]) == (0.4, 0.3, 0.2, None)
    assert set(boxes) == set(panoptic)


def test_sequences_of_different_length_are_an_error():
    with pytest.raises(ValueError, match="2 scores of labels, 3 of models"):
        build(label_scores=[make_scores(0.3)] * 2)


def test_seconds_are_added_over_the_jobs_of_a_stage(tmp_path):
    (tmp_path / "labels" / "0").mkdir(parents=True)
    (tmp_path / "index.tsv").write_text("s\th:m:s\n1.5\t0:00:01\n")
    (tmp_path / "labels" / "0" / "train-0000.tsv").write_text("s\th:m:s\n2.25\t0:00:02\n")
    (tmp_path / "labels" / "0" / "train-0001.tsv").write_text("s\th:m:s\n4\t0:00:04\n")
    assert sum_seconds(tmp_path) == {"index": 1.5, "labels": 6.25}
    assert sum_seconds(tmp_path / "absent") == {}


@pytest.mark.parametrize("text", ["h:m:s\n0:00:01\n", "s\tx\n\t1\n"])
def test_broken_benchmark_file_is_named(tmp_path, text):
    (tmp_path / "cams.tsv").write_text(text)
    with pytest.raises(ValueError, match=r"cams\.tsv"):
        sum_seconds(tmp_path)
