from __future__ import annotations

import numpy as np
import pytest
import yaml

from pseudogt.config.dataset import REPOSITORY, DatasetSettings
from pseudogt.config.weak_labels import WeakLabelsSettings
from pseudogt.datasets import class_table, list_image_ids, read_ground_truth
from pseudogt.weak_from_masks import derive_weak_labels

pytestmark = pytest.mark.real


def load(name, **values):
    section = yaml.safe_load((REPOSITORY / f"configs/{name}.yaml").read_text())["dataset"]
    return DatasetSettings.model_validate(section | values)


@pytest.mark.parametrize(
    ("name", "folder", "counts"), [("camvid", "camvid", (367, 101)), ("dsb2018", "dsb2018_120", (60, 20))]
)
def test_lists(shared_data, name, folder, counts):
    ids = list_image_ids(load(name), shared_data / folder)
    assert (len(ids["train"]), len(ids["val"])) == counts


def test_camvid_instances_are_those_of_its_readme(shared_data):
    settings, root = load("camvid"), shared_data / "camvid"
    classes = class_table(settings)
    found = dict.fromkeys(classes.names, 0)
    for image_id in list_image_ids(settings, root)["val"]:
        panoptic_id, crowd_ids = read_ground_truth(settings, root, "val", image_id, classes)
        weak = derive_weak_labels(image_id, panoptic_id, crowd_ids, classes, WeakLabelsSettings(group_boxes=False))
        for train_id in weak.box_classes:
            found[classes.names[train_id]] += 1
    assert (found["car"], found["pedestrian"], found["bicyclist"]) == (158, 195, 201)


def test_real_cityscapes_labels(shared_data):
    settings = load("cityscapes", format="folder", train_split="dev", val_split=None)
    root, classes = shared_data / "cityscapes_aachen8", class_table(settings)
    cars = 0
    for image_id in list_image_ids(settings, root)["train"]:
        panoptic_id, _ = read_ground_truth(settings, root, "train", image_id, classes)
        ids = np.unique(panoptic_id)
        cars += np.count_nonzero((ids // 1000 == 26) & (ids % 1000 > 0))
    assert cars == 67
