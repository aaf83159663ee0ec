"""Readers of Label Studio's and CVAT's exports."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from pseudogt.annotations.cvat import read_cvat
from pseudogt.annotations.geometry import decode_segmentation
from pseudogt.annotations.label_studio import read_label_studio
from pseudogt.files.brush import decode_brush


def encode_png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def rectangle(x, y, width, height, label="car", **more):
    value = {"x": x, "y": y, "width": width, "height": height, "rectanglelabels": [label], **more}
    return {"type": "rectanglelabels", "original_width": 200, "original_height": 100, "value": value}


def task(*results, number=1, **more):
    data = {"image": "/data/upload/1/0a1b2c3d-a.jpg"}
    return {"id": number, "data": data, "annotations": [{"id": 1, "result": list(results), **more}]}


def write_brush(mask, word=8):
    """Bits of a brush mask as Label Studio packs them: here blocks of repeated values and some of single ones."""
    flat = np.repeat(mask.astype(int).ravel() * 255, 4)
    bits = f"{len(flat):032b}{word - 1:05b}" + f"{3 - 1:04b}{4 - 1:04b}{8 - 1:04b}{16 - 1:04b}"
    edges = np.flatnonzero(np.diff(flat)) + 1
    for part in np.split(flat, edges):
        while len(part):
            if len(part) == 4:  # distinct values, by the narrowest run length
                bits += "0" + "00" + f"{len(part) - 1:03b}" + "".join(f"{v:0{word}b}" for v in part)
                part = part[4:]
            else:
                run = min(len(part), 65536)
                bits += "1" + "11" + f"{run - 1:016b}" + f"{part[0]:0{word}b}"
                part = part[run:]
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def brush(data, height=100, width=200):
    value = {"format": "rle", "rle": data, "brushlabels": ["cell"]}
    return {"type": "brushlabels", "original_width": width, "original_height": height, "value": value}


@pytest.fixture
def read(tmp_path):
    def read(content, reader=read_label_studio, name="export.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return reader(path)

    return read


class TestLabelStudio:
    def test_percent_become_pixels(self, read):
        image = read([task(rectangle(10, 20, 50, 25))]).images[0]
        assert image.boxes[0].xyxy == pytest.approx((20, 20, 120, 45))
        assert (image.width, image.height, image.file_name) == (200, 100, "/data/upload/1/0a1b2c3d-a.jpg")

    def test_a_rectangle_turns_about_its_corner(self, read):
        """By a right angle, clockwise: it then lies to the left of and below its corner."""
        box = read([task(rectangle(50, 20, 10, 50, rotation=90))]).images[0].boxes[0]
        assert box.xyxy == pytest.approx((100 - 50, 20, 100, 20 + 20))

    def test_a_rectangle_may_be_drawn_upwards(self, read):
        assert read([task(rectangle(60, 45, -50, -25))]).images[0].boxes[0].xyxy == pytest.approx((20, 20, 120, 45))

    def test_polygons_and_ellipses(self, read):
        polygon = rectangle(0, 0, 0, 0) | {"type": "polygonlabels"}
        polygon["value"] = {"points": [[10, 10], [20, 10], [20, 50]], "polygonlabels": ["cell"]}
        ellipse = rectangle(0, 0, 0, 0) | {"type": "ellipselabels"}
        ellipse["value"] = {"x": 50, "y": 50, "radiusX": 10, "radiusY": 5, "rotation": 90, "ellipselabels": ["cell"]}
        first, second = read([task(polygon, ellipse)]).images[0].boxes
        assert first.xyxy == (20, 10, 40, 50)
        assert decode_segmentation(first.segmentation, 100, 200).sum() == pytest.approx(400, abs=30)
        assert second.xyxy == pytest.approx((95, 30, 105, 70))

    def test_brush_masks(self, read):
        mask = np.zeros((100, 200), bool)
        mask[30:40, 50:53] = mask[70, 199] = True
        box = read([task(brush(write_brush(mask)))]).images[0].boxes[0]
        assert box.label == "cell" and box.xyxy == (50, 30, 200, 71)
        np.testing.assert_array_equal(decode_segmentation(box.segmentation, 100, 200), mask)

    def test_a_result_without_type_is_of_that_of_its_classes(self, read):
        """As old versions write the class of a rectangle drawn by another tool."""
        shape = rectangle(10, 20, 50, 25) | {"id": "r", "type": "rectangle"}
        value = {key: shape["value"][key] for key in ("x", "y", "width", "height")}
        named = {key: shape[key] for key in shape if key != "type"} | {"value": value | {"labels": ["car"]}}
        reading = read([task(shape | {"value": value}, named)])
        assert [b.label for b in reading.images[0].boxes] == ["car"] and not reading.list_faults()

    def test_skipped_and_empty_tasks_differ(self, read):
        skipped, empty = task(rectangle(1, 1, 5, 5), was_cancelled=True), task()
        untouched = {"id": 3, "data": {"image": "c.jpg"}, "annotations": []}
        images = read([skipped, empty, untouched]).images
        assert [i.boxed for i in images] == [False, True, False]
        assert not any(i.boxes for i in images)

    def test_the_latest_of_several_annotations_counts(self, read):
        several = task(rectangle(1, 1, 5, 5, "old"), updated_at="2026-01-01T00:00:00Z")
        newer = {"id": 2, "result": [rectangle(1, 1, 5, 5, "new")], "updated_at": "2026-02-01T00:00:00Z"}
        several["annotations"].insert(0, newer)
        reading = read([several])
        assert [b.label for b in reading.images[0].boxes] == ["new"]
        assert "1 tasks have several annotations" in reading.warnings[0]
        several["annotations"][1]["ground_truth"] = True
        assert [b.label for b in read([several]).images[0].boxes] == ["old"]

    def test_choices_are_tags(self, read):
        choice = {"type": "choices", "value": {"choices": ["sky", "road"]}}
        reading = read([task(choice, rectangle(1, 1, 5, 5)), task(number=2)])
        assert reading.images[0].tags == {"sky": True, "road": True}
        assert reading.tag_labels == {"sky", "road"} and reading.box_labels == {"car"}

    def test_remarks_are_counted(self, read):
        text = {"type": "textarea", "value": {"text": ["a remark"]}}
        reading = read([task(text, text), task({"type": "rating", "value": {"rating": 3}})])
        assert [i.boxes or i.unusable for i in reading.images] == [[], []]
        assert "2 results of type 'textarea' say nothing" in reading.warnings[0] and "'rating'" in reading.warnings[1]

    @pytest.mark.parametrize(
        ("result", "expected"),
        [
            (rectangle(1, 1, 5, 5) | {"value": {"x": 1, "rectanglelabels": []}}, (None, "region without class")),
            (rectangle(1, 1, 5, 5) | {"type": "rectangle"}, (None, "region without class")),
            ({"type": "keypointlabels", "value": {"x": 1, "keypointlabels": ["car"]}}, ("car", "keypointlabels")),
            ({"type": "cubelabels", "value": {"cubelabels": ["car"]}}, ("car", "cubelabels")),
            ({"type": "videorectangle", "value": {}}, (None, "videorectangle")),
            ({"value": {}}, (None, "result without type")),
            ({"type": "choices", "value": {"x": 1, "choices": ["car"]}}, ("car", "choice of a region")),
        ],
    )
    def test_what_has_no_box_is_named(self, read, result, expected):
        image = read([task(result, rectangle(1, 1, 5, 5))]).images[0]
        assert [(seen.label, seen.kind) for seen in image.unusable] == [expected] and len(image.boxes) == 1
        assert image.tags == {}

    def test_a_region_with_its_class_in_another_result(self, read):
        """Separate tags for shapes and labels write two results of one id."""
        value = {"x": 10, "y": 20, "width": 50, "height": 25}
        size = {"original_width": 200, "original_height": 100, "id": "r1"}
        shape = {"type": "rectangle", "value": value, **size}
        image = read([task(shape, {"type": "labels", "value": value | {"labels": ["car"]}, **size})]).images[0]
        assert [box.label for box in image.boxes] == ["car"] and not image.unusable
        choice = {"type": "choices", "value": {"choices": ["old"]}, "id": "r1"}
        image = read([task(shape, choice)]).images[0]
        assert [seen.label for seen in image.unusable] == ["old"] and not image.tags

    @pytest.mark.parametrize("mode", ["RGBA", "L"])
    def test_bit_masks(self, read, mode):
        mask = np.zeros((100, 200), np.uint8)
        mask[30:40, 50:53] = 255
        pixels = np.dstack([mask * 0] * 3 + [mask]) if mode == "RGBA" else mask
        encoded = base64.b64encode(encode_png(pixels)).decode()
        result = {"type": "bitmasklabels", "original_width": 200, "original_height": 100}
        result |= {"value": {"imageDataURL": f"data:image/png;base64,{encoded}", "bitmasklabels": ["car"]}}
        assert read([task(result)]).images[0].boxes[0].xyxy == (50, 30, 53, 40)
        result["original_width"] = 201
        (problem,) = read([task(result)]).list_faults()
        assert "its mask is 200x100, the image 201x100" in problem
        result["value"]["imageDataURL"] = "data:image/png;base64,AAAA"
        assert "no PNG that can be read" in read([task(result)]).list_faults()[0]

    def test_name_of_an_upload(self, read):
        plain = task() | {"data": {"photo": "https://host/a/b.png?x=1", "note": "hello"}}
        upload = task() | {"data": {}, "file_upload": "0a1b2c3d-c.jpg"}
        assert [i.file_name for i in read([plain, upload]).images] == ["https://host/a/b.png?x=1", "0a1b2c3d-c.jpg"]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ('[{"annotations": [', "Invalid JSON"),
            ({"annotations": []}, "valid array"),
            ([{"image": "a.jpg", "label": []}], "is an export of the kind JSON-MIN"),
            ([{"id": 1, "completions": []}], "a Label Studio before 1.0"),
            ([{"id": 1, "picture": []}], "has no 'annotations'"),
        ],
    )
    def test_broken_files(self, read, content, message):
        with pytest.raises(ValueError, match=message) as caught:
            read(content)
        assert "export.json" in str(caught.value)

    @pytest.mark.parametrize(
        ("bad", "message"),
        [
            (task(rectangle(1, 1, 5, 5) | {"original_width": None}), "result 0: original_width: Input should be"),
            (task(rectangle(1, 1, 5, 5), rectangle(1, 1, 5, 5) | {"original_width": 9}), "of different sizes"),
            (task(rectangle("wide", 1, 5, 5)), "valid number"),
            (task(rectangle(1, 1, 5, 5) | {"value": {"rectanglelabels": ["car"]}}), "lacks 'x'"),
            (task(brush([300])), "less than or equal to 255"),
            (task(brush([])), "end too early"),
            (task(brush(write_brush(np.zeros((9, 9), bool)))), "not those of an image of 200x100"),
            (task(brush(write_brush(np.ones((100, 200), bool))[:-2])), "end too early"),
            (task(brush([1], 900_000, 900_000)), "too large"),
            (task() | {"data": {}}, "names no image"),
            (task() | {"data": {"a": "x.jpg", "b": "y.jpg"}}, "names 2 images"),
            (task() | {"annotations": 3}, "annotations: Input should be a valid list"),
        ],
    )
    def test_bad_tasks_are_collected(self, read, bad, message):
        reading = read([bad, task(rectangle(1, 1, 5, 5))])
        (problem,) = reading.list_faults()
        assert message in problem and "export.json: task 1" in problem
        assert len(reading.images[-1].boxes) == 1


def test_brush_runs_beyond_the_image():
    data = write_brush(np.ones((2, 2), bool))
    bits = "".join(f"{byte:08b}" for byte in data)
    longer = bits[:53] + "111" + "1" * 16 + bits[72:]
    data = [int(longer[i : i + 8].ljust(8, "0"), 2) for i in range(0, len(longer), 8)]
    with pytest.raises(ValueError, match="beyond the image"):
        decode_brush(data, 2, 2)


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version>
<meta><job><labels><label><name>car</name></label><label><name>bus</name></label><label><name>sky</name></label>
</labels></job></meta>
<image id="0" name="folder/a b.png" width="100" height="80">
  <tag label="sky" source="manual"></tag>
  <box label="car" source="manual" occluded="0" xtl="10.5" ytl="20" xbr="30" ybr="60" z_order="0"></box>
  <box label="car" xtl="40" ytl="20" xbr="60" ybr="30" rotation="90"></box>
  <polygon label="car" points="1,1;9,1;9,9;1,9"></polygon>
  <ellipse label="car" cx="50" cy="40" rx="10" ry="5"></ellipse>
  <mask label="car" rle="2, 3, 3, 2" left="90" top="70" width="5" height="2"></mask>
</image>
<image id="1" name="b.png" width="100" height="80"></image>
</annotations>"""


class TestCvat:
    def test_shapes(self, read):
        reading = read(CVAT, read_cvat, "a.xml")
        first, second = reading.images
        assert not reading.problems
        assert [b.xyxy for b in first.boxes] == [
            (10.5, 20, 30, 60),
            pytest.approx((45, 15, 55, 35)),
            (1, 1, 9, 9),
            (40, 35, 60, 45),
            (92, 70, 95, 72),
        ]
        assert first.tags == {"sky": True} and (first.width, first.height) == (100, 80)
        assert second.boxes == [] and second.boxed
        assert reading.box_labels == {"car", "bus"} and reading.tag_labels == {"sky"}

    def test_images_of_one_name_are_told_apart_by_their_subsets(self, read):
        first = CVAT.replace("folder/a b.png", 'b.png" subset="train')
        images = read(first.replace('name="b.png" width', 'name="b.png" subset="val" width'), read_cvat, "a.xml").images
        assert [image.file_name for image in images] == ["train/b.png", "val/b.png"]
        alone = CVAT.replace("folder/a b.png", 'a.png" subset="train')
        assert read(alone, read_cvat, "a.xml").images[0].file_name == "a.png"

    def test_masks_are_runs_by_rows_in_a_window(self, read):
        mask = decode_segmentation(read(CVAT, read_cvat, "a.xml").images[0].boxes[-1].segmentation, 80, 100)
        assert np.argwhere(mask).tolist() == [[70, 92], [70, 93], [70, 94], [71, 93], [71, 94]]

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("</annotations>", "", "not valid XML"),
            ("<version>1.1</version>", '<track id="3" label="car"/>', "<track> '3', so it is 'CVAT for video'"),
            ('<?xml version="1.0" encoding="utf-8"?>', '<!DOCTYPE a [<!ENTITY x "y">]>', "declares the entity 'x'"),
        ],
    )
    def test_broken_files(self, read, old, new, message):
        with pytest.raises(ValueError, match=message) as caught:
            read(CVAT.replace(old, new), read_cvat, "a.xml")
        assert "a.xml" in str(caught.value)

    def test_another_root(self, read):
        with pytest.raises(ValueError, match="its root is <dataset>"):
            read("<dataset/>", read_cvat, "a.xml")

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ('xtl="10.5"', 'xtl="ten"', "<box> 1, xtl: 'ten' is not a number"),
            ('<box label="car" source', "<box source", "<box> 1 has no label"),
            ("1,1;9,1;9,9;1,9", "1,1;9,1", "its points are not"),
            ("1,1;9,1;9,9;1,9", "1,1;9,1;x,9", "'x' is not a number"),
            ("2, 3, 3, 2", "2, 3, 3, 1", "do not fill a mask of 5x2"),
            ("2, 3, 3, 2", "2, 3, -3, 8", "do not fill"),
            ('left="90"', 'left="99"', "is not in the 100x80 image"),
            ('left="90"', 'left="0.5"', "not a whole number"),
            ('width="100"', 'width="-1"', "-1 is not a size"),
            ('name="b.png"', "", "image '?' has no name"),
        ],
    )
    def test_bad_shapes_are_collected(self, read, old, new, message):
        problems = read(CVAT.replace(old, new, 1), read_cvat, "a.xml").list_faults()
        assert any(message in p and "a.xml: image" in p for p in problems)
