from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from weak_label_testing import make_point, make_weak_labels

from pseudogt.classes import IGNORE_LABEL, ClassTable
from pseudogt.files.images import read_image, write_png
from pseudogt.files.index import ImageRecord, write_shard
from pseudogt.files.io import write_json
from pseudogt.files.labels import write_labels
from pseudogt.files.scores import write_scores
from pseudogt.metrics.panoptic_quality import SCORE_KEYS
from pseudogt.reporting.sample import choose_evenly, find_worst
from pseudogt.stages.report import main
from pseudogt.weak_labels.files import read_weak_labels, write_weak_labels
from pseudogt.weak_labels.marks import NO_OBJECT, Marks, make_mask

CLASSES = ClassTable(
    ("road", "sky", "car & <b>van</b>"),
    (7, 23, 26),
    (False, False, True),
    ((128, 64, 128), (70, 130, 180), (0, 0, 142)),
)
BACKGROUND_ID = CLASSES.background_category_id * 1000


def make_label(rng: np.random.Generator) -> np.ndarray:
    panoptic_id = np.full((64, 128), 7000, np.int32)
    panoptic_id[: rng.integers(15, 30)] = 23000
    for k in range(1, 4):
        x, y = int(rng.integers(5, 100)), int(rng.integers(30, 50))
        cv2.ellipse(panoptic_id, (x, y), (14, 7), 0, 0, 360, 26000 + k, cv2.FILLED)
    return panoptic_id


def make_scores(**scores) -> dict:
    row = {"pq": 0.4, "iou": 0.5, "ap": None}
    return dict.fromkeys(SCORE_KEYS) | {"per_class": {CLASSES.names[2]: row}, "images": 9} | scores


def make_summary() -> dict:
    model = make_scores(pq=0.5, sq=0.7, rq=0.6, pq_th=0.4, pq_st=0.6, miou=0.62, ap=0.2, ap50=0.4)
    labels = make_scores(pq=0.55, pq_th=0.45, pq_st=0.65, miou=0.6, coverage=0.9, precision=0.93)
    later = labels | {"pq": 0.6, "coverage": 0.95}
    return {
        "dataset": "streets <script>",
        "supervision": "crop_tags+boxes",
        "categories": CLASSES.to_categories(),
        "rounds": [
            {"round": 0, "labels": {"train": labels}, "model": {"val": model}},
            {"round": 1, "labels": {"train": later}, "model": {"val": model | {"pq": 0.53}}},
        ],
        "stages": {
            "cams": make_scores(pq_st=0.5, miou=0.4, coverage=0.8, precision=0.75),
            "box_masks": make_scores(pq_th=0.7, miou=0.7, coverage=0.12, precision=0.9),
            "labels-2": later,
        },
        "reference": {"val": model | {"pq": 0.58, "pq_th": 0.5, "pq_st": 0.66, "miou": 0.7}},
        "detections": {"val": None, "train": None},
        "ratio": {"pq": 0.53 / 0.58, "pq_th": 0.8, "pq_st": 0.6 / 0.66, "miou": 0.62 / 0.7, "ap": None},
        "seconds": {"cams": 3.25, "segmenter": 100.0},
        "versions": {"python": "3.12"},
    }


@pytest.fixture
def run_folder(tmp_path):
    return make_run_folder(tmp_path)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report of a run that no test changes."""
    return run(make_run_folder(tmp_path_factory.mktemp("run")))


def make_run_folder(tmp_path: Path) -> Path:
    """Result folders of two shards of 10 images each, with all label kinds of `train`."""
    rng = np.random.default_rng(0)
    kinds = ("ground_truth", "box_masks", "labels_first", "labels_last", "predictions", "reference_predictions")
    for shard in ("train-0000", "val-0000"):
        truth = {f"{shard}-{i}": make_label(rng) for i in range(10)}
        records = []
        for image_id, panoptic_id in truth.items():
            path = tmp_path / "images" / f"{image_id}.png"
            shade = CLASSES.palette[CLASSES.category_to_train[panoptic_id // 1000]].astype(float)
            write_png(path, np.clip(shade + rng.normal(0, 20, shade.shape), 0, 255).astype(np.uint8))
            records.append(ImageRecord(image_id, str(path), 64, 128, ""))
        write_shard(tmp_path / "index" / f"{shard}.json", records, CLASSES)
        for kind in kinds:
            with write_labels(tmp_path / kind / shard, CLASSES) as writer:
                for image_id, panoptic_id in truth.items():
                    writer.add(image_id, disturb(panoptic_id, kind))
        with write_scores(tmp_path / "cams" / f"{shard}.h5", CLASSES) as writer:
            for image_id, panoptic_id in truth.items():
                label = CLASSES.category_to_train[np.roll(panoptic_id, 4, 1) // 1000]
                label[:, ::9] = IGNORE_LABEL
                writer.add(image_id, np.zeros((1, 4, 8)), np.array([0]), label, label)
    write_known(tmp_path)
    write_json(tmp_path / "summary.json", make_summary())
    per_image = {f"val-0000-{i}": {"pq": (i * 7 % 10) / 10 if i else None} for i in range(10)}
    write_json(tmp_path / "scores.json", {"per_image": per_image})
    return tmp_path


def write_known(folder: Path) -> None:
    """Weak labels of every kind, and one full label."""
    weak = [
        make_weak_labels(
            (64, 128),
            (i < 8, False, i % 2 == 1),
            boxes=[[0, 0, 9, 9]] * (i % 2),
            box_classes=2,
            crops=[[0, 0, 128, 64]] if i < 4 else (),
            unknown=(0, 1, 2) if i >= 8 else (),
            image_id=f"train-0000-{i}",
        )
        for i in range(10)
    ]
    write_weak_labels(folder / "weak.json", weak, CLASSES)
    with write_labels(folder / "full" / "train-0000", CLASSES) as writer:
        writer.add("train-0000-0", np.full((64, 128), 7000, np.int32))


def disturb(panoptic_id: np.ndarray, kind: str) -> np.ndarray:
    if kind == "box_masks":
        masks = np.where(panoptic_id < 26000, BACKGROUND_ID, panoptic_id).astype(np.int32)
        masks[cv2.dilate((panoptic_id > 26000).astype(np.uint8), np.ones((5, 5))) > (panoptic_id > 26000)] = 0
        return masks
    shifts = {"ground_truth": 0, "labels_first": 3, "labels_last": 2, "predictions": 1, "reference_predictions": 1}
    moved = np.roll(panoptic_id, shifts[kind], 0)
    if kind == "labels_first":
        moved[30:40, 20:60] = 0
    return moved


SMALL = {"examples": 3, "worst": 2, "panel_width_px": 100}


def run(folder: Path, *, splits=("train", "val"), settings=SMALL, scores=True, truth=True) -> Path:
    def paths(kind: str, suffix: str = "", of=splits) -> list[str]:
        return [str(folder / kind / f"{split}-0000{suffix}") for split in of]

    train, val = [s for s in splits if s == "train"], [s for s in splits if s == "val"]
    arguments = ["--summary", str(folder / "summary.json"), "--shards", *paths("index", ".json")]
    arguments += ["--scores", str(folder / "scores.json")] if scores else []
    arguments += ["--ground-truth", *paths("ground_truth")] if truth else []
    arguments += ["--cams", *paths("cams", ".h5", train)]
    arguments += ["--box-masks", *paths("box_masks", of=train), "--labels", "0", *paths("labels_first", of=train)]
    arguments += ["--labels", "2", *paths("labels_last", of=train), "--predictions", *paths("predictions")]
    arguments += ["--weak-labels", str(folder / "weak.json"), "--full-labels", *paths("full", of=train)]
    arguments += ["--reference-predictions", *paths("reference_predictions", of=val)] if truth else []
    main([*arguments, "--out", str(folder / "report"), "--settings", json.dumps(settings)])
    return folder / "report"


def test_report_holds_all_figures_and_tables(report):
    assert sorted(p.name for p in report.iterdir()) == [
        "index.html", "labels.csv", "ratios.csv", "rounds.png", "stages.png", "supervision.csv", "train_examples.png",
        "val_examples.png", "worst_examples.png",
    ]  # fmt: skip
    for path in report.glob("*.png"):
        assert read_image(path).std() > 5
    assert read_image(report / "train_examples.png").shape[1] == 7 * 104 + 4
    assert read_image(report / "val_examples.png").shape[1] == 4 * 104 + 4
    with (report / "ratios.csv").open() as file:
        rows = {row["metric"]: row for row in csv.DictReader(file)}
    assert float(rows["PQ"]["ratio"]) == pytest.approx(0.53 / 0.58)
    assert rows["AP"]["ratio"] == ""


def test_report_says_which_image_had_what(report):
    with (report / "supervision.csv").open() as file:
        found = [row["supervision"] for row in csv.DictReader(file)]
    assert found == [
        "full label", "crop tags + boxes", "crop tags", "crop tags + boxes", "image tags", "image tags + boxes",
        "image tags", "image tags + boxes", "nothing", "boxes",
    ]  # fmt: skip
    page = (report / "index.html").read_text()
    assert re.search(r"<td>crop tags \+ boxes</td>\s*<td>2</td>", page)
    assert re.search(r"<td>full label</td>\s*<td>1</td>", page)


def test_report_says_what_the_labels_hold(report):
    with (report / "labels.csv").open() as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    first = CLASSES.names[0]
    assert (rows[first]["images"], rows[first]["labelled_images"]) == ("8", "8")
    assert re.search(
        rf"<td>{first}</td>\s*<td>stuff</td>\s*<td>8</td>\s*<td>8</td>", (report / "index.html").read_text()
    )


def test_marks_are_counted_and_drawn(run_folder, report):
    before = read_image(report / "train_examples.png")
    weak, classes = read_weak_labels([run_folder / "weak.json"])
    first, *others = weak.values()
    marks = Marks.collect([make_point(0, NO_OBJECT, 60, 30, 2), make_mask(0, NO_OBJECT, [640, 64, 64 * 128 - 704])])
    write_weak_labels(run_folder / "weak.json", [replace(first, marks=marks), *others], classes)
    report = run(run_folder)
    assert "Together they have 1 points and 1 masks." in (report / "index.html").read_text()
    changed = np.argwhere((read_image(report / "train_examples.png") != before).any(-1))
    # The first panel is of the image that has them; the legend may be another.
    panel = changed[changed[:, 0] < 104]
    assert len(panel) and panel[:, 1].max() < 104


def test_page_needs_no_other_file_and_escapes_what_it_shows(report):
    page = (report / "index.html").read_text()
    assert re.findall(r"<script[^>]*>", page) == ['<script type="application/json" id="data">', "<script>"]
    assert not re.search(r"""(src|href)=["'](?!data:)|url\(|@import|https?:""", page)
    assert "streets &lt;script&gt;" in page
    assert "car &amp; &lt;b&gt;van&lt;/b&gt;" in page
    assert "<b>van" not in page
    assert "tags of fixed crops" in page
    assert "boxes around things" in page
    assert "0.914" in page


def read_data(report: Path) -> dict:
    found = re.search('<script type="application/json" id="data">(.*?)</script>', (report / "index.html").read_text())
    return json.loads(found[1])


def test_page_holds_worst_best_and_random_images(run_folder):
    report = run(run_folder, settings=SMALL | {"examples": 2, "worst": 3})
    images = read_data(report)["images"]
    of_val = {(image["group"], image["score"]) for image in images if image["split"] == "val"}
    assert {score for group, score in of_val if group == "worst"} == {0.1, 0.2, 0.3}
    assert {score for group, score in of_val if group == "best"} == {0.7, 0.8, 0.9}
    # Nothing is known of how good the labels on train are.
    assert [image["group"] for image in images if image["split"] == "train"] == ["random", "random"]
    assert len(of_val) == 2 + 3 + 3
    page = (report / "index.html").read_text()
    assert "Of the 10 images of val: the 3 with the lowest PQ, the 3 with the highest, 2 of the rest at random" in page
    assert "Of the 10 images of train: 2 at random." in page


def test_page_holds_each_view_of_an_image(run_folder):
    data = read_data(run(run_folder, settings=SMALL | {"examples": 10}))
    train, val = (next(i for i in data["images"] if i["id"] == f"{split}-0000-1") for split in ("train", "val"))
    assert set(train["labels"]) == {"ground-truth", "cams", "box-masks", "labels-0", "labels-2", "predictions"}
    assert set(val["labels"]) == {"ground-truth", "predictions", "reference-predictions"}
    assert train["marked"] is not None
    assert val["marked"] is None
    assert (train["width"], train["height"]) == (128, 64)
    assert (train["known"], train["tags"]) == ("crop tags + boxes", ["road", CLASSES.names[2]])
    assert [pair["key"] for pair in data["pairs"]] == ["label", "weak", "rounds", "truth"]


def test_trust_of_an_image_is_the_mean_over_its_segments(run_folder):
    label = np.full((64, 128), 7000, np.int32)
    label[:20] = 23000
    label[30:40, 30:40] = 26001
    for kind, scores in (("labels_last", {7000: 0.8, 26001: 0.3}), ("box_masks", {26001: 0.9})):
        with write_labels(run_folder / kind / "train-0000", CLASSES) as writer:
            for i in range(10):
                writer.add(f"train-0000-{i}", label, scores=scores)
    image = next(i for i in read_data(run(run_folder))["images"] if i["split"] == "train")
    # The segmenters' agreement weighs twice as much as the confidence.
    assert image["classes"] == {"road": 0.8, "sky": None, CLASSES.names[2]: pytest.approx((0.3 + 2 * 0.9) / 3)}
    assert image["trust"] == pytest.approx((0.8 + 0.7) / 2)


def test_without_ground_truth_trust_chooses_the_images(run_folder):
    with write_labels(run_folder / "labels_last" / "train-0000", CLASSES) as writer:
        for i in range(10):
            writer.add(f"train-0000-{i}", np.full((64, 128), 7000, np.int32), scores={7000: i / 10})
    without = {"rounds": [], "stages": {}, "reference": {"val": None}, "ratio": dict.fromkeys(make_summary()["ratio"])}
    write_json(run_folder / "summary.json", make_summary() | without)
    report = run(run_folder, settings=SMALL | {"worst": 1}, scores=False, truth=False)
    images = read_data(report)["images"]
    assert {image["id"] for image in images if image["group"] == "worst"} == {"train-0000-0"}
    assert {image["id"] for image in images if image["group"] == "best"} == {"train-0000-9"}
    page = (report / "index.html").read_text()
    assert "the 1 with the lowest trust" in page
    assert "There is no ground truth to score against" in page
    assert "Weak against full labels" not in page
    assert 'name="score"' not in page
    assert [pair["key"] for pair in read_data(report)["pairs"]] == ["label", "weak", "rounds"]


def test_detections_have_a_table_if_they_were_scored(run_folder, report):
    assert "Detections" not in (report / "index.html").read_text()
    ap = {"box_ap": 0.11, "voc_ap": 0.22, "mask_ap": None}
    detections = {
        "val": ap | {"per_class": {CLASSES.names[2]: {"box_ap": 0.33}}},
        "train": {"corloc": 0.44, "per_class": {CLASSES.names[2]: {"corloc": 0.55}}},
    }
    write_json(run_folder / "summary.json", make_summary() | {"detections": detections})
    page = (run(run_folder) / "index.html").read_text()
    cells = [re.findall("<td>(.*?)</td>", row) for row in page.split("<h2>Detections</h2>")[1].split("<tr>")[2:4]]
    assert cells[0][1:] == ["0.110", "–", "–", "–", "–", "–", "0.220", "0.440"]
    assert (cells[1][1], cells[1][-1]) == ("0.330", "0.550")


def test_equal_input_gives_equal_bytes(report):
    first = {p.name: p.read_bytes() for p in report.iterdir()}
    assert {p.name: p.read_bytes() for p in run(report.parent).iterdir()} == first


def test_no_val_images_and_no_scores_leave_figures_out(run_folder):
    summary = make_summary() | {
        "reference": {"val": None},
        "detections": {"val": None, "train": None},
        "ratio": dict.fromkeys(["pq", "pq_th", "pq_st", "miou", "ap"]),
    }
    for entry in summary["rounds"]:
        entry["model"]["val"] = make_scores(images=0, per_class={})
    write_json(run_folder / "summary.json", summary)
    report = run(run_folder, splits=("train",), scores=False)
    assert not (report / "val_examples.png").exists()
    assert not (report / "worst_examples.png").exists()
    assert (report / "rounds.png").is_file()


def test_settings_choose_how_many_and_how_large(run_folder):
    report = run(run_folder, settings={"examples": 2, "worst": 0, "panel_width_px": 120})
    assert read_image(report / "train_examples.png").shape[1] == 7 * 124 + 4
    assert not (report / "worst_examples.png").exists()


def test_evenly_chosen_and_worst_images():
    assert choose_evenly(list("abcdefghi"), 3) == ["a", "e", "i"]
    assert choose_evenly(["a"], 8) == ["a"]
    assert choose_evenly([], 8) == []
    per_image = {"a": {"pq": 0.5}, "b": {"pq": None}, "c": {"pq": 0.1}}
    assert find_worst(per_image, 8) == ["c", "a"]
