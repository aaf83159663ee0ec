from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from pseudogt.annotations.matching import choose_label_name, describe_ambiguous, match_label_names, match_names

IMAGES = {
    "a": "/data/train/a.jpg",
    "Straße am Café": "/data/train/Straße am Café.JPG",
    "b.v2": "/data/train/b.v2.png",
    "0a1b2c3d-c": "/data/train/0a1b2c3d-c.png",
}


@pytest.mark.parametrize(
    ("name", "image_id"),
    [
        ("a.jpg", "a"),
        ("a", "a"),
        ("A.jpg", None),
        (r"C:\Users\me\images\a.png", "a"),
        ("../../../etc/a.jpg", "a"),
        ("../../../etc/passwd", None),
        ("", None),
        ("/", None),
        ("Straße am Café.jpg", "Straße am Café"),
        (unicodedata.normalize("NFD", "Straße am Café.jpg"), "Straße am Café"),
        ("b.v2.png", "b.v2"),
        ("b.v2", "b.v2"),
        ("/data/upload/3/1f2e3d4c-a.jpg", "a"),
        ("1f2e3d4c-a.jpg", "a"),
        ("1f2e3d4c-Straße_am_Café.JPG", "Straße am Café"),
        ("0a1b2c3d-c.png", "0a1b2c3d-c"),
        ("/data/local-files/?d=some/folder/a.jpg", "a"),
        ("https://host/x/Stra%C3%9Fe%20am%20Caf%C3%A9.jpg?version=2", "Straße am Café"),
        ("s3://bucket/a.jpg", "a"),
        ("http://[broken/a.jpg", "a"),
    ],
)
def test_names_of_other_machines(name, image_id):
    matches = match_names([name], IMAGES)
    assert matches.by_image == ({image_id: [0]} if image_id else {})
    assert matches.strangers == ([] if image_id else [name])


def test_the_folder_decides_between_equal_names():
    matches = match_names(["val/a.jpg", "train/a.jpg", "other/a.jpg"], IMAGES)
    assert matches.by_image == {"a": [1]}


def test_equal_names_stay_ambiguous():
    assert match_names(["a.jpg", "a.png"], IMAGES).by_image == {"a": [0, 1]}


CAMERAS = {"cam1__1": "/d/cam1/1.jpg", "cam2__1": "/d/cam2/1.jpg", "2": "/d/cam2/2.jpg"}


def test_names_with_folders_tell_images_of_one_name_apart():
    matches = match_names(["cam2/1.jpg", r"C:\\x\\cam1\\1.jpg", "cam1__1", "2.jpg", "cam3/2.jpg"], CAMERAS)
    assert matches.by_image == {"cam2__1": [0], "cam1__1": [1], "2": [3, 4]}
    assert not matches.strangers and not matches.ambiguous


def test_a_name_that_may_mean_several_images_is_a_problem():
    matches = match_names(["1.jpg", "cam3/1.jpg"], CAMERAS)
    assert matches.by_image == {} and set(matches.ambiguous) == {"1.jpg", "cam3/1.jpg"}
    (problem,) = describe_ambiguous(matches.ambiguous)
    assert "2 names" in problem and "may be 'cam1__1', 'cam2__1'; put the folders before" in problem
    with pytest.raises(ValueError, match="may be 'cam1__1', 'cam2__1'"):
        match_label_names(["1"], CAMERAS, Path("labels"))
    assert match_label_names(["cam1__1", "2"], CAMERAS, Path("labels")) == {"cam1__1": "cam1__1", "2": "2"}


@pytest.mark.parametrize("suffix", [".txt", ".xml"])
def test_label_files_in_folders_like_those_of_the_images(tmp_path, suffix):
    for name in ("cam1/1", "cam2/1", "cam2/2", "3"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}{suffix}").touch()
    names = {image_id: choose_label_name(tmp_path, image_id, path) for image_id, path in CAMERAS.items()}
    assert names == {"cam1__1": "cam1/1", "cam2__1": "cam2/1", "2": "cam2/2"}
    assert choose_label_name(tmp_path, "3", "/d/cam2/3.jpg") == "3"
    assert choose_label_name(tmp_path, "4", "/d/cam2/4.jpg") == "4"
