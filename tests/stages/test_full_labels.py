"""Full labels of some images: from the dataset or a folder, into weak labels and every round's labels."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from panoptic_dataset import CLASSES, write_dataset
from test_labels_stage import make_labels, write_box_masks, write_truth_as_scores
from weak_label_testing import make_weak_labels

from pseudogt.config.labels import LabelsSettings
from pseudogt.files.images import write_png
from pseudogt.files.io import read_json, write_json
from pseudogt.files.labels import LabelFolder, panoptic_to_rgb, write_labels
from pseudogt.pseudo_labels.refinement import CleaningSteps, clean_label
from pseudogt.stages.export import main as export
from pseudogt.stages.full_labels import main
from pseudogt.weak_labels.files import read_weak_labels, write_weak_labels

CORRECTED = np.full((64, 96), 1000, np.int32)
CORRECTED[:20] = 2000
CORRECTED[30:40, 10:20] = 3001
CORRECTED[50:60, 70:90] = 3002
CORRECTED[0, 0] = 0


@pytest.fixture
def dataset(tmp_path):
    return write_dataset(tmp_path / "set", 3)


def give_full_labels(dataset, *listed, weak="weak.json", more=(), **settings):
    out = dataset / "full"
    files = ["--shard", "shard.json", "--all-shards", "shard.json", "--weak-labels", weak]
    files += ["--ground-truth", "labels"] if listed else []
    files += ["--out", "full", "--weak-out", "weak_of_full.json"]
    options = ["--listed", *listed] if listed else []
    options += ["--settings", json.dumps(settings), "--weak-settings", json.dumps({"tags": "image"})]
    main([*(f if f.startswith("--") else str(dataset / f) for f in files), *options, *more])
    return LabelFolder(out), read_weak_labels([dataset / "weak_of_full.json"])[0]


def drop(dataset, name, label=CORRECTED):
    (dataset / "fixed").mkdir(exist_ok=True)
    write_png(dataset / "fixed" / name, panoptic_to_rgb(label))
    return str(dataset / "fixed")


POLYGONS = [
    ("road", [[0, 0], [96, 0], [96, 64], [0, 64]]),
    ("car", [[10, 20], [30, 20], [30, 40], [10, 40]]),
    ("car", [[50, 20], [60, 20], [60, 40], [50, 40]]),
]


def write_polygons(dataset, image_ids, polygons=POLYGONS):
    """Write the same polygons for each image; returns arguments of the stage."""
    shapes = [{"label": name, "shape_type": "polygon", "points": points} for name, points in polygons]
    for image_id in image_ids:
        document = {"imagePath": image_id, "imageWidth": 96, "imageHeight": 64, "shapes": shapes}
        write_json(dataset / "labelme" / f"{image_id}.json", document)
    files = ["--data-root", str(dataset), "--things-out", str(dataset / "things")]
    return [*files, "--annotations", json.dumps({"format": "labelme", "path": "labelme"})]


def test_polygons_go_before_the_dataset_and_a_folder_before_polygons(dataset):
    more = write_polygons(dataset, ["image1", "image2"])
    fixed = drop(dataset, "image2.png")
    full, weak = give_full_labels(dataset, "image1", "image0", polygons=True, folder=fixed, more=more)
    drawn = full.read("image1")
    road, car = (CLASSES.category_ids[CLASSES.names.index(name)] * 1000 for name in ("road", "car"))
    assert drawn[10, 50] == road and (drawn[20:40, 10:30] == car + 1).all()
    np.testing.assert_array_equal(full.read("image0"), LabelFolder(dataset / "labels").read("image0"))
    np.testing.assert_array_equal(full.read("image2"), CORRECTED)
    assert weak["image1"].boxes_xyxy.tolist() == [[10, 20, 30, 40], [50, 20, 60, 40]]
    assert not LabelFolder(dataset / "things").image_ids


def test_polygons_of_things_alone_are_box_masks(dataset):
    """Numbered like the boxes; an image with another number of boxes keeps those."""
    write_polygons(dataset, ["image2"], POLYGONS[1:2])
    more = write_polygons(dataset, ["image0"], POLYGONS[1:])
    full, weak = give_full_labels(dataset, polygons=True, more=more)
    assert not full.image_ids and weak["image0"].boxes_xyxy.shape == (2, 4)
    things = LabelFolder(dataset / "things")
    assert things.image_ids == ["image0"]
    drawn = things.read("image0")
    car = CLASSES.category_ids[CLASSES.names.index("car")] * 1000
    assert (drawn[20:40, 10:30] == car + 1).all() and (drawn[20:40, 50:60] == car + 2).all()
    assert set(np.unique(drawn)) == {car + 1, car + 2, CLASSES.background_category_id * 1000}


def test_listed_images_get_the_labels_of_the_dataset(dataset):
    full, weak = give_full_labels(dataset, "image1")
    truth = LabelFolder(dataset / "labels")
    assert full.image_ids == ["image1"]
    np.testing.assert_array_equal(full.read("image1"), truth.read("image1"))
    given = read_weak_labels([dataset / "weak.json"])[0]
    assert weak["image0"].boxes_xyxy.tolist() == given["image0"].boxes_xyxy.tolist()
    assert weak["image1"].boxes_xyxy.tolist() == given["image1"].boxes_xyxy.tolist()
    assert list(weak) == ["image0", "image1", "image2"]


def test_files_of_the_folder_go_before_the_dataset(dataset):
    folder = drop(dataset, "image1.png")
    full, weak = give_full_labels(dataset, "image1", "image2", folder=folder)
    assert sorted(full.image_ids) == ["image1", "image2"]
    np.testing.assert_array_equal(full.read("image1"), CORRECTED)
    assert weak["image1"].boxes_xyxy.tolist() == [[10, 30, 20, 40], [70, 50, 90, 60]]
    assert weak["image1"].tags.all()


def test_an_image_may_have_a_full_label_alone(dataset):
    weak = read_weak_labels([dataset / "weak.json"])[0]
    write_weak_labels(dataset / "few.json", [weak["image0"], weak["image2"]], CLASSES)
    full, found = give_full_labels(dataset, weak="few.json", folder=drop(dataset, "image1.png"))
    assert full.image_ids == ["image1"] and list(found) == ["image0", "image1", "image2"]
    (dataset / "fixed" / "image1.png").unlink()
    with pytest.raises(ValueError, match=r"few\.json: image 'image1' has neither weak nor full labels"):
        give_full_labels(dataset, weak="few.json", folder=drop(dataset, "image0.png"))


@pytest.mark.parametrize("name", ["coco_panoptic", "cityscapes", "voc", "label_studio", "cvat"])
def test_what_export_writes_comes_back(dataset, name):
    options = ["--format", name, "--settings", "{}"]
    index = shutil.copy(dataset / "shard.json", dataset / "train-0000.json")
    shard = ["--shard", str(index), "--labels", str(dataset / "labels"), "--out", str(dataset / "part")]
    export(["shard", *options, *shard])
    parts = ["--shards", str(dataset / "shard.json"), "--parts", str(dataset / "part"), "--out", str(dataset / "set")]
    export(["merge", *options, *parts])
    if name == "label_studio":
        tasks = read_json(dataset / "set" / "tasks.json")
        for task in tasks:
            task["annotations"] = [{"result": task.pop("predictions")[0]["result"]}]
        (dataset / "set" / "tasks.json").unlink()
        write_json(dataset / "set" / "project-3-at-2026-11-25.json", tasks)
    full, _ = give_full_labels(dataset, folder=str(dataset / "set"))
    truth = LabelFolder(dataset / "labels")
    for image_id in truth.image_ids:
        np.testing.assert_array_equal(full.read(image_id), truth.read(image_id))


def test_full_labels_enter_every_round_as_they_are(dataset, tmp_path):
    full, _ = give_full_labels(dataset, folder=drop(dataset, "image1.png"))
    scores = write_truth_as_scores(dataset, tmp_path / "scores.h5")
    for number in (0, 1):
        labels = make_labels(dataset, tmp_path / str(number), scores, number, ("--full-labels", full.path))
        np.testing.assert_array_equal(labels.read("image1"), CORRECTED)
        assert all("score" not in segment for segment in labels.segments("image1"))
        assert all(segment["score"] > 0.5 for segment in labels.segments("image0"))


@pytest.mark.parametrize(
    ("name", "label", "message"),
    [
        ("image7.png", CORRECTED, r"'image7' \(and 0 more\) is not an image of the dataset"),
        ("image1.png", CORRECTED[:, :-1], r"image1\.png is 96x64, but its full label is 95x64"),
        ("image1.png", np.full((64, 96), 9001, np.int32), r"image1\.png: id 9001 is of category 9"),
        ("image1.png", np.full((64, 96), 1002, np.int32), r"image1\.png: id 1002 numbers a stuff class; use 1000"),
    ],
)
def test_wrong_files_in_the_folder_are_named(dataset, name, label, message):
    with pytest.raises(ValueError, match=message):
        give_full_labels(dataset, folder=drop(dataset, name, label))


def test_files_of_other_systems_are_no_other_labels(dataset):
    folder = drop(dataset, "image1.PNG.png")
    shutil.move(f"{folder}/image1.PNG.png", f"{folder}/image1.PNG")
    (dataset / "fixed" / "._image1.png").write_bytes(b"x")
    assert give_full_labels(dataset, folder=folder)[0].image_ids == ["image1"]


def test_folders_that_do_not_do_are_named(dataset):
    with pytest.raises(ValueError, match="no such folder; full_labels"):
        give_full_labels(dataset, folder=str(dataset / "nowhere"))
    folder = dataset / "instances"
    folder.mkdir()
    (folder / "image1.jpg").write_bytes(b"x")
    with pytest.raises(ValueError, match="instances: holds no full label; put labels into it"):
        give_full_labels(dataset, folder=str(folder))
    things = {"images": [], "categories": [{"id": 1, "name": "car"}], "annotations": []}
    write_json(folder / "instances.json", things)
    with pytest.raises(ValueError, match="holds no stuff"):
        give_full_labels(dataset, folder=str(folder))
    shutil.move(folder / "instances.json", folder / "a.json")
    write_json(folder / "b.json", [])
    with pytest.raises(ValueError, match=r"a\.json and b\.json; leave the one"):
        give_full_labels(dataset, folder=str(folder))


def test_a_tag_without_boxes_leaves_things_to_the_scores():
    """Tags alone: no box mask and no box prior speaks against the car, where there are boxes they do."""
    label = np.zeros((20, 30), np.uint8)
    label[5:10, 5:15] = 2
    confidence = np.ones(label.shape, np.float32)
    nothing = np.full(label.shape, 254, np.uint8)

    def clean(boxes):
        weak = make_weak_labels((20, 30), (True, False, True), boxes=boxes, box_classes=2)
        steps = LabelsSettings(fill_below=0).fill(CleaningSteps, min_confidence=0)
        return clean_label(label, confidence, weak, CLASSES, nothing, steps)

    np.testing.assert_array_equal(clean([]), label)
    assert not (clean([[20, 12, 28, 18]]) == 2).any()


def test_box_masks_are_not_asked_about_full_images(dataset, tmp_path):
    masks = write_box_masks(dataset, tmp_path / "masks", np.full((64, 96), 4000, np.int32))
    full, _ = give_full_labels(dataset, folder=drop(dataset, "image1.png"))
    scores = write_truth_as_scores(dataset, tmp_path / "scores.h5")
    extra = ("--box-masks", masks, "--full-labels", full.path)
    labels = make_labels(dataset, tmp_path / "0", scores, extra=extra)
    np.testing.assert_array_equal(labels.read("image1"), CORRECTED)


def test_crowds_stay_crowds(dataset):
    label = CORRECTED.copy()
    label[40:45, :5] = 3000
    full, weak = give_full_labels(dataset, folder=drop(dataset, "image1.png", label))
    assert [s["iscrowd"] for s in full.segments("image1") if s["id"] == 3000] == [1]
    assert weak["image1"].box_iscrowd.sum() == 1


def test_a_label_without_its_file_is_named(dataset):
    with write_labels(dataset / "fixed", CLASSES) as writer:
        writer.add("image1", CORRECTED)
    full, _ = give_full_labels(dataset, folder=str(dataset / "fixed"))
    np.testing.assert_array_equal(full.read("image1"), CORRECTED)
    (dataset / "fixed" / "image1.png").unlink()
    with pytest.raises(ValueError, match=r"image1\.png: no such file"):
        give_full_labels(dataset, folder=str(dataset / "fixed"))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda a: a["segments_info"][0].pop("category_id"), r"image1\.png: category_id: Field required"),
        (lambda a: a["segments_info"].append("x"), r"image1\.png: .* \(got 'x'\)"),
        (lambda a: a.pop("file_name"), "annotation number 1: file_name: Field required"),
    ],
)
def test_a_broken_record_of_full_labels_is_named(dataset, edit, message):
    shutil.copytree(dataset / "labels", dataset / "fixed")
    document = json.loads((dataset / "fixed" / "panoptic.json").read_text())
    del document["sha256"]
    edit(document["annotations"][1])
    (dataset / "fixed" / "panoptic.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match=rf"panoptic\.json: {message}"):
        give_full_labels(dataset, folder=str(dataset / "fixed"))
