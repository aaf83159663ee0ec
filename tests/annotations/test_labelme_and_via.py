"""Readers of LabelMe's and VIA's JSON, and of CSV as spreadsheets write it."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from pseudogt.annotations.geometry import decode_segmentation
from pseudogt.annotations.labelme import read_labelme
from pseudogt.annotations.tables import read_box_table
from pseudogt.annotations.tags import read_tags, recognise_tags
from pseudogt.annotations.via import read_via
from pseudogt.parsing.tables import parse_header


@pytest.fixture
def write(tmp_path):
    def write(content, name="a.json", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes((content if isinstance(content, str) else json.dumps(content)).encode(encoding))
        return path

    return write


def shape(kind, *points, label="car", **more):
    return {"label": label, "shape_type": kind, "points": [list(p) for p in points], **more}


def labelme(*shapes, **more):
    return {"imagePath": "a.jpg", "imageWidth": 60, "imageHeight": 40, "shapes": list(shapes), **more}


class TestLabelMe:
    @pytest.mark.parametrize(
        ("found", "expected"),
        [
            (shape("rectangle", (30, 35), (10, 20)), (10, 20, 30, 35)),
            (shape("polygon", (1, 2), (5, 2), (5, 9)), (1, 2, 5, 9)),
            (shape("circle", (20, 20), (23, 24)), (15, 15, 25, 25)),
            (shape("rotation", (10, 5), (15, 10), (10, 15), (5, 10)), (5, 5, 15, 15)),
        ],
    )
    def test_shapes_with_an_area(self, write, found, expected):
        image = read_labelme(write(labelme(found)))
        assert [(b.label, b.xyxy) for b in image.boxes] == [("car", expected)]
        assert (image.file_name, image.width, image.height) == ("a", 60, 40)

    def test_masks_lie_between_two_pixels(self, write):
        """The window holds both of its corners."""
        pixels = np.zeros((4, 6), bool)
        pixels[1:, 2:5] = True
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        text = base64.b64encode(file.getvalue()).decode()
        (box,) = read_labelme(write(labelme(shape("mask", (10, 20), (15, 23), mask=text)))).boxes
        assert box.xyxy == (12, 21, 15, 24)
        mask = np.zeros((40, 60), bool)
        mask[21:24, 12:15] = True
        np.testing.assert_array_equal(decode_segmentation(box.segmentation, 40, 60), mask)
        (seen,) = read_labelme(write(labelme(shape("mask", (10, 20), (16, 23), mask=text)))).unusable
        assert "its mask is 6x4, the image 7x4" in seen.problem

    @pytest.mark.parametrize("kind", ["point", "line", "linestrip", "points"])
    def test_shapes_without_area_make_their_class_unknown(self, write, kind):
        image = read_labelme(write(labelme(shape(kind, (1, 2)), shape("rectangle", (1, 2), (3, 4)))))
        assert [(seen.label, seen.kind) for seen in image.unusable] == [("car", kind)] and len(image.boxes) == 1

    def test_flags_of_the_image_are_tags(self, write):
        assert read_labelme(write(labelme(flags={"sky": True, "road": False}))).tags == {"sky": True}


def via(*regions, name="a.jpg", **more):
    return {f"{name}1": {"filename": name, "regions": list(regions), "file_attributes": {}, **more}}


def region(kind, attributes=None, **shape):
    return {"shape_attributes": {"name": kind, **shape}, "region_attributes": attributes or {"class": "car"}}


class TestVia:
    @pytest.mark.parametrize(
        ("found", "numbers", "expected"),
        [
            (region("rect", x=1, y=2, width=3, height=4), [2, 1, 2, 3, 4], (1, 2, 4, 6)),
            (region("circle", cx=10, cy=20, r=5), [3, 10, 20, 5], (5, 15, 15, 25)),
            (region("ellipse", cx=10, cy=20, rx=5, ry=3), [4, 10, 20, 5, 3], (5, 17, 15, 23)),
            (
                region("polygon", all_points_x=[1, 5, 5], all_points_y=[2, 2, 9]), [7, 1, 2, 5, 2, 5, 9], (1, 2, 5, 9)
            ),
        ],
    )  # fmt: skip
    def test_shapes_of_versions_2_and_3(self, write, found, numbers, expected):
        for document in (via(found), {"_via_img_metadata": via(found)}, project({"xy": numbers, "av": {"1": "0"}})):
            (image,) = read_via(write(document)).images
            (box,) = image.boxes
            assert (image.file_name, box.label, box.xyxy) == ("a.jpg", "car", pytest.approx(expected))
            assert (box.segmentation is not None) == (len(numbers) > 5)

    def test_regions_of_version_1_are_numbered(self, write):
        document = {"a.jpg1": {"filename": "a.jpg", "regions": {"0": region("rect", x=1, y=2, width=3, height=4)}}}
        assert len(read_via(write(document)).images[0].boxes) == 1

    def test_checked_classes_and_tags(self, write):
        checked = region("rect", {"class": {"car": True, "red": "true", "bus": False}}, x=1, y=2, width=3, height=4)
        reading = read_via(write(via(checked, file_attributes={"class": "sky", "caption": "a street"})))
        (image,) = reading.images
        assert [b.label for b in image.boxes] == ["car", "red"] and image.tags == {"sky": True}
        assert "1 images have 'caption', which says nothing of classes" in reading.warnings[0]
        metadata = ({"xy": [2, 1, 2, 3, 4], "av": {"1": "0,1"}}, {"xy": [], "av": {"1": "1"}})
        (image,) = read_via(write(project(*metadata))).images
        assert [b.label for b in image.boxes] == ["car", "sky"] and image.tags == {"sky": True}

    def test_regions_without_any_attribute_are_of_one_class(self, write):
        """As in the tutorials of Mask R-CNN, which find balloons and nothing else."""
        shapes = [region("rect", {"": ""}, x=x, y=2, width=3, height=4) for x in (1, 5)]
        reading = read_via(write(via(*shapes)))
        assert [b.label for b in reading.images[0].boxes] == ["object", "object"] and reading.box_labels == {"object"}
        assert "no region has an attribute" in reading.warnings[0] and not reading.list_faults()

    def test_which_attribute_holds_the_class(self, write):
        several = region("rect", {"species": "cow", "age": "old"}, x=1, y=2, width=3, height=4)
        path = write(via(several))
        with pytest.raises(ValueError, match="the attributes age, species; name the one that holds the class"):
            read_via(path)
        assert read_via(path, "species").images[0].boxes[0].label == "cow"
        usual = region("rect", {"Label": "cow", "age": "old"}, x=1, y=2, width=3, height=4)
        assert read_via(write(via(usual))).images[0].boxes[0].label == "cow"

    @pytest.mark.parametrize("kind", ["point", "polyline", "line"])
    def test_shapes_without_area_make_their_class_unknown(self, write, kind):
        (image,) = read_via(write(via(region(kind, cx=1, cy=2)))).images
        assert [(seen.label, seen.kind) for seen in image.unusable] == [("car", kind)]

    def test_videos_and_strays_are_named(self, write):
        document = project({"vid": "9", "xy": [2, 1, 2, 3, 4], "av": {}})
        document["file"]["2"] = {"fname": "b.mp4", "type": 4}
        broken = read_via(write(document)).broken
        assert "file '2' is not an image" in broken[0] and "metadata 'm0' is of no image" in broken[1]


def project(*metadata):
    return {
        "project": {"pname": "p"},
        "attribute": {"1": {"aname": "class", "options": {"0": "car", "1": "sky"}}},
        "file": {"1": {"fname": "a.jpg", "type": 2}},
        "view": {"1": {"fid_list": ["1"]}},
        "metadata": {f"m{i}": {"vid": "1", **entry} for i, entry in enumerate(metadata)},
    }


class TestSpreadsheets:
    @pytest.mark.parametrize("start", ["", "sep=;\r\n"])
    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
    def test_semicolons_marks_and_decimal_commas(self, write, start, encoding):
        text = f"{start}image;class;x0;y0;x1;y1\r\na.jpg;Kühe, groß;1,5;2;3,25;4\r\n;;;;;\r\nb.jpg;;;;;\r\n"
        reading = read_box_table(write(text, "a.csv", encoding))
        assert not reading.broken and [i.file_name for i in reading.images] == ["a.jpg", "b.jpg"]
        (box,) = reading.images[0].boxes
        assert (box.label, box.xyxy) == ("Kühe, groß", (1.5, 2, 3.25, 4))

    def test_lines_are_counted_as_an_editor_does(self, write):
        reading = read_box_table(write("sep=;\nimage;class;x0;y0;x1;y1\na.jpg;car;1;2;3;x\n", "a.csv"))
        assert "line 3, y1: 'x' is not a number" in reading.images[0].unusable[0].problem

    def test_a_comma_that_may_separate_thousands_is_no_decimal_mark(self, write):
        reading = read_box_table(write('image,class,x0,y0,x1,y1\na.jpg,car,"1,500",2,3,4\n', "a.csv"))
        assert "'1,500' is not a number" in reading.images[0].unusable[0].problem

    def test_columns_of_roboflow(self, write):
        reading = read_box_table(write("filename,width,height,class,xmin,ymin,xmax,ymax\na,9,9,car,1,2,3,4\n", "a.csv"))
        assert reading.images[0].boxes[0].xyxy == (1, 2, 3, 4)

    @pytest.mark.parametrize(
        ("text", "tags"),
        [
            ("image\tsky\tcar\na.jpg\t1\t0\n", {"sky": True, "car": False}),
            ("filename, sky, car\na.jpg, 1, 0\n", {"sky": True, "car": False}),
            ("file_name,label\na.jpg,sky\n", {"sky": True}),
        ],
        ids=["tabs", "Roboflow", "Hugging Face"],
    )
    def test_tables_of_tags(self, write, text, tags):
        path = write(text, "a.csv")
        assert read_tags(path).images[0].tags == tags and recognise_tags(parse_header(path))
