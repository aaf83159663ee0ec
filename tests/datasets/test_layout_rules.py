"""Rules that hold in every layout: suffixes, hidden files, names that repeat, what is passed over."""

from __future__ import annotations

import pytest
from PIL import Image

from pseudogt.config.dataset import DatasetSettings
from pseudogt.datasets import LAYOUTS, list_images
from pseudogt.files.images import read_image
from pseudogt.files.listing import IMAGE_SUFFIXES


def write_list(path, names):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}\n" for name in names))


def list_nothing(root, names):
    """Images are found, not listed."""


def list_voc(year, kind):
    return lambda root, names: write_list(root / f"VOCdevkit/VOC{year}/ImageSets/{kind}/train.txt", names)


# Folder of the images, what their names end in, and how a list is written.
PLACES = {
    "images": ("train", "", list_nothing),
    "coco": ("train", "", list_nothing),
    "cityscapes": ("leftImg8bit/train/ulm", "_leftImg8bit", list_nothing),
    "streets": ("leftImg8bit/train/ulm", "_leftImg8bit", list_nothing),
    "folder": ("images", "", lambda root, names: write_list(root / "train.txt", names)),
    "voc2007": ("VOCdevkit/VOC2007/JPEGImages", "", list_voc(2007, "Main")),
    "voc2012": ("VOCdevkit/VOC2012/JPEGImages", "", list_voc(2012, "Segmentation")),
}
SEARCHED = [name for name, (_, _, listed) in PLACES.items() if listed is list_nothing]


def make_settings(name, **values):
    kinds = {"car": "thing", "road": "stuff"}
    section = {"format": name, "train_split": "train", "val_split": None, "classes": kinds, "void_values": []}
    return DatasetSettings.model_validate(section | values)


def write_photo(path, kind="JPEG"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (30, 20)).save(path, kind)


def test_every_layout_is_tried():
    assert set(PLACES) == set(LAYOUTS.names)


@pytest.mark.parametrize("name", PLACES)
def test_suffixes_of_any_case_and_kind(name, tmp_path):
    place, ending, write = PLACES[name]
    suffixes = {f"n{i}": s for i, s in enumerate([*IMAGE_SUFFIXES, ".Jpg", ".JPEG", ".pNG"])}
    for image, suffix in suffixes.items():
        write_photo(tmp_path / place / f"{image}{ending}{suffix}")
        (tmp_path / place / f"._{image}{ending}{suffix}").write_bytes(b"Mac OS X")
    write(tmp_path, suffixes)
    images = list_images(make_settings(name), tmp_path)
    assert sorted(images.ids["train"]) == sorted(suffixes) and not images.passed_over
    for image, suffix in suffixes.items():
        assert images.locate(image).image == tmp_path / place / f"{image}{ending}{suffix}"


@pytest.mark.parametrize("name", PLACES)
def test_two_files_of_one_id_are_named(name, tmp_path):
    place, ending, write = PLACES[name]
    write_photo(tmp_path / place / f"a{ending}.jpg")
    write_photo(tmp_path / place / f"a{ending}.JPG")
    write(tmp_path, ["a"])
    with pytest.raises(ValueError, match=rf"a{ending}\.JPG and a{ending}\.jpg are two files for one image id"):
        list_images(make_settings(name), tmp_path).locate("a")


@pytest.mark.parametrize("name", SEARCHED)
def test_what_is_passed_over_is_counted_and_named(name, tmp_path):
    place, ending, _ = PLACES[name]
    write_photo(tmp_path / place / f"a{ending}.jpg")
    for file in ("b.heic", "c.heic", "a.psd", "a.json", "a.XML", "boxes.csv", "Thumbs.db", ".DS_Store"):
        (tmp_path / place / file).write_bytes(b"x")
    (note,) = list_images(make_settings(name), tmp_path).passed_over
    assert "3 files are passed over" in note and "2 .heic (b.heic)" in note and "1 .psd (a.psd)" in note


@pytest.mark.parametrize("mark", [".snakemake_timestamp", "panoptic.json"])
def test_results_in_a_subfolder_are_no_photos(mark, tmp_path):
    write_photo(tmp_path / "photos" / "cam1" / "a.jpg")
    write_photo(tmp_path / "photos" / "predicted" / "a.png")
    write_photo(tmp_path / "photos" / "predicted" / "overlays" / "a.png")
    (tmp_path / "photos" / "predicted" / mark).touch()
    images = list_images(make_settings("images", train_split="photos"), tmp_path)
    assert images.ids["train"] == ["a"] and "predicted: holds results of a run" in images.passed_over[0]
    assert list_images(make_settings("images", train_split="photos/predicted"), tmp_path).ids["train"] == ["a"]
    write_photo(tmp_path / "photos" / "top.jpg")
    images = list_images(make_settings("images", train_split="photos"), tmp_path)
    assert "in its subfolders cam1 are passed over" in images.passed_over[0]


def test_a_folder_of_annotations_alone_is_named(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.json").touch()
    with pytest.raises(ValueError, match=r"leaves no image to train on; .*1 \.json \(a\.json\)"):
        list_images(make_settings("images", train_split="photos"), tmp_path)


@pytest.mark.parametrize("name", SEARCHED)
def test_listing_opens_no_file(name, tmp_path):
    """Empty files are listed, too, which no reader would take for images."""
    place, ending, _ = PLACES[name]
    (tmp_path / place).mkdir(parents=True)
    for number in range(2_000):
        (tmp_path / place / f"{number:06d}{ending}.jpg").touch()
    images = list_images(make_settings(name), tmp_path)
    assert len(images.ids["train"]) == 2_000 and images.ids["train"][7] == "000007"


def test_names_that_repeat_in_parts_carry_their_folder(tmp_path):
    for file in ("cam1/0001.jpg", "cam2/0001.png", "cam2/0002.jpg"):
        write_photo(tmp_path / file)
    images = list_images(make_settings("images", train_split="cam1+cam2"), tmp_path)
    assert images.ids["train"] == ["cam1__0001", "cam2__0001", "0002"]
    assert images.locate("cam2__0001").image == tmp_path / "cam2/0001.png"
    assert images.list_part("cam2") == ["cam2__0001", "0002"]


def test_names_that_repeat_in_train_and_val(tmp_path):
    for file in ("train/ulm/0001_leftImg8bit.png", "val/ulm/0001_leftImg8bit.png", "train/bonn/0001_leftImg8bit.png"):
        write_photo(tmp_path / "leftImg8bit" / file)
    images = list_images(make_settings("cityscapes", val_split="val"), tmp_path)
    assert images.ids == {"train": ["train__bonn__0001", "train__ulm__0001"], "val": ["val__ulm__0001"]}


def test_subfolders_are_searched_where_a_folder_has_no_images(tmp_path):
    for file in ("day/cam1/a.jpg", "day/cam2/a.jpg", "night/b.jpg"):
        write_photo(tmp_path / "photos" / file)
    settings = make_settings("images", train_split="photos")
    assert list_images(settings, tmp_path).ids["train"] == ["cam1__a", "cam2__a", "b"]
    write_photo(tmp_path / "photos" / "top.jpg")
    images = list_images(settings, tmp_path)
    assert images.ids["train"] == ["top"]
    assert "images in its subfolders day, night are passed over" in images.passed_over[0]


@pytest.mark.parametrize("folder", ["__MACOSX", "@eaDir"])
def test_folders_of_thumbnails_and_of_archives_are_ignored(folder, tmp_path):
    write_photo(tmp_path / "train" / "cam1" / "a.jpg")
    write_photo(tmp_path / "train" / "cam1" / folder / "SYNOPHOTO_THUMB_M.jpg")
    write_photo(tmp_path / "train" / folder / "SYNOPHOTO_THUMB_M.jpg")
    images = list_images(make_settings("images"), tmp_path)
    assert images.ids["train"] == ["a"] and not images.passed_over


def test_lists_may_name_folders(tmp_path):
    """Images and masks lie in folders of the same names."""
    for camera in ("cam1", "cam2"):
        write_photo(tmp_path / f"images/{camera}/1.jpg")
        write_photo(tmp_path / f"semantic/{camera}/1.png", "PNG")
    write_list(tmp_path / "train.txt", ["cam1/1", "cam2/1"])
    images = list_images(make_settings("folder"), tmp_path)
    assert images.ids["train"] == ["cam1__1", "cam2__1"]
    assert images.locate("cam2__1").semantic == tmp_path / "semantic/cam2/1.png"


def test_an_image_in_train_and_val_is_named(tmp_path):
    write_photo(tmp_path / "a/b/1.jpg")
    with pytest.raises(ValueError, match="image '1' is listed twice in a/b"):
        list_images(make_settings("images", train_split="a", val_split="a/b"), tmp_path)


def test_an_id_that_is_the_name_of_another_image(tmp_path):
    for file in ("cam1/1.jpg", "cam2/1.jpg", "cam1/cam2__1.jpg"):
        write_photo(tmp_path / file)
    with pytest.raises(ValueError, match="two images would have the id 'cam2__1'"):
        list_images(make_settings("images", train_split="cam1+cam2"), tmp_path)


@pytest.mark.parametrize("city", ["new_york", "drive1"])
def test_a_city_is_the_folder_it_lies_in(tmp_path, city):
    write_photo(tmp_path / f"leftImg8bit/train/{city}/frame_1_leftImg8bit.png", "PNG")
    write_photo(tmp_path / f"gtFine/train/{city}/frame_1_gtFine_labelIds.png", "PNG")
    files = list_images(make_settings("cityscapes"), tmp_path).locate("frame_1")
    assert read_image(files.image).shape == (20, 30, 3)
    assert files.semantic == tmp_path / f"gtFine/train/{city}/frame_1_gtFine_labelIds.png"


def test_a_link_back_to_its_folder_is_passed_over(tmp_path):
    write_photo(tmp_path / "train" / "cam" / "a.jpg")
    (tmp_path / "train" / "loop").symlink_to(tmp_path / "train")
    (tmp_path / "train" / "cam" / "self").symlink_to("self")
    images = list_images(make_settings("images"), tmp_path)
    assert images.ids["train"] == ["a"]
    assert any("loop: is a link to" in note and note.endswith("and is passed over") for note in images.passed_over)


def test_photos_that_are_still_in_the_cloud_are_counted(tmp_path):
    write_photo(tmp_path / "train" / "a.jpg")
    (tmp_path / "train" / ".b.jpg.icloud").touch()
    (note,) = list_images(make_settings("images"), tmp_path).passed_over
    assert "1 .icloud (.b.jpg.icloud)" in note


@pytest.mark.parametrize(
    ("name", "message"),
    [("a.jpg", "a.jpg: no image"), ("images/a.jpg", "images: no such folder"), ("images/a", "images: no such folder")],
)
def test_a_list_of_files_in_place_of_names(name, message, tmp_path):
    write_photo(tmp_path / "images" / "a.jpg")
    write_list(tmp_path / "train.txt", [name])
    images = list_images(make_settings("folder"), tmp_path)
    with pytest.raises(ValueError, match=rf"{message}.*list names without suffix and folder: a"):
        images.locate(images.ids["train"][0])


def test_why_no_image_is_left(tmp_path):
    write_photo(tmp_path / "leftImg8bit" / "train" / "a_leftImg8bit.png", "PNG")
    with pytest.raises(ValueError, match=r"leaves no image to train on; .*1 images beside the cities are passed over"):
        list_images(make_settings("cityscapes"), tmp_path)


@pytest.mark.parametrize(("split", "message"), [("None", "dataset.val_split .* null"), ("Val", "there is 'val'")])
def test_a_split_that_is_not_there(split, message, tmp_path):
    for folder in ("train", "val"):
        write_photo(tmp_path / folder / "a.jpg")
    with pytest.raises(ValueError, match=message):
        list_images(make_settings("images", val_split=split), tmp_path)
