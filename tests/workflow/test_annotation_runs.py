"""Runs from a folder of images and boxes of another tool, without any ground truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_sam import write_sam

from pseudogt.files.images import write_png
from pseudogt.files.io import read_json, write_json
from pseudogt.files.labels import LabelFolder

TINY = Path(__file__).with_name("tiny.yaml")


@pytest.fixture
def photos(tmp_path):
    """Six photos of bright squares on dark ground and YOLO files of them; one file is missing, one empty."""
    root = tmp_path / "my photos"
    rng = np.random.default_rng(0)
    for i in range(6):
        image = rng.integers(0, 60, (64, 96, 3), np.uint8)
        x, y = 10 + 8 * i, 12 + 4 * i
        if i != 4:
            image[y : y + 16, x : x + 20] += 150
        write_png(root / "images" / f"foto {i}.png", image)
        box = f"0 {(x + 10) / 96:.6f} {(y + 8) / 64:.6f} {20 / 96:.6f} {16 / 64:.6f}\n"
        if i != 5:
            (root / "labels").mkdir(exist_ok=True)
            (root / "labels" / f"foto {i}.txt").write_text(box if i != 4 else "")
    (root / "data.yaml").write_text("names: [square]\n")
    config = {
        "name": "photos",
        "shard_size": 8,
        "data_root": str(root),
        "dataset": {
            "format": "images",
            "train_split": "images",
            "val_split": None,
            "classes": {"square": "thing", "ground": "stuff"},
        },
        "annotations": {"format": "yolo", "path": "labels", "background": "outside_boxes"},
        "rounds": {"max": 1, "min": 1},
    }
    write_json(tmp_path / "photos.yaml", config)
    return tmp_path / "photos.yaml"


def test_whole_run(fresh, photos):
    arguments = ("--configfile", str(TINY), str(photos))
    fresh.run("all", "export", *arguments)
    results = fresh.folder / "results" / "photos"
    assert not (results / "ground_truth").exists()
    summary = read_json(results / "evaluation" / "summary.json")
    assert summary["supervision"] == "image_tags+boxes"
    assert summary["rounds"] == [] and summary["reference"] == {"val": None} and summary["ratio"]["pq"] is None
    assert (results / "report" / "train_examples.png").stat().st_size > 5_000
    assert (results / "segmenter" / "0" / "model.pt").is_file()
    labels = [LabelFolder(folder) for folder in sorted((results / "labels" / "0").iterdir())]
    by_image = {image_id: folder for folder in labels for image_id in folder.image_ids}
    assert sorted(by_image) == [f"foto {i}" for i in range(6)]
    inside = by_image["foto 0"].read("foto 0")
    assert {1001, 2000} <= set(np.unique(inside).tolist()) and (inside[50:, 60:] == 2000).all()
    assert set(np.unique(by_image["foto 4"].read("foto 4")).tolist()) == {2000}
    assert not by_image["foto 5"].read("foto 5").any()  # nobody labelled it: it trains nothing
    assert not fresh.planned_jobs(*arguments)


def test_edited_labels_and_their_reader_are_read_again_and_no_other_reader(fresh, photos):
    arguments = ("--configfile", str(TINY), str(photos))
    fresh.run("weak_labels", *arguments)
    assert not fresh.planned_jobs("weak_labels", *arguments)
    modules = {name: fresh.folder / "pseudogt" / "annotations" / f"{name}.py" for name in ("yolo", "coco", "cvat")}
    text = modules["yolo"].read_text()
    for name in ("coco", "cvat"):
        modules[name].write_text(modules[name].read_text() + "\n\nNEW = 1\n")
    assert not fresh.planned_jobs("weak_labels", *arguments)
    modules["yolo"].write_text(text + "\n\nNEW = 1\n")
    assert fresh.planned_jobs("weak_labels", *arguments)["annotations"] == 1
    modules["yolo"].write_text(text)
    (photos.parent / "my photos" / "labels" / "foto 0.txt").write_text("")
    assert fresh.planned_jobs("weak_labels", *arguments)["annotations"] == 1


READER = '''"""One object a line: its image, its class and its corners."""

from pseudogt.annotations.form import AnnotatedBox, ImageAnnotations, Reading

PER_IMAGE = False


def recognise(content):
    """No file is known to be of this format without being told."""
    return False


def read(source):
    """Read a file of lines."""
    lines = [line.split(",") for line in source.path.read_text().splitlines()]
    images = [
        ImageAnnotations(name, [AnnotatedBox(label, tuple(map(float, corners)))], boxed=True)
        for name, label, *corners in lines
    ]
    return Reading(images, frozenset(line[1] for line in lines))
'''

BACKBONE = '''"""Convolutions of strides 4, 2, 2 and 2."""

from torch import nn

from models.backbones.base import Backbone


class PlainBackbone(Backbone):
    """The smallest backbone that works."""

    def __init__(self, *, levels=4):
        super().__init__((4, 4, 4, 4), levels)
        self.first = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.others = nn.ModuleList(nn.Conv2d(4, 4, 3, stride=2, padding=1) for _ in range(4))

    def forward(self, images):
        """Features at the first levels of the strides 4, 8, 16, 32."""
        feature, features = self.first(images), []
        for layer in self.others[: self.levels]:
            feature = layer(feature.relu())
            features.append(feature)
        return features

    def list_stages(self):
        """The convolutions of each stride."""
        first, *others = self.others
        return [[self.first, first], *([layer] for layer in others)]
'''


def test_a_format_and_a_backbone_are_one_file_and_one_line_each(fresh, photos):
    """Nothing else has to know them: neither the configuration nor the rules nor what estimates the run."""
    for table, name, module, text in (
        ("pseudogt/annotations/formats", "lines", "pseudogt.annotations import lines", READER),
        ("models/backbones/names", "plain", "models.backbones.plain import PlainBackbone", BACKBONE),
    ):
        table = fresh.folder / f"{table}.py"
        table.write_text(f"{table.read_text()}from {module} as {name}\n")
        (table.parent / f"{name}.py").write_text(text)
    config = read_json(photos)
    root = Path(config["data_root"])
    (root / "objects.txt").write_text(
        "".join(f"foto {i}.png,square,{10 + 8 * i},12,{30 + 8 * i},28\n" for i in range(4))
    )
    changes = {name: {"backbone": "plain"} for name in ("classifier", "segmenter")}
    annotations = {"format": "lines", "path": "objects.txt", "background": "outside_boxes"}
    write_json(photos, config | {"annotations": annotations, **changes})
    fresh.run("labels", "--configfile", str(TINY), str(photos))
    label = LabelFolder(fresh.folder / "results" / "photos" / "labels" / "1" / "train-0000").read("foto 0")
    assert 1001 in np.unique(label)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("annotations={format: yolo, path: nowhere}", "my photos/nowhere: no such file or folder"),
        ("provided={weak_labels: x.json}", "from annotations or from provided.weak_labels"),
        ("dataset={classes: {square: thing, ground: floor}}", "'name: thing' or 'name: stuff', got ground: floor"),
    ],
)
@pytest.mark.parametrize("quiet", [[], ["--quiet"], ["--quiet", "all"]])
def test_bad_config_stops_before_the_graph(fresh, photos, section, message, quiet):
    done = fresh.snakemake("--configfile", str(TINY), str(photos), "--dry-run", "--config", section, *quiet)
    assert done.returncode != 0
    assert message in done.stdout + done.stderr


def test_labels_one_folder_down_stop_check_and_run(fresh, photos):
    """Before anything is trained: a run that learns nothing must not end well."""
    labels = photos.parent / "my photos" / "labels"
    labels.rename(labels.parent / "train")
    labels.mkdir()
    (labels.parent / "train").rename(labels / "train")
    for target, job in (("check", "check"), ("all", "annotations")):
        done = fresh.snakemake(target, "--configfile", str(TINY), str(photos))
        assert done.returncode != 0
        log = (fresh.folder / "logs" / "photos" / f"{job}.log").read_text()
        assert "there is nothing to learn from" in log and "labels/foto 0.txt" in log
    assert not (fresh.folder / "results" / "photos" / "classifier").exists()


def test_photos_alone_are_no_weak_labels(fresh, photos):
    write_json(photos, {k: v for k, v in read_json(photos).items() if k != "annotations"})
    done = fresh.snakemake("--configfile", str(TINY), str(photos), "--dry-run")
    assert done.returncode != 0
    assert "has no full labels to derive weak labels from; set" in done.stdout + done.stderr


def test_check_lists_the_problems_of_photos_and_boxes(fresh, photos):
    label = photos.parent / "my photos" / "labels" / "foto 0.txt"
    label.write_text("7 0.5 0.5 0.1 0.1\n")
    (photos.parent / "my photos" / "images" / "foto 1.png").write_bytes(b"no image")
    done = fresh.snakemake("check", "--configfile", str(TINY), str(photos))
    assert done.returncode != 0
    problems = [p["problem"] for p in read_json(fresh.folder / "results" / "photos" / "check.json")["problems"]]
    assert len(problems) == 2
    assert any("class 7 has no name" in p for p in problems) and any("foto 1.png: can't be read" in p for p in problems)


@pytest.mark.slow
def test_a_segment_anything_model_makes_masks_for_the_boxes_of_a_folder(fresh, photos, tmp_path):
    """With random weights: what the masks are means nothing, but each box has one inside it."""
    model = write_sam(tmp_path / "model", "sam2_video")
    arguments = ("boxes_to_masks", "--config", f"boxes_from={photos.parent / 'my photos'}", "masks_to=out")
    fresh.run(*arguments, f"box_masks={{segmenters: [sam], sam_model: '{model}', precision: fp32, sure: 0.5}}")
    assert (fresh.folder / "out" / "review" / "index.html").is_file()
    folders = [LabelFolder(path) for path in (fresh.results / "box_masks").iterdir()]
    labels = {image_id: folder.read(image_id) for folder in folders for image_id in folder.image_ids}
    for i in range(4):
        x, y = 10 + 8 * i, 12 + 4 * i
        outside = labels[f"foto {i}"].copy()
        outside[y : y + 16, x : x + 20] = 0
        assert len(np.unique(outside[outside > 0])) == 1
    # The model is of another kind: nothing is run.
    write_json(model / "config.json", {"model_type": "sam3"})
    done = fresh.snakemake(*arguments, f"box_masks={{segmenters: [sam], sam_model: '{model}'}}")
    assert done.returncode != 0 and "says model_type 'sam3'" in done.stdout + done.stderr


def test_masks_for_the_boxes_of_a_folder(fresh, photos):
    """Found, segmented, exported and reviewed without a dataset in the configuration, and without any training."""
    arguments = ("boxes_to_masks", "--config", f"boxes_from={photos.parent / 'my photos'}", "masks_to=out")
    fresh.run(*arguments, "box_masks={segmenters: [ellipse]}", "export={formats: [coco_instances, cvat]}")
    out = fresh.folder / "out"
    assert {path.name for path in out.iterdir() if path.is_dir()} == {"coco_instances", "cvat", "review"}
    found = read_json(out / "coco_instances" / "instances.json")
    assert len(found["images"]) == 6 and [c["name"] for c in found["categories"]] == ["square"]
    # A box of 16x20, drawn from x 10 and y 12 on, and the ellipse that touches its sides.
    assert len(found["annotations"]) == 4 and found["annotations"][0]["bbox"] == [10, 12, 20, 16]
    assert found["annotations"][0]["area"] == pytest.approx(np.pi / 4 * 16 * 20, rel=0.05)
    assert (out / "review" / "index.html").read_text().count("<section>") == 6
    made = {path.name for path in fresh.results.iterdir()}
    assert not made & {"classifier", "cams", "segmenter", "labels"}
