from __future__ import annotations

import json

import numpy as np
import pytest
from weak_label_testing import make_weak_labels

from pseudogt.classes import ClassTable
from pseudogt.config.dataset import DatasetSettings
from pseudogt.datasets import list_images
from pseudogt.files.images import write_png
from pseudogt.files.index import read_shard
from pseudogt.files.io import read_json
from pseudogt.files.labels import LabelFolder
from pseudogt.stages import ground_truth, index, streets, weak_labels
from pseudogt.weak_labels.files import read_weak_labels, write_weak_labels
from pseudogt.workflow.assignment import plan_shards, record_shards


@pytest.fixture
def run(tmp_path, folder_dataset, folder_settings):
    """Run index, ground truth and weak labels on the folder dataset; returns the results folder."""
    out = tmp_path / "out"
    section = folder_settings.model_dump_json()

    def run_stages(*, shard_size=1, until="weak_labels"):
        root = ["--data-root", str(folder_dataset), "--settings", section]
        path = out / "index.json"
        previous = read_json(path)["shards"] if path.is_file() else None
        plan = plan_shards(previous, list_images(folder_settings, folder_dataset).ids, shard_size)
        record_shards(path, plan, folder_settings)
        for shard, image_ids in plan.items():
            to = ["--out", str(out / "index" / f"{shard}.json"), "--threads", "2"]
            index.main([*root, "--image-ids", json.dumps(image_ids), *to])
        for shard in sorted((out / "index").iterdir()) if until != "index" else []:
            label_folder = str(out / "ground_truth" / shard.stem)
            ground_truth.main(["--shard", str(shard), *root, "--out", label_folder])
            target = ["--out", str(out / "weak_labels" / shard.name), "--settings", "{}"]
            weak_labels.main(["derive", "--shard", str(shard), "--ground-truth", label_folder, *target])
        return out

    return run_stages


def merge(out, *options):
    files = [str(path) for path in sorted((out / "weak_labels").iterdir())]
    weak_labels.main(["merge", *options, "--weak-labels", *files, "--out", str(out / "weak_labels.json")])
    return out / "weak_labels.json"


def test_chain_from_files_to_weak_labels(run):
    out = run()
    records, classes = read_shard(out / "index" / "train-0001.json")
    assert [(r.image_id, r.height, r.width, len(r.checksum)) for r in records] == [("b", 20, 30, 40)]
    labels = LabelFolder(out / "ground_truth" / "train-0000")
    assert [s["id"] for s in labels.segments("a") if s["iscrowd"]] == [3000]
    images, table = read_weak_labels([merge(out)])
    assert list(images) == ["a", "b", "c"] and table == classes
    assert images["a"].boxes_xyxy.tolist() == [[24, 9, 27, 11], [2, 10, 9, 14], [12, 12, 20, 16]]
    assert len(images["a"].crops_xyxy) == 15


def test_shard_size_changes_no_weak_label(run):
    documents = []
    for shard_size in (1, 2, 64):
        out = run(shard_size=shard_size)
        documents.append(merge(out).read_bytes())
        for path in out.glob("*/*"):
            path.unlink() if path.is_file() else None
        (out / "index.json").unlink()
    assert documents[0] == documents[1] == documents[2]


def test_a_new_image_touches_one_shard(run, folder_dataset):
    out = run(until="index")
    before = {path.name: path.read_bytes() for path in (out / "index").iterdir()}
    (folder_dataset / "images" / "0.png").write_bytes((folder_dataset / "images" / "a.png").read_bytes())
    (folder_dataset / "train.txt").write_text("0\na\nb\n")
    run(until="index")
    assert read_json(out / "index.json")["shards"]["train-0002"] == ["0"]
    after = {path.name: path.read_bytes() for path in (out / "index").iterdir()}
    assert set(after) - set(before) == {"train-0002.json"}
    assert before.items() <= after.items()


def test_a_removed_image_takes_its_shard_away(run, folder_dataset):
    out = run(until="index")
    (folder_dataset / "train.txt").write_text("b\n")
    run(until="index")
    assert sorted(path.stem for path in (out / "index").iterdir()) == ["train-0001", "val-0000"]


def test_index_names_an_absent_and_a_truncated_image(run, folder_dataset):
    image = folder_dataset / "images" / "b.png"
    image.write_bytes(image.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"b\.png: truncated"):
        run(until="index")
    image.unlink()
    with pytest.raises(ValueError, match="images/b: no image"):
        run(until="index")


def test_index_of_one_image_and_no_val(run, folder_dataset):
    (folder_dataset / "train.txt").write_text("a\n")
    (folder_dataset / "val.txt").write_text("")
    out = run(shard_size=64)
    assert read_json(out / "index.json")["shards"] == {"train-0000": ["a"]}


def test_label_of_another_size(run, folder_dataset):
    for folder in ("semantic", "instances"):
        write_png(folder_dataset / folder / "b.png", np.zeros((10, 30), np.uint16))
    with pytest.raises(ValueError, match=r"b\.png is 30x20, but its label is 30x10"):
        run()


def test_images_that_say_nothing_and_absent_classes_are_reported(run, folder_dataset, capsys):
    for image_id, value in (("a", 0), ("b", 9), ("c", 9)):
        for folder in ("semantic", "instances"):
            write_png(folder_dataset / folder / f"{image_id}.png", np.full((20, 30), value, np.uint8))
    merge(run())
    warnings = capsys.readouterr().err
    assert "image 'b' has no box and no tag" in warnings
    assert "class 'car' occurs in no image" in warnings


def test_labels_that_say_nothing_at_all_are_an_error(run, folder_dataset):
    for image_id in "abc":
        for folder in ("semantic", "instances"):
            write_png(folder_dataset / folder / f"{image_id}.png", np.full((20, 30), 9, np.uint8))
    with pytest.raises(ValueError, match="nothing to learn from: none of the 3 training images has a box or a tag"):
        merge(run())


def test_streets_are_read_by_the_ordinary_reader(tmp_path):
    root, out = tmp_path / "streets", tmp_path / "out"
    streets.main(["--out", str(root), "--settings", json.dumps({"train_images": 3, "val_images": 2})])
    section = json.dumps({"classes": "configs/classes/streets.csv", "void_values": list(range(7))})
    settings = DatasetSettings.model_validate_json(section)
    image_ids = json.dumps(list_images(settings, root).ids["train"])
    place = ["--out", str(out / "train-0000.json")]
    index.main(["--data-root", str(root), "--image-ids", image_ids, *place, "--settings", section])
    shard = ["--shard", str(out / "train-0000.json"), "--data-root", str(root)]
    ground_truth.main([*shard, "--out", str(out / "labels"), "--settings", section])
    assert len(LabelFolder(out / "labels").image_ids) == 3


def test_things_that_are_only_tagged_are_refused(tmp_path):
    classes = ClassTable(("sky", "cow", "car"), (1, 2, 3), (False, True, True), ((0, 0, 0),) * 3)
    folder = tmp_path / "weak_labels"
    folder.mkdir()
    tagged = make_weak_labels((20, 30), [True, True, False])
    write_weak_labels(folder / "train-0000.json", [tagged], classes)
    merge(tmp_path)
    with pytest.raises(ValueError, match=r"neither boxes nor points nor scribbles \('cow'\)"):
        merge(tmp_path, "--locate-things")
    boxed = make_weak_labels((20, 30), [False, False, True], boxes=[[1, 1, 9, 9]], box_classes=2, image_id="b")
    write_weak_labels(folder / "train-0001.json", [boxed], classes)
    merge(tmp_path, "--locate-things")
