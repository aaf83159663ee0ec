"""Exports: out and in again gives the same pixels, the tools' own readers open them, the manifest holds."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote

import cv2
import numpy as np
import pytest
import yaml
from cityscapesscripts.evaluation.instances2dict import instances2dict
from PIL import Image
from pycocotools.coco import COCO
from torchvision.datasets import Cityscapes, CocoDetection, VOCSegmentation
from weak_label_testing import make_point, make_weak_labels

from pseudogt.annotations import read_annotations
from pseudogt.boxes import find_tight_box
from pseudogt.classes import INSTANCE_DIVISOR, ClassTable, find_crowds, panoptic_to_semantic
from pseudogt.config.annotations import AnnotationsSettings
from pseudogt.config.export import WITH_SHAPES, ExportSettings
from pseudogt.config.run import parse_run_config
from pseudogt.export import FORMATS
from pseudogt.export.opening import open_labels
from pseudogt.files.headers import ORIENTATION
from pseudogt.files.images import read_png, write_png
from pseudogt.files.index import ImageRecord, write_shard
from pseudogt.files.io import read_json, write_json
from pseudogt.files.labels import write_labels
from pseudogt.stages.export import main
from pseudogt.weak_labels.files import write_weak_labels
from pseudogt.weak_labels.marks import NO_OBJECT

CLASSES = ClassTable(
    ("road", "sky", "person", "car & <van>"),
    (7, 23, 24, 26),
    (False, False, True, True),
    ((128, 64, 128), (70, 130, 180), (220, 20, 60), (0, 0, 142)),
)
IMAGE_IDS = {"train-0000": ["aachen_000000_000019", "bochum_000001_000020"], "train-0001": ["ulm_000002_000021"]}
ALL_IDS = [image_id for image_ids in IMAGE_IDS.values() for image_id in image_ids]
HEIGHT, WIDTH = 70, 90
EXACT = ("coco_panoptic", "cityscapes")


def make_label(seed: int) -> np.ndarray:
    """Stuff with holes, void, things of several parts with holes, of one pixel, and a crowd."""
    rng = np.random.default_rng(seed)
    label = np.where(rng.random((HEIGHT, WIDTH)) < 0.02, 0, 7000).astype(np.int32)
    label[: rng.integers(15, 30)] = 23000
    for k in range(1, 9):
        x, y = rng.integers(5, WIDTH - 5), rng.integers(20, HEIGHT - 5)
        category = 24 if k % 2 else 26
        cv2.ellipse(label, (int(x), int(y)), (12, 7), int(rng.integers(180)), 0, 360, category * 1000 + k, cv2.FILLED)
    label[rng.random(label.shape) < 0.002] = 26002
    label[3, 4] = 24009
    label[60:, 60:] = 24000
    label[62:64, 62:64] = 0
    return label


def label_of(image_id: str) -> np.ndarray:
    return make_label(int(image_id[-6:]))


@pytest.fixture
def run_folder(tmp_path):
    """Two shards of labels with confidences and their images, which are PNG files."""
    for shard, image_ids in IMAGE_IDS.items():
        records = []
        with write_labels(tmp_path / "labels" / shard, CLASSES) as writer:
            for image_id in image_ids:
                label = label_of(image_id)
                scores = {i: 0.5 + i % 7 / 20 for i in np.unique(label[label > 0]).tolist()}
                writer.add(image_id, label, crowd_ids=find_crowds(label, CLASSES), scores=scores)
                path = tmp_path / "images" / f"{image_id}.png"
                write_png(path, np.repeat(label[..., None] % 251, 3, 2).astype(np.uint8))
                records.append(ImageRecord(image_id, str(path), HEIGHT, WIDTH, ""))
        write_shard(tmp_path / "index" / f"{shard}.json", records, CLASSES)
    return tmp_path


def export(folder, name, *, provenance=None, weak_labels=(), **settings):
    options = ["--format", name, "--settings", json.dumps(settings)]
    shards = [folder / "index" / f"{shard}.json" for shard in IMAGE_IDS]
    parts = [folder / "parts" / name / shard for shard in IMAGE_IDS]
    for shard, part in zip(shards, parts, strict=True):
        labels = folder / "labels" / shard.stem
        main(["shard", *options, "--shard", str(shard), "--labels", str(labels), "--out", str(part)])
    merge = ["merge", *options, "--shards", *map(str, shards), "--parts", *map(str, parts)]
    merge += ["--weak-labels", *map(str, weak_labels)] if weak_labels else []
    main([*merge, "--provenance", json.dumps(provenance or {}), "--out", str(folder / "export" / name)])
    return folder / "export" / name


def find_id(labels, image_id):
    return next(i for i in labels.image_ids if image_id in i)


def accept_predictions(path):
    """What Label Studio does when a person takes over a pre-annotation and submits it."""
    tasks = read_json(path)
    for task in tasks:
        task["annotations"] = [{"result": p["result"]} for p in task.pop("predictions")]
    write_json(path, tasks)


def things_only(label):
    return np.where(np.isin(label // INSTANCE_DIVISOR, (24, 26)), label, 0)


def canonical(label):
    """Instances of each class numbered in the order of their ids; a crowd of things counts as an instance."""
    ids = np.unique(label)
    return {(int(i) // INSTANCE_DIVISOR, (label == i).tobytes()) for i in ids if i}


@pytest.mark.parametrize("name", list(FORMATS.names))
def test_out_and_in_again_gives_the_same_pixels(run_folder, name):
    folder = export(run_folder, name, images=name == "yolo")
    if name == "label_studio":
        accept_predictions(folder / "tasks.json")
    labels = FORMATS.load(name).read_set(folder, CLASSES)
    assert len(labels.image_ids) == 3
    for image_id in ALL_IDS:
        before, after = label_of(image_id), labels.read(find_id(labels, image_id))
        if name in EXACT:
            np.testing.assert_array_equal(after, before)
        elif name == "semantic":
            np.testing.assert_array_equal(after, before // INSTANCE_DIVISOR * INSTANCE_DIVISOR)
        elif name == "coco_instances":
            assert canonical(after) == canonical(things_only(before))
            assert (after == 24000).sum() == (before == 24000).sum()
        elif name == "yolo":
            expected = np.where(before == 24000, 0, things_only(before))
            wrong = (after // INSTANCE_DIVISOR != expected // INSTANCE_DIVISOR).sum()
            print(f"yolo: {wrong} of {np.count_nonzero(expected)} thing pixels wrong")
            assert 0 < wrong < 0.08 * np.count_nonzero(expected)
        else:
            assert canonical(after) == canonical(before)


def test_polygons_lose_nothing_of_masks_in_one_piece():
    from pseudogt.export.polygons import fill_polygon, trace_polygon

    for seed in range(30):
        for i in np.unique(make_label(seed)):
            mask = (make_label(seed) == i).astype(np.uint8)
            count, parts = cv2.connectedComponents(mask, connectivity=8)
            for part in range(1, count):
                one = parts == part
                again = fill_polygon(trace_polygon(one), one.shape)
                assert (again != one).sum() <= (again & ~one).sum()
                assert (again != one).sum() < 0.02 * one.sum() + 1


def test_pycocotools_reads_instances(run_folder):
    coco = COCO(str(export(run_folder, "coco_instances") / "instances.json"))
    for image in coco.imgs.values():
        label = label_of(image["file_name"].removesuffix(".png"))
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
        assert len(annotations) == len(np.unique(things_only(label))) - 1
        for a in annotations:
            mask = coco.annToMask(a).astype(bool)
            found = np.unique(label[mask])
            assert len(found) == 1 and found[0] // INSTANCE_DIVISOR == a["category_id"]
            assert mask.sum() == a["area"] == (label == found[0]).sum()
            assert a["iscrowd"] == (found[0] % INSTANCE_DIVISOR == 0)
            y, x = np.nonzero(mask)
            assert a["bbox"] == [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]


def test_torchvision_reads_coco(run_folder):
    folder = export(run_folder, "coco_instances", images=True)
    dataset = CocoDetection(str(folder / "images"), str(folder / "instances.json"))
    assert len(dataset) == 3
    image, target = dataset[0]
    assert image.size == (WIDTH, HEIGHT) and len(target) == len(np.unique(things_only(label_of("_000019")))) - 1


def test_torchvision_reads_voc(run_folder):
    folder = export(run_folder, "voc", images=True)
    dataset = VOCSegmentation(str(folder), year="2012", image_set="train")
    assert len(dataset) == 3
    for i, image_id in enumerate(ALL_IDS):
        image, target = dataset[i]
        assert image.size == target.size == (WIDTH, HEIGHT) and image.mode == "RGB"
        label = label_of(image_id)
        expected = np.array([1, 2, 3, 4] + [255] * 252, np.uint8)[panoptic_to_semantic(label, CLASSES)]
        np.testing.assert_array_equal(np.array(target), expected)


def test_torchvision_and_cityscapes_scripts_read_cityscapes(run_folder):
    folder = export(run_folder, "cityscapes", images=True)
    dataset = Cityscapes(str(folder), split="train", target_type=["instance", "semantic"])
    assert len(dataset) == 3
    for i in range(3):
        _, (instance, semantic) = dataset[i]
        label = label_of(dataset.images[i].split("_leftImg8bit.png")[0])
        np.testing.assert_array_equal(np.array(semantic), label // INSTANCE_DIVISOR)
        np.testing.assert_array_equal(np.array(instance) >= INSTANCE_DIVISOR, label % INSTANCE_DIVISOR > 0)
    path = folder / "gtFine" / "train" / "aachen" / "aachen_000000_000019_gtFine_instanceIds.png"
    found = next(iter(instances2dict([str(path)], verbose=False).values()))
    label = label_of("aachen_000000_000019")
    for name, category in (("road", 7), ("sky", 23), ("person", 24), ("car", 26)):
        expected = {int(i): int((label == i).sum()) for i in np.unique(label) if i // INSTANCE_DIVISOR == category}
        ids = {i if i % INSTANCE_DIVISOR else category: n for i, n in expected.items()}
        assert {instance["instID"]: instance["pixelCount"] for instance in found[name]} == ids
    train_ids = read_png(path.with_name("aachen_000000_000019_gtFine_labelTrainIds.png"))
    np.testing.assert_array_equal(train_ids, panoptic_to_semantic(label, CLASSES))


def test_semantic_classes_are_a_class_table_of_this_workflow(run_folder):
    from pseudogt.config.dataset import DatasetSettings

    folder = export(run_folder, "semantic")
    settings = DatasetSettings.model_validate({"format": "folder", "classes": str(folder / "classes.csv")})
    assert [(c.name, c.id, c.source_id) for c in settings.classes] == [
        (name, category_id, i)
        for i, (name, category_id) in enumerate(zip(CLASSES.names, CLASSES.category_ids, strict=True))
    ]


def test_manifest_counts_the_marks_of_the_weak_labels(run_folder):
    assert "marks" not in read_json(export(run_folder, "semantic") / "manifest.json")
    marks = [make_point(0, NO_OBJECT, 2, 2, 1), make_point(0, NO_OBJECT, 9, 9, 1)]
    weak = make_weak_labels((20, 20), np.zeros(len(CLASSES)), marks=marks)
    write_weak_labels(run_folder / "weak.json", [weak], CLASSES)
    exported = export(run_folder, "semantic", weak_labels=[run_folder / "weak.json"])
    assert read_json(exported / "manifest.json")["marks"] == {"points": 2}


def test_manifest_says_where_labels_come_from_and_what_is_in_them(run_folder):
    facts = {"run": "x", "weak_labels": {"source": "boxes.json", "ground_truth_used": False}}
    manifest = read_json(export(run_folder, "coco_panoptic", provenance=facts) / "manifest.json")
    labels = [label_of(i) for i in ALL_IDS]
    assert {key: manifest[key] for key in facts} == facts
    assert manifest["images"] == 3 and manifest["format"] == "coco_panoptic"
    assert manifest["coverage"] == pytest.approx(np.mean([label > 0 for label in labels]))
    cars = manifest["classes"]["car & <van>"]
    ids = [np.unique(label[label // INSTANCE_DIVISOR == 26]) for label in labels]
    assert cars == {
        "images": 3,
        "segments": sum(map(len, ids)),
        "pixels": sum(int((label // INSTANCE_DIVISOR == 26).sum()) for label in labels),
    }
    confidence = np.concatenate([0.5 + label[label > 0] % 7 / 20 for label in labels])
    assert manifest["mean_confidence"] == pytest.approx(confidence.mean())
    assert len(manifest["files"]) == 4


def test_verify_names_each_file_that_differs_is_missing_or_extra(run_folder, capsys):
    folder = export(run_folder, "cityscapes")
    main(["verify", str(folder)])
    assert "all as exported" in capsys.readouterr().out
    first, second, *_ = sorted((folder / "gtFine").rglob("*.png"))
    first.write_bytes(first.read_bytes()[:-1] + b"x")
    second.unlink()
    (folder / "gtFine" / "new.png").write_bytes(b"")
    with pytest.raises(SystemExit) as stopped:
        main(["verify", str(folder)])
    assert stopped.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"differs: {first.relative_to(folder)}",
        f"missing: {second.relative_to(folder)}",
        "extra: gtFine/new.png",
    ]


@pytest.mark.parametrize("document", ["[]", '{"files": 3}', '{"files": {"../x": "0"}}', '{"files": {"/x": "0"}}', "{"])
def test_broken_manifests_are_named(tmp_path, document):
    (tmp_path / "manifest.json").write_text(document)
    with pytest.raises(ValueError, match=r"manifest\.json"):
        main(["verify", str(tmp_path)])


def test_only_the_listed_images(run_folder, capsys):
    (run_folder / "images.txt").write_text("ulm_000002_000021\nulm.png\n")
    folder = export(run_folder, "coco_panoptic", only=str(run_folder / "images.txt"))
    assert [p.stem for p in (folder / "panoptic").iterdir()] == ["ulm_000002_000021"]
    assert (
        "images.txt: 1 images are not exported, as the split has none of these ids: ulm.png" in capsys.readouterr().err
    )
    (run_folder / "images.txt").write_text("ulm.png\n")
    with pytest.raises(ValueError, match=r"no image to export; export\.only and the split"):
        export(run_folder, "coco_panoptic", only=str(run_folder / "images.txt"))
    with pytest.raises(ValueError, match=r"nowhere\.txt: no such list"):
        export(run_folder, "coco_panoptic", only="nowhere.txt")


@pytest.mark.parametrize("name", list(FORMATS.names))
def test_exports_are_equal_for_equal_labels(run_folder, name):
    def read(folder):
        return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    first = read(export(run_folder, name))
    assert first == read(export(run_folder, name))


def test_what_does_not_fit_is_said(run_folder):
    high = ClassTable(("a", "b"), (300, 70), (False, True), ((0, 0, 0), (1, 1, 1)))
    image = FORMATS.load("cityscapes").LabelledImage("x", "x.png", "train", np.full((4, 4), 300000, np.int32))
    with pytest.raises(ValueError, match="do not fit into 8 and 16 bits"):
        FORMATS.load("cityscapes").write_image(run_folder, image, high, None)
    many = np.arange(26001, 26256, dtype=np.int32).reshape(1, -1)
    image = FORMATS.load("voc").LabelledImage("x", "x.png", "train", many)
    with pytest.raises(ValueError, match="255 things, SegmentationObject holds 254"):
        FORMATS.load("voc").write_image(run_folder, image, CLASSES, None)


@pytest.mark.parametrize("name", FORMATS.names)
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_copies_of_turned_photos_are_upright(tmp_path, name, suffix):
    """Pixels as the workflow reads them, in files that say nothing of turning, so that any reader fits the label."""
    stored = np.zeros((20, 30, 3), np.uint8)
    stored[:, 20:] = 255
    image = Image.fromarray(stored)
    exif = image.getexif()
    exif[ORIENTATION] = 6
    photos = {}
    for camera in ("cam1", "cam2"):
        photos[f"{camera}__a"] = tmp_path / camera / f"a{suffix}"
        photos[f"{camera}__a"].parent.mkdir()
        image.save(photos[f"{camera}__a"], exif=exif)
    label = np.full((30, 20), 7000, np.int32)
    label[20:] = 24001
    records = [ImageRecord(image_id, str(path), 30, 20, "", 6) for image_id, path in photos.items()]
    write_shard(tmp_path / "train-0000.json", records, CLASSES)
    with write_labels(tmp_path / "labels", CLASSES) as writer:
        for image_id in photos:
            writer.add(image_id, label)
    files = ["--shard", str(tmp_path / "train-0000.json"), "--labels", str(tmp_path / "labels")]
    place = ["--out", str(tmp_path / "part"), "--settings", '{"images": true}']
    main(["shard", "--format", name, *files, *place])
    written = FORMATS.load(name).place_image
    for image_id in photos:
        path = tmp_path / "part" / "files" / written(image_id, "train", f"{image_id}{suffix}")
        with Image.open(path) as copy:
            assert copy.size == (20, 30) and copy.getexif().get(ORIENTATION, 1) == 1
            pixels = np.asarray(copy.convert("RGB"))
        assert pixels[22:].mean() > 240 and pixels[:18].mean() < 15


def read_boxes(folder, name):
    """What this workflow reads as annotations of the set: (class, corners) of each object, by the image's name."""
    path = {"coco_instances": "instances.json", "cvat": "annotations.xml", "label_studio": "tasks.json"}.get(name)
    if name == "label_studio":
        accept_predictions(folder / "tasks.json")
    settings = AnnotationsSettings(format=name.removesuffix("_instances"), path=path or "labels/train")
    reading = read_annotations(settings, folder, {i: str(folder / f"{i}.png") for i in ALL_IDS})
    assert not reading.list_faults()
    found = {}
    for image in reading.images:
        scale = (WIDTH, HEIGHT) * 2 if image.relative else (1, 1, 1, 1)
        boxes = {(b.label, *np.multiply(b.xyxy, scale).round(3).tolist()) for b in image.boxes if not b.iscrowd}
        found[Path(image.file_name).stem] = boxes
    return found


@pytest.mark.parametrize("name", WITH_SHAPES)
def test_boxes_are_tight_around_the_masks_of_things(run_folder, name):
    found = read_boxes(export(run_folder, name, shapes="boxes", image_prefix=""), name)
    assert set(found) == set(ALL_IDS)
    for image_id, boxes in found.items():
        label = label_of(image_id)
        things = [i for i in np.unique(label).tolist() if i // 1000 in (24, 26) and i % 1000]
        tight = {(CLASSES.names[2 + (i // 1000 == 26)], *find_tight_box(label == i).tolist()) for i in things}
        assert boxes == tight


@pytest.mark.parametrize("prefix", ["/data/local-files/?d=cam1/", "s3://bucket/"])
def test_label_studio_finds_images_of_any_name(tmp_path, prefix):
    records = [{"file_name": "50% Kühe & #1.jpg", "entry": []}]
    FORMATS.load("label_studio").write_set(tmp_path, records, CLASSES, ExportSettings(image_prefix=prefix))
    address = read_json(tmp_path / "tasks.json")[0]["data"]["image"]
    found = unquote(address) if "?" in prefix else address
    assert found == f"{prefix}50% Kühe & #1.jpg" and ("#" in address) == ("?" not in prefix)


@pytest.mark.parametrize("name", ["coco_instances", "cvat", "label_studio"])
def test_polygons_of_things_and_stuff_hold_exactly_the_pixels(run_folder, name):
    """In one set; where bridges between parts meet the centre of a pixel, that may be a pixel too many."""
    folder = export(run_folder, name, shapes="polygons", stuff=True)
    if name == "label_studio":
        accept_predictions(folder / "tasks.json")
    labels = FORMATS.load(name).read_set(folder, CLASSES)
    for image_id in ALL_IDS:
        before, after = label_of(image_id), labels.read(find_id(labels, image_id))
        wrong = np.count_nonzero(before // INSTANCE_DIVISOR != after // INSTANCE_DIVISOR)
        print(f"{name}: {wrong} of {before.size} pixels wrong")
        assert wrong <= 0.001 * before.size


def test_instances_with_stuff_are_full_labels(run_folder):
    folder = export(run_folder, "coco_instances", stuff=True)
    labels = open_labels(folder, CLASSES)
    for image_id in ALL_IDS:
        assert canonical(labels.read(find_id(labels, image_id))) == canonical(label_of(image_id))


def test_yolo_with_stuff_numbers_all_classes(run_folder):
    folder = export(run_folder, "yolo", stuff=True)
    assert yaml.safe_load((folder / "data.yaml").read_text())["names"] == dict(enumerate(CLASSES.names))
    numbers = {line.split()[0] for line in (folder / f"labels/train/{ALL_IDS[0]}.txt").read_text().splitlines()}
    assert numbers == {"0", "1", "2", "3"}


def test_what_box_masks_call_no_thing_is_not_exported(run_folder):
    label = np.where(label_of(ALL_IDS[0]) > 24000, label_of(ALL_IDS[0]), CLASSES.background_category_id * 1000)
    for shard, image_ids in IMAGE_IDS.items():
        with write_labels(run_folder / "labels" / shard, CLASSES) as writer:
            for image_id in image_ids:
                writer.add(image_id, label.astype(np.int32))
    labels = FORMATS.load("coco_panoptic").read_set(export(run_folder, "coco_panoptic"), CLASSES)
    assert set(np.unique(labels.read(ALL_IDS[0]) // 1000)) == {0, 24, 26}


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ({"formats": ["coco_instances", "voc"], "shapes": "boxes"}, "take voc out of export.formats"),
        ({"formats": ["cvat"], "shapes": "boxes", "stuff": True}, "stuff has no boxes"),
    ],
)
def test_shapes_that_a_format_cannot_hold(section, problem):
    dataset = {"format": "streets", "train_split": "train", "classes": {"road": "stuff", "car": "thing"}}
    with pytest.raises(ValueError, match=problem):
        parse_run_config({"name": "x", "dataset": dataset, "export": section})
