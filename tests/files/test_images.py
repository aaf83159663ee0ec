"""Photos as cameras and tools really write them, and the one way to open them."""

from __future__ import annotations

import re
import struct
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydantic import TypeAdapter

from pseudogt.files import headers
from pseudogt.files.headers import ORIENTATION, read_header
from pseudogt.files.images import read_image, read_png, scale_to_bytes
from pseudogt.parsing.documents import parse_json

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def picture():
    """A smooth picture ``(20, 30, 3)``, which survives compression."""
    y, x = np.mgrid[:20, :30]
    return np.stack([x * 8, y * 12, x * 4 + y * 6], -1).astype(np.uint8)


def save(path, picture, orientation=1, **options):
    image = Image.fromarray(picture)
    exif = image.getexif()
    exif[ORIENTATION] = orientation
    image.save(path, exif=exif, **options)
    return path


def turn(picture, orientation):
    """Upright picture of a stored one, as the EXIF standard describes the tag."""
    flip = {2: np.s_[:, ::-1], 3: np.s_[::-1, ::-1], 4: np.s_[::-1], 5: np.s_[:, :]}
    flip |= {6: np.s_[::-1], 7: np.s_[::-1, ::-1], 8: np.s_[:, ::-1]}
    turned = picture[flip.get(orientation, np.s_[:, :])]
    return turned.swapaxes(0, 1) if orientation in headers.TURNED else turned


class TestOrientation:
    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_pixels_and_header_agree(self, tmp_path, picture, suffix, orientation):
        options = {".jpg": {"quality": 100, "subsampling": 0}, ".webp": {"lossless": True}}.get(suffix, {})
        path = save(tmp_path / f"a{suffix}", picture, orientation, **options)
        expected, header = turn(picture, orientation), read_header(path)
        assert np.abs(read_image(path).astype(int) - expected).max() < 8
        assert (header.height, header.width, header.orientation) == (*expected.shape[:2], orientation)

    def test_values_that_mean_nothing(self, tmp_path, picture):
        assert read_header(save(tmp_path / "a.jpg", picture, 9)).orientation == 1

    def test_an_orientation_that_the_decoder_does_not_follow(self, tmp_path, picture):
        """XMP in a JPEG, and ImageMagick's text in a PNG: boxes would be turned, pixels not."""
        xmp = b'<x xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
        Image.fromarray(picture).save(tmp_path / "a.jpg", xmp=xmp)
        exif = Image.Exif()
        exif[ORIENTATION] = 6
        text = PngInfo()
        text.add_text("Raw profile type exif", f"\nexif\n{len(exif.tobytes()):8d}\n{exif.tobytes().hex()}\n", zip=True)
        Image.fromarray(picture).save(tmp_path / "b.png", pnginfo=text)
        for name in ("a.jpg", "b.png"):
            header = read_header(tmp_path / name)
            assert (header.height, header.width) == read_image(tmp_path / name).shape[:2] and header.orientation == 1

    def test_an_orientation_behind_the_pixels(self, tmp_path, picture):
        data = save(tmp_path / "a.png", picture, 6).read_bytes()
        start = data.index(b"eXIf") - 4
        end = start + 12 + struct.unpack_from(">I", data, start)[0]
        (tmp_path / "a.png").write_bytes(data[:start] + data[end:-12] + data[start:end] + data[-12:])
        header = read_header(tmp_path / "a.png")
        assert (header.height, header.width) == read_image(tmp_path / "a.png").shape[:2] == (30, 20)


class TestWholeOrCut:
    """The decoder judges."""

    @pytest.mark.parametrize("tail", [bytes(100_000), b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 500])
    def test_data_behind_a_jpeg(self, tmp_path, picture, tail):
        path = save(tmp_path / "a.jpg", picture)
        expected = read_image(path)
        path.write_bytes(path.read_bytes() + tail)
        np.testing.assert_array_equal(read_image(path), expected)

    def test_a_cut_photo_with_the_end_of_its_thumbnail(self, tmp_path, picture):
        thumbnail = save(tmp_path / "small.jpg", picture).read_bytes()
        whole = save(tmp_path / "a.jpg", cv2.resize(picture, (300, 200))).read_bytes()
        data = whole[:2] + b"\xff\xe2" + struct.pack(">H", len(thumbnail) + 2) + thumbnail + whole[2:]
        (tmp_path / "a.jpg").write_bytes(data)
        assert read_image(tmp_path / "a.jpg").shape == (200, 300, 3)
        assert data.count(b"\xff\xd9") == 2
        (tmp_path / "a.jpg").write_bytes(data[: -len(data) // 4])
        with pytest.raises(ValueError, match=r"a\.jpg: truncated image"):
            read_image(tmp_path / "a.jpg")

    def test_zeros_in_place_of_the_end(self, tmp_path, picture):
        """A copy to a full disk may have the length of the whole; to the decoder, zeros are pixels."""
        for options in ({}, {"progressive": True}):
            path = save(tmp_path / "a.jpg", cv2.resize(picture, (300, 200)), quality=95, **options)
            data = path.read_bytes()
            path.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
            with pytest.raises(ValueError, match=r"a\.jpg: truncated image"):
                read_image(path)

    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".gif", ".bmp", ".jp2"])
    def test_cut_files_of_every_kind(self, tmp_path, picture, suffix):
        path = tmp_path / f"a{suffix}"
        Image.fromarray(picture).save(path)
        data = path.read_bytes()
        for cut in (1, 7, len(data) // 2):
            path.write_bytes(data[:-cut])
            with pytest.raises(ValueError, match=rf"a\{suffix}: "):
                read_image(path)

    def test_a_whole_file_of_a_kind_that_is_not_read(self, tmp_path):
        """TIFF of five channels, as of satellites, is not truncated."""
        entries = [(256, 3, 1), (257, 3, 1), (258, 3, 8), (259, 3, 1), (262, 3, 2), (273, 4, 160), (277, 3, 5)]
        entries += [(278, 3, 1), (279, 4, 5), (338, 3, 0)]
        data = b"II*\0" + struct.pack("<IH", 8, len(entries))
        for tag, kind, value in entries:
            count, value = {258: (5, 140), 338: (2, 0)}.get(tag, (1, value))
            data += struct.pack("<HHII", tag, kind, count, value)
        data = (data + bytes(4)).ljust(140, b"\0") + struct.pack("<5H", *[8] * 5)
        (tmp_path / "a.tif").write_bytes(data.ljust(160, b"\0") + bytes(range(5)))
        with pytest.raises(ValueError, match=r"a\.tif: is of a kind that is not read .*; save it again as 8-bit"):
            read_image(tmp_path / "a.tif")

    def test_the_lowest_version_of_opencv_is_one_that_is_tested(self):
        """Versions before 5.0 fill the missing part of a JPEG with grey, and read WebP as it is stored."""
        for file in ("pyproject.toml", "envs/pseudogt.yaml"):
            lowest = re.search(r"opencv-python-headless>=([\d.]+)", (REPOSITORY / file).read_text())[1]
            tested = re.search(r"opencv-python-headless==([\d.]+)", (REPOSITORY / "constraints.txt").read_text())[1]
            assert tested.startswith(f"{lowest}.")
            assert version("opencv-python-headless").startswith(f"{lowest}.")


def write_tiff(path, values, bits, kind=1):
    """A grey TIFF without compression; ``kind`` is 1 for whole numbers, 2 for those with sign, 3 for floats."""
    height, width = values.shape
    if bits == 12:
        pairs = values.reshape(-1, 2).astype(int)
        data = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], -1)
        data = data.astype(np.uint8).tobytes()
    else:
        data = values.tobytes()
    entries = [(256, width), (257, height), (258, bits), (259, 1), (262, 1), (273, 8), (277, 1), (278, height)]
    entries += [(279, len(data)), (339, kind)]
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", 10) + table + bytes(4))


class TestDepth:
    @pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
    def test_upper_bits_of_those_in_use(self, bits):
        values = np.array([[0, 2 ** (bits - 1), 2**bits - 1]], np.uint16)
        assert scale_to_bytes(values).tolist() == [[0, 128, 255]]

    @pytest.mark.parametrize("largest", [255, 300, 999, 4000, 9999, 65535])
    @pytest.mark.parametrize("suffix", [".png", ".tif"])
    def test_no_image_of_16_bits_is_nearly_black(self, tmp_path, largest, suffix):
        values = np.linspace(0, largest, 600).astype(np.uint16).reshape(20, 30)
        Image.fromarray(values).save(tmp_path / f"a{suffix}")
        read = read_image(tmp_path / f"a{suffix}")[..., 0]
        assert read.dtype == np.uint8 and read.max() >= 64
        assert (np.diff(read.ravel().astype(int)) >= 0).all()

    def test_tiff_of_12_bits(self, tmp_path):
        values = np.linspace(0, 4095, 600).astype(np.uint16).reshape(20, 30)
        write_tiff(tmp_path / "a.tif", values, 12)
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[..., 0], values >> 4)

    @pytest.mark.parametrize(("dtype", "kind"), [("<f4", 3), ("<i2", 2), ("<u4", 1)])
    def test_other_numbers_are_refused_by_name(self, tmp_path, dtype, kind):
        values = np.linspace(0, 1000, 600).astype(dtype).reshape(20, 30)
        write_tiff(tmp_path / "a.tif", values, values.itemsize * 8, kind)
        with pytest.raises(ValueError, match=r"a\.tif: has \w+ pixels.*convert"):
            read_image(tmp_path / "a.tif")

    def test_planes_of_16_bits_are_refused(self, tmp_path):
        """OpenCV 5.0 reads the values of one plane as if they were red, green and blue of one pixel each."""
        tags = [(256, 3, 1, 2), (257, 3, 1, 2), (258, 3, 3, 140), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 3, 146)]
        tags += [(277, 3, 1, 3), (278, 3, 1, 2), (279, 4, 3, 158), (284, 3, 1, 2)]
        data = struct.pack("<4sIH", b"II*\0", 8, len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
        values = struct.pack("<3H6I", 16, 16, 16, 170, 178, 186, 8, 8, 8)
        (tmp_path / "a.tif").write_bytes(data.ljust(140, b"\0") + values + np.arange(12, dtype="<u2").tobytes())
        for read in (read_image, read_header):
            with pytest.raises(ValueError, match=r"a\.tif: holds its colours of 16 bits in separate planes"):
                read(tmp_path / "a.tif")

    def test_jpeg_of_12_bits_is_refused_by_name(self, tmp_path, picture):
        data = bytearray(save(tmp_path / "a.jpg", picture).read_bytes())
        data[data.index(b"\xff\xc0") + 4] = 12
        (tmp_path / "a.jpg").write_bytes(data)
        with pytest.raises(ValueError, match=r"a\.jpg: can't be read as an image .* save it again as 8-bit"):
            read_image(tmp_path / "a.jpg")


class TestOpening:
    def test_one_function_opens_image_files(self):
        """Whatever is wrong with a file is told with its name, and Pillow's limit does not stop large images.

        Python's functions write them, for they notice a full disk.
        """
        allowed = {"Image.open(": ["headers.py"], "cv2.imdecode(": ["images.py"], "cv2.imread(": [], "cv2.imwrite(": []}
        for folder in ("pseudogt", "models"):
            for path in (REPOSITORY / folder).rglob("*.py"):
                text = path.read_text().replace("Image.open(io.BytesIO(", "")  # no file
                for call, files in allowed.items():
                    assert call not in text or path.name in files, f"{path} calls {call}"

    def test_more_pixels_than_pillow_opens(self, tmp_path, monkeypatch):
        Image.new("L", (20_000, 10_000)).save(tmp_path / "a.png")
        assert read_header(tmp_path / "a.png")[:2] == (20_000, 10_000)
        assert read_png(tmp_path / "a.png").shape == (10_000, 20_000)
        monkeypatch.setattr(headers, "LARGEST_IMAGE_PX", 10**8)
        with pytest.raises(ValueError, match=r"a\.png: has 200 megapixels \(20000x10000\).*cut it into tiles"):
            read_header(tmp_path / "a.png")

    @pytest.mark.parametrize(
        "content", [b"", b"no image", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", b"\xff\xd8\xff\xe0\x00"]
    )
    def test_whatever_is_wrong_names_the_file(self, tmp_path, content):
        (tmp_path / "a.png").write_bytes(content)
        for read in (read_header, read_image, read_png):
            with pytest.raises(ValueError, match=r"a\.png: can't be read as an image .*; replace the file"):
                read(tmp_path / "a.png")
            with pytest.raises(ValueError, match="no such file"):
                read(tmp_path / "missing.png")

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", r"is empty \(0 bytes\)"),
            (
                b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
                "is a pointer of Git LFS .*git lfs pull",
            ),
            (b"\n<!DOCTYPE html><html>404</html>", "is a web page"),
            (b"\0\0\0\x18ftypheic\0\0\0\0", "is HEIC or AVIF, .* save it as JPEG or PNG"),
            (b"\x1f\x8b\x08\x00", "is compressed, .*; unpack it"),
        ],
    )
    def test_what_a_file_is_instead_is_said(self, tmp_path, content, message):
        (tmp_path / "a.jpg").write_bytes(content)
        for read in (read_header, read_image, read_png):
            with pytest.raises(ValueError, match=rf"a\.jpg: can't be read as an image because it {message}"):
                read(tmp_path / "a.jpg")
        with pytest.raises(ValueError, match=rf"a\.jpg: {message}"):
            parse_json(tmp_path / "a.jpg", TypeAdapter(dict))

    def test_names_that_are_nearly_right(self, tmp_path, picture):
        save(tmp_path / "a.JPG", picture)
        (tmp_path / "b.jpg").symlink_to(tmp_path / "gone.jpg")
        for name, message in (
            ("A.jpg", "no such file; there is 'a.JPG'"),
            ("a.png", "no such file; there is 'a.JPG'"),
            ("b.jpg", "is a link to .*gone.jpg, which is not there"),
            ("sub\\a.jpg", "no such file; separate folders by /"),
            ("$HOME.jpg", "variables of the environment are not replaced"),
            ("c.jpg", "no such file$"),
        ):
            with pytest.raises(ValueError, match=message):
                read_image(tmp_path / name)
        with pytest.raises(ValueError, match=f"no such file below {re.escape(str(Path.cwd()))}$"):
            read_image("no/c.jpg")

    def test_files_of_several_pictures_are_known(self, tmp_path, picture):
        frames = [Image.fromarray(picture), Image.fromarray(picture[::-1])]
        frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
        frames[0].save(tmp_path / "b.mpo", save_all=True, append_images=frames[1:])
        assert read_header(tmp_path / "a.gif").is_animated
        assert not read_header(tmp_path / "b.mpo").is_animated
        assert np.abs(read_image(tmp_path / "b.mpo").astype(int) - picture).mean() < 10
