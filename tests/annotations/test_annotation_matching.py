from __future__ import annotations

import unicodedata

import pytest

from pseudogt.annotations.matching import match_names

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
        ("/data/local-files/?d=some%5Cfolder%5Ca.jpg", "a"),
        ("https://host/x/Stra%C3%9Fe%20am%20Caf%C3%A9.jpg?version=2", "Straße am Café"),
        ("s3://bucket/a.jpg", "a"),
        ("http://[broken/a.jpg", "a"),
    ],
)
def test_names_of_other_machines(name, image_id):
    matches = match_names([name], IMAGES)
    assert matches.by_image == ({image_id: [0]} if image_id else {})
    assert matches.unmatched == ([] if image_id else [name])


def test_the_folder_decides_between_equal_names():
    matches = match_names(["val/a.jpg", "train/a.jpg", "other/a.jpg"], IMAGES)
    assert matches.by_image == {"a": [1]}


def test_equal_names_stay_ambiguous():
    assert match_names(["a.jpg", "a.png"], IMAGES).by_image == {"a": [0, 1]}


def test_images_of_several_folders_with_one_name():
    """Their ids hold the folder; names need it, too."""
    images = {f"cam{i}__0001": f"/data/cam{i}/0001.jpg" for i in (1, 2)} | {"b": "/data/cam1/b.jpg"}
    names = [
        "cam2/0001.jpg",
        r"C:\x\cam1\0001.png",
        "b.jpg",
        "0001.jpg",
        "cam3/0001.jpg",
        "1f2e3d4c-0001.jpg",
        "cam1/c.jpg",
    ]
    matches = match_names(names, images)
    assert matches.by_image == {"cam2__0001": [0], "cam1__0001": [1], "b": [2]}
    assert matches.ambiguous == ["0001.jpg", "cam3/0001.jpg", "1f2e3d4c-0001.jpg"]
    assert matches.unmatched == ["cam1/c.jpg"]
    assert match_names(["cam2__0001.jpg"], images).by_image == {"cam2__0001": [0]}
