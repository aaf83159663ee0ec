"""The stage `check`: one pass, every problem, a table."""

from __future__ import annotations

import importlib.metadata
import json

import cv2
import numpy as np
import pytest
import yaml
from official_trees import make_coco2017
from PIL import Image
from weak_label_testing import make_weak_labels

from pseudogt.checking.dataset import DEMO_CLASSES
from pseudogt.classes import ClassTable
from pseudogt.config.dataset import REPOSITORY
from pseudogt.files.images import write_png
from pseudogt.files.io import read_json, write_json
from pseudogt.files.scores import write_scores
from pseudogt.stages import check
from pseudogt.weak_labels.files import write_weak_labels

THINGS_AND_REST = {"nucleus": "thing", "rest": "stuff"}


@pytest.fixture
def run(tmp_path, capsys):
    """Check a folder; returns the report, the error and what was printed."""

    def run(root, dataset, *options, **config):
        document = {"name": "checked", "data_root": str(root), "dataset": dataset, **config}
        report = tmp_path / "report" / "check.json"
        arguments = ["--data-root", str(root), "--out", str(report), "--settings", json.dumps(document), *options]
        error = None
        try:
            check.main(arguments)
        except ValueError as caught:
            error = str(caught)
        return read_json(report), error, capsys.readouterr().out

    return run


@pytest.fixture
def section(folder_settings):
    return folder_settings.model_dump(mode="json")


@pytest.fixture
def photos(tmp_path):
    """Three images with YOLO labels: two nuclei, none, no label file."""
    root = tmp_path / "photos"
    rng = np.random.default_rng(0)
    for name in ("a", "b b", "ü"):
        write_png(root / "images" / f"{name}.png", rng.integers(0, 255, (20, 30, 3), np.uint8))
    (root / "labels").mkdir()
    (root / "labels" / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n0 0.2 0.2 0.1 0.1\n")
    (root / "labels" / "b b.txt").write_text("")
    (root / "data.yaml").write_text("names: [nucleus]\n")
    return root


IMAGES = {"format": "images", "train_split": "images", "val_split": None, "classes": THINGS_AND_REST}
YOLO = {"format": "yolo", "path": "labels", "background": "outside_boxes"}


def test_a_sound_dataset(run, folder_dataset, section):
    report, error, printed = run(folder_dataset, section, "--threads", "2", decode=True)
    assert error is None and report["problems"] == [] and report["images"] == {"train": 2, "val": 1}
    rows = {row["name"]: (row["images"], row["boxes"]) for row in report["classes"]}
    assert rows == {"sky": (3, 0), "road": (3, 0), "car": (3, 6)}
    assert "train" in printed and "car" in printed and "A whole run takes about" in printed and "GB" in printed


def test_derived_tags_that_the_classifier_can_not_learn_are_a_problem(run, folder_dataset, section):
    changed = {"weak_labels": {"tags": "image"}, "classifier": {"scale": 2, "crop_height_px": 32, "crop_width_px": 32}}
    assert "can't learn 'sky', 'road'" in run(folder_dataset, section, decode=True, **changed)[2]
    assert run(folder_dataset, section, decode=True, weak_labels=changed["weak_labels"])[1] is None


def test_every_problem_is_listed(run, folder_dataset, section):
    (folder_dataset / "images" / "a.png").unlink()
    write_png(folder_dataset / "semantic" / "b.png", np.zeros((10, 30), np.uint8))
    (folder_dataset / "instances" / "c.png").unlink()
    report, error, printed = run(folder_dataset, section)
    assert [p["image_id"] for p in report["problems"]] == ["a", "b", "c"]
    assert error.startswith("3 problems")
    assert "is 30x10, its image 30x20" in printed


def test_pixels_are_read_only_if_asked_for(run, folder_dataset, section):
    write_png(folder_dataset / "semantic" / "b.png", np.full((20, 30), 77, np.uint8))
    image = folder_dataset / "images" / "c.png"
    image.write_bytes(image.read_bytes()[:-40])
    assert run(folder_dataset, section)[1] is None
    report, error, _ = run(folder_dataset, section, decode=True)
    assert error.startswith("2 problems")
    assert [p["image_id"] for p in report["problems"]] == ["b", "c"]


def test_a_broken_list(run, folder_dataset, section):
    (folder_dataset / "val.txt").unlink()
    assert "val.txt" in run(folder_dataset, section)[0]["problems"][0]["problem"]


def test_a_list_in_another_encoding_or_with_paths(run, folder_dataset, section):
    (folder_dataset / "val.txt").write_bytes("ä\n".encode("latin-1"))
    assert "save the file as UTF-8" in run(folder_dataset, section)[0]["problems"][0]["problem"]
    for escape in ("../../secret", "..\\secret", ".hidden"):
        (folder_dataset / "val.txt").write_text(f"{escape}\n")
        assert "is not an image id" in run(folder_dataset, section)[0]["problems"][0]["problem"]


def test_files_that_are_no_images(run, folder_dataset, section):
    (folder_dataset / "images" / "a.png").write_bytes(b"")
    (folder_dataset / "instances" / "b.png").write_text("no image")
    problems = [p["problem"] for p in run(folder_dataset, section)[0]["problems"]]
    assert len(problems) == 2 and all("can't be read as an image" in p for p in problems)


def test_labels_as_jpeg_turned_or_named_otherwise(run, folder_dataset, section):
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(folder_dataset / "semantic" / "a.png", "JPEG")
    write_png(folder_dataset / "semantic" / "b.png", np.zeros((30, 20), np.uint8))
    (folder_dataset / "instances" / "c.png").rename(folder_dataset / "instances" / "c.PNG")
    problems = [p["problem"] for p in run(folder_dataset, section)[0]["problems"]]
    assert "a.png: is a JPEG, which changes values" in problems[0]
    assert "b.png: is 20x30, its upright image 30x20; turn it" in problems[1]
    assert "its instances file is missing" in problems[2] and "no such file; there is 'c.PNG')" in problems[2]


def test_a_link_that_leads_nowhere(run, photos):
    (photos / "images" / "gone.png").symlink_to(photos / "elsewhere.png")
    (problem,) = run(photos, IMAGES, annotations=YOLO)[0]["problems"]
    assert problem["image_id"] == "gone" and "elsewhere.png, which is not there" in problem["problem"]


@pytest.mark.parametrize(("dtype", "kind"), [(np.float32, "float"), (np.int32, "integer, of 32 bits or with a sign")])
def test_other_numbers_are_refused_by_their_header(run, photos, dtype, kind):
    Image.fromarray(np.zeros((20, 30), dtype)).save(photos / "images" / "f.tif")
    (problem,) = run(photos, IMAGES, annotations=YOLO)[0]["problems"]
    assert problem["image_id"] == "f" and f"has pixels of type {kind}; convert it to 8 bits" in problem["problem"]


@pytest.mark.parametrize(("suffix", "shape"), [(".png", (20, 30, 3)), (".tif", (20, 30, 3)), (".pgm", (20, 30))])
def test_images_of_16_bits_are_named_in_any_format(run, photos, suffix, shape):
    """Pillow calls colours of 16 bits RGB, and grey ones in PGM I."""
    cv2.imwrite(str(photos / "images" / f"f{suffix}"), np.full(shape, 4000, np.uint16))
    report, error, _ = run(photos, IMAGES, annotations=YOLO)
    assert error is None and any(f"f{suffix}: has 16-bit pixels" in warning for warning in report["warnings"])


def test_masks_that_can_not_be_read_are_problems_of_the_check(run, photos):
    """Without this, only the stage that draws them would stop."""
    box = {"category_id": 1, "bbox": [5, 5, 10, 10], "iscrowd": 0}
    runs = {"size": [20, 30], "counts": [0, 5]}
    square = [[5, 5, 15, 5, 15, 15, 5, 15]]
    document = {
        "images": [{"id": i, "file_name": f"{name}.png"} for i, name in enumerate(("a", "b b"))],
        "categories": [{"id": 1, "name": "nucleus"}],
        "annotations": [
            {"id": 1, "image_id": 0, "segmentation": runs, **box},
            {"id": 2, "image_id": 1, "segmentation": square, **box},
            {
                "id": 3,
                "image_id": 1,
                "segmentation": [[value / 2 for value in square[0]]],
                **box,
                "bbox": [4, 5, 11, 9],
            },
        ],
    }
    (photos / "coco.json").write_text(json.dumps(document))
    annotations = {"format": "coco", "path": "coco.json", "background": "outside_boxes"}
    report, _, _ = run(photos, IMAGES, annotations=annotations, full_labels={"polygons": True})
    (problem,) = report["problems"]
    assert "image 'a': mask 1 (nucleus): run lengths do not fill a mask of 30x20" in problem["problem"]
    assert any("1 polygons lie elsewhere than the boxes" in w and "'b b': mask 2" in w for w in report["warnings"])
    report, _, _ = run(photos, IMAGES, annotations=annotations | {"bad_boxes": "skip"}, full_labels={"polygons": True})
    assert not report["problems"] and any("1 masks can't be read" in w for w in report["warnings"])


def test_a_picture_in_place_of_a_map(run, folder_dataset, section):
    """Masks must be grey or palette images; a palette image is read as its indices."""
    write_png(folder_dataset / "semantic" / "b.png", np.zeros((20, 30, 3), np.uint8))
    with Image.open(folder_dataset / "semantic" / "a.png") as grey:
        palette = grey.convert("P")
        palette.putdata(list(grey.get_flattened_data()))
    palette.save(folder_dataset / "semantic" / "a.png")
    report, _, _ = run(folder_dataset, section, decode=True)
    assert [p["image_id"] for p in report["problems"]] == ["b"]
    assert "has RGB pixels, a picture in place of a map" in report["problems"][0]["problem"]


def test_headers_alone_show_that_a_panoptic_json_is_cut_or_missing(run, tmp_path):
    path = make_coco2017(tmp_path) / "annotations" / "panoptic_val2017.json"
    coco = yaml.safe_load((REPOSITORY / "configs/coco2017.yaml").read_text())["dataset"]
    path.write_text(path.read_text()[:50])
    (problem,) = run(tmp_path, coco)[0]["problems"]
    assert "panoptic_val2017.json: Invalid JSON" in problem["problem"]
    path.unlink()
    (problem,) = run(tmp_path, coco)[0]["problems"]
    assert "its segments file is missing" in problem["problem"]


def test_things_without_instances(run, folder_dataset, section):
    """Each would be a group, which gives no box."""
    for name in ("a", "b", "c"):
        write_png(folder_dataset / "instances" / f"{name}.png", np.zeros((20, 30), np.uint16))
    report, error, _ = run(folder_dataset, section, decode=True)
    assert error is None and any("no pixel of it has an instance number" in w for w in report["warnings"])


def test_results_of_another_run_that_are_not_there(run, folder_dataset, section, tmp_path):
    provided = {"cams": str(tmp_path / "no.h5"), "box_masks": str(tmp_path)}
    (problem,) = run(folder_dataset, section, provided=provided)[0]["problems"]
    assert "provided.cams: " in problem["problem"] and "no.h5: no such file; correct it" in problem["problem"]
    with write_scores(tmp_path / "other.h5", ClassTable(("dune",), (1,), (False,), ((0, 0, 0),))):
        provided = {"cams": str(tmp_path / "other.h5")}
    (problem,) = run(folder_dataset, section, provided=provided)[0]["problems"]
    assert "train id 0 is dune in it" in problem["problem"]


def test_classes_of_the_demo_are_no_default_of_a_dataset(run, folder_dataset, section):
    report, _, _ = run(folder_dataset, section | {"classes": DEMO_CLASSES, "void_values": []})
    assert any("dataset.classes is configs/classes/streets.csv, the table of the demo" in w for w in report["warnings"])


def test_label_files_of_16_bits(run, folder_dataset, section):
    """Where 8 bits would do; values must be in the table all the same."""
    values = np.zeros((20, 30), np.uint16)
    write_png(folder_dataset / "semantic" / "b.png", values)
    write_png(folder_dataset / "instances" / "b.png", values)
    assert run(folder_dataset, section, decode=True)[1] is None
    values[3, 3] = 4096
    write_png(folder_dataset / "semantic" / "b.png", values)
    assert "values [4096]" in run(folder_dataset, section, decode=True)[0]["problems"][0]["problem"]


def test_turned_and_unusual_images(run, folder_dataset, section):
    turned = Image.new("RGB", (20, 30))
    exif = turned.getexif()
    exif[0x0112] = 6
    (folder_dataset / "images" / "a.png").unlink()
    turned.save(folder_dataset / "images" / "a.jpg", exif=exif)
    (folder_dataset / "images" / "b.png").unlink()
    Image.new("CMYK", (30, 20)).save(folder_dataset / "images" / "b.jpg")
    Image.new("RGBA", (30, 20)).save(folder_dataset / "images" / "c.png")
    report, error, _ = run(folder_dataset, section, decode=True)
    assert error is None
    assert "a.jpg: is stored turned (EXIF orientation 6) and read upright" in report["warnings"][0]
    assert "b.jpg: has CMYK pixels" in report["warnings"][1]


def test_equal_files(run, folder_dataset, section):
    copy = (folder_dataset / "images" / "a.png").read_bytes()
    (folder_dataset / "images" / "c.png").write_bytes(copy)
    (warning,) = [w for w in run(folder_dataset, section)[0]["warnings"] if "different files" in w]
    assert "2 images are 1 different files ('a' (train) = 'c' (val)); keep one of each. 1 of these files" in warning
    (folder_dataset / "images" / "b.png").write_bytes(copy)
    (warning,) = [w for w in run(folder_dataset, section)[0]["warnings"] if "different files" in w]
    assert "3 images are 1 different files" in warning


def test_annotations_are_counted(run, photos):
    report, error, printed = run(photos, IMAGES, annotations=YOLO)
    assert error is None
    assert report["classes"] == [
        {"name": "nucleus", "isthing": True, "images": 1, "unknown": 1, "boxes": 2},
        {"name": "rest", "isthing": False, "images": 2, "unknown": 1, "boxes": 0},
    ]
    assert "1 images have no annotations and train nothing: 'ü'" in printed


def test_marks_are_counted_by_kind(run, photos):
    (photos / "marks.csv").write_text(
        "image,class,x,y,points\na.png,nucleus,5,5,\na.png,rest,20,5,\na.png,nucleus,,,3 15;9 15\n"
    )
    report, error, printed = run(photos, IMAGES, annotations={"format": "csv", "path": "marks.csv", "points": "weak"})
    assert error is None
    assert report["classes"] == [
        {"name": "nucleus", "isthing": True, "images": 1, "unknown": 2, "boxes": 0, "points": 1, "scribbles": 1},
        {"name": "rest", "isthing": False, "images": 1, "unknown": 2, "boxes": 0, "points": 1, "scribbles": 0},
    ]
    assert "boxes     points  scribbles" in printed


def test_a_changed_setting_that_nothing_reads_is_a_warning(run, photos):
    _, error, printed = run(photos, IMAGES, annotations=YOLO, segmenter={"full_share": 0.5})
    assert error is None
    assert "warning: nothing reads segmenter.full_share: no image has a full label" in printed


def test_problems_of_annotations_and_of_images_stand_together(run, photos):
    (photos / "images" / "b b.png").write_bytes(b"no image")
    (photos / "labels" / "a.txt").write_text("0 0.5 0.5 0 0.2\n3 0.2 0.2 0.1 0.1\n0 0.5 0.5\n0 1.5 0.5 0.2 0.2\n")
    problems = [p["problem"] for p in run(photos, IMAGES, annotations=YOLO)[0]["problems"]]
    for words in ("b b.png: can't be read", "class 3 has no name", "a.txt: line 3: 3 values", "no area in the 30x20"):
        assert any(words in problem for problem in problems), words


def test_a_missing_annotation_file_is_a_problem(run, photos):
    report, error, _ = run(photos, IMAGES, annotations={"format": "coco", "path": "none.json"})
    assert error.startswith("1 problem in") and "none.json: no such file" in report["problems"][0]["problem"]
    assert report["images"] == {"train": 3, "val": 0}


def test_classes_without_signal(run, photos):
    """Boxes alone say nothing of stuff; a class that is everywhere has no place."""
    warnings = run(photos, IMAGES, annotations=YOLO | {"background": None})[0]["warnings"]
    assert any("class 'rest' occurs in no image" in w and "background: outside_boxes" in w for w in warnings)
    (photos / "tags.csv").write_text('image,nucleus,rest\na,1,1\n"b b",0,1\nü,0,1\n')
    tags_alone = {
        "method": "jtsm",
        "weak_labels": {"boxes": False, "tags": "image"},
        "annotations": {"tags": "tags.csv"},
    }
    warnings = run(photos, IMAGES, **tags_alone)[0]["warnings"]
    assert any("class 'rest' is tagged in every image, so its tags don't say where" in w for w in warnings)


def test_provided_weak_labels_are_counted(run, photos):
    classes = ClassTable(("nucleus", "rest"), (1, 2), (True, False), ((0, 0, 0),) * 2)
    weak = make_weak_labels((20, 30), (True, False), boxes=[[1, 2, 3, 4]])
    others = [make_weak_labels((20, 30), (False, True), image_id=image_id) for image_id in ("b b", "ü")]
    write_weak_labels(photos / "weak.json", [weak, *others], classes)
    report, _, _ = run(photos, IMAGES, provided={"weak_labels": str(photos / "weak.json")})
    assert report["classes"][0]["boxes"] == 1
    assert sum("no image in val" in warning for warning in report["warnings"]) == 1
    document = read_json(photos / "weak.json")
    document["annotations"] += [{"image_id": "a", "category_id": 1}, "x"]
    write_json(photos / "weak.json", document)
    report, error, _ = run(photos, IMAGES, provided={"weak_labels": str(photos / "weak.json")})
    assert error and [p["problem"].split("annotation ")[1][:9] for p in report["problems"]] == [
        "number 1:",
        "number 2 ",
    ]
    assert all("set provided.bad_boxes: skip" in p["problem"] for p in report["problems"])
    given = {"weak_labels": str(photos / "weak.json"), "bad_boxes": "skip"}
    report, error, _ = run(photos, IMAGES, provided=given)
    assert not error and report["classes"][0]["boxes"] == 1
    assert any("2 records are left out" in warning for warning in report["warnings"])
    write_weak_labels(photos / "weak.json", [make_weak_labels((20, 30), (True, False)), *others], classes)
    for method, count in (("wsps", 1), ("jtsm", 0)):
        given = {"method": method, "weak_labels": {"boxes": method == "wsps"}}
        report, _, _ = run(photos, IMAGES, **given, provided={"weak_labels": str(photos / "weak.json")})
        assert sum("neither boxes nor points" in p["problem"] for p in report["problems"]) == count
    write_json(photos / "weak.json", [])
    report, error, _ = run(photos, IMAGES, provided={"weak_labels": str(photos / "weak.json")})
    assert error and "weak.json" in report["problems"][0]["problem"]


@pytest.mark.parametrize(
    ("names", "size", "ids", "message"),
    [
        (("nucleus", "rest", "more"), (20, 30), ["a", "b b", "ü"], "weak.json: its categories differ from"),
        (("rest", "nucleus"), (20, 30), ["a", "b b", "ü"], "weak.json: its categories differ from"),
        (("nucleus", "rest"), (20, 31), ["a", "b b", "ü"], "a.png is 30x20, but its entry in"),
        (("nucleus", "rest"), (20, 30), ["a", "b b"], "weak.json: image 'ü' and 0 more of the dataset are not in it"),
    ],
)
def test_provided_weak_labels_of_another_dataset(run, photos, names, size, ids, message):
    count = len(names)
    classes = ClassTable(names, tuple(range(1, count + 1)), (True, *(False,) * (count - 1)), ((0, 0, 0),) * count)
    weak = [make_weak_labels(size, (True,) * count, image_id=image_id) for image_id in ids]
    write_weak_labels(photos / "weak.json", weak, classes)
    report, _, _ = run(photos, IMAGES, provided={"weak_labels": str(photos / "weak.json")})
    assert message in report["problems"][0]["problem"]


def test_settings_are_those_of_a_run(photos):
    with pytest.raises(ValueError, match="unknown key"):
        check.main(["--data-root", str(photos), "--out", "x", "--settings", '{"nme": 1}'])


def test_a_model_that_does_not_segment_boxes_is_a_problem(run, photos):
    pytest.importorskip("transformers")
    (photos / "model").mkdir()
    write_json(photos / "model" / "config.json", {"model_type": "clip"})
    box_masks = {"segmenters": ["network", "sam"], "sam_model": str(photos / "model")}
    report, error, _ = run(photos, IMAGES, annotations=YOLO, box_masks=box_masks)
    assert error.startswith("1 problem in")
    assert report["problems"][0]["problem"].startswith(f"box_masks.sam_model: {photos / 'model'}: ")
    assert "model_type 'clip'; the segmenter sam works with sam, sam_hq" in report["problems"][0]["problem"]
    given = {"box_masks": str(photos)}
    assert run(photos, IMAGES, annotations=YOLO, box_masks=box_masks, provided=given)[1] is None


def test_missing_files_of_mining_are_problems(run, photos):
    mining = {"init": "weights", "backbone": "resnet_ws18", "weights": "missing.pkl"}
    config = {"method": "jtsm", "mining": mining, "proposals": {"source": "mcg", "folder": ["missing", str(photos)]}}
    report, _, _ = run(photos, IMAGES, annotations=YOLO | {"boxes": False}, weak_labels={"boxes": False}, **config)
    assert [problem["problem"].partition(";")[0] for problem in report["problems"]] == [
        "proposals.folder: missing: no such folder",
        "mining.weights: missing.pkl: no such file",
    ]


def test_a_network_without_its_library_is_a_problem(run, photos, monkeypatch):
    def find_nothing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", find_nothing)
    report, error, _ = run(photos, IMAGES, annotations=YOLO, segmenter={"network": "mask_transformer"})
    assert error.startswith("1 problem")
    assert report["problems"][0]["problem"].startswith(
        "segmenter.network: mask_transformer needs transformers 5 or later"
    )


def test_unknown_networks_are_problems_that_name_their_section(run, photos):
    classifier = {"backbone": "timm/resnet5o"}
    segmenter = {"backbone": "timm/test_resnet", "weights": "a1_in1k"}
    report, error, _ = run(photos, IMAGES, annotations=YOLO, classifier=classifier, segmenter=segmenter)
    problems = sorted(problem["problem"] for problem in report["problems"])
    assert problems[0].startswith("classifier.backbone: timm knows no network 'resnet5o'; did you mean resnet50")
    assert problems[1].startswith("segmenter.backbone: weights 'a1_in1k'") and "r160_in1k" in problems[1]
    assert error.startswith("2 problems")
