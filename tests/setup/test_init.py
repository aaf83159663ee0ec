"""From a folder to a configuration that passes the check, over all formats and layouts."""

from __future__ import annotations

import csv
import json
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import official_trees
import pytest
import yaml
from PIL import Image

from pseudogt.__main__ import main
from pseudogt.annotations import FORMATS
from pseudogt.checking.dataset import check_dataset
from pseudogt.config.run import parse_run_config
from pseudogt.datasets import LAYOUTS
from pseudogt.setup.guessing import guess_by_name
from pseudogt.setup.survey import PARSERS, get_format

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "annotations"))
rules = import_module("test_reader_rules")  # which writes a set in every format

TREES = {
    "cityscapes": official_trees.make_cityscapes,
    "coco": official_trees.make_coco2017,
    "voc2012": official_trees.make_voc2012,
    "voc2007": official_trees.make_voc2007,
}


def write_photos(folder, names="abc", size=(rules.HEIGHT, rules.WIDTH)):
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.jpg")


@pytest.fixture
def init(tmp_path, capsys):
    """Run the command on a folder; returns the configuration, what was printed, and the findings of a check."""

    def run(folder=tmp_path / "data", *arguments):
        out = tmp_path / "run.yaml"
        main(["init", str(folder), "--out", str(out), "--overwrite", *arguments])
        config = yaml.safe_load(out.read_text())
        return config, capsys.readouterr().out, check_dataset(parse_run_config(config), folder)

    return run


@pytest.mark.parametrize("name", FORMATS.names)
def test_every_format_gets_a_configuration_that_passes(name, init, tmp_path):
    write_photos(tmp_path / "data" / "images")
    path = rules.WRITERS[name](tmp_path / "data", rules.GOOD)
    config, printed, findings = init()
    assert not findings.problems
    assert findings.labelling.startswith("labelling: ")
    assert config["annotations"]["format"] == name
    assert config["annotations"]["path"] == path.name
    assert config["dataset"]["train_split"] == "images"
    assert config["dataset"]["classes"] == {"bus": "thing", "car": "thing", "background": "stuff"}
    counted = {row["name"]: (row["images"], row["boxes"]) for row in findings.classes}
    assert counted == {"bus": (2, 2), "car": (2, 2), "background": (3, 0)}
    assert "car: thing (2 boxes in 2 images; as in configs/classes/" in printed
    assert f"snakemake --cores all check --configfile {tmp_path / 'run.yaml'}" in printed


@pytest.mark.parametrize("name", FORMATS.names)
def test_a_file_is_of_one_format(name, tmp_path):
    """Readers agree about what is whose, so that the order of the table does not matter."""
    path = rules.WRITERS[name](tmp_path, rules.GOOD)
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.suffix in PARSERS]
    contents = [PARSERS[file.suffix](file) for file in files if file.read_text().strip()]
    assert {n for n in FORMATS.names for content in contents if get_format(n).recognise(content)} == {name}


@pytest.mark.parametrize("name", FORMATS.names)
def test_folders_of_splits_with_annotations_in_each(name, init, tmp_path):
    """As Roboflow exports them: annotations beside the images of train, valid and test."""
    for split, images in (("train", {"a": rules.GOOD["a"]}), ("valid", {"b": rules.GOOD["b"]}), ("test", {"c": []})):
        folder = tmp_path / "data" / split
        write_photos(folder, images)
        path = rules.WRITERS[name](tmp_path / "written" / split, images)
        for file in [path] if path.is_file() else path.iterdir():
            file.rename(folder / file.name)
    config, _, findings = init()
    assert not findings.problems and findings.images == {"train": 1, "val": 1}
    dataset = config["dataset"]
    assert (dataset["train_split"], dataset["val_split"]) == ("train", "valid")
    assert config["annotations"]["path"].split("/")[0] == "train"
    assert {row["name"]: row["boxes"] for row in findings.classes} == {"bus": 1, "car": 1, "background": 0}


@pytest.mark.parametrize("names", ["data.yaml", "train/labels/_darknet.labels"])
def test_labels_in_a_folder_beside_that_of_the_images(names, init, tmp_path):
    """As Roboflow exports YOLO files, with one list of names for all splits, or one in each."""
    write_photos(tmp_path / "data" / "train" / "images", "abc")
    write_photos(tmp_path / "data" / "valid" / "images", "d")
    rules.WRITERS["yolo"](tmp_path / "data" / "train", rules.GOOD)
    (tmp_path / "data" / "train" / "yolo").rename(tmp_path / "data" / "train" / "labels")
    (tmp_path / "data" / "train" / "labels" / "data.yaml").unlink()
    is_yaml = names.endswith(".yaml")
    text = f"names: [{', '.join(rules.NAMES)}]" if is_yaml else "\n".join(rules.NAMES)
    (tmp_path / "data" / names).write_text(text)
    config, _, findings = init()
    assert not findings.problems and findings.images == {"train": 3, "val": 1}
    assert config["annotations"]["path"] == "train/labels"
    assert config["dataset"]["train_split"] == "train/images"


def test_clicks_alone_give_classes(init, tmp_path):
    write_photos(tmp_path / "data")
    (tmp_path / "data" / "clicks.csv").write_text("image,class,x,y\na.jpg,sky,5,5\nb.jpg,widget,9,9\nb.jpg,sky,1,1\n")
    config, _, findings = init()
    assert not findings.problems
    assert config["dataset"]["classes"] == {"sky": "stuff", "widget": "thing"}
    assert config["annotations"]["points"] == "weak" and "background" not in config["annotations"]


def test_polygons_are_offered_as_masks(init, tmp_path):
    write_photos(tmp_path / "data")
    points = [[10, 10], [30, 10], [20, 30]]
    shape = {"label": "car", "shape_type": "polygon", "points": points}
    document = {"imagePath": "a.jpg", "imageWidth": rules.WIDTH, "imageHeight": rules.HEIGHT, "shapes": [shape]}
    (tmp_path / "data" / "a.json").write_text(json.dumps(document))
    _, _, findings = init()
    assert not findings.problems
    assert "add full_labels: {polygons: true}" in (tmp_path / "run.yaml").read_text()


@pytest.mark.parametrize("name", TREES)
def test_official_trees(name, init, tmp_path):
    TREES[name](tmp_path / "data")
    config, _, findings = init()
    assert not findings.problems and findings.images["train"]
    assert config["dataset"]["format"] == name


def test_every_layout_is_tried():
    assert set(TREES) | {"folder", "images", "streets"} == set(LAYOUTS.names)


def test_the_folder_layout_gets_a_class_table(init, folder_dataset):
    config, _, findings = init(folder_dataset)
    assert not findings.problems and findings.images == {"train": 2, "val": 1}
    lines = Path(config["dataset"]["classes"]).read_text().splitlines()
    assert [line.split(",")[0:3:2] for line in lines[1:]] == [
        ["value 0", "0"], ["value 1", "0"], ["value 2", "1"], ["value 9", "0"]
    ]  # fmt: skip


def test_masks_of_two_values_have_two_classes(init, folder_dataset):
    for name in "abc":
        for kind in ("semantic", "instances"):
            path = folder_dataset / kind / f"{name}.png"
            Image.fromarray((np.asarray(Image.open(path)) > 1).astype(np.uint8) * 255).save(path)
    config, _, findings = init(folder_dataset)
    assert not findings.problems and config["dataset"]["void_values"] == []
    assert [row["name"] for row in read_rows(config)] == ["value 0", "value 255"]


def test_smoothed_labels_are_no_classes(folder_dataset, capsys):
    for name in "abc":
        path = folder_dataset / "semantic" / f"{name}.png"
        values = Image.fromarray(np.where(np.asarray(Image.open(path)) > 1, 200, 20).astype(np.uint8))
        width, height = values.size
        values.resize((7 * width, 7 * height), Image.Resampling.BILINEAR).save(path)
    with pytest.raises(SystemExit):
        main(["init", str(folder_dataset), "--out", str(folder_dataset / "x.yaml")])
    assert "values occur only along borders" in capsys.readouterr().err


def test_plain_instance_numbers_make_things(init, folder_dataset):
    for name in "abc":
        path = folder_dataset / "instances" / f"{name}.png"
        numbers = np.asarray(Image.open(path)).astype(int) - 1999
        Image.fromarray(np.maximum(numbers, 0).astype(np.uint16)).save(path)
    config, _, findings = init(folder_dataset)
    assert not findings.problems and config["dataset"]["instance_divisor"] is None
    assert [row["name"] for row in read_rows(config) if row["isthing"] == "1"] == ["value 2"]


def read_rows(config):
    with open(config["dataset"]["classes"]) as file:
        return list(csv.DictReader(file))


def test_own_panoptic_labels_get_their_classes(init, tmp_path):
    root = official_trees.make_coco2017(tmp_path / "data")
    path = root / "annotations" / "panoptic_train2017.json"
    document = json.loads(path.read_text())
    first, *others = document["categories"]
    first["isthing"] = 0
    path.write_text(json.dumps(document))
    names = {first["id"]: 0} | {c["id"]: int(guess_by_name(c["name"])) for c in others}
    table = Path(init(root)[0]["dataset"]["classes"])
    rows = [line.split(",") for line in table.read_text().splitlines()[1:]]
    assert {int(row[4]): int(row[2]) for row in rows} == names


def test_own_panoptic_labels_may_number_things_from_0(init, tmp_path):
    path = official_trees.make_coco2017(tmp_path / "data") / "annotations" / "panoptic_train2017.json"
    document = json.loads(path.read_text())
    thing = next(c for c in document["categories"] if c["isthing"])
    segments = [s for a in document["annotations"] for s in a["segments_info"] if s["category_id"] == thing["id"]]
    for entry in (*segments, thing):
        entry.update({"category_id" if "category_id" in entry else "id": 0})
    path.write_text(json.dumps(document))
    assert not init()[2].problems


def test_tags_alone_are_for_jtsm(init, tmp_path):
    write_photos(tmp_path / "data")
    (tmp_path / "data" / "tags.csv").write_text("image;sky;car\na.jpg;1;0\nb.jpg;1;1\nc.jpg;0;1\n")
    config, _, findings = init()
    assert not findings.problems and config["method"] == "jtsm" and config["annotations"] == {"tags": "tags.csv"}
    assert config["dataset"]["classes"] == {"sky": "stuff", "car": "thing"}


def test_tags_of_a_tool_are_for_jtsm(init, tmp_path):
    write_photos(tmp_path / "data")
    tags = {"a": ["sky", "car"], "b": ["sky"], "c": ["car"]}
    images = [
        f'<image id="{number}" name="{name}.jpg" width="{rules.WIDTH}" height="{rules.HEIGHT}">'
        + "".join(f'<tag label="{label}"/>' for label in labels)
        + "</image>"
        for number, (name, labels) in enumerate(tags.items())
    ]
    (tmp_path / "data" / "cvat.xml").write_text("\n".join(["<annotations>", *images, "</annotations>"]))
    config, _, findings = init()
    assert not findings.problems and config["method"] == "jtsm" and config["annotations"]["boxes"] is False
    assert config["dataset"]["classes"] == {"sky": "stuff", "car": "thing"}


def test_kinds_are_guessed_by_names_tags_and_sizes(init, tmp_path):
    write_photos(tmp_path / "data")
    things = [
        rules.Thing("Trees", 0, 0, 40, 40),
        rules.Thing("flange", 1, 1, 9, 9),
        rules.Thing("mortar", 0, 0, 99, 79),
    ]
    rules.WRITERS["cvat"](tmp_path / "data", {"a": things, "b": [things[1]], "c": []})
    (tmp_path / "data" / "tags.csv").write_text("image,class\na.jpg,haze\n")
    config, printed, findings = init()
    assert not findings.problems
    kinds = {"Trees": "stuff", "flange": "thing", "mortar": "stuff", "haze": "stuff"}
    assert config["dataset"]["classes"] == kinds and "background" not in config["annotations"]
    assert "mortar: stuff (1 box in 1 image; its boxes usually cover 98% of their image, one in each)" in printed
    assert "haze: stuff (1 tag; is tagged, and nobody drew it)" in printed


def test_records_that_cannot_be_used_are_left_out_aloud(init, tmp_path):
    write_photos(tmp_path / "data")
    broken = rules.GOOD | {"c": [rules.Thing("car", x0=rules.BROKEN)]}
    rules.WRITERS["csv"](tmp_path / "data", broken)
    config, printed, findings = init()
    assert not findings.problems and config["annotations"]["bad_boxes"] == "skip"
    assert "1 objects of kind" in printed


def test_what_only_a_person_knows_is_a_question(init, tmp_path):
    write_photos(tmp_path / "data" / "images")
    (tmp_path / "data" / "min.json").write_text('[{"image": "a.jpg", "annotator": 1}]')
    _, printed, findings = init()
    assert len(findings.problems) == 1
    assert "Only you can answer" in printed and "export it from Label Studio as JSON" in printed
    assert "# Only you can answer:\n#   - " in (tmp_path / "run.yaml").read_text()


def test_photos_alone(tmp_path, capsys):
    write_photos(tmp_path / "data")
    main(["init", str(tmp_path / "data"), "--out", str(tmp_path / "run.yaml")])
    assert "Where are the boxes or tags?" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["init", str(tmp_path / "data"), "--out", str(tmp_path / "run.yaml")])
    assert "is there already" in capsys.readouterr().err


def test_weak_labels_of_a_run_are_no_annotations_of_a_tool(tmp_path, capsys):
    """Their tags would be lost."""
    write_photos(tmp_path / "data")
    document = {"images": [{"id": "a"}], "categories": [], "annotations": [], "image_tags": {}}
    (tmp_path / "data" / "weak_labels.json").write_text(json.dumps(document))
    main(["init", str(tmp_path / "data"), "--out", str(tmp_path / "run.yaml")])
    assert "holds weak labels; name it in provided.weak_labels" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", '{"images": [], "annotations": [', "a.json: Invalid JSON: EOF while parsing"),
        ("a.xml", "", "a.xml: is empty (0 bytes)"),
        ("a.csv", "filename,region_shape_attributes\n", "is VIA's CSV; save the project, or export"),
        (
            "a.json",
            '[{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4]}]',
            "holds results of a model",
        ),
        ("a.json", '{"a": 1}', "a.json: is of no format that is read"),
        ("a.csv", "id,image,label,annotator,lead_time\n1,a.jpg,[],1,2\n", "is a CSV of Label Studio; export as JSON"),
        ("a.jsonl", '{"file_name": "a.jpg"}', "a.jsonl: holds one JSON for each line; convert it to COCO or CSV"),
        ("a.json", '[{"name": "a.jpg", "labels": []}]', "is BDD100K's JSON"),
        ("a.csv", "ImageID,Source,LabelName,XMin,XMax,YMin,YMax\n", "is a CSV of Open Images, with fractions"),
        ("a.csv", "ImageId,EncodedPixels\na,1 2\n", "holds run lengths of masks"),
        ("a.csv", "name,r,g,b\ncar,64,0,128\n", "lists the colours of classes"),
        ("a.txt", "64 128 64\tAnimal\n", "lists the colours of classes"),
        ("a.txt", "Car 0.00 0 -1.5 7 14 30 40 1.8 0.4 1.2 1.8 1.4 8.4 0.01\n", "is KITTI's; convert it"),
        ("a.txt", "imagesource:GoogleEarth\ngsd:0.14\n", "is DOTA's; convert it to YOLO's oriented boxes"),
        ("a.txt", "5 5 40 8 38 30 4 28 small-vehicle 0\n", "is DOTA's"),
        ("a.txt", "4,4,24,24,1,4,0,0\n", "holds boxes of VisDrone or MOT"),
        ("a.csv", "a.jpg,1,2,3,4,car\n", "a.csv: is a table whose first line does not name the columns image,class"),
    ],
)
def test_files_that_no_reader_recognises_are_explained(tmp_path, capsys, name, content, message):
    write_photos(tmp_path / "data")
    (tmp_path / "data" / name).write_text(content)
    main(["init", str(tmp_path / "data"), "--out", str(tmp_path / "run.yaml")])
    assert message in " ".join(capsys.readouterr().out.split())


def test_predictions_beside_photos_are_no_photos(init, tmp_path):
    write_photos(tmp_path / "data" / "cam1")
    rules.WRITERS["csv"](tmp_path / "data", rules.GOOD)
    write_photos(tmp_path / "data" / "predicted" / "overlays")
    write_photos(tmp_path / "data" / "predicted")
    (tmp_path / "data" / "predicted" / "panoptic.json").write_text("{}")
    config, printed, _ = init()
    assert "images: 3, folders with images: 1" in printed and config["dataset"]["train_split"] == "cam1"


def test_names_that_nobody_wrote_down_are_a_question(init, tmp_path):
    write_photos(tmp_path / "data" / "images")
    (rules.WRITERS["yolo"](tmp_path / "data", rules.GOOD) / "data.yaml").unlink()
    config, printed, findings = init()
    assert len(findings.problems) == 1 and config["annotations"]["path"] == "yolo"
    assert "name the file with the class names, one on each line, in annotations.names" in " ".join(printed.split())


@pytest.mark.parametrize("folder", ["nowhere", "empty"])
def test_a_folder_without_images(folder, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit):
        main(["init", str(tmp_path / folder)])
    assert "name the folder that holds your images" in capsys.readouterr().err


def test_photos_that_are_still_packed(tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "all.zip").write_bytes(b"PK")
    with pytest.raises(SystemExit):
        main(["init", str(tmp_path)])
    assert capsys.readouterr().err.endswith("all.zip\n")


def test_a_layout_without_labels(folder_dataset, capsys):
    for path in (folder_dataset / "semantic").iterdir():
        path.rename(path.with_suffix(".PNG"))
    with pytest.raises(SystemExit):
        main(["init", str(folder_dataset), "--out", str(folder_dataset / "x.yaml")])
    assert "none of the 2 images of split 'train' has a label file" in capsys.readouterr().err


def test_label_maps_are_no_photos(init, tmp_path):
    write_photos(tmp_path / "data" / "images" / "cam1")
    write_photos(tmp_path / "data" / "images" / "cam2")
    write_photos(tmp_path / "data" / "masks")
    images = {f"cam{i}/{name}": things for i in (1, 2) for name, things in rules.GOOD.items()}
    rules.WRITERS["cvat"](tmp_path / "data", images)
    config, _, findings = init()
    assert not findings.problems and findings.images["train"] == 6
    assert config["dataset"]["train_split"] == "images"
    assert "not used: masks" in (tmp_path / "run.yaml").read_text()


@pytest.mark.parametrize("maps", ["masks", "annotations", "gt/cam1", "images_labels"])
def test_label_maps_without_boxes_are_asked_about(maps, tmp_path, capsys):
    write_photos(tmp_path / "data" / "images")
    write_photos(tmp_path / "data" / maps)
    main(["init", str(tmp_path / "data"), "--out", str(tmp_path / "run.yaml")])
    assert yaml.safe_load((tmp_path / "run.yaml").read_text())["dataset"]["train_split"] == "images"
    assert f"suggest label maps: {maps}. If they are full labels, name them like" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("photos", "maps", "names"),
    [
        ("701_StillsRaw_full", "LabeledApproved_full", "{}_L"),
        ("training/images", "training/instance", "{}"),
        ("segmentation/JPEGImages", "segmentation/PedMasks", "{}_mask"),
    ],
    ids=["CamVid", "KITTI", "below a folder named for its task"],
)
def test_label_maps_are_known_by_their_colours(photos, maps, names, tmp_path):
    write_photos(tmp_path / "data" / photos)
    write_maps(tmp_path / "data" / maps, names)
    main(["init", str(tmp_path / "data"), "--out", str(tmp_path / "run.yaml")])
    assert yaml.safe_load((tmp_path / "run.yaml").read_text())["dataset"]["train_split"] == photos
    assert f"suggest label maps: {maps}." in (tmp_path / "run.yaml").read_text()


def write_maps(folder, names):
    folder.mkdir(parents=True, exist_ok=True)
    values = np.zeros((rules.HEIGHT, rules.WIDTH), np.uint8)
    values[20:60, 30:70] = 3
    for name in "abc":
        Image.fromarray(values).save(folder / f"{names.format(name)}.png")


def test_label_maps_beside_their_photos_are_a_question(init, tmp_path):
    write_photos(tmp_path / "data")
    write_maps(tmp_path / "data", "{}_mask")
    rules.WRITERS["csv"](tmp_path / "data", rules.GOOD)
    _, _, findings = init()
    assert [problem["problem"] for problem in findings.problems] == [
        "3 images are label maps by their names and colours, not photos: 'a_mask', 'b_mask', 'c_mask'; move them to a "
        "folder that is in no split"
    ]


def test_photos_named_for_masks_are_photos(init, tmp_path):
    write_photos(tmp_path / "data", ["a", "b_mask"])
    rules.WRITERS["csv"](tmp_path / "data", {"a": rules.GOOD["a"], "b_mask": rules.GOOD["b"]})
    assert not init()[2].problems


def test_photos_in_a_folder_of_annotations_are_photos(init, tmp_path):
    write_photos(tmp_path / "data" / "annotations")
    rules.WRITERS["labelme"](tmp_path / "data" / "annotations", rules.GOOD)
    config, _, findings = init()
    assert config["dataset"]["train_split"] == "annotations" and findings.images["train"] == 3 and not findings.problems


LARGE = (1200, 1600)

PHOTOS = {
    "tags of whole images": (LARGE, "image,sky,sea\na.jpg,1,1\nb.jpg,1,0\nc.jpg,0,1\n", 0.18, 0.4),
    "usual boxes": (LARGE, "image,class,x0,y0,x1,y1\na.jpg,bus,0,0,300,300\n", 0.4, 0.4),
    "boxes as large as the photo": (LARGE, "image,class,x0,y0,x1,y1\na.jpg,bus,0,0,1600,1200\n", 0.2, 0.4),
    "small boxes": (LARGE, "image,class,x0,y0,x1,y1\na.jpg,bus,0,0,40,40\n", 0.8, 0.8),
    "small photos": ((100, 200), "image,class,x0,y0,x1,y1\na.jpg,bus,0,0,40,40\n", 1.0, 1.0),
}


@pytest.mark.parametrize("case", PHOTOS)
def test_images_are_trained_on_at_a_size_that_suits(case, init, tmp_path):
    size, text, classifier_scale, segmenter_scale = PHOTOS[case]
    write_photos(tmp_path / "data", size=size)
    (tmp_path / "data" / "labels.csv").write_text(text)
    config, _, findings = init()
    assert not findings.problems
    scales = [config.get(section, {}).get("scale", 1.0) for section in ("classifier", "segmenter")]
    assert scales == [pytest.approx(value, rel=0.1) for value in (classifier_scale, segmenter_scale)]
    assert ("augmentation" in config) == (size[0] > 128)


def test_a_scale_at_which_tags_are_never_learned_is_a_problem(init, tmp_path):
    write_photos(tmp_path / "data", size=(480, 640))
    (tmp_path / "data" / "tags.csv").write_text("image,sky,sea\na.jpg,1,1\nb.jpg,1,0\nc.jpg,0,1\n")
    config, _, _ = init()
    for section in ("augmentation", "classifier"):
        del config[section]
    problems = check_dataset(parse_run_config(config), tmp_path / "data").problems
    assert "can't learn 'sea', 'sky'" in problems[0]["problem"]
