"""The stage `objects`: true objects from label folders and from VOC's XML."""

from __future__ import annotations

import json

import numpy as np
import pytest
from official_trees import make_voc2007
from pycocotools import mask as coco_mask

from pseudogt.classes import ClassTable
from pseudogt.files.detections import read_true_objects
from pseudogt.files.index import ImageRecord, write_shard
from pseudogt.files.labels import write_labels
from pseudogt.stages import index, objects

CLASSES = ClassTable(("road", "car"), (7, 26), (False, True), ((9, 9, 9), (200, 0, 0)))
VOC = {"format": "voc2007", "train_split": "trainval", "val_split": "test", "classes": "configs/classes/voc_things.csv"}


def test_things_of_the_ground_truth_have_masks(tmp_path):
    panoptic_id = np.full((20, 30), 7000, np.int32)
    panoptic_id[2:6, 3:9], panoptic_id[10:12, 4:7], panoptic_id[15:, :] = 26001, 26002, 26000
    write_shard(tmp_path / "shard.json", [ImageRecord("a", "a.png", 20, 30, "")], CLASSES)
    with write_labels(tmp_path / "truth", CLASSES) as labels:
        labels.add("a", panoptic_id, crowd_ids=[26000])
    words = ["--shard", tmp_path / "shard.json", "--ground-truth", tmp_path / "truth", "--out", tmp_path / "o.json"]
    settings = json.dumps({"classes": {"road": "stuff", "car": "thing"}})
    objects.main([str(word) for word in [*words, "--settings", settings]])
    found = read_true_objects(tmp_path / "o.json")
    assert found.sizes == {"a": (20, 30)} and found.classes == CLASSES
    assert [each["iscrowd"] for each in found.objects["a"]] == [1, 0, 0]
    assert [each["bbox"] for each in found.objects["a"]] == [[0, 15, 30, 5], [3, 2, 6, 4], [4, 10, 3, 2]]
    for each, segment_id in zip(found.objects["a"], (26000, 26001, 26002), strict=True):
        np.testing.assert_array_equal(coco_mask.decode(each["segmentation"]), panoptic_id == segment_id)


@pytest.fixture
def voc(tmp_path):
    make_voc2007(tmp_path)
    for split, image_ids in (("trainval", ["000005", "000007"]), ("test", ["000001"])):
        words = ["--data-root", tmp_path, "--image-ids", json.dumps(image_ids), "--out", tmp_path / f"{split}.json"]
        index.main([str(word) for word in [*words, "--settings", json.dumps(VOC)]])
    return tmp_path


def read_objects_of(folder, split):
    words = ["--shard", folder / f"{split}.json", "--data-root", folder, "--out", folder / "o.json"]
    objects.main([str(word) for word in [*words, "--settings", json.dumps(VOC)]])
    return read_true_objects(folder / "o.json")


def test_boxes_of_voc_are_half_open_and_difficult_ones_are_crowds(voc):
    found = read_objects_of(voc, "trainval")
    assert list(found.sizes) == ["000005", "000007"]
    kinds = [(found.classes.names[found.classes.category_to_train[e["category_id"]]], e["iscrowd"], e["bbox"])
             for e in found.objects["000005"]]  # fmt: skip
    # The XML says 3..10 and 4..12 from 1, both ends included.
    assert kinds == [("person", 0, [2, 3, 8, 9]), ("dog", 1, [0, 0, 30, 20])]
    assert all("segmentation" not in each for each in found.objects["000005"])
    assert read_objects_of(voc, "test").objects == {"000001": []}


def test_missing_and_strange_annotations_are_named(voc):
    path = voc / "VOCdevkit" / "VOC2007" / "Annotations" / "000001.xml"
    path.write_text((path.with_name("000007.xml")).read_text().replace("dog", "dragon"))
    with pytest.raises(ValueError, match="image '000001' has an object 'dragon', which is not a thing"):
        read_objects_of(voc, "test")
    path.write_text(path.read_text().replace("<xmin>1</xmin>", ""))
    with pytest.raises(ValueError, match=r"image '000001': .*xmin"):
        read_objects_of(voc, "test")
    path.unlink()
    with pytest.raises(ValueError, match=r"image '000001': there is no .*000001\.xml.*VOCtest_06-Nov-2007"):
        read_objects_of(voc, "test")
