from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from pseudogt.config.dataset import REPOSITORY, DatasetSettings
from pseudogt.config.streets import StreetsSettings
from pseudogt.datasets import class_table, list_images
from pseudogt.datasets.ground_truth import read_panoptic
from pseudogt.files.images import read_png, write_png


def change(settings, **values):
    return DatasetSettings.model_validate(settings.model_dump() | values)


def read(settings, root, image_id):
    return read_panoptic(list_images(settings, root).locate(image_id), settings, class_table(settings))


def rewrite(path, value, where):
    pixels = read_png(path).copy()
    pixels[where] = value
    write_png(path, pixels)


def test_listing_needs_neither_numpy_nor_opencv():
    code = "import sys, pseudogt.datasets; print({'numpy', 'cv2', 'h5py', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout.strip() == "set()"


def test_ids_of_a_folder(folder_dataset, folder_settings):
    assert list_images(folder_settings, folder_dataset).ids == {"train": ["a", "b"], "val": ["c"]}
    assert list_images(change(folder_settings, val_split=None), folder_dataset).ids["val"] == []


@pytest.mark.parametrize(
    ("text", "message"), [("a\nb\na\n", "'a' is listed twice"), ("a\nc\n", "'c' is listed twice"), ("\n", "no image")]
)
def test_bad_lists(folder_dataset, folder_settings, text, message):
    (folder_dataset / "train.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        list_images(folder_settings, folder_dataset)


def test_missing_list_and_missing_root(folder_dataset, folder_settings):
    (folder_dataset / "val.txt").unlink()
    with pytest.raises(ValueError, match=r"val\.txt: no such list"):
        list_images(folder_settings, folder_dataset)
    with pytest.raises(ValueError, match="data_root"):
        list_images(folder_settings, folder_dataset / "nowhere")


def test_split_by_seed_is_a_stable_partition(folder_dataset, folder_settings):
    ids = [f"{n:03d}" for n in range(80)]
    (folder_dataset / "dev.txt").write_text("\n".join(ids))
    settings = change(folder_settings, train_split="dev", val_split=None, val_fraction=0.25)
    first, again, other = (list_images(change(settings, split_seed=seed), folder_dataset).ids for seed in (0, 0, 1))
    assert first == again != other
    assert len(first["val"]) == 20 and sorted(first["train"] + first["val"]) == ids
    assert first["val"][:3] == ["005", "007", "011"]


def test_locating_an_absent_or_doubtful_image(folder_dataset, folder_settings):
    with pytest.raises(ValueError, match="no image 'zz' any more"):
        list_images(folder_settings, folder_dataset).locate("zz")
    (folder_dataset / "train.txt").write_text("a\nzz\n")
    with pytest.raises(ValueError, match=r"images/zz: no image of that name .* take it off the list"):
        list_images(folder_settings, folder_dataset).locate("zz")
    write_png(folder_dataset / "images" / "a.bmp", np.zeros((2, 2), np.uint8))
    with pytest.raises(ValueError, match=r"a\.bmp and a\.png are two files"):
        list_images(folder_settings, folder_dataset).locate("a")


def test_ground_truth_of_a_folder(folder_dataset, folder_settings):
    classes = class_table(folder_settings)
    panoptic_id, crowd_ids = read_panoptic(
        list_images(folder_settings, folder_dataset).locate("a"), folder_settings, classes
    )
    assert panoptic_id.dtype == np.int32
    assert np.unique(panoptic_id).tolist() == [0, 1000, 2000, 3000, 3001, 3002]
    assert crowd_ids == [3000]
    assert (panoptic_id[10:14, 2:9] == 3001).all() and (panoptic_id[0] == 1000).all() and (panoptic_id[19] == 0).all()


def test_plain_instance_numbers(folder_dataset, folder_settings):
    instances = np.zeros((20, 30), np.uint8)
    instances[10:14, 2:9], instances[12:16, 12:20] = 7, 3
    write_png(folder_dataset / "instances" / "a.png", instances)
    settings = change(folder_settings, instance_divisor=None)
    panoptic_id, crowd_ids = read_panoptic(
        list_images(settings, folder_dataset).locate("a"), settings, class_table(settings)
    )
    assert (panoptic_id[10:14, 2:9] == 3002).all() and (panoptic_id[12:16, 12:20] == 3001).all()
    assert crowd_ids == [3000]


@pytest.mark.parametrize(
    ("folder", "value", "message"),
    [("semantic", 77, r"values \[77\].*void_values"), ("instances", 1004, "instance is of class 1")],
)
def test_bad_label_values(folder_dataset, folder_settings, folder, value, message):
    rewrite(folder_dataset / folder / "a.png", value, np.s_[12, 3])
    with pytest.raises(ValueError, match=message) as error:
        read_panoptic(
            list_images(folder_settings, folder_dataset).locate("a"), folder_settings, class_table(folder_settings)
        )
    assert f"{folder}/a.png" in str(error.value)


@pytest.mark.parametrize("dtype", [np.uint16, np.uint8], ids=["plain numbers", "cut to 8 bits"])
def test_instances_that_would_all_be_one_group(folder_dataset, folder_settings, dtype):
    path = folder_dataset / "instances" / "a.png"
    values = read_png(path)
    write_png(path, values.astype(np.uint8) if dtype is np.uint8 else np.where(values >= 2000, values - 1999, 0))
    with pytest.raises(ValueError, match=r"in 'car' is neither 2 \* 1000 \+ number nor 2, .*instance_divisor to null"):
        read(folder_settings, folder_dataset, "a")


def test_instances_may_be_missing_only_without_things(folder_dataset, folder_settings):
    (folder_dataset / "instances" / "a.png").unlink()
    with pytest.raises(ValueError, match="instances file is missing"):
        read_panoptic(
            list_images(folder_settings, folder_dataset).locate("a"), folder_settings, class_table(folder_settings)
        )
    classes = [entry.model_dump() | {"isthing": False} for entry in folder_settings.classes]
    stuff = change(folder_settings, classes=classes)
    panoptic_id, crowd_ids = read(stuff, folder_dataset, "a")
    assert np.unique(panoptic_id).tolist() == [0, 1000, 2000, 3000] and crowd_ids == []


def test_cityscapes_layout(tmp_path):
    image_id = "aachen_000000_000019"
    write_png(tmp_path / f"leftImg8bit/train/aachen/{image_id}_leftImg8bit.png", np.zeros((4, 6, 3), np.uint8))
    labels = np.full((4, 6), 7, np.uint16)
    labels[0, 0], labels[1, :3], labels[2, :2] = 1, 26, 24
    write_png(tmp_path / f"gtFine/train/aachen/{image_id}_gtFine_labelIds.png", labels.astype(np.uint8))
    labels[1, :3] = 26000
    write_png(tmp_path / f"gtFine/train/aachen/{image_id}_gtFine_instanceIds.png", labels)
    section = yaml.safe_load((REPOSITORY / "configs/cityscapes.yaml").read_text())["dataset"]
    settings = DatasetSettings.model_validate(section | {"val_split": None})
    assert list_images(settings, tmp_path).ids == {"train": [image_id], "val": []}
    panoptic_id, crowd_ids = read_panoptic(
        list_images(settings, tmp_path).locate(image_id), settings, class_table(settings)
    )
    assert np.unique(panoptic_id).tolist() == [0, 7000, 24000, 26001]
    assert crowd_ids == [24000]


def test_streets_are_named_before_they_exist(folder_settings):
    settings = change(folder_settings, format="streets")
    ids = list_images(settings, "nowhere", StreetsSettings(train_images=5, val_images=0)).ids
    assert len(ids["train"]) == 5 and ids["train"] == sorted(ids["train"]) and ids["val"] == []


@pytest.mark.parametrize("name", ["camvid", "dsb2018", "cityscapes"])
def test_class_csv_equals_its_list(name):
    section = yaml.safe_load((REPOSITORY / f"configs/{name}.yaml").read_text())["dataset"]
    settings = DatasetSettings.model_validate(section)
    assert DatasetSettings.model_validate_json(settings.model_dump_json()) == settings
    assert min(class_table(settings).category_ids) >= 1


def test_official_cityscapes_classes():
    from cityscapesscripts.helpers.labels import labels

    section = yaml.safe_load((REPOSITORY / "configs/cityscapes.yaml").read_text())["dataset"]
    settings = DatasetSettings.model_validate(section)
    ours = [(e.name, e.source_id, e.isthing, e.color) for e in settings.classes]
    assert ours == [(x.name, x.id, x.hasInstances, x.color) for x in labels if not x.ignoreInEval]
    assert set(settings.void_values) == {x.id % 256 for x in labels if x.ignoreInEval}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"classes": "nowhere.csv"}, "nowhere.csv: no such file"),
        ({"classes": []}, "at least 1"),
        ({"classes": [{"name": "a", "id": 16778, "isthing": 0, "color": "#000000"}]}, "less than or equal to 16777"),
        ({"classes": [{"name": "a", "id": 1, "isthing": 0, "color": "#00000g"}]}, "'#00000g' is not of the form"),
        ({"void_values": [2]}, r"void_values \[2\]"),
        ({"val_fraction": 0.5}, "set val_split to null"),
        ({"val_split": "train"}, "no image may be in both"),
        ({"clases": []}, "Extra inputs"),
        (
            {"classes": [{"name": "sky", "id": "0", "isthing": 0, "color": "#00ff00"}]},
            "class 'sky' has id 0, which",
        ),
    ],
)
def test_bad_settings(folder_settings, values, message):
    with pytest.raises(ValidationError, match=message):
        change(folder_settings, **values)


def test_repeated_class_columns(folder_settings):
    entries = [entry.model_dump() for entry in folder_settings.classes]
    entries[1]["source_id"] = 0
    with pytest.raises(ValidationError, match="source_id 0 is there more than once"):
        change(folder_settings, classes=entries)


def test_csv_without_source_ids(tmp_path, folder_settings):
    """In any order of its columns; the values are then the ids."""
    (tmp_path / "classes.csv").write_text("id,name,isthing,color\n4,no,0,#102030\n7,car,true,#405060\n")
    classes = change(folder_settings, classes=str(tmp_path / "classes.csv"), void_values=()).classes
    assert [(c.name, c.id, c.source_id, c.isthing) for c in classes] == [("no", 4, 4, False), ("car", 7, 7, True)]


@pytest.mark.parametrize(
    "content",
    [
        "Name;ID;IsThing;Color\r\nsky;1;FALSE;#102030\r\n;;;\r\ncar;2;TRUE;#405060\r\n".encode("utf-8-sig"),
        "name\tid\tisthing\tcolor\nsky\t1\tstuff\t#102030\ncar\t2\tthing\t#405060\n".encode("utf-16"),
        b"name, id, isthing, color\n sky , 1, no, #102030\n\ncar, 2, yes, 405060\n",
    ],
    ids=["Excel", "Unicode text", "blanks"],
)
def test_csv_of_spreadsheets(tmp_path, folder_settings, content):
    (tmp_path / "classes.csv").write_bytes(content)
    classes = change(folder_settings, classes=str(tmp_path / "classes.csv"), void_values=()).classes
    assert [(c.name, c.id, c.isthing, c.color[0]) for c in classes] == [("sky", 1, False, 16), ("car", 2, True, 64)]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("car, red,2,1,#405060", "more values than the first line has names"),
        ("car,2,,#405060", "no isthing; add it"),
        ('"car,2,1,#405060', "no id; add it"),
    ],
)
def test_csv_with_more_or_fewer_values_than_columns(tmp_path, folder_settings, row, message):
    (tmp_path / "classes.csv").write_text(f"name,id,isthing,color\nsky,1,0,#102030\n{row}\n")
    with pytest.raises(ValidationError, match=rf"classes\.csv: line 3 has {message}"):
        change(folder_settings, classes=str(tmp_path / "classes.csv"))


@pytest.mark.parametrize("classes", [{False: "thing"}, [{"name": True, "id": 1, "isthing": True, "color": "#000000"}]])
def test_truth_values_of_yaml_are_no_class_names(folder_settings, classes):
    with pytest.raises(ValidationError, match="put the word in quotes"):
        change(folder_settings, classes=classes)
    assert change(folder_settings, classes={0: "thing", "no": "stuff"}).classes[0].name == "0"


def test_csv_with_other_columns(tmp_path, folder_settings):
    (tmp_path / "classes.csv").write_text("name,id\nsky,1\n")
    with pytest.raises(ValidationError, match="its first line must be"):
        change(folder_settings, classes=str(tmp_path / "classes.csv"))
