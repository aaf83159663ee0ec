from __future__ import annotations

import json

import numpy as np
import pytest

from pseudogt.classes import IGNORE_LABEL, ClassTable
from pseudogt.files.io import read_json, write_json
from pseudogt.files.labels import write_labels
from pseudogt.files.scores import write_scores
from pseudogt.metrics.panoptic_quality import SCORE_KEYS
from pseudogt.stages.evaluation import main

CLASSES = ClassTable(("road", "sky", "car"), (7, 23, 26), (False, False, True), ((9, 9, 9), (0, 0, 200), (200, 0, 0)))
ROAD, SKY, CAR = 7000, 23000, 26000


def make_truth() -> np.ndarray:
    panoptic_id = np.full((20, 30), ROAD, np.int32)
    panoptic_id[:8] = SKY
    panoptic_id[10:16, 3:12] = CAR + 1
    panoptic_id[10:16, 15:25] = CAR + 2
    panoptic_id[18:, 25:] = CAR
    return panoptic_id


def write_folder(folder, images, *, crowds=(), scores=None, classes=CLASSES):
    with write_labels(folder, classes) as writer:
        for image_id, panoptic_id in images.items():
            writer.add(image_id, panoptic_id, crowd_ids=crowds, scores=scores)
    return folder


@pytest.fixture
def truth(tmp_path):
    first = write_folder(tmp_path / "gt" / "val-0000", {"a": make_truth(), "b": make_truth()}, crowds=[CAR])
    second = write_folder(tmp_path / "gt" / "val-0001", {"c": make_truth()[:, ::-1].copy()}, crowds=[CAR])
    return [first, second]


def run(tmp_path, truth, *arguments) -> dict:
    out = tmp_path / "out.json"
    main(["score", "--subject", "tested", "--ground-truth", *map(str, truth), *map(str, arguments), "--out", str(out)])
    return read_json(out)


def test_truth_against_itself_is_perfect_and_threads_change_nothing(tmp_path, truth):
    scores = {CAR + 1: 0.9, CAR + 2: 0.8, ROAD: 1.0}
    folder = write_folder(
        tmp_path / "p", {i: make_truth() for i in "ab"} | {"c": make_truth()[:, ::-1].copy()}, scores=scores
    )
    result = run(tmp_path, truth, "--labels", folder, "--scored")
    assert [result[k] for k in ("pq", "sq", "rq", "pq_th", "pq_st", "miou", "ap", "ap50")] == pytest.approx([1] * 8)
    assert result["coverage"] is None
    assert result["images"] == 3
    assert result["per_class"]["car"]["tp"] == 6
    assert list(result["per_image"]) == ["a", "b", "c"]
    assert result["per_image"]["c"]["pq"] == 1
    assert set(SCORE_KEYS) <= set(result)
    assert run(tmp_path, truth, "--labels", folder, "--scored", "--threads", "3") == result


def test_labels_have_coverage_but_no_ap(tmp_path, truth):
    labels = make_truth()
    labels[:4] = 0
    folder = write_folder(tmp_path / "l", {"a": labels, "b": labels, "c": labels[:, ::-1].copy()})
    result = run(tmp_path, truth, "--labels", folder)
    assert result["coverage"] == pytest.approx(0.8)
    assert result["precision"] == 1
    assert result["ap"] is None


def test_box_masks_are_scored_on_things_alone(tmp_path, truth):
    masks = make_truth()
    masks[masks < CAR] = CLASSES.background_category_id * 1000
    folder = write_folder(tmp_path / "m", {"a": masks, "b": masks, "c": masks[:, ::-1].copy()})
    result = run(tmp_path, truth, "--labels", folder, "--things-only")
    assert result["pq_th"] == 1
    assert result["pq"] is None
    assert result["coverage"] == pytest.approx((make_truth() >= CAR).mean())
    with pytest.raises(ValueError, match=r"image 'a' in .*give --things-only"):
        run(tmp_path, truth, "--labels", folder)


def test_cams_are_scored_without_instances(tmp_path, truth):
    with write_scores(tmp_path / "cams.h5", CLASSES) as writer:
        for image_id in "abc":
            panoptic_id = make_truth() if image_id != "c" else make_truth()[:, ::-1]
            label = np.searchsorted([7, 23, 26], panoptic_id // 1000).astype(np.uint8)
            label[-1] = IGNORE_LABEL
            writer.add(image_id, np.zeros((1, 2, 2)), np.array([0]), label, np.zeros_like(label))
    result = run(tmp_path, truth, "--first-scores", tmp_path / "cams.h5")
    assert result["pq_th"] is None
    assert 0.9 < result["pq_st"] < 1
    assert result["coverage"] == pytest.approx(0.95)
    assert result["precision"] == 1


def test_images_missing_on_either_side_are_named(tmp_path, truth):
    folder = write_folder(tmp_path / "l", {"a": make_truth(), "d": make_truth()})
    with pytest.raises(ValueError, match="2 images are missing in tested: b, c"):
        run(tmp_path, truth, "--labels", folder)
    folder = write_folder(tmp_path / "l", {i: make_truth() for i in "abcd"})
    with pytest.raises(ValueError, match="1 images are missing in the ground truth: d"):
        run(tmp_path, truth, "--labels", folder)


def test_another_size_names_image_and_folder(tmp_path, truth):
    folder = write_folder(tmp_path / "l", {"a": make_truth(), "b": make_truth()[:10], "c": make_truth()})
    with pytest.raises(ValueError, match=r"image 'b' in .*/l: ground truth \(20, 30\) and label \(10, 30\) differ"):
        run(tmp_path, truth, "--labels", folder)


def test_prediction_without_scores_is_an_error(tmp_path, truth):
    folder = write_folder(tmp_path / "p", {i: make_truth() for i in "abc"})
    with pytest.raises(ValueError, match=r"image 'a'.*have no score"):
        run(tmp_path, truth, "--labels", folder, "--scored")


def test_crowd_with_an_instance_number_is_an_error(tmp_path):
    truth = [write_folder(tmp_path / "gt", {"a": make_truth()}, crowds=[CAR + 1])]
    with pytest.raises(ValueError, match=r"marks \[26001\] as crowds"):
        run(tmp_path, truth, "--labels", truth[0])


def test_class_tables_that_differ_are_an_error(tmp_path, truth):
    other = ClassTable(("a", "b", "c"), (7, 23, 26), CLASSES.isthing, CLASSES.colors)
    truth = [truth[0], write_folder(tmp_path / "gt" / "val-0009", {"z": make_truth()}, classes=other)]
    with pytest.raises(ValueError, match=r"val-0009/panoptic\.json: its categories differ"):
        run(tmp_path, truth, "--labels", *truth)


def test_zero_images_give_nulls_and_a_note(tmp_path):
    empty = write_folder(tmp_path / "gt", {})
    for truth, labels in (([], []), ([empty], [empty])):
        result = run(tmp_path, truth, "--labels", *labels, "--scored")
        assert [result[k] for k in SCORE_KEYS if k not in ("per_class", "images")] == [None] * 10
        assert result["images"] == 0
        assert "no images" in result["note"]


def test_image_that_is_all_void_scores_nothing(tmp_path):
    folder = write_folder(tmp_path / "gt", {"a": np.zeros((4, 4), np.int32)})
    result = run(tmp_path, [folder], "--labels", folder)
    assert result["pq"] is None
    assert result["images"] == 1


def test_unknown_setting_is_an_error(tmp_path, truth):
    with pytest.raises(ValueError, match="max_detection"):
        run(tmp_path, truth, "--labels", *truth, "--settings", json.dumps({"max_detection": 3}))


def test_summary_from_the_files_of_a_run(tmp_path, truth):
    scored = {i: make_truth() for i in "ab"} | {"c": make_truth()[:, ::-1].copy()}
    folder = write_folder(tmp_path / "p", scored, scores={CAR + 1: 0.9, CAR + 2: 0.8})
    run(tmp_path, truth, "--labels", folder, "--scored")
    (tmp_path / "out.json").rename(tmp_path / "model.json")
    run(tmp_path, truth, "--labels", folder)
    for name, is_linked in (("0", False), ("1", True)):
        write_json(tmp_path / f"record-{name}.json", {"linked": is_linked})
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "cams.tsv").write_text("s\n2\n")
    model, labels, out = (str(tmp_path / name) for name in ("model.json", "out.json", "summary.json"))
    records = [str(tmp_path / f"record-{i}.json") for i in (0, 1)]
    arguments = ["summary", "--dataset", "tiny", "--supervision", "boxes", "--label-scores", labels, labels]
    arguments += ["--model-scores", model, model, "--records", *records, "--stage-scores", labels]
    arguments += ["--reference-scores", model, "--benchmarks", str(tmp_path / "benchmarks"), "--out", out]
    main(arguments)
    summary = read_json(out)
    assert len(summary["rounds"]) == 1
    assert summary["ratio"] == dict.fromkeys(["pq", "pq_th", "pq_st", "miou", "ap"], 1.0)
    assert list(summary["stages"]) == ["tested"]
    assert summary["seconds"] == {"cams": 2.0}
    assert [c["name"] for c in summary["categories"]] == list(CLASSES.names)
