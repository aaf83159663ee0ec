from __future__ import annotations

import numpy as np
import pytest
import yaml

from pseudogt.annotations import convert_annotations
from pseudogt.config.annotations import AnnotationsSettings
from pseudogt.config.dataset import REPOSITORY, DatasetSettings
from pseudogt.config.weak_labels import WeakLabelsSettings
from pseudogt.datasets import class_table, list_images
from pseudogt.datasets.ground_truth import read_panoptic
from pseudogt.files.index import ImageRecord
from pseudogt.files.io import read_json
from pseudogt.weak_labels.from_masks import derive_weak_labels

pytestmark = pytest.mark.real


def load(name, **values):
    section = yaml.safe_load((REPOSITORY / f"configs/{name}.yaml").read_text())["dataset"]
    return DatasetSettings.model_validate(section | values)


@pytest.mark.parametrize(
    ("name", "folder", "counts"), [("camvid", "camvid", (367, 101)), ("dsb2018", "dsb2018_120", (60, 20))]
)
def test_lists(shared_data, name, folder, counts):
    ids = list_images(load(name), shared_data / folder).ids
    assert (len(ids["train"]), len(ids["val"])) == counts


def test_camvid_instances_are_those_of_its_readme(shared_data):
    settings, root = load("camvid"), shared_data / "camvid"
    classes = class_table(settings)
    found = dict.fromkeys(classes.names, 0)
    for image_id in list_images(settings, root).ids["val"]:
        panoptic_id, crowd_ids = read_panoptic(list_images(settings, root).locate(image_id), settings, classes)
        weak = derive_weak_labels(image_id, panoptic_id, crowd_ids, classes, WeakLabelsSettings(group_boxes=False))
        for train_id in weak.box_classes:
            found[classes.names[train_id]] += 1
    assert (found["car"], found["pedestrian"], found["bicyclist"]) == (158, 195, 201)


def test_real_cityscapes_labels(shared_data):
    settings = load("cityscapes", format="folder", train_split="dev", val_split=None)
    root, classes = shared_data / "cityscapes_aachen8", class_table(settings)
    cars = 0
    for image_id in list_images(settings, root).ids["train"]:
        panoptic_id, _ = read_panoptic(list_images(settings, root).locate(image_id), settings, classes)
        ids = np.unique(panoptic_id)
        cars += np.count_nonzero((ids // 1000 == 26) & (ids % 1000 > 0))
    assert cars == 67


def link(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(source)


def test_real_cityscapes_in_its_official_tree(shared_data, tmp_path):
    source, image_ids = shared_data / "cityscapes_aachen8", []
    for path in sorted((source / "images").iterdir()):
        image_ids.append(path.stem)
        link(path, tmp_path / "leftImg8bit/train/aachen" / f"{path.stem}_leftImg8bit{path.suffix}")
        for folder, ending in (("semantic", "labelIds"), ("instances", "instanceIds")):
            target = tmp_path / "gtFine/train/aachen" / f"{path.stem}_gtFine_{ending}.png"
            link(source / folder / f"{path.stem}.png", target)
    official = load("cityscapes", val_split=None)
    folder = load("cityscapes", format="folder", train_split="dev", val_split=None)
    classes = class_table(official)
    assert list_images(official, tmp_path).ids["train"] == image_ids
    for image_id in image_ids:
        ours = read_panoptic(list_images(official, tmp_path).locate(image_id), official, classes)
        theirs = read_panoptic(list_images(folder, source).locate(image_id), folder, classes)
        np.testing.assert_array_equal(ours[0], theirs[0])
        assert ours[1] == theirs[1]


def test_official_coco_panoptic(shared_data, tmp_path):
    """Every segment of the JSON is there with its area and class."""
    source = shared_data / "coco_official2"
    for path in (source / "images").iterdir():
        link(path, tmp_path / "val2017" / path.name)
    link(source / "panoptic", tmp_path / "annotations" / "panoptic_val2017")
    link(source / "panoptic_examples.json", tmp_path / "annotations" / "panoptic_val2017.json")
    settings = load("coco2017", train_split="val2017", val_split=None)
    classes = class_table(settings)
    document = read_json(source / "panoptic_examples.json")
    assert [(c["id"], c["name"], bool(c["isthing"])) for c in document["categories"]] == [
        (e.id, e.name, e.isthing) for e in settings.classes
    ]
    for annotation in document["annotations"]:
        image_id = annotation["file_name"].removesuffix(".png")
        panoptic_id, _ = read_panoptic(list_images(settings, tmp_path).locate(image_id), settings, classes)
        ids, areas = np.unique(panoptic_id, return_counts=True)
        found = sorted((i // 1000, a) for i, a in zip(ids.tolist(), areas.tolist(), strict=True) if i)
        assert found == sorted((s["category_id"], s["area"]) for s in annotation["segments_info"])


def test_nuclei_boxes_survive_yolo_files(shared_data, tmp_path):
    """Six digits of a fraction are enough: every box is the tight box of its nucleus again."""
    settings, root = load("dsb2018"), shared_data / "dsb2018_120"
    classes = class_table(settings)
    image_ids = list_images(settings, root).ids["train"]
    expected, records = {}, []
    (tmp_path / "data.yaml").write_text("names: [nucleus]\n")
    (tmp_path / "labels").mkdir()
    for image_id in image_ids:
        panoptic_id, crowd_ids = read_panoptic(list_images(settings, root).locate(image_id), settings, classes)
        weak = derive_weak_labels(image_id, panoptic_id, crowd_ids, classes, WeakLabelsSettings(group_boxes=False))
        height, width = panoptic_id.shape
        x0, y0, x1, y1 = weak.boxes_xyxy.T / np.array([[width], [height], [width], [height]])
        lines = np.stack([np.zeros(len(x0)), (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0], 1)
        np.savetxt(tmp_path / "labels" / f"{image_id}.txt", lines, fmt="%d %.6f %.6f %.6f %.6f")
        expected[image_id] = weak
        records.append(ImageRecord(image_id, str(root / "images" / f"{image_id}.jpg"), height, width, ""))
    section = AnnotationsSettings(format="yolo", path="labels", background="outside_boxes")
    result = convert_annotations(section, tmp_path, records, classes)
    assert not result.problems
    for weak in result.images:
        np.testing.assert_array_equal(weak.boxes_xyxy, expected[weak.image_id].boxes_xyxy)
        np.testing.assert_array_equal(weak.tags, expected[weak.image_id].tags)
