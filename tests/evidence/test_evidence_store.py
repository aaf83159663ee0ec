"""The store of masks: it changes how long masks take, never which ones are found."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

from pseudogt.evidence.grabcut import BoxMask
from pseudogt.evidence.store import (
    MaskFinder,
    MaskStore,
    pack_mask,
    read_mask_file,
    unpack_mask,
    write_mask_file,
)

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)
BOXES = np.array([[1, 2, 20, 30], [0, 0, 50, 40], [5, 5, 6, 6], [1, 2, 20, 30], [7, 1, 15, 36]], np.int32)


def prepare(image):
    """Masks of the bright pixels."""
    return lambda box: BoxMask(box[:2], image[box[1] : box[3], box[0] : box[2], 0] > 90)


def make_finder(folder, **method):
    return MaskFinder(MaskStore(folder, method), prepare, workers=2)


def find(finder, image=IMAGE, boxes=BOXES):
    """Number of masks that were computed; all are what they must be."""
    before = finder.counts["computed"]
    segment = prepare(image)
    for box, found in zip(boxes.tolist(), finder.find_masks(image, boxes), strict=True):
        assert found.origin_xy == tuple(box[:2])
        np.testing.assert_array_equal(found.mask, segment(box).mask)
    return finder.counts["computed"] - before


def list_files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_masks_are_computed_once_for_all_processes(tmp_path):
    finder = make_finder(tmp_path)
    assert find(finder) == 4
    assert find(finder) == 0
    assert find(make_finder(tmp_path)) == 0
    assert (finder.counts["asked"], finder.counts["computed"]) == (8, 4)
    assert finder.counts["seconds"] > 0


def test_a_part_of_the_masks_may_be_there(tmp_path):
    finder = make_finder(tmp_path)
    assert find(finder, boxes=BOXES[2:4]) == 2
    assert find(finder) == 2
    assert len(list_files(tmp_path)) == 1


def test_other_pixels_and_other_methods_are_other_masks(tmp_path):
    assert find(make_finder(tmp_path, code="a")) == 4
    changed = IMAGE.copy()
    changed[39, 49, 2] ^= 1
    assert find(make_finder(tmp_path, code="a"), changed) == 4
    assert find(make_finder(tmp_path, code="a"), IMAGE.reshape(40, 25, 6)[:, :, :3], BOXES[2:3]) == 1
    assert find(make_finder(tmp_path, code="a"), IMAGE.reshape(50, 40, 3), BOXES[2:3]) == 1
    assert find(make_finder(tmp_path, code="b")) == 4
    assert find(make_finder(tmp_path, code="a", seed=1)) == 4
    assert find(make_finder(tmp_path, code="a")) == 0
    # Views of the same pixels are the same image.
    assert find(make_finder(tmp_path, code="a"), np.asfortranarray(IMAGE)) == 0


@pytest.mark.parametrize("place", ["magic", "count", "table", "mask"])
def test_damaged_masks_are_reported_and_computed_again(tmp_path, capsys, place):
    find(make_finder(tmp_path))
    (path,) = list_files(tmp_path)
    content = bytearray(path.read_bytes())
    position = {"magic": 3, "count": 8, "table": 20, "mask": len(content) - 2}[place]
    content[position] ^= 4
    path.write_bytes(content)
    assert find(make_finder(tmp_path)) == (1 if place == "mask" else 4)
    assert f"warning: {path}" in capsys.readouterr().err
    assert find(make_finder(tmp_path)) == 0
    assert not capsys.readouterr().err


@pytest.mark.parametrize("length", [0, 5, 30, -1])
def test_truncated_files_are_reported_and_made_anew(tmp_path, capsys, length):
    find(make_finder(tmp_path))
    (path,) = list_files(tmp_path)
    path.write_bytes(path.read_bytes()[:length])
    assert find(make_finder(tmp_path)) == (1 if length < 0 else 4)
    assert "damaged" in capsys.readouterr().err
    assert find(make_finder(tmp_path)) == 0


def test_a_writer_that_dies_leaves_what_was_there(tmp_path, monkeypatch):
    find(make_finder(tmp_path), boxes=BOXES[:1])
    with monkeypatch.context() as patched:
        patched.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("no space left")))
        with pytest.raises(OSError, match="no space left"):
            make_finder(tmp_path).find_masks(IMAGE, BOXES)
    assert len(list_files(tmp_path)) == 1
    assert find(make_finder(tmp_path)) == 3


def add_one_by_one(folder, first):
    """Masks of fifty boxes of the same image, each added by itself."""
    finder = make_finder(folder)
    return sum(find(finder, boxes=np.array([[x % 30, first, x % 30 + 9, first + 4]])) for x in range(50))


def test_writers_at_the_same_time_leave_a_file_that_is_whole(tmp_path, capsys):
    with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
        assert min(pool.map(add_one_by_one, [tmp_path] * 2, [3, 20])) >= 30
    (path,) = list_files(tmp_path)
    assert read_mask_file(path)
    assert find(make_finder(tmp_path)) == 4
    assert "damaged" not in capsys.readouterr().err


def test_masks_survive_packing(tmp_path):
    for height, width in ((1, 1), (3, 5), (16, 8)):
        mask = np.random.default_rng(1).random((height, width)) < 0.5
        box = (4, 2, 4 + width, 2 + height)
        write_mask_file(tmp_path / "a.masks", {box: pack_mask(BoxMask(box[:2], mask))})
        found = unpack_mask(box, read_mask_file(tmp_path / "a.masks")[box])
        assert found.origin_xy == (4, 2)
        np.testing.assert_array_equal(found.mask, mask)
    write_mask_file(tmp_path / "a.masks", {})
    assert read_mask_file(tmp_path / "a.masks") == {} == read_mask_file(tmp_path / "b.masks")
