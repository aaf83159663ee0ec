from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
from PIL import Image

from pseudogt.files.hdf5 import read_hdf5, store_array, write_hdf5
from pseudogt.files.images import PNG_FAST, read_image, read_png, write_encoded, write_png
from pseudogt.files.io import read_json, replace_atomically, write_json
from pseudogt.workflow.cli import run_stage


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def test_images_are_rgb(tmp_path, picture):
    write_png(tmp_path / "a.png", picture)
    assert (read_image(tmp_path / "a.png") == picture).all()


def test_grey_and_rgba_images_become_rgb(tmp_path, picture):
    cv2.imwrite(str(tmp_path / "grey.png"), picture[..., 0])
    cv2.imwrite(str(tmp_path / "rgba.png"), np.dstack([picture[..., ::-1], picture[..., :1]]))
    assert (read_image(tmp_path / "grey.png") == picture[..., :1]).all()
    assert (read_image(tmp_path / "rgba.png") == picture).all()


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_truncated_image_is_named(tmp_path, picture, suffix):
    path = tmp_path / f"cut{suffix}"
    cv2.imwrite(str(path), picture)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match=f"cut{suffix}: truncated image"):
        read_image(path)


@pytest.mark.parametrize("content", [b"", b"no image"])
def test_unreadable_image_is_named(tmp_path, content):
    (tmp_path / "bad.jpg").write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.jpg: can't be read as an image"):
        read_image(tmp_path / "bad.jpg")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_maps_round_trip(tmp_path, dtype):
    values = np.arange(600, dtype=np.uint16).reshape(20, 30).astype(dtype)
    write_png(tmp_path / "map.png", values)
    read = read_png(tmp_path / "map.png")
    assert read.dtype == dtype
    assert (read == values).all()


def test_colour_where_a_map_is_expected(tmp_path, picture):
    write_png(tmp_path / "colour.png", picture)
    with pytest.raises(ValueError, match=r"colour\.png: expected one channel"):
        read_png(tmp_path / "colour.png")


@pytest.mark.parametrize("value", [0.5, -1, 65536])
def test_values_that_no_map_holds(tmp_path, value):
    Image.fromarray(np.full((20, 30), value, np.float32 if value == 0.5 else np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=r"a\.tif: has values other than whole numbers from 0 to 65535"):
        read_png(tmp_path / "a.tif")


def test_failed_write_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "a.json", {"old": 1})
    with pytest.raises(RuntimeError), replace_atomically(tmp_path / "a.json") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(tmp_path / "a.json") == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("name", ["x" * 251, "海" * 83])
def test_names_as_long_as_the_disk_allows(tmp_path, name):
    """Images keep their names through all stages."""
    write_json(tmp_path / f"{name}.png", 1)
    assert [p.name for p in tmp_path.iterdir()] == [f"{name}.png"]


@pytest.mark.parametrize("name", ["a.json", "a.png"])
def test_a_full_disk_is_told_with_the_file_and_a_remedy(tmp_path, capsys, monkeypatch, name):
    def write(argv):
        with replace_atomically(tmp_path / name) as temporary:
            temporary.symlink_to("/dev/full")
            if name == "a.json":
                temporary.write_text("{}")
            write_encoded(temporary, np.zeros((2, 2), np.uint8), PNG_FAST)

    monkeypatch.setattr("sys.argv", ["stage"])
    with pytest.raises(SystemExit):
        run_stage(write)
    message = capsys.readouterr().err
    assert name in message and message.endswith("; free some space and run again: what is finished is kept\n")


def test_folders_are_replaced_whole(tmp_path):
    for content in ("first", "second"):
        with replace_atomically(tmp_path / "folder") as temporary:
            temporary.mkdir()
            (temporary / content).write_text(content)
    assert [p.name for p in (tmp_path / "folder").iterdir()] == ["second"]


def test_hdf5_appears_only_when_complete(tmp_path):
    with pytest.raises(RuntimeError), write_hdf5(tmp_path / "a.h5") as file:
        file["x"] = 1
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("text", "message"), [("{", "not valid JSON"), (None, "no such file")])
def test_bad_json_is_named(tmp_path, text, message):
    path = tmp_path / "x.json"
    if text:
        path.write_text(text)
    with pytest.raises(ValueError, match=rf"x\.json: {message}"):
        read_json(path)


def test_json_that_was_changed_is_told_from_its_checksum(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"boxes": [1, 2, 3], "name": "ü"}, checksum=True)
    assert read_json(path) == {"boxes": [1, 2, 3], "name": "ü"}
    path.write_text(path.read_text().replace("2", "7", 1))
    with pytest.raises(ValueError, match=r"a\.json: differs from its checksum; delete it and run again"):
        read_json(path)


def test_no_changed_byte_of_an_hdf5_file_is_read_as_if_it_were_whole(tmp_path):
    path = tmp_path / "a.h5"
    values = np.random.default_rng(0).random((3, 8, 9)).astype(np.float16)
    with write_hdf5(path) as file:
        store_array(file.create_group("image"), "scores", values).attrs["train_ids"] = np.arange(3)
        store_array(file["image"], "nothing", values[:0])
    good = path.read_bytes()
    found = 0
    for place in np.random.default_rng(1).integers(0, len(good), 150):
        damaged = bytearray(good)
        damaged[place] ^= 1 << int(place % 8)
        path.write_bytes(damaged)
        try:
            with read_hdf5(path) as file:
                scores, train_ids = file["image/scores"][()], file["image/scores"].attrs["train_ids"]
        except ValueError:
            found += 1
        else:
            np.testing.assert_array_equal(scores, values)
            np.testing.assert_array_equal(train_ids, np.arange(3))
    assert found > 50


def test_equal_arrays_give_equal_hdf5_bytes(tmp_path):
    for name in ("a", "b"):
        with write_hdf5(tmp_path / f"{name}.h5") as file:
            store_array(file.create_group("image"), "scores", np.ones((3, 4)))
        time.sleep(1.1)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
