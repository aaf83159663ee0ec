"""Miniatures of datasets in the exact layout of their official archives, with contents that tests know."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy.io import savemat

from pseudogt.files.images import write_png
from pseudogt.files.io import write_json

SIZE = (20, 30)
"""Height and width of all images."""


def write_image(path, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_palette_png(path, values):
    """VOC's masks are palette images."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values.astype(np.uint8), mode="P")
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
    image.save(path)


def make_cityscapes(root):
    """Two images of train, one of val and one of train_extra: a car, a group of persons, road, the ego vehicle."""
    for split, image_id, kind in (
        ("train", "aachen_000000_000019", "gtFine"),
        ("train", "bochum_000001_000019", "gtFine"),
        ("val", "lindau_000002_000019", "gtFine"),
        ("train_extra", "augsburg_000003_000000", "gtCoarse"),
    ):
        city = image_id.split("_")[0]
        write_image(root / "leftImg8bit" / split / city / f"{image_id}_leftImg8bit.png")
        labels = np.full(SIZE, 7, np.uint16)
        labels[0], labels[5:9, 3:9], labels[10:12, 20:] = 1, 26, 24
        folder = root / kind / split / city
        write_png(folder / f"{image_id}_{kind}_labelIds.png", labels.astype(np.uint8))
        labels[5:9, 3:9] = 26000
        write_png(folder / f"{image_id}_{kind}_instanceIds.png", labels)
        write_png(folder / f"{image_id}_{kind}_color.png", np.zeros((*SIZE, 3), np.uint8))
        write_json(folder / f"{image_id}_{kind}_polygons.json", {"objects": []})
    return root


def make_voc2012(root):
    """VOC: 2007_000001 (train) and 2007_000002 (val); SBD: both and 2008_000003.

    VOC has a dog with a border and a cat; SBD has, at the same place, a dog of whose pixels some are called cow.
    """
    voc, sbd = root / "VOCdevkit" / "VOC2012", root / "benchmark_RELEASE" / "dataset"
    classes, objects = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
    classes[4:12, 4:14] = objects[4:12, 4:14] = 255
    classes[5:11, 5:13], objects[5:11, 5:13] = 12, 1
    classes[14:18, 20:28], objects[14:18, 20:28] = 8, 2
    sbd_classes, sbd_objects = np.zeros(SIZE, np.uint8), np.zeros(SIZE, np.uint8)
    sbd_classes[5:12, 5:13], sbd_objects[5:12, 5:13] = 12, 1
    sbd_classes[11, 5:13] = 10
    for image_id in ("2007_000001", "2007_000002", "2008_000003"):
        write_image(voc / "JPEGImages" / f"{image_id}.jpg")
        if image_id.startswith("2007"):
            write_palette_png(voc / "SegmentationClass" / f"{image_id}.png", classes)
            write_palette_png(voc / "SegmentationObject" / f"{image_id}.png", objects)
        for name, folder, values in (("GTcls", "cls", sbd_classes), ("GTinst", "inst", sbd_objects)):
            path = sbd / folder / f"{image_id}.mat"
            path.parent.mkdir(parents=True, exist_ok=True)
            content = {"Segmentation": values, "Boundaries": np.zeros((20, 1)), "Categories": np.array([12])}
            savemat(path, {name: content}, do_compression=True)
    for path, image_ids in (
        (voc / "ImageSets" / "Segmentation" / "train.txt", ["2007_000001"]),
        (voc / "ImageSets" / "Segmentation" / "val.txt", ["2007_000002"]),
        (sbd / "train.txt", ["2008_000003", "2007_000002"]),
        (sbd / "val.txt", ["2007_000001"]),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{image_id}\n" for image_id in image_ids))
    return root


def make_voc2007(root):
    """Two images of trainval, one of test: a person (and a difficult dog), nothing."""
    voc = root / "VOCdevkit" / "VOC2007"
    thing = (
        "<object><name>{}</name><pose>Left</pose><truncated>0</truncated><difficult>{}</difficult><bndbox><xmin>{}</xmin>"
        "<ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
    )
    contents = {
        "000005": thing.format("person", 0, 3, 4, 10, 12) + thing.format("dog", 1, 1, 1, 30, 20),
        "000007": thing.format("dog", 0, 1, 1, 5, 5),
        "000001": "",
    }
    for image_id, objects in contents.items():
        write_image(voc / "JPEGImages" / f"{image_id}.jpg")
        (voc / "Annotations").mkdir(exist_ok=True)
        (voc / "Annotations" / f"{image_id}.xml").write_text(
            f"<annotation><folder>VOC2007</folder><filename>{image_id}.jpg</filename><source><database>The VOC2007 "
            f"Database</database></source><size><width>{SIZE[1]}</width><height>{SIZE[0]}</height><depth>3</depth></size>"
            f"<segmented>0</segmented>{objects}</annotation>"
        )
    (voc / "ImageSets" / "Main").mkdir(parents=True)
    (voc / "ImageSets" / "Main" / "trainval.txt").write_text("000005\n000007\n")
    (voc / "ImageSets" / "Main" / "test.txt").write_text("000001\n")
    return root


def make_coco2017(root):
    """One image of train2017 and of val2017: two persons, a crowd of persons, sky, some void."""
    for split, image_id in (("train2017", "000000000009"), ("val2017", "000000000139")):
        write_image(root / split / f"{image_id}.jpg")
        ids = np.full(SIZE, 0x123456, np.int64)
        ids[10:14, 3:9], ids[12:18, 15:20], ids[15:, 22:], ids[19] = 70000, 300, 5, 0
        rgb = np.stack([ids % 256, ids // 256 % 256, ids // 65536], -1).astype(np.uint8)
        write_png(root / "annotations" / f"panoptic_{split}" / f"{image_id}.png", rgb)
        segments = [
            {"id": 0x123456, "category_id": 187, "iscrowd": 0, "area": 1, "bbox": [0, 0, 1, 1]},
            {"id": 300, "category_id": 1, "iscrowd": 0, "area": 1, "bbox": [0, 0, 1, 1]},
            {"id": 70000, "category_id": 1, "iscrowd": 0, "area": 1, "bbox": [0, 0, 1, 1]},
            {"id": 5, "category_id": 1, "iscrowd": 1, "area": 1, "bbox": [0, 0, 1, 1]},
        ]
        document = {
            "info": {},
            "images": [{"id": int(image_id), "file_name": f"{image_id}.jpg", "height": SIZE[0], "width": SIZE[1]}],
            "annotations": [
                {"image_id": int(image_id), "file_name": f"{image_id}.png", "segments_info": segments},
            ],
            "categories": [{"id": 1, "name": "person", "isthing": 1}, {"id": 187, "name": "sky-other-merged"}],
        }
        write_json(root / "annotations" / f"panoptic_{split}.json", document)
    return root


def make_coco2014(root):
    """Two images of train2014 with boxes, one of val2014."""
    names = {
        "train2014": ["COCO_train2014_000000000009", "COCO_train2014_000000000025"],
        "val2014": ["COCO_val2014_000000000042"],
    }
    for split, images in names.items():
        for name in images:
            write_image(root / split / f"{name}.jpg")
        document = {
            "images": [
                {"id": i, "file_name": f"{name}.jpg", "height": SIZE[0], "width": SIZE[1]}
                for i, name in enumerate(images)
            ],
            "annotations": [
                {"id": 1, "image_id": 0, "category_id": 18, "bbox": [3.25, 4, 10, 12.5], "iscrowd": 0, "area": 80},
                {"id": 2, "image_id": 0, "category_id": 1, "bbox": [3, 4, 0, 12], "iscrowd": 0, "area": 0},
            ],
            "categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}],
        }
        write_json(root / "annotations" / f"instances_{split}.json", document)
    return root
