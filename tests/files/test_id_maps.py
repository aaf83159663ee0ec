from __future__ import annotations

import zlib

import cv2
import numpy as np
import pytest

from pseudogt.classes import ClassTable
from pseudogt.files.id_maps import BLOCK, UNFILTERED, read_unfiltered
from pseudogt.files.labels import LabelFolder, panoptic_to_rgb, write_labels

CLASSES = ClassTable(("road",), (7,), (False,), ((0, 0, 0),))
SHAPES = [(1, 1), (1, 5), (7, 1), (BLOCK, 4), (2 * BLOCK + 3, 70)]


def make_ids(shape: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 1 << 24, shape, dtype=np.int32)


def encode(ids: np.ndarray, parameters: tuple[int, ...] = UNFILTERED) -> bytes:
    return cv2.imencode(".png", panoptic_to_rgb(ids)[..., ::-1], parameters)[1].tobytes()


@pytest.mark.parametrize("shape", SHAPES)
def test_ids_come_back(shape, tmp_path):
    path = tmp_path / "map.png"
    path.write_bytes(encode(make_ids(shape)))
    found = read_unfiltered(path)
    assert found is not None and found.dtype == np.int32
    np.testing.assert_array_equal(found, make_ids(shape))


def test_labels_are_written_without_filters(tmp_path):
    with write_labels(tmp_path / "labels", CLASSES) as labels:
        labels.add("a", np.full((40, 50), 7000, np.int32))
    assert read_unfiltered(tmp_path / "labels" / "a.png") is not None


def test_files_of_other_programs_are_read_by_opencv(tmp_path):
    shape = SHAPES[-1]
    with write_labels(tmp_path / "labels", CLASSES) as labels:
        labels.add("a", np.full(shape, 7000, np.int32))
    path = tmp_path / "labels" / "a.png"
    path.write_bytes(encode(make_ids(shape), (cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_PAETH)))
    assert read_unfiltered(path) is None
    np.testing.assert_array_equal(LabelFolder(tmp_path / "labels").read("a"), make_ids(shape))


def test_damaged_and_cut_files_and_other_kinds_are_not_read(tmp_path):
    path, whole = tmp_path / "map.png", encode(make_ids((50, 60)))
    other = cv2.imencode(".png", np.zeros((5, 6), np.uint8))[1].tobytes()
    for position in range(8, len(whole), 997):
        path.write_bytes(whole[:position])
        assert read_unfiltered(path) is None
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        assert read_unfiltered(path) is None
    for content in (b"", b"GIF89a", other):
        path.write_bytes(content)
        assert read_unfiltered(path) is None
    assert read_unfiltered(tmp_path / "absent.png") is None


@pytest.mark.parametrize("rows", [b"\0" * 10, b"\0" * (4 * 16 - 1), b"no stream"])
def test_pixels_that_do_not_fill_the_image_are_not_read(rows, tmp_path):
    def chunk(name: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4) + name + content + zlib.crc32(name + content).to_bytes(4)

    header = (5).to_bytes(4) + (4).to_bytes(4) + bytes([8, 2, 0, 0, 0])
    data = rows if rows == b"no stream" else zlib.compress(rows)
    path = tmp_path / "map.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    assert read_unfiltered(path) is None
