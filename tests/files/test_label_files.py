from __future__ import annotations

import numpy as np
import pytest

from pseudogt.classes import BACKGROUND, IGNORE_LABEL, ClassTable, combine_semantic_and_instances
from pseudogt.files.io import read_json
from pseudogt.files.labels import LabelFolder, read_label_folders, write_labels

CLASSES = ClassTable(("sky", "car"), (1, 2), (False, True), ((0, 0, 255), (0, 0, 142)))


@pytest.fixture
def panoptic_id():
    semantic = np.array([[0, 0, 1, 1], [0, IGNORE_LABEL, 1, 1], [BACKGROUND, 0, 1, 1]], np.uint8)
    instances = np.array([[0, 0, 1, 1], [0, 0, 1, 2], [0, 0, 0, 2]], np.int32)
    return combine_semantic_and_instances(semantic, instances, CLASSES)


def test_labels_round_trip(tmp_path, panoptic_id):
    with write_labels(tmp_path / "shard", CLASSES) as writer:
        writer.add("a", panoptic_id, crowd_ids=[2000], scores={2001: 0.5})
    folder = LabelFolder(tmp_path / "shard")
    assert folder.image_ids == ["a"]
    assert (folder.read("a") == panoptic_id).all()
    car = {s["id"]: s for s in folder.segments("a")}[2001]
    assert car == {"id": 2001, "category_id": 2, "area": 3, "bbox": [2, 0, 2, 2], "iscrowd": 0, "score": 0.5}
    assert {s["id"] for s in folder.segments("a") if s["iscrowd"]} == {2000}


def test_segments_cover_all_but_void(tmp_path, panoptic_id):
    with write_labels(tmp_path / "shard", CLASSES) as writer:
        writer.add("a", panoptic_id)
    document = read_json(tmp_path / "shard" / "panoptic.json")
    assert sum(s["area"] for s in document["annotations"][0]["segments_info"]) == (panoptic_id > 0).sum()
    assert [c["name"] for c in document["categories"]] == ["sky", "car", "background"]


def test_panoptic_tools_read_it(tmp_path, panoptic_id):
    """The file format is COCO panoptic: torchvision-free check with the rule of its own tools."""
    from PIL import Image

    with write_labels(tmp_path / "shard", CLASSES) as writer:
        writer.add("a", panoptic_id)
    rgb = np.array(Image.open(tmp_path / "shard" / "a.png"), np.int64)
    assert (rgb[..., 0] + 256 * rgb[..., 1] + 65536 * rgb[..., 2] == panoptic_id).all()


def test_interrupted_shard_leaves_nothing(tmp_path, panoptic_id):
    with pytest.raises(RuntimeError), write_labels(tmp_path / "shard", CLASSES) as writer:
        writer.add("a", panoptic_id)
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_image_in_two_folders_is_an_error(tmp_path, panoptic_id):
    for name in ("one", "two"):
        with write_labels(tmp_path / name, CLASSES) as writer:
            writer.add("a", panoptic_id)
    with pytest.raises(ValueError, match=r"'a' is in .*one and in .*two"):
        read_label_folders([tmp_path / "one", tmp_path / "two"])


def test_missing_image_is_named(tmp_path, panoptic_id):
    with write_labels(tmp_path / "shard", CLASSES) as writer:
        writer.add("a", panoptic_id)
    with pytest.raises(ValueError, match="no annotation of image 'b'"):
        LabelFolder(tmp_path / "shard").read("b")


def test_a_damaged_label_says_what_makes_it_again(tmp_path, panoptic_id):
    with write_labels(tmp_path / "shard", CLASSES) as writer:
        writer.add("a", panoptic_id)
    path = tmp_path / "shard" / "a.png"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(
        ValueError, match=rf"a\.png: .*; if a run made it, delete the folder {path.parent} and run again"
    ):
        LabelFolder(tmp_path / "shard").read("a")
