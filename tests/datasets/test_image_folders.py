"""The layout `images`, class tables as plain mappings, and images as odd as people have them."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from pseudogt.config.dataset import DatasetSettings
from pseudogt.datasets import class_table, list_images
from pseudogt.files.images import read_image
from pseudogt.stages.index import read_record

KINDS = {"car": "thing", "bus": "thing", "road": "stuff"}


def make_settings(**values):
    section = {"format": "images", "train_split": "photos", "val_split": None, "classes": KINDS}
    return DatasetSettings.model_validate(section | values)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("b.jpg", "ein Bild mit Ümlauten.PNG", "a.tif", "z.webp", "y.BMP"):
        Image.new("RGB", (30, 20)).save(folder / name)
    for name in ("notes.txt", "._a.jpg", ".DS_Store", "video.mp4"):
        (folder / name).write_text("no image")
    (folder / "more").mkdir()
    return tmp_path


def test_every_image_of_a_folder(photos):
    ids = list_images(make_settings(), photos).ids["train"]
    assert ids == ["a", "b", "ein Bild mit Ümlauten", "y", "z"]
    for image_id in ids:
        files = list_images(make_settings(), photos).locate(image_id)
        assert files.image.stem == image_id and files.semantic is None
        assert read_image(files.image).shape == (20, 30, 3)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.png", r"photos: a\.png and a\.tif are two files for one image id"),
        (os.fsdecode(b"\xb3\xb5.png"), r"photos: the name of '\\udcb3\\udcb5\.png' is not UTF-8; rename it"),
    ],
)
def test_names_that_no_run_could_use(photos, name, message):
    Image.new("RGB", (30, 20)).save(photos / "photos" / name)
    with pytest.raises(ValueError, match=message):
        list_images(make_settings(), photos)


def test_missing_and_empty_folders(photos):
    with pytest.raises(ValueError, match=r"nowhere: no such folder; dataset\.train_split must name the folder"):
        list_images(make_settings(train_split="nowhere"), photos)
    with pytest.raises(ValueError, match="leaves no image to train on"):
        list_images(make_settings(train_split="photos/more"), photos)


def test_several_folders_and_a_split_of_one(photos):
    (photos / "photos" / "b.jpg").rename(photos / "photos" / "more" / "b.jpg")
    settings = make_settings(train_split="photos+photos/more")
    assert len(list_images(settings, photos).ids["train"]) == 5
    assert list_images(settings, photos).locate("b").image.parent.name == "more"
    split = list_images(make_settings(val_fraction=0.4), photos).ids
    assert (len(split["train"]), len(split["val"])) == (2, 2)


def test_class_table_as_a_plain_mapping():
    classes = class_table(make_settings())
    assert classes.names == ("car", "bus", "road") and classes.category_ids == (1, 2, 3)
    assert classes.isthing == (True, True, False) and len(set(classes.colors)) == 3
    many = class_table(make_settings(classes={f"class {i}": "thing" for i in range(60)}))
    assert len(set(many.colors)) == 60


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ({"car": "vehicle"}, "'name: thing' or 'name: stuff', got car: vehicle"),
        ({}, "at least 1"),
        ({"car": None}, "car: None"),
    ],
)
def test_bad_mappings(kinds, message):
    with pytest.raises(ValueError, match=message):
        make_settings(classes=kinds)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_images_of_other_kinds_are_read_as_rgb(tmp_path, mode):
    """A left half that is dark and a right half that is bright, in any kind of pixels."""
    grey = np.repeat(np.repeat(np.array([[40, 215]], np.uint8), 15, 1), 20, 0)
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    else:
        image = Image.fromarray(grey).convert("RGB").convert(mode)
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    image.save(path)
    pixels = read_image(path)
    assert pixels.shape == (20, 30, 3) and pixels.dtype == np.uint8
    assert pixels[:, :12].mean() < 60 and pixels[:, 18:].mean() > 195


def test_turned_photos_are_read_upright(tmp_path):
    """As annotation tools show them: 20 wide and 30 high in the file, shown 30 wide."""
    image = Image.new("RGB", (20, 30))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.jpg", exif=exif)
    record = read_record(tmp_path / "a.jpg", "a")
    assert (record.width, record.height) == (30, 20)
